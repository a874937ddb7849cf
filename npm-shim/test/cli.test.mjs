// The command line for people without OpenClaw: dist/cli.js hands everything to the binary, and everything back.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, closeSync, copyFileSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

const folder = mkdtempSync(path.join(tmpdir(), "openclaw-weixin-cli-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const posix = { skip: process.platform === "win32" };

/** Runs the command with a shell script as the binary. `meanwhile` gets the process once it has said something. */
function cli(script, args, { input, meanwhile } = {}) {
  const binary = path.join(folder, `binary-${Math.random()}`);
  writeFileSync(binary, script);
  chmodSync(binary, 0o755);
  return command(binary, args, { input, meanwhile });
}

/** Runs the command on this binary. */
function command(binary, args = [], { input = "", meanwhile } = {}) {
  return new Promise((resolve) => {
    const file = fileURLToPath(new URL("../dist/cli.js", import.meta.url));
    const child = spawn(process.execPath, [file, ...args], { env: { ...process.env, OPENCLAW_WEIXIN_SIDECAR_BIN: binary } });
    const said = { stdout: "", stderr: "" };
    child.stdout.on("data", (chunk) => {
      said.stdout += chunk;
      meanwhile?.(child);
    });
    child.stderr.on("data", (chunk) => (said.stderr += chunk));
    child.stdin.on("error", () => {});
    child.stdin.end(input);
    child.on("close", (code, signal) => resolve({ code, signal, ...said }));
  });
}

test("arguments, input, output and the exit code pass unchanged", posix, async () => {
  const done = await cli('#!/bin/sh\nprintf "%s|" "$@"; cat; echo trouble >&2; exit 3\n', ["send", "--to", "a b", "*"], { input: "from stdin" });
  assert.deepEqual(done, { code: 3, signal: null, stdout: "send|--to|a b|*|from stdin", stderr: "trouble\n" });
});

test("a signal reaches the binary, and its own end is the command's", posix, async () => {
  const script = '#!/bin/sh\ntrap "echo ended; exit 7" TERM\necho ready\nwhile :; do sleep 0.1; done\n';
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) {
    let asked = false;
    const done = await cli(script.replace("TERM", signal.slice(3)), [], { meanwhile: (child) => !asked && (asked = child.kill(signal)) });
    assert.deepEqual([done.code, done.stdout], [7, "ready\nended\n"], signal);
  }
  assert.equal((await cli("#!/bin/sh\nkill -KILL $$\n")).code, 128 + 9);
});

test("an error of starting says what it was, without a stack", { skip: process.platform !== "linux" }, async () => {
  // A program that somebody writes at the moment.
  const busy = path.join(folder, "busy");
  copyFileSync("/bin/true", busy);
  const writing = openSync(busy, "r+");
  try {
    const done = await command(busy);
    assert.equal(done.code, 1);
    assert.match(done.stderr, /busy could not be started: .*ETXTBSY/);
    assert.doesNotMatch(done.stderr, /\n\s+at /);
  } finally {
    closeSync(writing);
  }
});

test("a binary that is none says what to do, without a stack", { skip: process.platform !== "linux" }, async () => {
  const done = await cli("MZ of another system");
  assert.notEqual(done.code, 0);
  assert.match(done.stderr, /is not a program for this machine/);
  assert.doesNotMatch(done.stderr, /\n\s+at /);
});
