/**
 * The one sidecar of this process, and who listens to it: running accounts and logins.
 *
 * Translates nothing. Which account or login a notification is for is all that is decided here.
 */
import { AsyncResource } from "node:async_hooks";

import { channelConfig } from "./accounts.js";
import { resolveBinary } from "./binary.js";
import { forSidecar } from "./config-keys.js";
import type { AccountStatus, Config, InboundMessage, LoginProgress } from "./contract.js";
import { PROTOCOL_VERSION } from "./contract.js";
import { isSidecarError, messageOf, SidecarError } from "./errors.js";
import { reportUpdate } from "./held.js";
import { hostConfig, hostLog, hostVersion, installedRoot, isRetired } from "./host.js";
import { localeOf } from "./locale.js";
import { stagingDir } from "./media.js";
import { readNotification, type Notification } from "./notifications.js";
import { SidecarProcess, type SidecarProcessOptions } from "./sidecar-process.js";
import { stateDir } from "./state-dir.js";

/** Sidecars older than this lack something that the shim relies on. */
const MINIMUM_SIDECAR = "0.1.0";

/** The host takes an account whose last activity it heard of half an hour ago for a dead one, and restarts it. */
const STATUS_EVERY_MS = 60_000;

/** When a delivery comes again that could not be looked at. */
const DEFECT_RETRY_MS = 60_000;

/** What a running account wants to hear. */
export type AccountListener = {
  onMessage: (message: InboundMessage) => void;
  onStatus: (status: AccountStatus) => void;
};

type RunningAccount = AccountListener & {
  fail: (error: Error) => void;
  /**
   * Notifications arrive in the asynchronous context in which the program happened to be started. The host keeps the
   * owner of work there, and refuses work whose owner has ended; so an account's work runs in the context of its run.
   */
  context: AsyncResource;
};

export class Sidecar {
  readonly process: SidecarProcess;
  readonly #accounts = new Map<string, RunningAccount>();
  readonly #logins = new Map<string, Set<(progress: LoginProgress) => void>>();
  /** Until something configures it: what the host's configuration says. A command that only sends configures nothing. */
  #config: Config | undefined;
  /** The one that the sidecar has, as JSON. */
  #told: string | undefined;

  constructor(options: Partial<SidecarProcessOptions> = {}) {
    this.process = new SidecarProcess({
      binary: () => resolveBinary({ packageRoots: [installedRoot()] }),
      log: hostLog,
      minimumVersion: MINIMUM_SIDECAR,
      initialize: () => ({
        protocolVersion: PROTOCOL_VERSION,
        host: { name: "openclaw", version: hostVersion(), pid: process.pid },
        stateDir: stateDir(),
        // The host's loader decides what may be sent, and puts it there.
        mediaRoots: [stagingDir()],
        config: this.#announced(),
        locale: localeOf(process.env),
        statusIntervalMs: STATUS_EVERY_MS,
        deferMedia: true,
      }),
      timing: supervision(process.env.OPENCLAW_WEIXIN_SUPERVISION),
      ...options,
      onNotification: (method, params) => this.#onNotification(method, params),
      onReady: (_result, restarted) => {
        this.#reconfigure();
        if (restarted) this.#startAllAgain();
      },
      onGivenUp: (error) => {
        for (const account of this.#accounts.values()) account.fail(error);
      },
    });
  }

  /** Gives the sidecar the channel's configuration, where it changed. */
  async configure(given: Config): Promise<void> {
    const config = forSidecar(given);
    this.#config = config;
    if (JSON.stringify(config) === this.#told) return;
    // A sidecar that does not run yet gets it with `initialize`, or when that is answered.
    const told = this.process.requestIfRunning("config.set", { config });
    if (!told) return;
    this.#told = JSON.stringify(config);
    try {
      await told;
    } catch (error) {
      // It has the one before, and is told again with the next try.
      this.#told = undefined;
      throw error;
    }
  }

  /** The configuration for `initialize`. */
  #announced(): Config {
    this.#config ??= forSidecar(channelConfig(hostConfig()));
    this.#told = JSON.stringify(this.#config);
    return this.#config;
  }

  /** What changed while the sidecar was being started. */
  #reconfigure(): void {
    if (this.#config === undefined) return;
    this.configure(this.#config).catch((error: unknown) => hostLog("error", `the configuration was refused: ${messageOf(error)}`));
  }

  /** Runs an account until `signal` is aborted. Rejects when it cannot run (any more). */
  async runAccount(accountId: string, listener: AccountListener, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const release = this.process.retain();
    let fail: (error: Error) => void = () => {};
    const failed = new Promise<never>((_resolve, reject) => (fail = reject));
    failed.catch(() => {});
    const running: RunningAccount = { ...listener, fail, context: new AsyncResource("weixin-account") };
    this.#accounts.set(accountId, running);
    let onAbort: () => void = () => {};
    const aborted = new Promise<void>((resolve) => {
      onAbort = resolve;
      signal.addEventListener("abort", onAbort, { once: true });
    });
    try {
      await Promise.race([this.#startAccount(accountId, running), aborted, failed]);
      await Promise.race([aborted, failed]);
    } finally {
      signal.removeEventListener("abort", onAbort);
      // A restarted account may have replaced this one already; then it is not this one's to stop.
      if (this.#accounts.get(accountId) === running) {
        this.#accounts.delete(accountId);
        await this.process
          .requestIfRunning("account.stop", { accountId })
          ?.catch((error: unknown) => hostLog("debug", `account.stop ${accountId}: ${messageOf(error)}`));
      }
      release();
    }
  }

  /** Accounts that run now. */
  runningAccounts(): string[] {
    return [...this.#accounts.keys()];
  }

  /** Listens to one login until the returned function is called. */
  onLoginProgress(sessionKey: string, listener: (progress: LoginProgress) => void): () => void {
    const listeners = this.#logins.get(sessionKey) ?? new Set();
    listeners.add(listener);
    this.#logins.set(sessionKey, listeners);
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0) this.#logins.delete(sessionKey);
    };
  }

  /** Starts an account, unless this run of it has ended: its stop was asked for already then. */
  async #startAccount(accountId: string, running: RunningAccount): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.process.start();
        if (this.#accounts.get(accountId) !== running) return;
        await this.process.request("account.start", { accountId });
        return;
      } catch (error) {
        // Another process polls it. The sidecar begins by itself when that one has ended; the status says so meanwhile.
        if (isSidecarError(error) && error.kind === "account_locked") {
          hostLog("warn", `[${accountId}] ${error.message}`);
          return;
        }
        // A sidecar that ended meanwhile is started again; anything else is the account's own trouble.
        if (!isSidecarError(error) || error.kind !== "sidecar_exited" || attempt >= 8) throw error;
      }
    }
  }

  #startAllAgain(): void {
    for (const [accountId, account] of this.#accounts) {
      this.#startAccount(accountId, account).catch((error: unknown) => account.fail(error instanceof Error ? error : new Error(String(error))));
    }
  }

