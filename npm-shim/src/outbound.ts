/** Sends: the host's outbound and message adapters over `outbound.sendText` and `outbound.sendMedia`. */
import type { ChannelPlugin } from "openclaw/plugin-sdk/channel-core";
// Not when it is needed: a turn that outlives its plugin's reload cannot import anything any more.
import { PlatformMessageNotDispatchedError } from "openclaw/plugin-sdk/error-runtime";

import { namedAccount, type HostConfig } from "./accounts.js";
import type { SendResult } from "./contract.js";
import { isSidecarError, messageOf } from "./errors.js";
import { reportUndelivered } from "./held.js";
import { hostLog, runsAccounts } from "./host.js";
import { CHANNEL_ID, looksLikeUserId, normalizeTarget } from "./ids.js";
import { maxMediaBytes, withStaged, type MediaAccess } from "./media.js";
import { asHooksWant, Cancelled, throughGateway, type Relayed } from "./relay.js";
import { sendHere, type SendMethod } from "./sending.js";
import { sidecar } from "./sidecar.js";
import { stateDir } from "./state-dir.js";

type OutboundAdapter = NonNullable<ChannelPlugin["outbound"]>;
type MessageAdapter = NonNullable<ChannelPlugin["message"]>;
type SendTextContext = Parameters<NonNullable<NonNullable<MessageAdapter["send"]>["text"]>>[0];
type SendMediaContext = Parameters<NonNullable<NonNullable<MessageAdapter["send"]>["media"]>>[0];
type MessageSendResult = Awaited<ReturnType<NonNullable<NonNullable<MessageAdapter["send"]>["text"]>>>;
export type Receipt = MessageSendResult["receipt"];

/** Longer than a wire message: the sidecar cuts texts itself, at the places where WeChat readers would. */
const HOST_CHUNK_LIMIT = 1_000_000;
export type TextSend = {
  to: string;
  text: string;
  accountId?: string | null | undefined;
  runId?: string | undefined;
  /** The same key never sends twice, also after a restart of both sides. */
  idempotencyKey?: string | undefined;
  /** It is worth less than an answer, and never takes the last message that WeChat allows. */
  extra?: boolean | undefined;
  /** From a command, not from the gateway: the gateway is to send it, where there is one. */
  viaGateway?: boolean | undefined;
};

export type MediaSend = Omit<TextSend, "text"> & {
  /** A path or a URL, as the host names it. */
  mediaUrl: string;
  /** What is said of it. */
  text?: string | undefined;
  /** How the host lets it be read. */
  access: MediaAccess;
  maxBytes: number;
  kind?: "auto" | "file" | "voice" | undefined;
};

/** Sends a file that the host's loader lets through. */
export async function sendMedia(send: MediaSend): Promise<SendResult> {
  const to = normalizeTarget(send.to);
  if (!to) throw new Error('No recipient. Name one as "<id>@im.wechat".');
  return await withStaged(send.mediaUrl, send.access, send.maxBytes, async (staged) => {
    const params = {
      to,
      path: staged.path,
      fileName: staged.fileName,
      kind: send.kind ?? "auto",
      ...(send.text?.trim() ? { text: send.text } : {}),
      ...(send.accountId ? { accountId: send.accountId } : {}),
      ...(send.idempotencyKey ? { idempotencyKey: send.idempotencyKey } : {}),
    } as const;
    return await request({ method: "outbound.sendMedia", request: params, file: send.mediaUrl }, send.viaGateway);
  });
}

export async function sendText(send: TextSend): Promise<SendResult> {
  const to = normalizeTarget(send.to);
  if (!to) throw new Error('No recipient. Name one as "<id>@im.wechat".');
  const params = {
    to,
    text: send.text,
    ...(send.accountId ? { accountId: send.accountId } : {}),
    ...(send.runId ? { runId: send.runId } : {}),
    ...(send.idempotencyKey ? { idempotencyKey: send.idempotencyKey } : {}),
    ...(send.extra ? { extra: true } : {}),
  };
  return await request({ method: "outbound.sendText", request: params }, send.viaGateway);
}

