#!/usr/bin/env node
/**
 * The sidecar's command line for people without OpenClaw: `npx openclaw-weixin-sidecar login`. Starts the binary with the
 * arguments, the terminal and the exit code of this process, and adds nothing.
 */
import { spawn } from "node:child_process";
import { constants } from "node:os";

import { explainEarlyExit, explainSpawnError, resolveBinary, type ResolvedBinary } from "./binary.js";
import { SidecarError } from "./errors.js";

const FORWARDED = ["SIGTERM", "SIGHUP"] as const;

function fail(error: unknown): never {
  console.error(error instanceof SidecarError ? error.message : error);
  process.exit(1);
}

let binary: ResolvedBinary;
try {
  binary = resolveBinary();
} catch (error) {
  fail(error);
}

// Before the binary is there: a signal that ended only this process would leave it behind.
for (const signal of FORWARDED) process.on(signal, () => child.kill(signal));
// A terminal's Ctrl-C reaches the whole group: the binary decides what it means, and this process waits for it.
process.on("SIGINT", () => {});
const child = spawn(binary.path, process.argv.slice(2), { stdio: "inherit", windowsHide: true });
child.on("error", (error) => fail(explainSpawnError(error, binary)));
child.on("exit", (code, signal) => {
  if (signal) process.exit(128 + (constants.signals[signal] ?? 0));
  const foreign = code === 0 ? undefined : explainEarlyExit(binary);
  if (foreign) fail(foreign);
  process.exit(code ?? 1);
});