  #onNotification(method: string, params: unknown): void {
    try {
      const notification = readNotification(method, params);
      if (notification) this.#tell(notification);
    } catch (error) {
      // Whatever a listener does with it, the lines behind it are read.
      hostLog("error", messageOf(error));
      const deliveryId = (params as { deliveryId?: unknown } | null)?.deliveryId;
      if (typeof deliveryId !== "string") return;
      // Its conversation goes on when it was delivered again, or at least tried again.
      const retry = { deliveryId, retryAfterMs: DEFECT_RETRY_MS, reason: messageOf(error) };
      this.process.requestIfRunning("inbound.nack", retry)?.catch((again: unknown) => hostLog("debug", messageOf(again)));
    }
  }

  #tell({ method, params }: Notification): void {
    switch (method) {
      case "inbound.message": {
        const account = this.#accounts.get(params.accountId);
        // Stopped a moment ago: not acked, so it comes again with the next start.
        account?.context.runInAsyncScope(() => account.onMessage(params));
        return;
      }
      case "account.status": {
        const account = this.#accounts.get(params.accountId);
        account?.context.runInAsyncScope(() => account.onStatus(params));
        return;
      }
      case "login.progress": {
        for (const listener of this.#logins.get(params.sessionKey) ?? []) listener(params);
        return;
      }
      case "outbound.update": {
        const account = params.accountId ? this.#accounts.get(params.accountId) : undefined;
        if (account) account.context.runInAsyncScope(() => reportUpdate(params));
        else reportUpdate(params);
        return;
      }
    }
  }
}

/** Other waits and limits of the supervision, as JSON: tests cannot wait for the real ones. */
function supervision(text: string | undefined): NonNullable<SidecarProcessOptions["timing"]> {
  try {
    return text ? (JSON.parse(text) as NonNullable<SidecarProcessOptions["timing"]>) : {};
  } catch {
    return {};
  }
}

/** How long turns that the host did not wait for may go on with the sidecar of a copy that it is done with. */
const RETIRE_MS = 60_000;

let own: Sidecar | undefined;
let retiring: Sidecar | undefined;

/**
 * The sidecar of this copy of the plugin. The host loads a copy per reload, and is done with the one before when it
 * loads the next. What is still under way in an older copy may use the sidecar that it has, and starts no other.
 */
export function sidecar(): Sidecar {
  if (!isRetired()) return (own ??= new Sidecar());
  if (retiring) return retiring;
  throw new SidecarError("stopped", "The WeChat plugin was reloaded or turned off meanwhile.", { retryable: true });
}

/** Ends this copy's sidecar. Resolves when it has ended, or at once where turns still answer through it. */
export async function retireSidecar(): Promise<void> {
  const gone = own;
  if (!gone) return;
  own = undefined;
  retiring = gone;
  const closed = gone.process.closeWhenUnneeded(RETIRE_MS).finally(() => {
    if (retiring === gone) retiring = undefined;
  });
  // The host runs turns on when a plugin is turned off, but does not wait for long.
  if (!gone.process.isNeeded) await closed;
}
