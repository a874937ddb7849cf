/** `/allowlist add|remove|list dm`: OpenClaw's own editor, for people only, and for entries that can match somebody. */
import type { ChannelPlugin } from "openclaw/plugin-sdk/channel-core";
import { buildDmGroupAccountAllowlistAdapter } from "openclaw/plugin-sdk/allowlist-config-edit";

import { isAccessGroup, resolveAccount, type HostConfig } from "./accounts.js";
import { CHANNEL_ID, looksLikeUserId, normalizeAllowEntry } from "./ids.js";
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

/** Whether an entry can let anybody in. */
export const canMatch = (entry: string) => entry.trim() === "*" || isAccessGroup(entry) || looksLikeUserId(entry);

export const allowlistAdapter: Allowlist = {
  ...editor,
  // A bot on WeChat is in no groups.
  supportsScope: ({ scope }) => scope !== "group",
  applyConfigEdit: (params) => {
    if (params.scope === "group") return null;
    if (params.action === "add" && !canMatch(params.entry)) return { kind: "invalid-entry" };
    return editor.applyConfigEdit?.(params) ?? null;
  },
};
