/** `openclaw directory`, and whom OpenClaw may mean by a part of an id: the bot itself, and who may write or has written. */
import type { ChannelPlugin } from "openclaw/plugin-sdk/channel-core";

import { admitted, resolveAccount, type HostConfig } from "./accounts.js";
import type { Peer } from "./contract.js";
import { messageOf } from "./errors.js";
import { hostLog } from "./host.js";
import { CHANNEL_ID, looksLikeUserId, normalizeAllowEntry } from "./ids.js";
import { sidecar } from "./sidecar.js";
import { stateDir } from "./state-dir.js";

type Directory = NonNullable<ChannelPlugin["directory"]>;
type Ask = { cfg: unknown; accountId?: string | null; query?: string | null; limit?: number | null };

/** Where nobody says how many. */
const LIMIT = 100;
/** The most that the sidecar lists. */
const MOST = 1_000;

/**
 * Who may write: whoever wrote last first, then those who never did. WeChat tells no names of people. OpenClaw sends to whom it finds here by a
 * part of their id, so nobody is in it who was refused.
 */
async function listPeers({ cfg, accountId, query, limit }: Ask) {
  const account = resolveAccount(cfg as HostConfig, stateDir(), accountId);
  const wanted = query?.trim().toLowerCase() ?? "";
  const { readChannelAllowFromStore } = await import("openclaw/plugin-sdk/channel-pairing");
  const approved = await readChannelAllowFromStore(CHANNEL_ID, process.env, account.accountId);
  const most = limit ?? LIMIT;
  const matches = (id: string) => looksLikeUserId(id) && (id.toLowerCase() === wanted || (id.toLowerCase().split("@")[0] ?? "").includes(wanted));
  const may = [...admitted(account), ...approved].map(normalizeAllowEntry).filter(matches);
  const everybody = account.dmPolicy === "open" && account.allowFrom.some((entry) => entry.trim() === "*");
  const wrote = account.configured ? await peersOf(account.accountId, wanted, everybody ? most : MOST) : [];
  const last = new Map(wrote.filter(({ id }) => matches(id) && (everybody || may.includes(id))).map(({ id, lastInboundAtMs }) => [id, lastInboundAtMs]));
  return [...new Set([...last.keys(), ...may])].slice(0, most).map((id) => {
    const at = last.get(id);
    const isOwner = id === account.userId;
    return {
      kind: "user" as const,
      id,
      ...(at === undefined ? {} : { rank: at }),
      raw: { owner: isOwner, ...(at === undefined ? {} : { lastInboundAt: new Date(at).toISOString() }) },
    };
  });
}

/** Who has written. Where that cannot be had, who may write is known all the same. */
async function peersOf(accountId: string, query: string, limit: number): Promise<Peer[]> {
  try {
    const { peers } = await sidecar().process.request("peers.list", { accountId, ...(query ? { query } : {}), limit });
    return peers;
  } catch (error) {
    hostLog("warn", `[${accountId}] who has written is not known: ${messageOf(error)}`);
    return [];
  }
}

export const directory: Directory = {
  self: async ({ cfg, accountId }) => {
    const account = resolveAccount(cfg as HostConfig, stateDir(), accountId);
    if (!account.configured) return null;
    return { kind: "user", id: account.accountId, ...(account.name ? { name: account.name } : {}), ...(account.userId ? { raw: { owner: account.userId } } : {}) };
  },
  listPeers,
};

/** `openclaw channels resolve`: an id as it is, else the only person whose id contains what was typed. Groups, which OpenClaw may ask for, there are none; it calls what it does not know a group, so that what it asks for does not matter. */
export const resolver: NonNullable<ChannelPlugin["resolver"]> = {
  resolveTargets: async ({ cfg, accountId, inputs }) =>
    await Promise.all(
      inputs.map(async (input) => {
        const id = normalizeAllowEntry(input);
        if (looksLikeUserId(id)) return { input, resolved: true, id };
        if (!id) return { input, resolved: false, note: "name a part of the person's id" };
        const found = await listPeers({ cfg, ...(accountId ? { accountId } : {}), query: id, limit: 2 });
        const [only, another] = found;
        if (only && !another) return { input, resolved: true, id: only.id };
        return { input, resolved: false, note: only ? "several people's ids contain this" : "nobody who may write or has written has this in their id" };
      }),
    ),
};
