/** What `openclaw channels status`, `openclaw doctor` and the Control UI show. */
import type { ChannelPlugin } from "openclaw/plugin-sdk/channel-core";

import type { ResolvedAccount } from "./accounts.js";
import type { AccountStatus, ProbeResult, QueueItem } from "./contract.js";
import { messageOf } from "./errors.js";
import { givenUpOf, type GivenUp } from "./given-up.js";
import { REASONS } from "./held-reasons.js";
import { CHANNEL_ID, CHANNEL_LABEL } from "./ids.js";

export type Probe = { ok: boolean; latencyMs?: number; error?: string; sidecar?: { version: string; pid: number } };

type StatusAdapter = NonNullable<ChannelPlugin<ResolvedAccount, Probe>["status"]>;
type Issue = ReturnType<NonNullable<StatusAdapter["collectStatusIssues"]>>[number];

export const statusAdapter: StatusAdapter = {
  defaultRuntime: {
    accountId: "default",
    running: false,
    connected: false,
    lastStartAt: null,
    lastStopAt: null,
    lastInboundAt: null,
    lastOutboundAt: null,
    lastError: null,
  },
  buildChannelSummary: ({ snapshot }) => ({
    configured: snapshot.configured ?? false,
    running: snapshot.running ?? false,
    connected: snapshot.connected ?? false,
    lastError: snapshot.lastError ?? null,
    lastInboundAt: snapshot.lastInboundAt ?? null,
    lastOutboundAt: snapshot.lastOutboundAt ?? null,
    probe: snapshot.probe,
    lastProbeAt: snapshot.lastProbeAt ?? null,
  }),
  probeAccount: async ({ account, timeoutMs }) => {
    if (!account.configured) return { ok: false, error: "not logged in" };
    const { sidecar } = await import("./sidecar.js");
    try {
      const status = await sidecar().process.request("status.get", { accountId: account.accountId, probe: true }, { timeoutMs });
      const probe: ProbeResult | null | undefined = status.accounts[0]?.probe;
      return {
        ok: probe?.ok ?? false,
        ...(probe ? { latencyMs: probe.latencyMs } : {}),
        ...(probe?.error ? { error: probe.error } : {}),
        sidecar: { version: status.process.version, pid: status.process.pid },
      };
    } catch (error) {
      return { ok: false, error: messageOf(error) };
    }
  },
  buildAccountSnapshot: async ({ account, runtime, probe }) => ({
    ...runtime,
    ...(await standingOf(account.accountId)),
    accountId: account.accountId,
    ...(account.name ? { name: account.name } : {}),
    enabled: account.enabled,
    configured: account.configured,
    linked: account.configured,
    ...(account.userId ? { identity: account.userId } : {}),
    dmPolicy: account.dmPolicy,
    allowFrom: account.allowFrom,
    ...(probe === undefined ? {} : { probe }),
  }),
  collectStatusIssues: (accounts) => {
    const issues: Issue[] = [];
    for (const account of accounts) {
      if (account.enabled === false) continue;
      const add = (kind: Issue["kind"], message: string, fix: string) =>
        issues.push({ channel: CHANNEL_ID, accountId: account.accountId, kind, message, fix });
      if (account.configured === false) {
        add("auth", "Not logged in.", `Run: openclaw channels login --channel ${CHANNEL_ID}`);
        continue;
      }
      if (account.lifecycle === "blocked" && account.lastError) {
        add("runtime", account.lastError, "When that is mended, the account starts by itself, at once with: openclaw gateway restart");
      }
      const { heldMessages, heldSinceMs, heldWhy } = account as Standing;
      if (heldMessages) {
        const since = heldSinceMs ? `, the oldest since ${new Date(heldSinceMs).toISOString()}` : "";
        const why = heldWhy ? ` (${heldWhy})` : "";
        add(
          "runtime",
          `${heldMessages} ${heldMessages === 1 ? "message waits" : "messages wait"} to be sent${since}${why}.`,
          "They go out by themselves when the person writes, or after a new login. To see them: openclaw-weixin-sidecar outbox",
        );
      }
      const { unconfirmedSends, unconfirmedSinceMs } = account as Standing;
      if (unconfirmedSends) {
        const since = unconfirmedSinceMs ? ` since ${new Date(unconfirmedSinceMs).toISOString()}` : "";
        add(
          "runtime",
          `WeChat accepts this bot's messages but confirms none of them${since} (${unconfirmedSends} so far): most likely nobody sees them.`,
          "It ends by itself, after hours or weeks; another login does not help. For a report to Tencent: openclaw-weixin-sidecar doctor --report FILE",
        );
      }
      const { givenUp } = account as Standing;
      if (givenUp) {
        add(
          "runtime",
          `${givenUp.count} ${givenUp.count === 1 ? "message" : "messages"} could not be handed to the agent for a day and came to nothing, the last at ${new Date(givenUp.lastAtMs).toISOString()}: ${givenUp.reason}`,
          "Whoever wrote was told to try again. See the gateway's log for what stands in the way.",
        );
      }
      if (account.dmPolicy === "open" && account.allowFrom?.some((entry) => String(entry).trim() === "*")) {
        add("config", `Anybody who finds this ${CHANNEL_LABEL} bot can talk to the agent.`, `Set channels.${CHANNEL_ID}.dmPolicy to "pairing".`);
      }
    }
    return issues;
  },
};

