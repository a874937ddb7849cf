/** What strangers are told: the host's pairing code, in their language, once an hour at most; and that they were let in. */
import type { PluginRuntime } from "openclaw/plugin-sdk/channel-core";
import { createChannelPairingChallengeIssuer } from "openclaw/plugin-sdk/channel-pairing";
import { formatCliCommand } from "openclaw/plugin-sdk/setup-tools";

import type { InboundMessage } from "./contract.js";
import { messageOf } from "./errors.js";
import { hostLog } from "./host.js";
import { CHANNEL_ID } from "./ids.js";
import { languageOf, type Language } from "./locale.js";
import { Recently } from "./recently.js";

/** A request that somebody dismissed makes room for a new one, with a new code: the person has had one a moment ago. */
const QUIET_MS = 3_600_000;

/** A stranger could not be answered. It is tried again, and given up without a word: they are nobody's guest yet. */
export class PairingNotSent extends Error {
  constructor(cause: unknown) {
    super(`the pairing code was not sent: ${messageOf(cause)}`, { cause });
  }
}

/** Sends a text under a key that keeps it from being seen twice. */
type Send = (text: string, idempotencyKey: string) => Promise<unknown>;

export class Strangers {
  readonly #told = new Recently(QUIET_MS);

  /**
   * Answers whoever may not write yet. The code is sent again only where the same message comes again, because then this process, or the
   * one before it, may have ended between noting the request and sending the code. Returns whether something was sent.
   */
  async answer(runtime: PluginRuntime, accountId: string, message: InboundMessage, send: Send): Promise<boolean> {
    const who = `${accountId}\n${message.from}`;
    const again = message.attempt > 1;
    if (!again && this.#told.has(who)) return false;
    const language = languageOf(message.text);
    let request: { code: string; created: boolean } | undefined;
    let failure: unknown;
    const textFor = (code: string) => textOf(language, runtime, message.from, code);
    const reply = async (text: string) => {
      await send(text, `openclaw:pairing:${message.deliveryId}`);
      this.#told.note(who);
      hostLog("info", `[${accountId}] pairing code sent to ${message.from}; approve with: openclaw pairing approve ${CHANNEL_ID} <code>`);
    };
    const issue = createChannelPairingChallengeIssuer({
      channel: CHANNEL_ID,
      accountId,
      upsertPairingRequest: async ({ id, meta }) => (request = await runtime.channel.pairing.upsertPairingRequest({ channel: CHANNEL_ID, accountId, id, ...(meta ? { meta } : {}) })),
    });
    await issue({
      senderId: message.from,
      senderIdLine: message.from,
      // For the text that follows the approval.
      meta: { language },
      buildReplyText: ({ code }) => textFor(code),
      sendPairingReply: reply,
      onReplyError: (error) => (failure = error),
    });
    if (failure) throw new PairingNotSent(failure);
    if (request?.created) return true;
    if (request && !request.code) {
      hostLog("warn", `[${accountId}] ${message.from} asked to be let in, but too many pairing requests are open (openclaw pairing list ${CHANNEL_ID})`);
      return false;
    }
    if (!again || !request) return false;
    await reply(textFor(request.code)).catch((error: unknown) => {
      throw new PairingNotSent(error);
    });
    return true;
  }
}

function textOf(language: Language, runtime: PluginRuntime, from: string, code: string): string {
  if (language === "en") return runtime.channel.pairing.buildPairingReply({ channel: CHANNEL_ID, idLine: `Your WeChat user id: ${from}`, code });
  return [
    "OpenClaw：你还没有使用权限。",
    "",
    `你的微信用户 ID：${from}`,
    "配对码：",
    "```",
    code,
    "```",
    "",
    "请把配对码发给机器人的主人，由他运行：",
    "```",
    formatCliCommand(`openclaw pairing approve ${CHANNEL_ID} ${code}`),
    "```",
  ].join("\n");
}

/** What a person is told who was let in. `meta` is what their request carried. */
export function welcome(meta?: Record<string, string | undefined>): string {
  const language = meta?.language === "zh-CN" || meta?.language === "en" ? meta.language : languageOf("");
  return language === "zh-CN" ? "✅ 你已获准使用这个机器人，发条消息就可以开始了。" : "✅ You may now talk to this bot. Send a message to begin.";
}
