/**
 * From a delivery to a turn: who may write, which agent and session, and how the answer goes back.
 *
 * Everything decided here is decided by the host: its ingress resolver, its pairing store, its routing, its reply
 * dispatch. This module only states the facts of a WeChat direct message in the host's terms.
 */
import { createChannelInboundEnvelopeBuilder, toInboundMediaFacts } from "openclaw/plugin-sdk/channel-inbound";
import type { OpenClawConfig, PluginRuntime } from "openclaw/plugin-sdk/channel-core";
import { isAbortRequestText } from "openclaw/plugin-sdk/command-primitives-runtime";
import { getAgentScopedMediaLocalRoots } from "openclaw/plugin-sdk/media-local-roots";

import { channelConfig, resolveAccount, type ResolvedAccount } from "./accounts.js";
import { joined } from "./bursts.js";
import { debugLine, isCommand, isDebug, mayHoldCommand, parseCommand, runCommand } from "./commands.js";
import type { InboundMessage, Quote } from "./contract.js";
import type { Adoption } from "./deliveries.js";
import { mayPass, messageOf } from "./errors.js";
import { reportUndelivered } from "./held.js";
import { hostLog } from "./host.js";
import { CHANNEL_ID, CHANNEL_LABEL, normalizeAllowEntry } from "./ids.js";
import { adopt, adoptAttachments, maxMediaBytes, type Attachment, type Attachments } from "./media.js";
import { Notices } from "./notices.js";
import { receiptOf, sendMedia, sendText, sendTyping } from "./outbound.js";
import { Strangers } from "./pairing.js";
import { ToolProgress } from "./progress.js";
import { NotReady, routeOf } from "./routing.js";
import { sidecar } from "./sidecar.js";
import { stateDir } from "./state-dir.js";
import type { Course } from "./turns.js";

/** iLink shows typing for a few seconds; the sidecar repeats it by itself, this only tells it that we still think. */
const TYPING_KEEPALIVE_MS = 20_000;
/** The sidecar gives up the files of a message after ten minutes, from their turn on. */
const FETCH_TIMEOUT_MS = 20 * 60_000;
/** The longest a turn is shown as typing. */
const TYPING_MAX_MS = 10 * 60_000;

/**
 * Why a held answer was not delivered, in the host's words: it is not missing, the channel has it. The adapter's own
 * outcome for it, `not_sent`, reads as a turn without any answer, and the host then tells the person that it failed: a
 * second message that would wait behind the first.
 */
const HELD = "channel_transform";
/** What reads as a turn without any answer and is none: a held or unconfirmed answer, and one that another plugin took away. */
const NO_FAILURE = /^(adapter_returned_no_send|(cancelled_by|empty_after)_\w+_hook)$/;

/** The sender's WeChat id is what iLink's server says over the account's authenticated connection. */
const IDENTITY = {
  key: "weixin-user-id",
  // Entries are brought to this form before; a sender's id is taken as it is, whatever it begins with.
  normalize: (value: string) => value.trim() || null,
  authentication: "verified",
  sensitivity: "pii",
  entryIdPrefix: "weixin-entry",
} as const;

/** What people are told of their messages. */
export const notices = new Notices((to, text, accountId, idempotencyKey, extra) => sendText({ to, text, accountId, idempotencyKey, extra }));

export type InboundDeps = {
  runtime: PluginRuntime;
  accountId: string;
  /** Somebody stops, who may do that. */
  onStop: (from: string) => void;
  onOutbound: () => void;
};

const strangers = new Strangers();

