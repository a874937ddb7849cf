/**
 * The host's `message_sent` hook for held messages. The host reports what it sends itself; of a message that the sidecar
 * keeps it hears nothing more, so its end is reported from here.
 */
import type { OutboundUpdate } from "./contract.js";
import { hostLog } from "./host.js";
import { CHANNEL_ID } from "./ids.js";

/** Tells other plugins how a held message ended. */
export async function reportSent(update: OutboundUpdate & { to: string }): Promise<void> {
  const { getGlobalHookRunner } = await import("openclaw/plugin-sdk/plugin-runtime");
  const hooks = getGlobalHookRunner();
  if (!hooks?.hasHooks("message_sent")) return;
  const { buildCanonicalSentMessageHookContext, fireAndForgetHook, toPluginMessageContext, toPluginMessageSentEvent } = await import(
    "openclaw/plugin-sdk/hook-runtime"
  );
  const messageId = update.messageIds?.at(-1);
  const sent = buildCanonicalSentMessageHookContext({
    to: update.to,
    content: update.text ?? "",
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
