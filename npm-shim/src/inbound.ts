/**
 * From a delivery to a turn: who may write, which agent and session, and how the answer goes back.
 *
 * Everything decided here is decided by the host: its ingress resolver, its pairing store, its routing, its reply
 * dispatch. This module only states the facts of a WeChat direct message in the host's terms.
 */
import { createChannelInboundEnvelopeBuilder } from "openclaw/plugin-sdk/channel-inbound";
import type { OpenClawConfig, PluginRuntime } from "openclaw/plugin-sdk/channel-core";

import { resolveAccount, type ResolvedAccount } from "./accounts.js";
import type { InboundMessage, Part } from "./contract.js";
import type { Adoption } from "./deliveries.js";
import { messageOf } from "./errors.js";
import { reportHeld } from "./held.js";
import { hostLog } from "./host.js";
import { CHANNEL_ID, CHANNEL_LABEL, normalizeAllowEntry } from "./ids.js";
import { receiptOf, sendText, sendTyping } from "./outbound.js";
import { stateDir } from "./state-dir.js";

/** iLink shows typing for a few seconds; the sidecar repeats it by itself, this only tells it that we still think. */
const TYPING_KEEPALIVE_MS = 20_000;
/** The longest a turn is shown as typing. */
const TYPING_MAX_MS = 10 * 60_000;

/**
 * Why a held answer was not delivered, in the host's words: it is not missing, the channel has it. The adapter's own
 * outcome for it, `not_sent`, reads as a turn without any answer, and the host then tells the person that it failed: a
 * second message that would wait behind the first.
 */
const HELD = "channel_transform";

/** The sender's WeChat id is what iLink's server says over the account's authenticated connection. */
const IDENTITY = {
  key: "weixin-user-id",
  normalize: (value: string) => normalizeAllowEntry(value) || null,
  authentication: "verified",
  sensitivity: "pii",
  entryIdPrefix: "weixin-entry",
} as const;

export type InboundDeps = {
  runtime: PluginRuntime;
  accountId: string;
  onOutbound: () => void;
};

/** Hands one message to the host. Resolves when its turn is over; rejects when the host could not take it. */
export async function dispatchInbound(deps: InboundDeps, message: InboundMessage, adoption: Adoption): Promise<void> {
  const { runtime, accountId } = deps;
  // Asked anew for every message: allowlists and policies may change while the account runs.
  const cfg = runtime.config.current() as OpenClawConfig;
  const account = resolveAccount(cfg, stateDir(), accountId);
  const sender = message.from;
  const body = bodyOf(message);

  const decide = ingressOf(runtime, cfg, account, message, body);
  const first = await decide();
  if (first.senderAccess.decision === "pairing") {
    await answerStranger(deps, message);
    return;
  }
  if (first.senderAccess.decision !== "allow") {
    hostLog("info", `[${accountId}] message from ${sender} refused (${first.senderAccess.reasonCode}, dmPolicy ${account.dmPolicy})`);
    return;
  }

  const route = runtime.channel.routing.resolveAgentRoute({
    cfg,
    channel: CHANNEL_ID,
    accountId,
    peer: { kind: "direct", id: sender },
  });
  // The result that goes into the context must be bound to the final session and message.
  const access = await decide({
    agentId: route.agentId,
    sessionKey: route.sessionKey,
    messageId: message.messageId,
    inboundEventKind: "user_request",
  });
  if (access.senderAccess.decision !== "allow") {
    hostLog("info", `[${accountId}] message from ${sender} refused: its authorization changed while it was being routed`);
    return;
  }
  const commandAuthorized = access.commandAccess.requested ? access.commandAccess.authorized : undefined;

  const envelope = createChannelInboundEnvelopeBuilder({ cfg, route });
  const ctxPayload = runtime.channel.inbound.buildContext({
    channelIngress: access,
    channel: CHANNEL_ID,
    accountId,
    messageId: message.messageId,
    timestamp: message.timestampMs,
    from: `${CHANNEL_ID}:${sender}`,
    sender: { id: sender },
    conversation: { kind: "direct", id: sender, label: sender },
    route: {
      agentId: route.agentId,
      ...(route.dmScope ? { dmScope: route.dmScope } : {}),
      accountId,
      routeSessionKey: route.sessionKey,
      dispatchSessionKey: route.sessionKey,
      mainSessionKey: route.mainSessionKey,
    },
    reply: { to: sender, originatingTo: sender },
    message: {
      body: envelope({ channel: CHANNEL_LABEL, from: sender, timestamp: message.timestampMs, body }),
      bodyForAgent: body,
      rawBody: body,
      commandBody: message.text,
    },
    extra: {
      BodyForCommands: message.text,
      ...(commandAuthorized === undefined ? {} : { CommandAuthorized: commandAuthorized }),
    },
  });

  let blocks = 0;
  await runtime.channel.inbound.dispatch({
    channel: CHANNEL_ID,
    accountId,
    cfg,
    route: {
      agentId: route.agentId,
      ...(route.dmScope ? { dmScope: route.dmScope } : {}),
      sessionKey: route.sessionKey,
    },
    ctxPayload,
    messageId: message.messageId,
    delivery: {
      // Final answers go through the host's outbound queue, which survives a crash; see the message adapter.
      durable: () => ({ to: sender }),
      // What that queue does not take: partial answers, and payloads it cannot carry.
      deliver: async (payload) => {
        const text = payload.text?.trim() ? payload.text : undefined;
        if (!text) {
          throw new Error("This version of the WeChat plugin sends text only; the answer had none.");
        }
        blocks += 1;
        const result = await sendText({
          to: sender,
          text,
          accountId,
          idempotencyKey: `openclaw:turn:${message.deliveryId}:${message.attempt}:${blocks}`,
        });
        if (result.status === "held") {
          reportHeld(accountId, sender, result.heldReason);
          return { visibleReplySent: false, suppression: { reason: HELD } };
        }
        const ids = result.messageIds.length > 0 ? result.messageIds : result.clientIds;
        return { visibleReplySent: true, messageIds: ids, receipt: receiptOf(ids), content: text };
      },
      observeMessageSent: true,
      onDelivered: (_payload, _info, result) => {
        if (!result || result.visibleReplySent !== false) {
          deps.onOutbound();
          return;
        }
        if (result.suppression?.reason === "adapter_returned_no_send") result.suppression.reason = HELD;
      },
      onError: (error, info) => hostLog("error", `[${accountId}] ${info.kind} answer to ${sender} was not sent: ${messageOf(error)}`),
    },
    replyPipeline: {
      typing: {
        start: () => sendTyping(sender, true, accountId),
        stop: () => sendTyping(sender, false, accountId),
        onStartError: () => {},
        keepaliveIntervalMs: TYPING_KEEPALIVE_MS,
        maxDurationMs: TYPING_MAX_MS,
      },
    },
    record: {
      onRecordError: (error: unknown) => hostLog("error", `[${accountId}] session metadata was not saved: ${messageOf(error)}`),
    },
    replyOptions: {
      // A WeChat bot may send about ten messages per message it got: one whole answer, not its pieces.
      disableBlockStreaming: true,
      turnAdoptionLifecycle: {
        admission: "exclusive",
        onAdopted: adoption.onAdopted,
        onDeferred: () => {
          adoption.onDeferred();
          return true;
        },
        onAbandoned: adoption.onAbandoned,
      },
    },
  });
}