/** Hands messages of one person to the host, as one turn. Resolves when it is over; rejects when the host could not take them. */
export async function dispatchInbound(
  deps: InboundDeps,
  received: readonly InboundMessage[],
  adoption: Adoption & Omit<Course, "onAhead" | "onDecided" | "onQueued"> & { onRunning: () => void } & { isStopped: () => boolean },
): Promise<void> {
  const { runtime, accountId } = deps;
  if (adoption.isStopped()) return;
  let message = joined(received);
  // Asked anew for every message: allowlists and policies may change while the account runs.
  const cfg = runtime.config.current() as OpenClawConfig;
  const account = resolveAccount(cfg, stateDir(), accountId);
  const sender = message.from;
  const receivedAtMs = Date.now();

  const decide = ingressOf(runtime, cfg, account, message);
  const first = await decide();
  if (first.senderAccess.decision === "pairing") {
    const send = (text: string, idempotencyKey: string) => sendText({ to: sender, text, accountId, idempotencyKey });
    if (await strangers.answer(runtime, accountId, message, send)) deps.onOutbound();
    return;
  }
  if (first.senderAccess.decision !== "allow") {
    hostLog("info", `[${accountId}] message from ${sender} refused (${first.senderAccess.reasonCode}, dmPolicy ${account.dmPolicy})`);
    return;
  }

  const { route, ready } = await routeOf(runtime, cfg, accountId, sender);
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
  if (commandAuthorized && isAbortRequestText(message.text)) deps.onStop(sender);
  const own = parseCommand(message.text);
  if (own) {
    if (access.commandAccess.authorized) {
      await sendText({ to: sender, text: runCommand(own, message, receivedAtMs, stateDir()), accountId, idempotencyKey: `openclaw:command:${message.deliveryId}` });
      deps.onOutbound();
    } else {
      hostLog("info", `[${accountId}] /${own.name} of ${sender} refused: not authorized for commands`);
    }
    return;
  }

  // A command is for OpenClaw itself, and may be what puts things right.
  if (ready && !isCommand(runtime, cfg, message.text) && !isAbortRequestText(message.text)) {
    adoption.onHeld();
    await ready().catch((error: unknown) => {
      // Once, and not with every attempt.
      if (error instanceof NotReady && message.attempt === 1) void notices.tell(accountId, message, "unavailable");
      throw error;
    });
    if (adoption.isStopped()) return;
  }

  // Only now: whoever may not write here has nothing fetched for them.
  if (message.deferMedia) {
    adoption.onHeld();
    const whole: InboundMessage[] = [];
    for (const one of received) whole.push(one.deferMedia ? { ...one, ...(await fetchMedia(one.deliveryId)) } : one);
    message = joined(whole);
    if (adoption.isStopped()) return;
  }
  const maxBytes = maxMediaBytes(cfg);
  const attachments = await adoptAttachments(message, maxBytes);
  const quoted = message.quote?.media ? await adopt(message.quote.media, maxBytes) : undefined;
  const body = bodyOf(message, attachments);
  // A turn that had just begun when this message came may be about to end by now.
  await adoption.notEnding();
  if (adoption.isStopped()) return;
  if (message.parts.some((part) => part.type !== "unknown" && part.error)) void notices.tell(accountId, message, "media");

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
      // With what OpenClaw noted of a binding, by which it sees that that has changed meanwhile.
      ...route,
      accountId,
      routeSessionKey: route.sessionKey,
      dispatchSessionKey: route.sessionKey,
      mainSessionKey: route.mainSessionKey,
    },
    reply: { to: sender, originatingTo: sender },
    media: toInboundMediaFacts(attachments.files.map((file) => factOf(file, message.messageId))),
    ...(message.quote ? { supplemental: { quote: quoteOf(message.quote, sender, quoted) } } : {}),
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
  const progress = new ToolProgress(accountId, sender, `weixin-${message.deliveryId}`);
  const showsProgress = channelConfig(cfg as Parameters<typeof channelConfig>[0]).replyProgressMessages ?? false;
  adoption.onDeciding();
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
      // Final answers go through the host's outbound queue, which survives a crash; see the message adapter. The host asks
      // this right before it sends.
      durable: (_payload, info) => {
        if (info.kind === "final") {
          progress.end();
          adoption.onAnswering();
        }
        return { to: sender };
      },
      // What that queue does not take: partial answers, and payloads it cannot carry.
      deliver: async (payload) => {
        const text = payload.text?.trim() ? payload.text : undefined;
        const media = payload.mediaUrls?.length ? payload.mediaUrls : payload.mediaUrl ? [payload.mediaUrl] : [];
        const send = { to: sender, accountId };
        const key = () => `openclaw:turn:${message.deliveryId}:${message.attempt}:${(blocks += 1)}`;
        const results = [];
        if (text && media.length === 0) results.push(await sendText({ ...send, text, idempotencyKey: key() }));
        for (const [index, mediaUrl] of media.entries()) {
          const access = { mediaLocalRoots: getAgentScopedMediaLocalRoots(cfg, route.agentId) };
          const caption = index === 0 && text ? { text } : {};
          results.push(await sendMedia({ ...send, ...caption, mediaUrl, access, maxBytes, idempotencyKey: key() }));
        }
        const undelivered = results.find((result) => result.status !== "sent");
        if (undelivered) reportUndelivered(accountId, sender, undelivered);
        const sent = results.filter((result) => result.status === "sent");
        if (sent.length === 0) return { visibleReplySent: false, suppression: { reason: HELD } };
        const ids = sent.flatMap((result) => (result.messageIds.length > 0 ? result.messageIds : result.clientIds));
        return { visibleReplySent: true, messageIds: ids, receipt: receiptOf(ids, media.length > 0 ? "media" : "text"), ...(text ? { content: text } : {}) };
      },
      observeMessageSent: true,
      onDelivered: async (_payload, info, result) => {
        if (!result || result.visibleReplySent !== false) {
          deps.onOutbound();
          if (info.kind === "final" && isDebug(accountId, stateDir())) {
            const text = debugLine(message, receivedAtMs, Date.now());
            await sendText({ to: sender, text, accountId, idempotencyKey: `openclaw:debug:${message.deliveryId}`, extra: true }).catch(() => {});
          }
          return;
        }
        if (result.suppression && NO_FAILURE.test(result.suppression.reason)) result.suppression.reason = HELD;
      },
      onError: (error, info) => {
        // The host keeps a final answer and tries again, also in the copy of the plugin that comes after a reload.
        const kept = info.kind === "final" && mayPass(error);
        hostLog(kept ? "warn" : "error", `[${accountId}] ${info.kind} answer to ${sender} was not sent${kept ? " yet" : ""}: ${messageOf(error)}`);
        if (info.kind === "final" && !kept) void notices.tell(accountId, message, "turn");
      },
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
      // OpenClaw adopts no turn of a harness (ACP): it is over when its dispatch ends.
      onAgentRunStart: () => adoption.onRunning(),
      // OpenClaw tells of tools only where a person turned on /verbose, or where the channel shows them in its own way.
      ...(showsProgress ? { onItemEvent: progress.onItemEvent, suppressDefaultToolProgressMessages: true } : {}),
      turnAdoptionLifecycle: {
        admission: "exclusive",
        onAdopted: adoption.onAdopted,
        onDeferred: () => {
          adoption.onDeferred();
          return true;
        },
        onAbandoned: adoption.onAbandoned,
        onSettled: adoption.onSettled,
      },
    },
  });
}

