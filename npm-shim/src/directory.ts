/** `openclaw directory`, and whom OpenClaw may mean by a part of an id: the bot itself, and who may write or has written. */
import type { ChannelPlugin } from "openclaw/plugin-sdk/channel-core";

import { admitted, resolveAccount, type HostConfig } from "./accounts.js";
import type { Peer } from "./contract.js";
import { CHANNEL_ID, looksLikeUserId, normalizeAllowEntry } from "./ids.js";
import { sidecar } from "./sidecar.js";
import { stateDir } from "./state-dir.js";

type Directory = NonNullable<ChannelPlugin["directory"]>;
type Ask = { cfg: unknown; accountId?: string | null; query?: string | null; limit?: number | null };

/** OpenClaw's own default. */
const LIMIT = 100;

/** Whoever wrote last first; then the owner and those who may write but never did. WeChat tells no names of people. */
async function listPeers({ cfg, accountId, query, limit }: Ask) {
  const account = resolveAccount(cfg as HostConfig, stateDir(), accountId);
  const wanted = query?.trim().toLowerCase() ?? "";
  const { readChannelAllowFromStore } = await import("openclaw/plugin-sdk/channel-pairing");
  const approved = await readChannelAllowFromStore(CHANNEL_ID, process.env, account.accountId);
  const most = limit ?? LIMIT;
  const wrote = account.configured ? await peersOf(account.accountId, wanted, most) : [];
  const may = [...admitted(account), ...approved].map(normalizeAllowEntry).filter((id) => looksLikeUserId(id) && id.toLowerCase().includes(wanted));
  const last = new Map(wrote.map(({ id, lastInboundAtMs }) => [id, lastInboundAtMs]));
  return [...new Set([...last.keys(), ...may])].slice(0, most).map((id) => {
    const at = last.get(id);
    const isOwner = id === account.userId;
    return {
      kind: "user" as const,
      id,
      ...(isOwner ? { name: "owner" } : {}),
      ...(at === undefined ? {} : { rank: at, raw: { lastInboundAt: new Date(at).toISOString() } }),
    };
  });
}

/** Who has written. */
async function peersOf(accountId: string, query: string, limit: number): Promise<Peer[]> {
  const { peers } = await sidecar().process.request("peers.list", { accountId, ...(query ? { query } : {}), limit });
  return peers;
}

export const directory: Directory = {
  self: async ({ cfg, accountId }) => {
    const account = resolveAccount(cfg as HostConfig, stateDir(), accountId);
    if (!account.configured) return null;
    return { kind: "user", id: account.accountId, ...(account.name ? { name: account.name } : {}), ...(account.userId ? { raw: { owner: account.userId } } : {}) };
  },
  listPeers,
};

/** `openclaw channels resolve`: an id as it is, else the only person whose id contains what was typed. Groups, which OpenClaw may ask for, there are none. */
export const resolver: NonNullable<ChannelPlugin["resolver"]> = {
  resolveTargets: async ({ cfg, accountId, inputs }) =>
    await Promise.all(
      inputs.map(async (input) => {
        const id = normalizeAllowEntry(input);
        if (looksLikeUserId(id)) return { input, resolved: true, id };
        const found = await listPeers({ cfg, ...(accountId ? { accountId } : {}), query: input, limit: 2 });
        const [only, another] = found;
        if (only && !another) return { input, resolved: true, id: only.id };
        return { input, resolved: false, note: only ? "several people's ids contain this" : "nobody who may write or has written has this in their id" };
      }),
    ),
};
