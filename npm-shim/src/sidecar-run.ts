/**
 * One run of the sidecar's program, from spawn to exit: lines in, lines out, answers matched to requests, and why it
 * ended. When it is started, and whether again, is decided in `sidecar-process.ts`.
 */
import { spawn, type ChildProcess } from "node:child_process";
import type { Socket } from "node:net";

import { explainSpawnError, type ResolvedBinary } from "./binary.js";
import type { ErrorData, Method, Methods } from "./contract.js";
import { SidecarError } from "./errors.js";
import { LineReader } from "./lines.js";
import { parseLogLine, type Log } from "./log.js";
import { earlyExitError, exitError, notAnswered, notProtocol, notSent } from "./sidecar-errors.js";

/** The pipes of a program that has exited are read to their end, but not for somebody who inherited them. */
const PIPES_AFTER_EXIT_MS = 500;
/** How many of its last words on standard error are kept for the error that its end becomes. */
const TAIL_LINES = 5;
const TAIL_LINE_CHARS = 400;

export type RunOptions = {
  binary: ResolvedBinary;
  args: readonly string[];
  env: NodeJS.ProcessEnv;
  log: Log;
  onNotification: (method: string, params: unknown) => void;
  /** Something is asked or was answered: whether this run keeps its process alive may have changed. */
  onPendingChange: () => void;
  /** Before `ended`, with the reason. */
  onEnd: (error: SidecarError) => void;
};

type Pending = {
  resolve: (value: never) => void;
  reject: (error: SidecarError) => void;
  timer: NodeJS.Timeout;
};

type Message = {
  id?: number | string | null;
  method?: string;
  params?: unknown;
  result?: unknown;
  error?: { code: number; message: string; data?: ErrorData };
};

export class SidecarRun {
  readonly binary: ResolvedBinary;
  readonly stderrTail: string[] = [];
  readonly ended: Promise<void>;
  /** The handshake is done. */
  ready = false;
  /** Set when this side ends the run; such an end is no crash. */
  expected = false;
  readonly #options: RunOptions;
  readonly #child: ChildProcess;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  /** Why this side killed it. */
  #verdict: SidecarError | undefined;

