/** The channel as the gateway runs it. */
import type { ChannelPlugin } from "openclaw/plugin-sdk/channel-core";

import { namedAccount, type HostConfig, type ResolvedAccount } from "./accounts.js";
import { allowlistAdapter } from "./allowlist.js";
import { approvalCapability } from "./approvals.js";
import { bindings, conversationBindings } from "./bindings.js";
import { channelBase } from "./channel-base.js";
import { directory, resolver } from "./directory.js";
import { messageOf } from "./errors.js";
import { hostLog } from "./host.js";
import { CHANNEL_ID, normalizeTarget } from "./ids.js";
import { loginWithQrStart, loginWithQrWait, logoutAccount } from "./login.js";
import { messageAdapter, outboundAdapter, sendText, sendTyping } from "./outbound.js";
import { welcome } from "./pairing.js";
import { checkReady } from "./readiness.js";
import { stateDir } from "./state-dir.js";
import type { Probe } from "./status.js";

export const weixinPlugin: ChannelPlugin<ResolvedAccount, Probe> = {
  ...channelBase,
  // The Control UI asks these of one channel: the one whose QR code it shows.
  gatewayMethodDescriptors: [{ name: "web.login.start" }, { name: "web.login.wait" }],
  gateway: {
    startAccount: async (ctx) => {
      // The inbound path pulls in much of the host's interface; commands that only send or log in never need it.
      const { runAccount } = await import("./monitor.js");
      await runAccount(ctx);
    },
    loginWithQrStart,
    loginWithQrWait,
    logoutAccount,
  },
  outbound: outboundAdapter,
  message: messageAdapter,
  pairing: {
    ...channelBase.pairing,
    notifyApproval: async ({ id, accountId, meta }) => {
      try {
        await sendText({ to: id, text: welcome(meta), accountId });
      } catch (error) {
        // The approval stands; the person finds out with their next message.
        hostLog("warn", `${id} was approved but could not be told: ${messageOf(error)}`);
      }
    },
  },
  messaging: {
    ...channelBase.messaging,
    resolveOutboundSessionRoute: async ({ cfg, agentId, accountId, target }) => {
      const to = normalizeTarget(target);
      if (!to) return null;
      const { buildChannelOutboundSessionRoute } = await import("openclaw/plugin-sdk/channel-core");
      return buildChannelOutboundSessionRoute({
        cfg,
        agentId,
        channel: CHANNEL_ID,
        accountId: namedAccount(cfg as HostConfig, stateDir(), accountId),
        recipientSessionExact: true,
        peer: { kind: "direct", id: to },
        chatType: "direct",
        from: `${CHANNEL_ID}:${to}`,
        to,
      });
    },
  },
  bindings,
  conversationBindings,
  approvalCapability,
  allowlist: allowlistAdapter,
  directory,
  resolver,
  heartbeat: {
    checkReady: ({ cfg, accountId }) => checkReady({ cfg, ...(accountId ? { accountId } : {}) }),
    sendTyping: ({ to, accountId }) => sendTyping(to, true, accountId),
    clearTyping: ({ to, accountId }) => sendTyping(to, false, accountId),
    sendTypingGuarded: async ({ to, accountId, signal, assertPlatformSendAuthorized }) => {
      if (signal.aborted) return;
      assertPlatformSendAuthorized();
      await sendTyping(to, true, accountId);
    },
  },
  agentPrompt: {
    messageToolHints: () => [
      "WeChat conversations are one-to-one. To answer the person you are talking with, just reply; `to` is not needed.",
      "To write to somebody else on WeChat, `to` is their id, which ends in @im.wechat. They must have written to the bot before, and recently: WeChat drops messages to people who have been silent for a day.",
      "A scheduled task that should report on WeChat needs both delivery.to (the person's id ending in @im.wechat) and delivery.accountId (the current account id), because nobody is talking when it runs.",
      "Files are sent with the message tool's media parameter (a path in the workspace or an http(s) URL): pictures and videos are shown as such, everything else as a file. A caption goes before the file as a message of its own.",
      "WeChat lets a bot send only about ten messages for each message it gets. Prefer one complete answer to several short ones.",
      "A WeChat message that cannot be sent now is kept and sent by itself as soon as WeChat allows it, mostly when the person writes again. The message tool then reports it as suppressed (adapter_returned_no_send): not delivered yet, not lost. The same is reported where WeChat took a message without confirming it; then they will most likely not see it. In neither case send it again; if it is urgent, reach the person another way.",
    ],
    inboundFormattingHints: () => ({
      text_markup: "markdown",
      rules: [
        "Bold, strikethrough, inline code, code blocks, quotes, lists, tables and headings up to level 4 are shown.",
        "Images in Markdown are not shown, and neither is italic around Chinese text.",
      ],
    }),
  },
};
