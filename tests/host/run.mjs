// Runs the host tests: `node tests/host/run.mjs [name pattern]`.
//
// The plugin is packed once. Two files run side by side; each of the two has a folder in which OpenClaw installs the plugin
// once, and which its files use one after the other.
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { MARK, packPlugin } from "./lib/lab.mjs";
import { ensureOpenClaw } from "./lib/openclaw.mjs";
import { processesWithEnvironment } from "./lib/processes.mjs";

/** Those that take longest first, then all others. */
const FIRST = ["host", "reload", "install", "official", "supervision"];
const FILES = [...new Set([...FIRST, ...readdirSync(new URL(".", import.meta.url)).flatMap((file) => file.match(/^(.+)\.test\.mjs$/)?.[1] ?? [])])];
const SIDE_BY_SIDE = Number(process.env.WEIXIN_HOST_WORKERS || 2);
/** Three times what the longest takes on a slow machine: a file that hangs fails, and (on Linux) the rest is tested. */
const LIMIT_MS = Number(process.env.WEIXIN_HOST_FILE_MINUTES || 30) * 60_000;

const [pattern] = process.argv.slice(2);
const folder = mkdtempSync(path.join(tmpdir(), "openclaw-weixin-labs-"));
const log = (text) => console.log(`# ${text}`);

/** Runs one file, and prints what it said when it is over: two at once would talk across each other. */
function runFile(name, env) {
  const file = fileURLToPath(new URL(`${name}.test.mjs`, import.meta.url));
  // A failed test may leave something running; the file ends all the same.
  const args = ["--test", "--test-force-exit", "--test-reporter=spec", ...(pattern ? [`--test-name-pattern=${pattern}`] : []), file];
  const began = Date.now();
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
    let output = "";
    const limit = setTimeout(() => {
      output += `\n${name}.test.mjs was ended: it ran for ${LIMIT_MS / 60_000} minutes\n`;
      child.kill("SIGKILL");
    }, LIMIT_MS);
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += chunk));
    child.on("error", (error) => resolve({ name, code: 1, output: String(error) }));
    // Not when its output closes: what it left running may hold that open.
    child.on("exit", (code) => {
      clearTimeout(limit);
      // The next file uses this one's folder.
      const its = [`WEIXIN_LAB_FOLDER=${env.WEIXIN_LAB_FOLDER}`, `${MARK}=${env.WEIXIN_LAB_FOLDER}:`];
      for (const { pid } of its.flatMap((mark) => processesWithEnvironment(mark) ?? [])) end(pid);
      setTimeout(() => resolve({ name, code: code ?? 1, output, seconds: Math.round((Date.now() - began) / 1000) }), 500);
    });
  }).then((done) => {
    console.log(`\n== ${done.name}.test.mjs: ${done.code === 0 ? "ok" : "FAIL"} (${done.seconds} s)\n${done.output}`);
    return done;
  });
}

/** Of what a file printed: the errors, each without where Node itself was and cut to a page; or the end, where none is named. */
function why(output) {
  const [, said] = output.split("✖ failing tests:\n");
  if (!said) return output.replace(/^ℹ .*\n/gm, "").slice(-2_000);
  const errors = said.replace(/^ +at .*node:internal.*\n/gm, "").split(/^test at /m);
  return errors.map((error) => error.trim().slice(0, 1_200)).filter(Boolean).join("\n\n");
}

function end(pid) {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended meanwhile.
  }
}

async function work(n, tarball, queue) {
  const env = { WEIXIN_LAB_FOLDER: path.join(folder, `lab-${String(n).padStart(2, "0")}`), WEIXIN_LAB_TARBALL: tarball };
  mkdirSync(env.WEIXIN_LAB_FOLDER);
  const failed = [];
  for (let name = queue.shift(); name; name = queue.shift()) {
    const done = await runFile(name, env);
    if (done.code !== 0) failed.push(done);
  }
  return failed;
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.once(signal, () => {
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
    process.exit(1);
  });
}

try {
  const host = await ensureOpenClaw(undefined, log);
  const tarball = await packPlugin(host, path.join(folder, "pack"), log);
  const queue = [...FILES];
  const failed = (await Promise.all(Array.from({ length: SIDE_BY_SIDE }, (_, n) => work(n, tarball, queue)))).flat();
  // Once more at the end, where a log is read first: what each failed test said, and no more of it than can be read there.
  for (const { name, output } of failed) console.log(`\n== why ${name}.test.mjs failed\n${why(output)}`);
  process.exitCode = failed.length > 0 ? 1 : 0;
} finally {
  rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
}