/** The files of a message, and what depends on them. */
async function fetchMedia(deliveryId: string): Promise<Partial<InboundMessage>> {
  return await sidecar().process.request("inbound.fetchMedia", { deliveryId }, { timeoutMs: FETCH_TIMEOUT_MS });
}

type ContextBinding = NonNullable<Parameters<PluginRuntime["channel"]["inbound"]["ingress"]["resolveStable"]>[0]["contextBinding"]>;

/** The host's decision on this message, asked once before and once after the route is known. */
function ingressOf(runtime: PluginRuntime, cfg: OpenClawConfig, account: ResolvedAccount, message: InboundMessage) {
  const { pairing, inbound } = runtime.channel;
  const wantsCommand = mayHoldCommand(runtime, cfg, message.text);
  // Who scanned the QR code owns the bot: no pairing with oneself.
  const allowFrom = [...account.allowFrom.map(normalizeAllowEntry), ...(account.userId ? [account.userId] : [])];
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
      readStoreAllowFrom: async () => {
        const approved = await pairing.readAllowFromStore({ channel: CHANNEL_ID, accountId: account.accountId });
        return approved.map(normalizeAllowEntry);
      },
      ...(contextBinding ? { contextBinding } : {}),
      ...(wantsCommand ? { command: {} } : {}),
    });
}

/** What the agent reads: the text, and a sentence for each part whose content is not here. Files are facts beside it. */
function bodyOf(message: InboundMessage, attachments: Attachments): string {
  const text = message.text.trim() === "" ? [] : [message.text];
  const body = [...text, ...attachments.notices].join("\n");
  return body || (attachments.files.length > 0 ? "" : "[empty message]");
}

function factOf(file: Attachment, messageId: string) {
  return {
    path: file.path,
    contentType: file.contentType ?? null,
    fileName: file.fileName ?? null,
    durationMs: file.durationMs ?? null,
    transcribed: file.transcribed,
    messageId,
  };
}

/** The quoted message as reply context: what the person selected of it, its file as an attachment. */
function quoteOf(quote: Quote, sender: string, file: Attachment | undefined) {
  const text = quote.selectedText ?? quote.text;
  const body = text ?? (quote.resolved || file ? undefined : "[The quoted message is not known here any more.]");
  return {
    ...(quote.messageId ? { id: quote.messageId, fullId: quote.messageId } : {}),
    ...(body ? { body } : {}),
    ...(quote.fromBot === false ? { sender } : {}),
    // Both sides of the conversation may be read by the person who quotes.
    senderAllowed: true,
    isQuote: true,
    ...(quote.fromBot === true ? { isSelf: true } : {}),
    ...(file ? { media: toInboundMediaFacts([factOf(file, quote.messageId ?? "")]) } : {}),
  };
}
