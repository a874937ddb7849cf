#!/usr/bin/env node
/**
 * The sidecar's command line for people without OpenClaw: `npx openclaw-weixin-sidecar login`. Starts the binary with this
 * process' arguments and terminal, and ends with its exit code.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { constants } from "node:os";

import { explainEarlyExit, explainSpawnError, resolveBinary, type ResolvedBinary } from "./binary.js";
import { SidecarError } from "./errors.js";

const FORWARDED = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;
/** What a file that is no program ends with, which Linux hands to a shell, and what a panic does. */
const EXPLAINED = [2, 101, 126, 127];

function fail(error: unknown): never {
  console.error(error instanceof SidecarError ? error.message : error);
  process.exit(1);
}

/** Starts the binary. Some errors of that are thrown, others come later. */
function start(binary: ResolvedBinary): ChildProcess {
  try {
    return spawn(binary.path, process.argv.slice(2), { stdio: "inherit", windowsHide: true });
  } catch (error) {
    fail(explainSpawnError(error as NodeJS.ErrnoException, binary));
  }
}

function resolve(): ResolvedBinary {
  try {
    return resolveBinary();
  } catch (error) {
    fail(error);
  }
}

const binary = resolve();
// Before the binary is there: a signal that ended only this process would leave it behind.
for (const signal of FORWARDED) {
  process.on(signal, () => {
    // A terminal's Ctrl-C reaches both: the binary decides what it means, and this process waits for it.
    const fromTerminal = process.stdin.isTTY && (signal === "SIGINT" || signal === "SIGQUIT");
    if (!fromTerminal) child.kill(signal);
  });
}
const child = start(binary);
child.on("error", (error) => fail(explainSpawnError(error, binary)));
child.on("exit", (code, signal) => {
  const why = signal || EXPLAINED.includes(code ?? 1) ? explainEarlyExit(binary) : undefined;
  if (why) console.error(why.message);
  process.exit(signal ? 128 + (constants.signals[signal] ?? 0) : (code ?? 1));
});
