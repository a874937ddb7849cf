/**
 * Supervises the sidecar: starts it when it is first needed, agrees on the protocol, starts it again where something
 * still needs it, ever more slowly, and stops when that leads nowhere.
 *
 * One of these serves all accounts of a gateway. Nothing here knows what the requests mean.
 */
import type { ResolvedBinary } from "./binary.js";
import { PROTOCOL_VERSION, type InitializeParams, type InitializeResult, type Method, type Methods } from "./contract.js";
import { messageOf, SidecarError } from "./errors.js";
import type { Log } from "./log.js";
import { crashLoop, handshakeTimeout, protocolMismatch, stopped, tooOld } from "./sidecar-errors.js";
import { SidecarRun } from "./sidecar-run.js";
import { compareVersions } from "./versions.js";

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

export class SidecarProcess {
  readonly #options: SidecarProcessOptions;
  readonly #timing: Timing;
  #run: SidecarRun | undefined;
  #starting: Promise<SidecarRun> | undefined;
  #holders = 0;
  #crashes: number[] = [];
  #lastCrash = "";
  #lastFile = "";
  #everReady = false;
  #closed = false;
  #idleTimer: NodeJS.Timeout | undefined;
  #wakeFromBackoff: (() => void) | undefined;
  #onUnneeded: (() => void) | undefined;

  constructor(options: SidecarProcessOptions) {
    this.#options = options;
    this.#timing = { ...TIMING, ...options.timing };
  }

  /** The running process's id; for diagnostics. */
  get pid(): number | undefined {
    return this.#run?.pid;
  }

  /** Whether somebody said that it is needed, and has not taken that back. */
  get isNeeded(): boolean {
    return this.#holders > 0;
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
      if (this.#holders === 0) this.#onUnneeded?.();
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
    let run = await this.#ensureRun();
    // Two that begin in the same moment: the first finds out that it has just ended.
    if (!run.isUsable) run = await this.#ensureRun();
    return await run.send(method, params, options.timeoutMs ?? this.#timing.requestMs);
  }

  /** Sends a request only where the sidecar runs already; `undefined` where it does not. */
  requestIfRunning<M extends Method>(method: M, params: Methods[M]["params"]): Promise<Methods[M]["result"]> | undefined {
    const run = this.#run;
    return run?.isUsable ? run.send(method, params, this.#timing.requestMs) : undefined;
  }

  /** Ends it for good: `shutdown`, then end of input, then a kill. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#idleTimer);
    this.#wakeFromBackoff?.();
    const run = this.#run ?? (await this.#starting?.catch(() => undefined));
    if (run) await this.#stopRun(run);
  }

  /** As {@link close}, once nobody needs it any more, or after `graceMs`. */
  async closeWhenUnneeded(graceMs: number): Promise<void> {
    if (this.isNeeded) {
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.#onUnneeded = resolve;
        timer = setTimeout(resolve, graceMs);
      });
      clearTimeout(timer);
    }
    await this.close();
  }

  async #ensureRun(): Promise<SidecarRun> {
    if (this.#closed) throw stopped();
    const run = this.#run;
    if (run?.isUsable) return run;
    this.#starting ??= this.#startRun().finally(() => {
      this.#starting = undefined;
      this.#updateRefs();
    });
    return await this.#starting;
  }

  async #startRun(): Promise<SidecarRun> {
    // One that has just ended, or was asked to, takes no requests any more; two at once would poll the same accounts.
    if (this.#run && (this.#run.isEnding || this.#run.isOver)) await this.#run.ended;
    await this.#backOff();
    if (this.#closed) throw stopped();
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
      run.kill();
      await run.ended;
      // Failures that may pass by themselves are retried ever more slowly; the others are for a person.
      if (error instanceof SidecarError && error.retryable) this.#countCrash(error);
      throw error;
    }
  }

  #spawn(): SidecarRun {
    const binary = this.#options.binary();
    this.#lastFile = binary.path;
    const run: SidecarRun = new SidecarRun({
      binary,
      args: this.#options.args ?? ["serve"],
      env: this.#options.env ?? process.env,
      log: this.#options.log,
      onNotification: this.#options.onNotification,
      onPendingChange: () => this.#updateRefs(),
      onEnd: (error) => this.#onEnd(run, error),
    });
    this.#run = run;
    return run;
  }

  async #handshake(run: SidecarRun): Promise<InitializeResult> {
    let result: InitializeResult;
    try {
      result = await run.send("initialize", this.#options.initialize(), this.#timing.handshakeMs);
    } catch (error) {
      if (error instanceof SidecarError && error.kind === "request_timeout") throw handshakeTimeout(run, this.#timing.handshakeMs, error);
      if (error instanceof SidecarError && error.data && /protocol ?version/i.test(error.message)) {
        throw protocolMismatch(run, error.message, error);
      }
      throw error;
    }
    if (result?.protocolVersion !== PROTOCOL_VERSION) {
      throw protocolMismatch(run, `it speaks protocol ${String(result?.protocolVersion)}, the plugin speaks ${PROTOCOL_VERSION}`);
    }
    const minimum = this.#options.minimumVersion;
    if (minimum && compareVersions(result.sidecar.version, minimum) < 0) throw tooOld(run, result.sidecar.version, minimum);
    return result;
  }

  #onEnd(run: SidecarRun, error: SidecarError): void {
    if (this.#run === run) this.#run = undefined;
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

  /** Waits before the next start, where there were crashes. Throws in a crash loop. */
  async #backOff(): Promise<void> {
    const since = Date.now() - this.#timing.crashWindowMs;
    this.#crashes = this.#crashes.filter((at) => at > since);
    const crashes = this.#crashes.length;
    if (crashes === 0) return;
    if (crashes >= this.#timing.crashLimit) throw crashLoop(this.#lastFile, crashes, this.#timing.crashWindowMs, this.#lastCrash);
    const delay = Math.min(this.#timing.backoffMs * 2 ** (crashes - 1), this.#timing.maxBackoffMs);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, delay);
      this.#wakeFromBackoff = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wakeFromBackoff = undefined;
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

  async #stopRun(run: SidecarRun): Promise<void> {
    run.expected = true;
    this.#updateRefs();
    const asked = run.ready ? run.send("shutdown", {}, this.#timing.shutdownMs).catch(() => {}) : Promise.resolve();
    void asked.then(() => run.endInput());
    const killer = setTimeout(() => run.kill(), this.#timing.shutdownMs);
    await run.ended;
    clearTimeout(killer);
  }

  /** A sidecar that is only waiting must not keep a command line from ending. */
  #updateRefs(): void {
    const run = this.#run;
    clearTimeout(this.#idleTimer);
    if (!run) return;
    // A child that is being ended is waited for, too.
    const needed = this.isNeeded || this.#starting !== undefined || run.hasPending || run.isEnding;
    run.setRef(needed);
    if (needed || this.#closed) return;
    this.#idleTimer = setTimeout(() => {
      if (this.#run === run && !this.isNeeded && !run.hasPending) void this.#stopRun(run);
    }, this.#timing.idleMs);
    this.#idleTimer.unref();
  }
}
