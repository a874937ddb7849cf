/** One running account: its deliveries go to the host, its state goes to the host's status. */
import type { ChannelPlugin, OpenClawConfig } from "openclaw/plugin-sdk/channel-core";
import { isAbortRequestText } from "openclaw/plugin-sdk/command-primitives-runtime";

import { channelConfig, type ResolvedAccount } from "./accounts.js";
import { Bursts, type Hand } from "./bursts.js";
import { isCommand } from "./commands.js";
import type { InboundMessage } from "./contract.js";
import { Deliveries } from "./deliveries.js";
import { messageOf } from "./errors.js";
import { noteGivenUp } from "./given-up.js";
import { hostLog, hostRuntime, isRetired, speakAsGateway } from "./host.js";
import { dispatchInbound, notices } from "./inbound.js";
import { PairingNotSent } from "./pairing.js";
import { sidecar } from "./sidecar.js";
import { toSnapshot } from "./snapshot.js";
import { turns } from "./turns.js";

type StartAccount = NonNullable<NonNullable<ChannelPlugin<ResolvedAccount>["gateway"]>["startAccount"]>;
export type GatewayContext = Parameters<StartAccount>[0];
type Snapshot = ReturnType<GatewayContext["getStatus"]>;

/**
 * An account's deliveries outlive its runs: when the host restarts the account (a configuration change does), turns
 * of the run before go on, and the sidecar delivers again what they have not acked yet.
 */
const deliveriesByAccount = new Map<string, Deliveries>();

const isStop = ({ text }: InboundMessage) => isAbortRequestText(text);
const configNow = () => hostRuntime().config.current() as OpenClawConfig;

/** Outlives runs as deliveries do. */
const bursts = new Bursts({
  config: configNow,
  isCommand: ({ text }) => isCommand(hostRuntime(), configNow(), text),
  isStop,
  log: (message) => hostLog("info", message),
});

/** Acks of one moment are one request: a turn of several messages is taken over as a whole, or not at all. */
function together(ack: (deliveryIds: string[]) => Promise<unknown>): (deliveryId: string) => Promise<unknown> {
  let ids: string[] = [];
  let sent: Promise<unknown> | undefined;
  return (deliveryId) => {
    ids.push(deliveryId);
    sent ??= new Promise((resolve) => setImmediate(resolve)).then(() => {
      const all = ids;
      ids = [];
      sent = undefined;
      return ack(all);
    });
    return sent;
  };
}

function deliveriesOf(accountId: string): Deliveries {
  let found = deliveriesByAccount.get(accountId);
  if (!found) {
    found = new Deliveries({
      ack: together(async (deliveryIds) => await sidecar().process.request("inbound.ack", { deliveryIds })),
      nack: async (deliveryId, retryAfterMs, reason) => await sidecar().process.request("inbound.nack", { deliveryId, retryAfterMs, reason }),
      release: async (deliveryId) => await sidecar().process.request("inbound.release", { deliveryId }),
      givenUp: (message, error) => {
        if (error instanceof PairingNotSent) return;
        noteGivenUp(accountId, messageOf(error));
        void notices.tell(accountId, message, "turn");
      },
      log: (level, message) => hostLog(level, `[${accountId}] ${message}`),
    });
    deliveriesByAccount.set(accountId, found);
  }
  return found;
}

/** Runs the account until the host stops it. Rejects when it cannot run; the host then tries again. */
export async function runAccount(ctx: GatewayContext): Promise<void> {
  const { accountId, account } = ctx;
  speakAsGateway();
  if (!account.configured) {
    throw new Error(
      `The WeChat account ${accountId} is not logged in. Run: openclaw channels login --channel openclaw-weixin`,
    );
  }
  const runtime = hostRuntime();
  const side = sidecar();
  const report = (patch: Partial<Snapshot>) => ctx.setStatus({ ...ctx.getStatus(), ...patch, accountId });
  const deliveries = deliveriesOf(accountId);
  const onStop = (from: string) => bursts.stop(accountId, from);
  const deps = { runtime, accountId, onStop, onOutbound: () => report({ lastOutboundAt: Date.now() }) };
  const hand: Hand = (messages, adoption, isStopped) =>
    turns.run(
      accountId,
      messages[0]!.from,
      ({ onAhead, onDecided, onQueued, ...course }) => {
        // It waited, and the plugin was reloaded or turned off meanwhile: it is not acked, and comes to the next copy.
        if (isRetired()) throw new Error("the WeChat plugin was reloaded or turned off meanwhile");
        return dispatchInbound(deps, messages, {
          ...adoption,
          ...course,
          isStopped,
          onHeld: () => {
            onAhead();
            adoption.onHeld();
          },
          onAdopted: () => {
            onDecided();
            return adoption.onAdopted();
          },
          onDeferred: () => {
            onDecided();
            onQueued();
            adoption.onDeferred();
          },
          // What comes behind it goes on: an answer to what the harness asks, a stop.
          onRunning: () => {
            onDecided();
            adoption.onHeld();
          },
        });
      },
      { urgent: messages.some(isStop), onHeld: adoption.onHeld },
    );

  report({ running: true, lastStartAt: Date.now(), lastError: null, lifecycle: "starting" });
  try {
    await side.configure(channelConfig(ctx.cfg));
    await side.runAccount(
      accountId,
      {
        onMessage: (message) => {
          // A turn answers through the sidecar, also where the account is stopped meanwhile.
          const release = side.process.retain();
          const handled = deliveries.handle(message, (one, adoption) => bursts.take(one, adoption, hand));
          void handled.finally(release);
          report({ lastInboundAt: Date.now(), lastMessageAt: message.timestampMs, lastEventAt: Date.now() });
        },
        onStatus: (status) => report(toSnapshot(status, ctx.getStatus())),
      },
      ctx.abortSignal,
    );
    report({ running: false, connected: false, lifecycle: "stopped", lastStopAt: Date.now() });
  } catch (error) {
    report({ running: false, connected: false, lifecycle: "blocked", lastStopAt: Date.now(), lastError: messageOf(error) });
    throw error;
  }
}