type ContextBinding = NonNullable<Parameters<PluginRuntime["channel"]["inbound"]["ingress"]["resolveStable"]>[0]["contextBinding"]>;

/** The host's decision on this message, asked once before and once after the route is known. */
function ingressOf(runtime: PluginRuntime, cfg: OpenClawConfig, account: ResolvedAccount, message: InboundMessage, body: string) {
  const { pairing, commands, inbound } = runtime.channel;
  const wantsCommand = commands.shouldComputeCommandAuthorized(body, cfg);
  // Who scanned the QR code owns the bot: no pairing with oneself.
  const allowFrom = account.userId ? [...account.allowFrom, account.userId] : account.allowFrom;
  return (contextBinding?: ContextBinding) =>
    inbound.ingress.resolveStable({
      channelId: CHANNEL_ID,
      accountId: account.accountId,
      identity: IDENTITY,
      cfg,
      subject: { stableId: message.from },
      conversation: { kind: "direct", id: message.from },
      event: { kind: "message", authMode: "inbound", mayPair: true },
      dmPolicy: account.dmPolicy,
      allowFrom,
      readStoreAllowFrom: () => pairing.readAllowFromStore({ channel: CHANNEL_ID, accountId: account.accountId }),
      ...(contextBinding ? { contextBinding } : {}),
      ...(wantsCommand ? { command: {} } : {}),
    });
}

/**
 * A stranger gets the host's pairing code, once. The code is sent again only where the same message comes again,
 * because then this process, or the one before it, may have ended between noting the request and sending the code;
 * the key keeps that from being seen twice.
 */
async function answerStranger(deps: InboundDeps, message: InboundMessage): Promise<void> {
  const { pairing } = deps.runtime.channel;
  const { code, created } = await pairing.upsertPairingRequest({
    channel: CHANNEL_ID,
    accountId: deps.accountId,
    id: message.from,
  });
  if (!created && message.attempt <= 1) return;
  if (!code) {
    hostLog("warn", `[${deps.accountId}] ${message.from} asked to be let in, but too many pairing requests are open (openclaw pairing list ${CHANNEL_ID})`);
    return;
  }
  await sendText({
    to: message.from,
    text: pairing.buildPairingReply({ channel: CHANNEL_ID, idLine: `Your WeChat user id: ${message.from}`, code }),
    accountId: deps.accountId,
    idempotencyKey: `openclaw:pairing:${message.deliveryId}`,
  });
  deps.onOutbound();
  hostLog("info", `[${deps.accountId}] pairing code sent to ${message.from}; approve with: openclaw pairing approve ${CHANNEL_ID} <code>`);
}

/** What the agent reads. A message without any text still says what was in it. */
function bodyOf(message: InboundMessage): string {
  if (message.text.trim() !== "") return message.text;
  return message.parts.map(describePart).join("\n") || "[empty message]";
}

function describePart(part: Part): string {
  return part.text ?? part.transcript ?? `[${part.type}${part.fileName ? `: ${part.fileName}` : ""}]`;
}
