/** What `openclaw doctor` says of the configuration, and what `doctor --fix` mends. */
import type { ChannelPlugin } from "openclaw/plugin-sdk/channel-core";

import { channelConfig, listAccountIds, normalizeAccountId, type HostConfig } from "./accounts.js";
import { withChannel } from "./config-edits.js";
import { unknownKeys } from "./config-keys.js";
import { CHANNEL_ID } from "./ids.js";
import { stateDir } from "./state-dir.js";

type Doctor = NonNullable<ChannelPlugin["doctor"]>;
type Rules = { dmPolicy?: string | null; allowFrom?: readonly unknown[] | null };

const AT = `channels.${CHANNEL_ID}`;

/** `open` is open to OpenClaw only where everybody is named; else it lets nobody new in, and does not say so to them. */
function opensToNobody({ dmPolicy, allowFrom }: Rules, inherited: Rules = {}): boolean {
  const entries = allowFrom ?? inherited.allowFrom ?? [];
  return dmPolicy === "open" && !entries.some((entry) => String(entry).trim() === "*");
}

/** Where `open` stands without `*`: the channel itself (`undefined`), and accounts by their key. */
function closedThoughOpen(cfg: HostConfig): (string | undefined)[] {
  const channel = channelConfig(cfg);
  const accounts = Object.entries(channel.accounts ?? {}).filter(([, account]) => opensToNobody(account ?? {}, channel));
  return [...(opensToNobody(channel) ? [undefined] : []), ...accounts.map(([key]) => key)];
}

export const doctor: Doctor = {
  dmAllowFromMode: "topOnly",
  collectPreviewWarnings: ({ cfg, doctorFixCommand }) => {
    const warnings: string[] = [];
    const strange = unknownKeys(cfg as HostConfig);
    if (strange.length > 0) warnings.push(`- ${strange.join(", ")}: nobody reads ${strange.length === 1 ? "this key" : "these keys"}; see whether ${strange.length === 1 ? "it is" : "they are"} misspelt, or take ${strange.length === 1 ? "it" : "them"} out.`);
    const logins = listAccountIds(stateDir());
    const gone = Object.keys(channelConfig(cfg as HostConfig).accounts ?? {}).filter((key) => !logins.includes(normalizeAccountId(key)));
    if (gone.length > 0) warnings.push(`- ${gone.map((key) => `${AT}.accounts.${key}`).join(", ")}: nobody is logged in under ${gone.length === 1 ? "this name" : "these names"}, so the settings have no effect.`);
    for (const key of closedThoughOpen(cfg as HostConfig)) {
      const path = key === undefined ? AT : `${AT}.accounts.${key}`;
      warnings.push(`- ${path}.dmPolicy is "open" without "*" in allowFrom: nobody new is let in. ${doctorFixCommand} sets it to "pairing"; where everybody is meant, add "*" instead.`);
    }
    return warnings;
  },
  repairConfig: ({ cfg }) => {
    const places = closedThoughOpen(cfg as HostConfig);
    if (places.length === 0) return { config: cfg, changes: [] };
    const channel = channelConfig(cfg as HostConfig);
    const accounts = { ...channel.accounts };
    for (const key of places) if (key !== undefined) accounts[key] = { ...accounts[key], dmPolicy: "pairing" };
    return {
      config: withChannel(cfg, { ...(places.includes(undefined) ? { dmPolicy: "pairing" } : {}), ...(channel.accounts ? { accounts } : {}) }),
      changes: places.map((key) => `${key === undefined ? AT : `${AT}.accounts.${key}`}.dmPolicy: "open" without "*" became "pairing"`),
    };
  },
};
