// Child processes: started, watched, ended by their pid, and none left behind.
import { spawn } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import path from "node:path";

/** How long what works may take where a machine is slowed down by other work, and OpenClaw puts a change off until nothing runs. */
export const PATIENCE_MS = 240_000;

/** Waits until `probe` gives something true. */
export async function until(what, probe, { timeoutMs = PATIENCE_MS, everyMs = 50 } = {}) {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited ${timeoutMs} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

/** Runs a program to its end. */
export function run(command, args, { env, cwd, timeoutMs = 2 * PATIENCE_MS, input, onLine } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env, cwd, stdio: ["pipe", "pipe", "pipe"] });
    let stdout = "";
    let stderr = "";
    const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
    child.stdin.on("error", () => {});
    child.stdin.end(input ?? "");
    child.stdout.on("data", (chunk) => {
      stdout += chunk;
      onLine?.(String(chunk));
    });
    child.stderr.on("data", (chunk) => (stderr += chunk));
    const over = (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, stdout, stderr, output: `${stdout}${stderr}` });
    };
    child.on("error", reject);
    child.on("close", over);
    // What it left running may hold its output open for ever.
    child.on("exit", (code, signal) => setTimeout(over, 3_000, code, signal).unref());
  });
}

/** A program that keeps running. Its output is kept. */
export class Service {
  constructor(command, args, { env, cwd, stdin = "ignore" } = {}) {
    this.output = "";
    this.child = spawn(command, args, { env, cwd, stdio: [stdin, "pipe", "pipe"] });
    this.pid = this.child.pid;
    this.ended = new Promise((resolve) => this.child.once("exit", (code, signal) => resolve({ code, signal })));
    this.child.once("error", (error) => (this.output += `\n${error.message}\n`));
    for (const stream of [this.child.stdout, this.child.stderr]) stream.on("data", (chunk) => (this.output += chunk));
  }

  get running() {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  kill(signal = "SIGKILL") {
    if (this.running) this.child.kill(signal);
    return this.ended;
  }

  /** Asks it to end, and insists after `graceMs`. */
  async stop(graceMs = 20_000) {
    if (!this.running) return await this.ended;
    this.child.kill("SIGTERM");
    const timer = setTimeout(() => this.child.kill("SIGKILL"), graceMs);
    const end = await this.ended;
    clearTimeout(timer);
    return end;
  }
}

/** Every process whose environment has an entry `NAME=value` that begins so, as `{pid, command}`. Linux only; elsewhere `undefined`. */
export function processesWithEnvironment(beginning) {
  if (process.platform !== "linux") return undefined;
  const found = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    try {
      const environment = readFileSync(`/proc/${name}/environ`, "utf8").split("\0");
      if (!environment.some((entry) => entry.startsWith(beginning))) continue;
      const state = readFileSync(`/proc/${name}/stat`, "utf8").split(") ").at(-1)[0];
      if (state === "Z") continue;
      found.push({ pid: Number(name), command: readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ").trim() });
    } catch {
      // It ended meanwhile, or belongs to somebody else.
    }
  }
  return found;
}

/** Children of `pid` whose program file is named `name`. Linux only. */
export function childrenNamed(pid, name) {
  const found = [];
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const parent = Number(readFileSync(`/proc/${entry}/stat`, "utf8").split(") ").at(-1).split(" ")[1]);
      // The file's own name: OpenClaw's cache may be in a folder that is named like it.
      const program = readlinkSync(`/proc/${entry}/exe`).replace(/ \(deleted\)$/, "");
      if (parent === pid && path.basename(program) === name) found.push(Number(entry));
    } catch {
      // It ended meanwhile.
    }
  }
  return found;
}
