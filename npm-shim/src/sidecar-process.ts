/**
 * Owns the sidecar's process: starts it when it is first needed, agrees on the protocol, matches answers to
 * requests, passes notifications on, says why it ended, and starts it again where something still needs it.
 *
 * One of these serves all accounts of a gateway. Nothing here knows what the requests mean.
 */
import { spawn, type ChildProcess } from "node:child_process";
import type { Socket } from "node:net";

import { explainEarlyExit, explainSpawnError, type ResolvedBinary } from "./binary.js";
import {
  PROTOCOL_VERSION,
  type ErrorData,
  type InitializeParams,
  type InitializeResult,
  type Method,
  type Methods,
} from "./contract.js";
import { messageOf, SidecarError } from "./errors.js";
import { LineReader } from "./lines.js";

export type LogLevel = "trace" | "debug" | "info" | "warn" | "error";
export type Log = (level: LogLevel, message: string) => void;

export type SidecarProcessOptions = {
  binary: () => ResolvedBinary;
  /** Asked at every start, so that a restarted sidecar gets the current configuration. */
  initialize: () => InitializeParams;
  log: Log;
  onNotification: (method: string, params: unknown) => void;
  /** After every handshake; `restarted` is false for the first. */
  onReady?: (result: InitializeResult, restarted: boolean) => void;
  /** It ended although it was needed, and will not be started again by itself. */
  onGivenUp?: (error: SidecarError) => void;
  args?: readonly string[];
  env?: NodeJS.ProcessEnv;
  /** Sidecars older than this are refused. */
  minimumVersion?: string;
  timing?: Partial<Timing>;
};

export type Timing = {
  handshakeMs: number;
  /** A request without a timeout of its own fails after this. */
  requestMs: number;
  /** The first restart waits this long, each further one twice as long. */
  backoffMs: number;
  maxBackoffMs: number;
  /** `crashLimit` unexpected ends within `crashWindowMs` are a crash loop. */
  crashWindowMs: number;
  crashLimit: number;
  /** How long `shutdown` may take before the process is killed. */
  shutdownMs: number;
  /** How long a sidecar that nothing needs is kept. */
  idleMs: number;
};

const TIMING: Timing = {
  handshakeMs: 20_000,
  requestMs: 60_000,
  backoffMs: 250,
  maxBackoffMs: 15_000,
  crashWindowMs: 60_000,
  crashLimit: 5,
  shutdownMs: 6_000,
  idleMs: 10_000,
};

type Pending = {
  method: string;
  resolve: (value: never) => void;
  reject: (error: SidecarError) => void;
  timer: NodeJS.Timeout | undefined;
};

/** One run of the program, from spawn to exit. */
type Run = {
  child: ChildProcess;
  binary: ResolvedBinary;
  pending: Map<number, Pending>;
  ready: boolean;
  /** Set when this side ends the run; such an end is no crash. */
  expected: boolean;
  /** Why this side killed it. */
  verdict: SidecarError | undefined;
  stderrTail: string[];
  ended: Promise<void>;
};

/** Whether the program has ended, or cannot be spoken to any more; the events that say so may be yet to come. */
function isOver(run: Run): boolean {
  return run.child.exitCode !== null || run.child.signalCode !== null || !run.child.stdin?.writable;
}

export class SidecarProcess {
  readonly #options: SidecarProcessOptions;
  readonly #timing: Timing;
  #run: Run | undefined;
  #starting: Promise<Run> | undefined;
  #holders = 0;
  #nextId = 1;
  #crashes: number[] = [];
  #lastCrash = "";
  #everReady = false;
  #closed = false;
  #idleTimer: NodeJS.Timeout | undefined;
  #wakeFromBackoff: (() => void) | undefined;

  constructor(options: SidecarProcessOptions) {
    this.#options = options;
    this.#timing = { ...TIMING, ...options.timing };
  }

  /** The running process's id; for diagnostics. */
  get pid(): number | undefined {
    return this.#run?.child.pid;
  }

