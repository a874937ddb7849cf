/**
 * The host's hooks around what the host does not send itself: messages that the sidecar kept, of whose end the host hears nothing, and those that a
 * command hands to the gateway.
 */
import type { OutboundUpdate } from "./contract.js";
import { messageOf } from "./errors.js";
import { hostLog } from "./host.js";
import { CHANNEL_ID } from "./ids.js";

/** A message on its way to a person. */
type Outgoing = { to: string; accountId?: string | null | undefined; text: string };
type Ended = Outgoing & Pick<OutboundUpdate, "status" | "messageIds" | "error">;

/** The host's part in this, which not every process needs. */
export async function loadHooks() {
  return { ...(await import("openclaw/plugin-sdk/plugin-runtime")), ...(await import("openclaw/plugin-sdk/hook-runtime")) };
}

async function hooksOf(name: "message_sending" | "message_sent") {
  const hooks = (await loadHooks()).getGlobalHookRunner();
  return hooks?.hasHooks(name) ? hooks : undefined;
}

/**
 * Asks other plugins what becomes of a message: its text as they want it, or why they do not want it sent. As with the host's sends, one that fails
 * changes nothing. `file`: the path or the URL of a file that goes with it.
 */
export async function whatHooksSay({ to, accountId, text, file }: Outgoing & { file?: string | null | undefined }): Promise<{ text: string; cancelled?: string }> {
  const hooks = await hooksOf("message_sending");
  if (!hooks) return { text };
  try {
    const account = accountId ? { accountId } : {};
    const event = { to, content: text, metadata: { channel: CHANNEL_ID, ...account, mediaUrls: file ? [file] : [] } };
    const said = await hooks.runMessageSending(event, { channelId: CHANNEL_ID, conversationId: to, ...account });
    return said?.cancel ? { text, cancelled: said.cancelReason ?? "" } : { text: said?.content ?? text };
  } catch (error) {
    hostLog("warn", `a message_sending hook failed: ${messageOf(error)}`);
    return { text };
  }
}

/** Tells other plugins how a message ended. Never rejects. */
export async function reportSent(update: Ended): Promise<void> {
  await tellHooks(update).catch((error: unknown) => hostLog("warn", `message_sent was not reported: ${messageOf(error)}`));
}

async function tellHooks(update: Ended): Promise<void> {
  const hooks = await hooksOf("message_sent");
  if (!hooks) return;
  const { buildCanonicalSentMessageHookContext, fireAndForgetHook, toPluginMessageContext, toPluginMessageSentEvent } = await loadHooks();
  const messageId = update.messageIds?.at(-1);
  const sent = buildCanonicalSentMessageHookContext({
    to: update.to,
    content: update.text,
    success: update.status === "sent",
    channelId: CHANNEL_ID,
    conversationId: update.to,
    ...(update.accountId ? { accountId: update.accountId } : {}),
    ...(messageId ? { messageId } : {}),
    ...(update.status === "sent" ? {} : { error: update.error ?? update.status }),
  });
  const run = hooks.runMessageSent(toPluginMessageSentEvent(sent), toPluginMessageContext(sent));
  fireAndForgetHook(Promise.resolve(run), "openclaw-weixin: a message_sent hook failed", (text) => hostLog("warn", text));
}