/** What the account snapshot says beside the host's own fields; nothing where this process runs no sidecar. */
type Standing = {
  heldMessages?: number;
  heldSinceMs?: number;
  /** Why they are held, in words; with how many where there is more than one reason. */
  heldWhy?: string;
  givenUp?: GivenUp;
  /** Sends in a row that WeChat did not confirm, where these are too many to be an accident. */
  unconfirmedSends?: number;
  unconfirmedSinceMs?: number;
  lastConfirmedAtMs?: number;
  /** Messages that one message of a person allows, and whether that was learned from refusals. */
  budget?: { limit: number; learned: boolean };
};

let asked: Promise<Map<string, Standing>> | undefined;

/** The host asks for every account in the same moment: one question to the sidecar answers all of them. */
async function standingOf(accountId: string): Promise<Standing> {
  asked ??= standings().finally(() => (asked = undefined));
  const givenUp = givenUpOf(accountId);
  return { ...(await asked).get(accountId), ...(givenUp ? { givenUp } : {}) };
}

async function standings(): Promise<Map<string, Standing>> {
  try {
    const { sidecar } = await import("./sidecar.js");
    const status = await sidecar().process.requestIfRunning("status.get", {});
    const accounts = status?.accounts ?? [];
    const holds = accounts.some(({ outbox }) => outbox.held > 0);
    // Without the reasons everything else is said all the same.
    const queue = holds ? await sidecar().process.requestIfRunning("outbound.queue", {})?.catch(() => undefined) : undefined;
    const whyOf = (accountId: string) => whyHeld((queue?.items ?? []).filter((item) => item.accountId === accountId));
    return new Map(accounts.map((account) => [account.accountId, { ...standing(account), ...whyOf(account.accountId) }]));
  } catch {
    return new Map();
  }
}

function whyHeld(items: readonly QueueItem[]): Pick<Standing, "heldWhy"> {
  const counts = new Map<string, number>();
  for (const { reason } of items) {
    if (!reason) continue;
    // A newer sidecar may know more reasons.
    const why = REASONS[reason]?.why ?? reason;
    counts.set(why, (counts.get(why) ?? 0) + 1);
  }
  const named = [...counts].map(([why, count]) => (counts.size === 1 ? why : `${count}: ${why}`));
  return named.length > 0 ? { heldWhy: named.join("; ") } : {};
}

function standing({ outbox, delivery, budget }: AccountStatus): Standing {
  const muted = delivery?.state === "unconfirmed";
  return {
    ...(outbox.held ? { heldMessages: outbox.held, ...(outbox.oldestMs ? { heldSinceMs: outbox.oldestMs } : {}) } : {}),
    ...(muted ? { unconfirmedSends: delivery.unconfirmedInARow, ...(delivery.sinceMs ? { unconfirmedSinceMs: delivery.sinceMs } : {}) } : {}),
    ...(delivery?.lastConfirmedAtMs ? { lastConfirmedAtMs: delivery.lastConfirmedAtMs } : {}),
    ...(budget ? { budget } : {}),
  };
}