  /**
   * Says that the sidecar is needed until `release` is called: it is started again when it ends, and it keeps this
   * process alive. Without holders it runs only as long as requests need it.
   */
  retain(): () => void {
    this.#holders += 1;
    this.#updateRefs();
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#holders -= 1;
      this.#updateRefs();
    };
  }

  /** Starts it where it does not run. */
  async start(): Promise<void> {
    await this.#ensureRun();
  }

  /** Sends a request and waits for its answer. Rejects with a {@link SidecarError}. */
  async request<M extends Method>(
    method: M,
    params: Methods[M]["params"],
    options: { timeoutMs?: number } = {},
  ): Promise<Methods[M]["result"]> {
    for (;;) {
      const run = await this.#ensureRun();
      if (!isOver(run)) return await this.#send(run, method, params, options.timeoutMs ?? this.#timing.requestMs);
      // It has just ended, and nothing was sent: the next run takes it.
      await run.ended;
    }
  }

  /** Sends a request only where the sidecar runs already; `undefined` where it does not. */
  requestIfRunning<M extends Method>(method: M, params: Methods[M]["params"]): Promise<Methods[M]["result"]> | undefined {
    const run = this.#run;
    return run?.ready ? this.#send(run, method, params, this.#timing.requestMs) : undefined;
  }

  /** Ends it for good: `shutdown`, then end of input, then a kill. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#idleTimer);
    this.#wakeFromBackoff?.();
    const run = this.#run ?? (await this.#starting?.catch(() => undefined));
    if (run) await this.#stopRun(run);
  }

  async #ensureRun(): Promise<Run> {
    if (this.#closed) throw new SidecarError("stopped", "The WeChat sidecar was stopped with the gateway.", { retryable: true });
    if (this.#run?.ready) return this.#run;
    this.#starting ??= this.#startRun().finally(() => {
      this.#starting = undefined;
      this.#updateRefs();
    });
    return await this.#starting;
  }

  async #startRun(): Promise<Run> {
    const delay = this.#backoff();
    if (delay > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, delay);
        this.#wakeFromBackoff = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wakeFromBackoff = undefined;
      if (this.#closed) throw new SidecarError("stopped", "The WeChat sidecar was stopped with the gateway.", { retryable: true });
    }
    const run = this.#spawn();
    try {
      const result = await this.#handshake(run);
      run.ready = true;
      for (const warning of result.warnings ?? []) this.#options.log("warn", warning);
      const restarted = this.#everReady;
      this.#everReady = true;
      this.#options.log(
        "info",
        `sidecar ${result.sidecar.version} ${restarted ? "started again" : "started"} (pid ${result.sidecar.pid}, ${run.binary.path})`,
      );
      queueMicrotask(() => this.#options.onReady?.(result, restarted));
      return run;
    } catch (error) {
      run.expected = true;
      run.child.kill("SIGKILL");
      await run.ended;
      // Failures that may pass by themselves are retried ever more slowly; the others are for a person.
      if (error instanceof SidecarError && error.retryable) this.#countCrash(error);
      throw error;
    }
  }

  /** How long to wait before the next start. Throws in a crash loop. */
  #backoff(): number {
    const since = Date.now() - this.#timing.crashWindowMs;
    this.#crashes = this.#crashes.filter((at) => at > since);
    const crashes = this.#crashes.length;
    if (crashes === 0) return 0;
    if (crashes >= this.#timing.crashLimit) {
      throw new SidecarError(
        "crash_loop",
        `The WeChat sidecar ended ${crashes} times within ${Math.round(this.#timing.crashWindowMs / 1000)} s and is not started again for ` +
          `now. Last: ${this.#lastCrash} Run "openclaw-weixin-sidecar doctor" (the same file), and look at the lines ` +
          `above this one in the gateway's log.`,
        { retryable: true },
      );
    }
    return Math.min(this.#timing.backoffMs * 2 ** (crashes - 1), this.#timing.maxBackoffMs);
  }

  #spawn(): Run {
    const binary = this.#options.binary();
    let child: ChildProcess;
    try {
      child = spawn(binary.path, [...(this.#options.args ?? ["serve"])], {
        stdio: ["pipe", "pipe", "pipe"],
        env: this.#options.env ?? process.env,
        windowsHide: true,
      });
    } catch (error) {
      throw explainSpawnError(error as NodeJS.ErrnoException, binary);
    }
    let markEnded: () => void = () => {};
    const run: Run = {
      child,
      binary,
      pending: new Map(),
      ready: false,
      expected: false,
      verdict: undefined,
      stderrTail: [],
      ended: new Promise((resolve) => (markEnded = resolve)),
    };
    this.#run = run;

    const stdout = new LineReader(
      (line) => this.#onLine(run, line),
      () => this.#condemn(run, notProtocol(run, "an endless line")),
    );
    const stderr = new LineReader((line) => this.#onLogLine(run, line));
    child.stdout?.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr?.on("data", (chunk: Buffer) => stderr.push(chunk));
    // A write to a process that has just ended fails here; its exit tells the story.
    child.stdin?.on("error", () => {});
    child.stdout?.on("error", () => {});
    child.stderr?.on("error", () => {});

    const end = (error: SidecarError) => {
      if (this.#run === run) this.#run = undefined;
      this.#onEnd(run, run.verdict ?? error);
      markEnded();
    };
    let over = false;
    child.once("error", (error: NodeJS.ErrnoException) => {
      // Also emitted when a kill fails; only a child without a pid was never started.
      if (over || child.pid !== undefined) return;
      over = true;
      end(explainSpawnError(error, binary));
    });
    child.once("exit", (code, signal) => {
      const finish = () => {
        if (over) return;
        over = true;
        stdout.end();
        stderr.end();
        end((run.ready ? undefined : explainEarlyExit(binary)) ?? exitError(run, code, signal));
      };
      // "close" follows when the pipes are read to their end; do not wait for somebody who inherited them.
      child.once("close", finish);
      setTimeout(finish, 500).unref();
    });
    return run;
  }

  async #handshake(run: Run): Promise<InitializeResult> {
    const minimum = this.#options.minimumVersion;
    let result: InitializeResult;
    try {
      result = await this.#send(run, "initialize", this.#options.initialize(), this.#timing.handshakeMs);
    } catch (error) {
      if (error instanceof SidecarError && error.kind === "request_timeout") {
        throw new SidecarError(
          "handshake_timeout",
          `${run.binary.path} did not answer within ${this.#timing.handshakeMs / 1000} s.${tailOf(run)} If the machine is ` +
            `not overloaded, run it by hand: ${run.binary.path} --version`,
          { cause: error, retryable: true },
        );
      }
      if (error instanceof SidecarError && error.data && /protocol ?version/i.test(error.message)) {
        throw protocolMismatch(run, error.message, error);
      }
      throw error;
    }
    if (result?.protocolVersion !== PROTOCOL_VERSION) {
      throw protocolMismatch(run, `it speaks protocol ${String(result?.protocolVersion)}, the plugin speaks ${PROTOCOL_VERSION}`);
    }
    if (minimum && compareVersions(result.sidecar.version, minimum) < 0) {
      throw new SidecarError(
        "sidecar_too_old",
        `${run.binary.path} is version ${result.sidecar.version}; this plugin needs ${minimum} or newer. ${howToMatch(run)}`,
      );
    }
    return result;
  }

  #send<M extends Method>(run: Run, method: M, params: Methods[M]["params"], timeoutMs: number): Promise<Methods[M]["result"]> {
    if (isOver(run)) {
      return Promise.reject(
        new SidecarError("sidecar_exited", `The WeChat sidecar ended before ${method} was sent.`, { retryable: true }),
      );
    }
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        run.pending.delete(id);
        this.#updateRefs();
        reject(
          new SidecarError("request_timeout", `The WeChat sidecar did not answer ${method} within ${timeoutMs / 1000} s.`, {
            retryable: true,
          }),
        );
      }, timeoutMs);
      run.pending.set(id, { method, resolve: resolve as (value: never) => void, reject, timer });
      this.#updateRefs();
      run.child.stdin?.write(`${JSON.stringify({ jsonrpc: "2.0", id, method, params })}\n`);
    });
  }

  #onLine(run: Run, line: string): void {
    if (line.trim() === "") return;
    let message: unknown;
    try {
      message = JSON.parse(line);
    } catch {
      this.#condemn(run, notProtocol(run, line));
      return;
    }
    if (!isMessage(message)) {
      this.#condemn(run, notProtocol(run, line));
      return;
    }
    if (typeof message.method === "string") {
      if (run.verdict === undefined) this.#options.onNotification(message.method, message.params);
      return;
    }
    const pending = typeof message.id === "number" ? run.pending.get(message.id) : undefined;
    if (!pending) {
      // An answer that came after its timeout, or the complaint about a line that could not be read (`id: null`).
      if (message.error) this.#options.log("warn", `the sidecar refused a line: ${message.error.message}`);
      return;
    }
    run.pending.delete(message.id as number);
    clearTimeout(pending.timer);
    this.#updateRefs();
    if (message.error) {
      const data = message.error.data;
      pending.reject(new SidecarError(data?.kind ?? "internal", message.error.message, data ? { data } : {}));
    } else {
      pending.resolve(message.result as never);
    }
  }

  #onLogLine(run: Run, line: string): void {
    if (line.trim() === "") return;
    const record = parseLog(line);
    if (record) {
      this.#options.log(record.level, record.text);
      if (record.level === "error") keepTail(run, record.text);
      return;
    }
    // Not from the logger: a panic, or the system's loader.
    keepTail(run, line);
    this.#options.log("warn", line);
  }

  /** Kills a process whose output cannot be trusted. */
  #condemn(run: Run, error: SidecarError): void {
    if (run.verdict) return;
    run.verdict = error;
    this.#updateRefs();
    this.#options.log("error", error.message);
    run.child.kill("SIGKILL");
  }

  #onEnd(run: Run, error: SidecarError): void {
    for (const pending of run.pending.values()) {
      clearTimeout(pending.timer);
      pending.reject(error);
    }
    run.pending.clear();
    // Before the handshake, whoever asked for the start gets the error.
    if (!run.ready || run.expected || this.#closed) return;
    this.#countCrash(error);
    if (this.#holders === 0) return;
    this.#options.log("warn", `${error.message} It is started again.`);
    this.#restart();
  }

  #countCrash(error: SidecarError): void {
    this.#crashes.push(Date.now());
    this.#lastCrash = error.message;
  }

  #restart(): void {
    this.#ensureRun().catch((error: unknown) => {
      if (this.#closed || this.#holders === 0) return;
      const reason = error instanceof SidecarError ? error : new SidecarError("spawn_failed", messageOf(error));
      if (reason.retryable && reason.kind !== "crash_loop") {
        this.#restart();
        return;
      }
      this.#options.log("error", reason.message);
      this.#options.onGivenUp?.(reason);
    });
  }

  async #stopRun(run: Run): Promise<void> {
    run.expected = true;
    this.#updateRefs();
    const asked = run.ready ? this.#send(run, "shutdown", {}, this.#timing.shutdownMs).catch(() => {}) : Promise.resolve();
    void asked.then(() => run.child.stdin?.end());
    const killer = setTimeout(() => run.child.kill("SIGKILL"), this.#timing.shutdownMs);
    await run.ended;
    clearTimeout(killer);
  }

  /** A sidecar that is only waiting must not keep a command line from ending. */
  #updateRefs(): void {
    const run = this.#run;
    clearTimeout(this.#idleTimer);
    if (!run) return;
    // A child that is being ended is waited for, too.
    const ending = run.expected || run.verdict !== undefined;
    const needed = this.#holders > 0 || this.#starting !== undefined || run.pending.size > 0 || ending;
    const handles = [run.child, run.child.stdin, run.child.stdout, run.child.stderr] as unknown as (Socket | null)[];
    for (const handle of handles) {
      if (needed) handle?.ref?.();
      else handle?.unref?.();
    }
    if (needed || this.#closed) return;
    this.#idleTimer = setTimeout(() => {
      if (this.#run === run && this.#holders === 0 && run.pending.size === 0) void this.#stopRun(run);
    }, this.#timing.idleMs);
    this.#idleTimer.unref();
  }
}

