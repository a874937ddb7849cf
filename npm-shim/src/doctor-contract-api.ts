/**
 * What OpenClaw's doctor asks of this plugin before the gateway starts.
 *
 * One thing only. The official plugin kept approved people in `credentials/openclaw-weixin-<account>-allowFrom.json`.
 * OpenClaw imports such files into its pairing store at the next start, but only for accounts that it knows, and it
 * looks for accounts in the configuration alone: for a channel whose accounts live in files it finds none, calls the
 * file unresolved, and refuses to start. So the accounts that these files name are put into the configuration that
 * the check looks at. Nothing is written: the import, the pairing store and the removal of the file are the host's.
 *
 * The only function of a plugin that the host calls before that check is the one below; it asks for something else
 * (which agents' session stores the plugin writes to: none).
 */
import { readdirSync } from "node:fs";

import { resolveOAuthDir } from "openclaw/plugin-sdk/state-paths";

import { listAccountIds, normalizeAccountId } from "./accounts.js";
import { CHANNEL_ID } from "./ids.js";
import { stateDir } from "./state-dir.js";

const SUFFIX = "-allowFrom.json";

type Config = { channels?: Record<string, { accounts?: Record<string, unknown> } | undefined> };

export function resolveSessionStoreAgentIds({ cfg }: { cfg: Config }): string[] {
  try {
    const names = accountsOfLeftovers(leftovers(), listAccountIds(stateDir()));
    if (names.length > 0) nameAccounts(cfg, names);
  } catch {
    // The host then says what is in its way, as it does without this plugin.
  }
  return [];
}

function leftovers(): string[] {
  try {
    return readdirSync(resolveOAuthDir(process.env, stateDir())).filter((name) => name.startsWith(CHANNEL_ID) && name.endsWith(SUFFIX));
  } catch {
    return [];
  }
}

/** The accounts that the files are for: those they name, and all of ours where one names none. */
export function accountsOfLeftovers(files: readonly string[], accountIds: readonly string[]): string[] {
  const names = new Set<string>();
  for (const file of files) {
    const key = file.slice(CHANNEL_ID.length, -SUFFIX.length).replace(/^-/, "");
    if (key === "") for (const id of accountIds) names.add(id);
    // Also accounts that are gone: whoever was approved for them stays approved if they come back.
    else if (normalizeAccountId(key) === key.toLowerCase()) names.add(normalizeAccountId(key));
  }
  return [...names];
}

function nameAccounts(cfg: Config, names: readonly string[]): void {
  const channels = (cfg.channels ??= {});
  const section = (channels[CHANNEL_ID] ??= {});
  const accounts = { ...section.accounts };
  for (const name of names) accounts[name] ??= {};
  section.accounts = accounts;
}