  /** Starts the program. Throws what keeps it from starting, where that is known at once. */
  constructor(options: RunOptions) {
    this.#options = options;
    this.binary = options.binary;
    try {
      this.#child = spawn(options.binary.path, [...options.args], {
        stdio: ["pipe", "pipe", "pipe"],
        env: options.env,
        windowsHide: true,
      });
    } catch (error) {
      throw explainSpawnError(error as NodeJS.ErrnoException, options.binary);
    }
    this.ended = new Promise((resolve) => this.#watch(resolve));
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Whether the program has ended, or cannot be spoken to any more; the events that say so may be yet to come. */
  get isOver(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null || !this.#child.stdin?.writable;
  }

  /** Whether requests may go to it: it is there, agreed on the protocol, and is not being ended. */
  get isUsable(): boolean {
    return this.ready && !this.isEnding && !this.isOver;
  }

  get hasPending(): boolean {
    return this.#pending.size > 0;
  }

  /** Whether this side has decided that it ends. */
  get isEnding(): boolean {
    return this.expected || this.#verdict !== undefined;
  }

  /** Sends a request and waits for its answer. Rejects with a {@link SidecarError}. */
  send<M extends Method>(method: M, params: Methods[M]["params"], timeoutMs: number): Promise<Methods[M]["result"]> {
    if (this.isOver) return Promise.reject(notSent(method));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        this.#options.onPendingChange();
        reject(notAnswered(method, timeoutMs));
      }, timeoutMs);
      this.#pending.set(id, { resolve: resolve as (value: never) => void, reject, timer });
      this.#options.onPendingChange();
      this.#child.stdin?.write(`${JSON.stringify({ jsonrpc: "2.0", id, method, params })}\n`);
    });
  }

  /** Ends its standard input, which asks it to end. */
  endInput(): void {
    this.#child.stdin?.end();
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  /** Whether it keeps this process from ending. */
  setRef(held: boolean): void {
    const handles = [this.#child, this.#child.stdin, this.#child.stdout, this.#child.stderr] as unknown as (Socket | null)[];
    for (const handle of handles) {
      if (held) handle?.ref?.();
      else handle?.unref?.();
    }
  }

  #watch(markEnded: () => void): void {
    const child = this.#child;
    const stdout = new LineReader(
      (line) => this.#onLine(line),
      () => this.#condemn(notProtocol(this, "an endless line")),
    );
    const stderr = new LineReader((line) => this.#onLogLine(line));
    child.stdout?.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr?.on("data", (chunk: Buffer) => stderr.push(chunk));
    // A write to a process that has just ended fails here; its exit tells the story.
    child.stdin?.on("error", () => {});
    child.stdout?.on("error", () => {});
    child.stderr?.on("error", () => {});

    let over = false;
    const end = (error: SidecarError) => {
      over = true;
      const reason = this.#verdict ?? error;
      for (const pending of this.#pending.values()) {
        clearTimeout(pending.timer);
        pending.reject(reason);
      }
      this.#pending.clear();
      this.#options.onEnd(reason);
      markEnded();
    };
    child.once("error", (error: NodeJS.ErrnoException) => {
      // Also emitted when a kill fails; only a child without a pid was never started.
      if (!over && child.pid === undefined) end(explainSpawnError(error, this.binary));
    });
    child.once("exit", (code, signal) => {
      const finish = () => {
        if (over) return;
        stdout.end();
        stderr.end();
        end(this.ready ? exitError(this, code, signal) : earlyExitError(this, code, signal));
      };
      child.once("close", finish);
      setTimeout(finish, PIPES_AFTER_EXIT_MS).unref();
    });
  }

  #onLine(line: string): void {
    if (line.trim() === "") return;
    const message = parseMessage(line);
    if (!message) {
      this.#condemn(notProtocol(this, line));
      return;
    }
    if (typeof message.method === "string") {
      if (this.#verdict === undefined) this.#options.onNotification(message.method, message.params);
      return;
    }
    const pending = typeof message.id === "number" ? this.#pending.get(message.id) : undefined;
    if (!pending) {
      // An answer that came after its timeout, or the complaint about a line that could not be read (`id: null`).
      if (message.error) this.#options.log("warn", `the sidecar refused a line: ${message.error.message}`);
      return;
    }
    this.#pending.delete(message.id as number);
    clearTimeout(pending.timer);
    this.#options.onPendingChange();
    if (message.error) {
      const data = message.error.data;
      pending.reject(new SidecarError(data?.kind ?? "internal", message.error.message, data ? { data } : {}));
    } else {
      pending.resolve(message.result as never);
    }
  }

  #onLogLine(line: string): void {
    if (line.trim() === "") return;
    const record = parseLogLine(line);
    if (record) {
      this.#options.log(record.level, record.text);
      if (record.level === "error") this.#keepTail(record.text);
      return;
    }
    // Not from the logger: a panic, or the system's loader.
    this.#keepTail(line);
    this.#options.log("warn", line);
  }

  #keepTail(line: string): void {
    this.stderrTail.push(line.slice(0, TAIL_LINE_CHARS));
    if (this.stderrTail.length > TAIL_LINES) this.stderrTail.shift();
  }

  /** Kills a process whose output cannot be trusted. */
  #condemn(error: SidecarError): void {
    if (this.#verdict) return;
    this.#verdict = error;
    this.#options.onPendingChange();
    this.#options.log("error", error.message);
    this.kill();
  }
}

function parseMessage(line: string): Message | undefined {
  try {
    const value = JSON.parse(line) as { jsonrpc?: unknown } | null;
    return typeof value === "object" && value?.jsonrpc === "2.0" ? (value as Message) : undefined;
  } catch {
    return undefined;
  }
}