type Message = {
  id?: number | string | null;
  method?: string;
  params?: unknown;
  result?: unknown;
  error?: { code: number; message: string; data?: ErrorData };
};

function isMessage(value: unknown): value is Message {
  return typeof value === "object" && value !== null && (value as { jsonrpc?: unknown }).jsonrpc === "2.0";
}

function parseLog(line: string): { level: LogLevel; text: string } | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    const { level, msg, ts: _ts, target: _target, ...fields } = JSON.parse(line) as Record<string, unknown>;
    if (typeof msg !== "string" || typeof level !== "string") return undefined;
    const known: LogLevel[] = ["trace", "debug", "info", "warn", "error"];
    const lower = level.toLowerCase() as LogLevel;
    const details = Object.entries(fields).map(([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`);
    return { level: known.includes(lower) ? lower : "info", text: [msg, ...details].join(" ") };
  } catch {
    return undefined;
  }
}

function keepTail(run: Run, line: string): void {
  run.stderrTail.push(line.slice(0, 400));
  if (run.stderrTail.length > 5) run.stderrTail.shift();
}

function tailOf(run: Run): string {
  return run.stderrTail.length > 0 ? ` It said: ${run.stderrTail.join(" | ")}.` : "";
}

function exitError(run: Run, code: number | null, signal: NodeJS.Signals | null): SidecarError {
  const how = signal ? `was ended by ${signal}` : `ended with code ${code}`;
  const hint = signal === "SIGKILL" ? " If nobody did that, the system may have run out of memory." : "";
  return new SidecarError("sidecar_exited", `The WeChat sidecar ${how}.${tailOf(run)}${hint}`, { retryable: true });
}

function notProtocol(run: Run, line: string): SidecarError {
  const shown = line.length > 120 ? `${line.slice(0, 120)}…` : line;
  return new SidecarError(
    "not_protocol",
    `${run.binary.path} wrote something on its standard output that is not the protocol: ${JSON.stringify(shown)}. It is ` +
      `probably not openclaw-weixin-sidecar, or a wrapper prints into it. ${howToMatch(run)}`,
  );
}

function protocolMismatch(run: Run, what: string, cause?: unknown): SidecarError {
  return new SidecarError(
    "protocol_mismatch",
    `${run.binary.path} and this plugin do not speak the same protocol: ${what}. ${howToMatch(run)}`,
    { cause },
  );
}

function howToMatch(run: Run): string {
  return run.binary.source === "environment"
    ? "OPENCLAW_WEIXIN_SIDECAR_BIN names it: point that variable to a matching build, or unset it."
    : "Update the plugin as a whole: openclaw plugins update openclaw-weixin";
}

/** Compares `x.y.z`; what follows a `-` counts as older, as in semver. */
export function compareVersions(a: string, b: string): number {
  const parse = (version: string) => {
    const [core = "", pre] = version.split("+", 1)[0]!.split("-", 2);
    return { numbers: core.split(".").map((part) => Number.parseInt(part, 10) || 0), pre };
  };
  const left = parse(a);
  const right = parse(b);
  for (let i = 0; i < 3; i += 1) {
    const difference = (left.numbers[i] ?? 0) - (right.numbers[i] ?? 0);
    if (difference !== 0) return Math.sign(difference);
  }
  if (left.pre === right.pre) return 0;
  if (left.pre === undefined) return 1;
  if (right.pre === undefined) return -1;
  return left.pre < right.pre ? -1 : 1;
}
