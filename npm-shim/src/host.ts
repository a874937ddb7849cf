/** What the host gave at registration, for the modules that run later. */
import type { OpenClawPluginApi, PluginRuntime } from "openclaw/plugin-sdk/channel-core";

import type { Log } from "./log.js";

export type HostLogger = OpenClawPluginApi["logger"];

type Host = {
  runtime: PluginRuntime;
  logger: HostLogger;
  /** Where the plugin is installed; its modules may run from a copy that the host made. */
  rootDir: string | undefined;
};

/** The registrations that are in use, oldest first. An inspection registers beside the gateway's own, and goes again. */
const registrations: Host[] = [];
/** The newest registration; also the last one that ended, whose log still takes the words of what it leaves behind. */
let current: Host | undefined;

/** Returns what to call when the host is done with this registration; that tells whether another one is in use. */
export function addHost(host: Host): () => { inUse: boolean } {
  registrations.push(host);
  current = host;
  return () => {
    const index = registrations.indexOf(host);
    if (index !== -1) registrations.splice(index, 1);
    current = registrations.at(-1) ?? current;
    return { inUse: registrations.length > 0 };
  };
}

/** Whether the host was done with this copy of the plugin: a reload, a restart in place, or the plugin was turned off. */
export function isRetired(): boolean {
  return current !== undefined && registrations.length === 0;
}

export function hostRuntime(): PluginRuntime {
  if (!current) throw new Error("The WeChat plugin was used before OpenClaw registered it. This is a defect of the plugin.");
  return current.runtime;
}

/** The plugin's installed folder, where the host told it. */
export function installedRoot(): string | undefined {
  return current?.rootDir;
}

/** The host's configuration as it is now; empty before registration. */
export function hostConfig(): { channels?: Record<string, unknown> } {
  return (current?.runtime.config.current() ?? {}) as { channels?: Record<string, unknown> };
}

/** The host's version, or what stands for it where it is unknown. */
export function hostVersion(): string {
  return current?.runtime.version ?? "unknown";
}

let quiet = true;

/** Whether this process runs accounts, or only does what a command asks. */
export function runsAccounts(): boolean {
  return !quiet;
}

/** From now on this process runs accounts: its log is a gateway's log, not a person's terminal. */
export function speakAsGateway(): void {
  quiet = false;
}

/** Passes a line on to the host's log, with the level it came with; a command line shows only what went wrong. */
export const hostLog: Log = (level, message) => {
  const logger = current?.logger;
  const line = `[weixin] ${message}`;
  if (!logger) return;
  if (level === "error") logger.error(line);
  else if (level === "warn") logger.warn(line);
  else if (level === "info" && !quiet) logger.info(line);
  else logger.debug?.(line);
};
