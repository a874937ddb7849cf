/** `/allowlist add|remove|list dm`: OpenClaw's own editor, for people only, and for entries that can match somebody. */
import type { ChannelPlugin } from "openclaw/plugin-sdk/channel-core";
import { buildDmGroupAccountAllowlistAdapter } from "openclaw/plugin-sdk/allowlist-config-edit";

import { accountKey, channelConfig, resolveAccount, type HostConfig } from "./accounts.js";
import { canMatch, CHANNEL_ID, normalizeAllowEntry } from "./ids.js";
import { stateDir } from "./state-dir.js";

type Allowlist = NonNullable<ChannelPlugin["allowlist"]>;

const editor = buildDmGroupAccountAllowlistAdapter({
  channelId: CHANNEL_ID,
  resolveAccount: ({ cfg, accountId }) => resolveAccount(cfg as HostConfig, stateDir(), accountId),
  normalize: ({ values }) => values.map((value) => normalizeAllowEntry(String(value))).filter(Boolean),
  resolveDmAllowFrom: (account) => account.allowFrom,
  resolveGroupAllowFrom: () => undefined,
  resolveDmPolicy: (account) => account.dmPolicy,
});

/** Gives an account's section the key that the host's editor looks for: beside another spelling it would put a second one. */
function underItsId(config: Record<string, unknown>, accountId: string | null | undefined): void {
  const channel = channelConfig(config as HostConfig);
  const key = accountId ? accountKey(channel, accountId) : undefined;
  const { accounts } = channel;
  if (!accounts || !accountId || key === undefined || key === accountId) return;
  accounts[accountId] = accounts[key]!;
  delete accounts[key];
}

export const allowlistAdapter: Allowlist = {
  ...editor,
  // A bot on WeChat is in no groups.
  supportsScope: ({ scope }) => scope !== "group",
  applyConfigEdit: (params) => {
    if (params.scope === "group") return null;
    if (params.action === "add" && !canMatch(params.entry)) return { kind: "invalid-entry" };
    // The host keeps approvals under what was typed: with a name it would say that somebody was removed who is not.
    if (!resolveAccount(params.cfg as HostConfig, stateDir(), params.accountId).byId) return { kind: "invalid-entry" };
    underItsId(params.parsedConfig, params.accountId);
    return editor.applyConfigEdit?.(params) ?? null;
  },
};
