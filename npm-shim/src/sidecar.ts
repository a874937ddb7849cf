/**
 * The one sidecar of this process, and who listens to it: running accounts and logins.
 *
 * Translates nothing. Which account or login a notification is for is all that is decided here.
 */
import { readFileSync } from "node:fs";
import path from "node:path";

import { channelConfig } from "./accounts.js";
import { resolveBinary } from "./binary.js";
import type { AccountStatus, Config, InboundMessage, LoginProgress, Notifications, OutboundUpdate } from "./contract.js";
import { PROTOCOL_VERSION } from "./contract.js";
import { isSidecarError, messageOf } from "./errors.js";
import { reportUpdate } from "./held.js";
import { hostConfig, hostLog, hostVersion, installedRoot } from "./host.js";
import { CHANNEL_ID } from "./ids.js";
import { localeOf } from "./locale.js";
import { SidecarProcess, type SidecarProcessOptions } from "./sidecar-process.js";
import { stateDir } from "./state-dir.js";

/** Sidecars older than this lack something that the shim relies on. */
const MINIMUM_SIDECAR = "0.1.0";

/** What a running account wants to hear. */
export type AccountListener = {
  onMessage: (message: InboundMessage) => void;
  onStatus: (status: AccountStatus) => void;
};

type RunningAccount = AccountListener & { fail: (error: Error) => void };

export class Sidecar {
  readonly process: SidecarProcess;
  readonly #accounts = new Map<string, RunningAccount>();
  readonly #logins = new Map<string, Set<(progress: LoginProgress) => void>>();
  /** Until something configures it: what the host's configuration says. A command that only sends configures nothing. */
  #config: Config | undefined;

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
        mediaRoots: [path.join(stateDir(), CHANNEL_ID, "media", "spool")],
        config: (this.#config ??= channelConfig(hostConfig())),
        locale: localeOf(process.env),
      }),
      timing: supervision(process.env.OPENCLAW_WEIXIN_SUPERVISION),
      ...options,
      onNotification: (method, params) => this.#onNotification(method, params),
      onReady: (_result, restarted) => {
        if (restarted) this.#startAllAgain();
      },
      onGivenUp: (error) => {
        for (const account of this.#accounts.values()) account.fail(error);
      },
    });
  }

  /** Gives the sidecar the channel's configuration, where it changed. */
  async configure(config: Config): Promise<void> {
    const before = JSON.stringify(this.#config);
    this.#config = config;
    if (JSON.stringify(config) === before) return;
    // A sidecar that does not run yet gets it with `initialize`.
    await this.process.requestIfRunning("config.set", { config });
  }

  /** Runs an account until `signal` is aborted. Rejects when it cannot run (any more). */
  async runAccount(accountId: string, listener: AccountListener, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const release = this.process.retain();
    let fail: (error: Error) => void = () => {};
    const failed = new Promise<never>((_resolve, reject) => (fail = reject));
    failed.catch(() => {});
    const running: RunningAccount = { ...listener, fail };
    this.#accounts.set(accountId, running);
    let onAbort: () => void = () => {};
    const aborted = new Promise<void>((resolve) => {
      onAbort = resolve;
      signal.addEventListener("abort", onAbort, { once: true });
    });
    try {
      await Promise.race([this.#startAccount(accountId), aborted, failed]);
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

  async #startAccount(accountId: string): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
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
      this.#startAccount(accountId).catch((error: unknown) => account.fail(error instanceof Error ? error : new Error(String(error))));
    }
  }

  #onNotification(method: string, params: unknown): void {
    switch (method as keyof Notifications) {
      case "inbound.message": {
        const message = params as InboundMessage;
        const account = this.#accounts.get(message.accountId);
        // Stopped a moment ago: not acked, so it comes again with the next start.
        account?.onMessage(message);
        return;
      }
      case "account.status": {
        const status = params as AccountStatus;
        const account = this.#accounts.get(status.accountId);
        account?.onStatus(status);
        return;
      }
      case "login.progress": {
        const progress = params as LoginProgress;
        for (const listener of this.#logins.get(progress.sessionKey) ?? []) listener(progress);
        return;
      }
      case "outbound.update":
        reportUpdate(params as OutboundUpdate);
        return;
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

/** This package's version. */
export function packageVersion(): string {
  try {
    const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as { version?: string };
    return manifest.version ?? "0.0.0";
  } catch {
    return "0.0.0";
  }
}

const REGISTRY = Symbol.for("openclaw-weixin-sidecar/processes");

/**
 * The sidecar of this process. The host may evaluate this module more than once (registries, reloads): all copies of
 * one version on one state directory share one process.
 */
export function sidecar(): Sidecar {
  const global = globalThis as { [REGISTRY]?: Map<string, Sidecar> };
  const all = (global[REGISTRY] ??= new Map());
  const key = JSON.stringify([packageVersion(), stateDir()]);
  let found = all.get(key);
  if (!found) {
    found = new Sidecar();
    all.set(key, found);
  }
  return found;
}
