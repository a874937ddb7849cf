/** What `openclaw channels status`, `openclaw doctor` and the Control UI show. */
import type { ChannelPlugin } from "openclaw/plugin-sdk/channel-core";

import type { ResolvedAccount } from "./accounts.js";
import type { ProbeResult } from "./contract.js";
import { messageOf } from "./errors.js";
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
    ...(await heldBy(account.accountId)),
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
      const { heldMessages, heldSinceMs } = account as Held;
      if (heldMessages) {
        const since = heldSinceMs ? `, the oldest since ${new Date(heldSinceMs).toISOString()}` : "";
        add(
          "runtime",
          `${heldMessages} ${heldMessages === 1 ? "message waits" : "messages wait"} to be sent${since}.`,
          "They go out by themselves when the person writes, or after a new login. To see them: openclaw-weixin-sidecar outbox",
        );
      }
      if (account.dmPolicy === "open") {
        add("config", `Anybody who finds this ${CHANNEL_LABEL} bot can talk to the agent.`, `Set channels.${CHANNEL_ID}.dmPolicy to "pairing".`);
      }
    }
    return issues;
  },
};

/** What the account snapshot says of held messages; nothing where none are, or where this process runs no sidecar. */
type Held = { heldMessages?: number; heldSinceMs?: number };

let asked: Promise<Map<string, Held>> | undefined;

/** The host asks for every account in the same moment: one question to the sidecar answers all of them. */
async function heldBy(accountId: string): Promise<Held> {
  asked ??= heldByAll().finally(() => (asked = undefined));
  return (await asked).get(accountId) ?? {};
}

async function heldByAll(): Promise<Map<string, Held>> {
  try {
    const { sidecar } = await import("./sidecar.js");
    const status = await sidecar().process.requestIfRunning("status.get", {});
    return new Map(
      (status?.accounts ?? []).map(({ accountId, outbox }) => [
        accountId,
        outbox.held ? { heldMessages: outbox.held, ...(outbox.oldestMs ? { heldSinceMs: outbox.oldestMs } : {}) } : {},
      ]),
    );
  } catch {
    return new Map();
  }
}