async function request<M extends SendMethod>(send: Relayed<M>, viaGateway = false): Promise<SendResult> {
  const result = viaGateway ? await throughGateway(send) : undefined;
  return result ?? (await sendHere(send.method, send.request));
}

/**
 * What the host records of a send. A held message is not a delivered one, and neither is one that WeChat took without
 * confirming it: the host hears `not_sent`, so it neither counts it as sent nor sends it again. The sidecar sends a held
 * one by itself when it can; an unconfirmed one is at its end.
 */
export function toMessageResult(result: SendResult, kind: "text" | "media" = "text"): MessageSendResult {
  if (result.status !== "sent") {
    return { outcome: "not_sent", receipt: receiptOf([]) };
  }
  // Older servers name no message id; the client id identifies the message just as well.
  const ids = result.messageIds.length > 0 ? result.messageIds : result.clientIds;
  return { messageId: ids[0] ?? "", receipt: receiptOf(ids, kind) };
}

export function receiptOf(ids: readonly string[], kind: "text" | "media" = "text"): Receipt {
  return {
    ...(ids[0] === undefined ? {} : { primaryPlatformMessageId: ids[0] }),
    platformMessageIds: [...ids],
    parts: ids.map((platformMessageId, index) => ({ platformMessageId, kind, index })),
    sentAt: Date.now(),
  };
}

/** Names one platform send of one durable intent of the host's queue; stable over restarts of the gateway. */
function keyOf(ctx: { deliveryQueueId?: string; deliveryPartIndex?: number }): string | undefined {
  return ctx.deliveryQueueId ? `openclaw:${ctx.deliveryQueueId}:${ctx.deliveryPartIndex ?? 0}` : undefined;
}

async function sendTextFromHost(ctx: SendTextContext): Promise<MessageSendResult> {
  const { to, text } = ctx;
  return await sendFromHost(ctx, "text", { to, text }, (origin) => sendText({ to, ...origin }));
}

async function sendMediaFromHost(ctx: SendMediaContext): Promise<MessageSendResult> {
  const { to, mediaUrl, text } = ctx;
  const maxBytes = maxMediaBytes(ctx.cfg);
  const kind = ctx.audioAsVoice ? "voice" : ctx.forceDocument ? "file" : "auto";
  const message = { to, text: text ?? "", file: mediaUrl };
  return await sendFromHost(ctx, "media", message, (origin) => sendMedia({ to, mediaUrl, access: ctx, maxBytes, kind, ...origin }));
}

async function sendFromHost(
  ctx: SendTextContext,
  of: "text" | "media",
  message: { to: string; text: string; file?: string },
  send: (origin: Pick<TextSend, "text" | "accountId" | "idempotencyKey" | "viaGateway">) => Promise<SendResult>,
): Promise<MessageSendResult> {
  ctx.signal?.throwIfAborted();
  await ctx.onPlatformSendDispatch?.();
  ctx.assertDirectAdapterHandoff?.();
  const idempotencyKey = keyOf(ctx);
  // A scheduled task may name it. Where none is named, the sidecar finds the one that knows the person.
  const accountId = namedAccount(ctx.cfg as HostConfig, stateDir(), ctx.accountId);
  let result: SendResult;
  try {
    // Before a file is loaded: where this copy of the plugin is retired, nothing was sent, whatever fails then.
    sidecar();
    const viaGateway = !runsAccounts();
    const { text, done } = viaGateway ? { text: message.text, done: () => {} } : await asHooksWant(idempotencyKey, { ...message, accountId });
    result = await send({ text, accountId, idempotencyKey, viaGateway });
    done();
  } catch (error) {
    if (error instanceof Cancelled) {
      hostLog("warn", `The message to ${ctx.to} is not sent: a plugin of the gateway cancelled it${error.message ? ` (${error.message})` : ""}.`);
      return { outcome: "not_sent", receipt: receiptOf([]) };
    }
    throw asHostError(error, idempotencyKey !== undefined);
  }
  reportUndelivered(accountId, ctx.to, result);
  const sent = toMessageResult(result, of);
  if (sent.outcome !== "not_sent") await ctx.onDeliveryResult?.(sent);
  return sent;
}

