/**
 * The host's synchronous questions about accounts, answered from the account files.
 *
 * OpenClaw asks which accounts there are in code that cannot wait (`config.listAccountIds` is not async), and in
 * commands that must not start a process (`channels list`). The files are the sidecar's, this only reads: the index
 * `accounts.json`, and of an account's file whether it has credentials and whose they are. The token itself is
 * never kept or passed on.
 */
import { readFileSync } from "node:fs";
import path from "node:path";

import type { AccountConfig, Config, DmPolicy } from "./contract.js";
import { CHANNEL_ID } from "./ids.js";

/** The one shape of the host's configuration that this plugin reads. */
export type HostConfig = { channels?: Record<string, unknown> };

export type ResolvedAccount = {
  accountId: string;
  /** The host knows it under `accountId`, and not under a name or another spelling that somebody typed. */
  byId: boolean;
  name: string | undefined;
  enabled: boolean;
  /** Has credentials, so it can run. */
  configured: boolean;
  /** The WeChat user who scanned the QR code; may always write to this account. */
  userId: string | undefined;
  dmPolicy: DmPolicy;
  /** As configured; the owner and approved people come on top. */
  allowFrom: string[];
};

/** Everybody whom an account's configuration lets in, its owner first: the host takes the first one for the owner. */
export const admitted = ({ userId, allowFrom }: ResolvedAccount): string[] => [...new Set([...(userId ? [userId] : []), ...allowFrom])];

/** Used where a caller names no account and none exists. */
export const DEFAULT_ACCOUNT_ID = "default";

export function channelConfig(cfg: HostConfig): Config {
  const section = cfg.channels?.[CHANNEL_ID];
  return typeof section === "object" && section !== null ? (section as Config) : {};
}

/** Account ids, oldest login first. Accounts without a login do not exist, even where the configuration names them. */
export function listAccountIds(stateDir: string): string[] {
  const index = readJson(path.join(stateDir, CHANNEL_ID, "accounts.json"));
  if (!Array.isArray(index)) return [];
  return [...new Set(index.filter((id): id is string => typeof id === "string" && id.trim() !== "").map((id) => normalizeAccountId(id)))];
}

/**
 * The account among `ids` that is called so: by its id, else by a name that it alone has; as in the sidecar (`src/service/directory.rs`), but that
 * the host may have rewritten a name like an id.
 */
function accountCalled(cfg: HostConfig, ids: readonly string[], called: string): string | undefined {
  const asId = normalizeAccountId(called);
  if (ids.includes(asId)) return asId;
  const wanted = called.trim().toLowerCase();
  const channel = channelConfig(cfg);
  const names = ids.map((id) => ({ id, name: accountConfig(channel, id).name?.trim().toLowerCase() ?? "" })).filter(({ name }) => name !== "");
  const same = names.filter(({ name }) => name === wanted);
  // What the host makes of every name without a Latin letter is nobody's.
  const [found, another] = same.length > 0 ? same : names.filter(({ name }) => asId !== DEFAULT_ACCOUNT_ID && normalizeAccountId(name) === asId);
  return another === undefined ? found?.id : undefined;
}

/**
 * The account that is meant where none is named: the one of `defaultAccount`, by its id or its name; else the newest login, which a person
 * means who just logged in.
 */
export function defaultAccountId(cfg: HostConfig, stateDir: string): string {
  const ids = listAccountIds(stateDir);
  const named = channelConfig(cfg).defaultAccount?.trim();
  return (named && accountCalled(cfg, ids, named)) || (ids.at(-1) ?? DEFAULT_ACCOUNT_ID);
}

/** The id of the account that is meant by an id or a name. What no account is called becomes the id of one that is not there. */
export function accountIdOf(cfg: HostConfig, stateDir: string, named?: string | null): string {
  if (!named?.trim()) return defaultAccountId(cfg, stateDir);
  return accountCalled(cfg, listAccountIds(stateDir), named) ?? normalizeAccountId(named);
}

/** What the sidecar is to be asked for where the host names an account: its id, else what was named. Undefined where none is. */
export function namedAccount(cfg: HostConfig, stateDir: string, named: string | null | undefined): string | undefined {
  if (!named?.trim()) return undefined;
  return accountCalled(cfg, listAccountIds(stateDir), named) ?? named.trim();
}

export function resolveAccount(cfg: HostConfig, stateDir: string, accountId?: string | null): ResolvedAccount {
  const id = accountIdOf(cfg, stateDir, accountId);
  const channel = channelConfig(cfg);
  const own = accountConfig(channel, id);
  const saved = readAccountFile(stateDir, id);
  return {
    accountId: id,
    byId: !accountId?.trim() || accountId.trim() === id,
    name: own.name ?? undefined,
    enabled: (channel.enabled ?? true) && (own.enabled ?? true),
    configured: saved.configured,
    userId: saved.userId,
    dmPolicy: own.dmPolicy ?? channel.dmPolicy ?? "pairing",
    allowFrom: [...(own.allowFrom ?? channel.allowFrom ?? [])].map(String),
  };
}

/** The key under `accounts` that stands for an account, whatever spelling of its id that is. */
export function accountKey(channel: Config, accountId: string): string | undefined {
  const accounts = channel.accounts ?? {};
  return Object.hasOwn(accounts, accountId) ? accountId : Object.keys(accounts).find((name) => normalizeAccountId(name) === accountId);
}

/** An account's settings under `accounts`. */
export function accountConfig(channel: Config, accountId: string): AccountConfig {
  const key = accountKey(channel, accountId);
  return (key === undefined ? undefined : channel.accounts?.[key]) ?? {};
}

/** OpenClaw's rule: lower case, runs of other characters become `-`, 64 characters at most. */
export function normalizeAccountId(raw: string): string {
  const trimmed = raw.trim();
  const lower = trimmed.toLowerCase();
  const id = /^[a-z0-9][a-z0-9_-]{0,63}$/.test(lower)
    ? lower
    : lower
        .replace(/[^a-z0-9_-]+/g, "-")
        .replace(/^-+/, "")
        .replace(/-+$/, "")
        .slice(0, 64);
  return id === "" || id === "__proto__" || id === "prototype" || id === "constructor" ? DEFAULT_ACCOUNT_ID : id;
}

/** Older official plugins named an account's file after the raw bot id. */
function fileNames(accountId: string): string[] {
  const raw = accountId.replace(/-im-(bot|wechat)$/, "@im.$1");
  return raw === accountId ? [accountId] : [accountId, raw];
}

function readAccountFile(stateDir: string, accountId: string): { configured: boolean; userId: string | undefined } {
  for (const name of fileNames(accountId)) {
    const saved = readJson(path.join(stateDir, CHANNEL_ID, "accounts", `${name}.json`));
    if (typeof saved !== "object" || saved === null) continue;
    const { token, userId } = saved as { token?: unknown; userId?: unknown };
    return {
      configured: typeof token === "string" && token.trim() !== "",
      userId: typeof userId === "string" && userId.trim() !== "" ? userId.trim() : undefined,
    };
  }
  return { configured: false, userId: undefined };
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    // Missing or damaged: the sidecar says what is wrong with it, here it is an account that is not there.
    return undefined;
  }
}