/** Errors that come before anything was sent. */
const BEFORE_SENDING = new Set<string>([
  "binary_missing",
  "binary_wrong_platform",
  "binary_not_executable",
  "platform_unsupported",
  "spawn_failed",
  "handshake_timeout",
  "protocol_mismatch",
  "sidecar_too_old",
  "crash_loop",
  "stopped",
  "invalid_params",
  "not_initialized",
  "account_not_found",
  "account_not_configured",
  "account_ambiguous",
  "session_expired",
]);

/**
 * The host gives up a queued message whose outcome it does not know, so as not to send it twice. A send with a key
 * cannot be seen twice whatever happened to it, so the host may try it again; whether that has any point, the sidecar
 * says.
 */
function asHostError(error: unknown, keyed: boolean): unknown {
  if (!isSidecarError(error)) return error;
  if (!keyed && !BEFORE_SENDING.has(error.kind)) return error;
  return new PlatformMessageNotDispatchedError(error.message, { cause: error, retryable: error.retryable });
}

export const messageAdapter: MessageAdapter = {
  id: CHANNEL_ID,
  durableFinal: {
    capabilities: { text: true, media: true, messageSendingHooks: true, reconcileUnknownSend: true },
    // With this the host gives every single-payload send the id of its queue row, which makes it idempotent.
    automaticUnknownSendReconciliation: true,
    reconcileUnknownSendKinds: { text: true, media: true },
    /**
     * After a crash the host does not know whether a queued send went out. Sending again under the same key is
     * always safe here: the sidecar returns the first result where there was one.
     */
    reconcileUnknownSend: () => ({ status: "not_sent" }),
  },
  send: { text: sendTextFromHost, media: sendMediaFromHost },
  receive: { defaultAckPolicy: "manual", supportedAckPolicies: ["manual"] },
};

export const outboundAdapter: OutboundAdapter = {
  deliveryMode: "direct",
  chunker: null,
  textChunkLimit: HOST_CHUNK_LIMIT,
  resolveTarget: ({ to }) => {
    const target = normalizeTarget(to ?? "");
    return target && looksLikeUserId(target)
      ? { ok: true, to: target }
      : { ok: false, error: new Error(`"${to ?? ""}" is not a WeChat user id. It looks like <id>@im.wechat; the person must have written to the bot before.`) };
  },
  sendText: async (ctx) => toLegacyResult(await sendTextFromHost({ ...ctx, onDeliveryResult: undefined } as SendTextContext)),
  sendMedia: async (ctx) => toLegacyResult(await sendMediaFromHost({ ...ctx, onDeliveryResult: undefined } as SendMediaContext)),
};

function toLegacyResult(sent: MessageSendResult) {
  return {
    channel: CHANNEL_ID,
    messageId: sent.messageId ?? "",
    receipt: sent.receipt,
    ...(sent.outcome ? { outcome: sent.outcome } : {}),
  };
}

/** Typing is decoration: it never fails anything. */
export async function sendTyping(to: string, active: boolean, accountId?: string | null): Promise<void> {
  const target = normalizeTarget(to);
  if (!target) return;
  try {
    await sidecar().process.requestIfRunning("outbound.sendTyping", { to: target, active, ...(accountId ? { accountId } : {}) });
  } catch (error) {
    if (!isSidecarError(error) || !error.retryable) hostLog("debug", `typing: ${messageOf(error)}`);
  }
}
