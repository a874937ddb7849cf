/** What a person is told when something of theirs did not work: in their language, seldom, and nothing of the inside. */
import type { InboundMessage } from "./contract.js";
import { messageOf } from "./errors.js";
import { hostLog } from "./host.js";
import { languageOf } from "./locale.js";
import { Recently } from "./recently.js";

/** One notice to a person within this time. */
const QUIET_MS = 60_000;

const TEXTS = {
  media: {
    en: "⚠️ Something you sent could not be received. Please send it again.",
    "zh-CN": "⚠️ 您发送的内容接收失败，请重新发送。",
  },
  unavailable: {
    en: "⚠️ Whom you are talking with here cannot be reached now. Your message is kept, and tried again.",
    "zh-CN": "⚠️ 当前对话所绑定的助手暂时无法使用。您的消息已保留，稍后会自动重试。",
  },
  turn: {
    en: "⚠️ Something went wrong and your message was not answered. Please try again.",
    "zh-CN": "⚠️ 出了点问题，您的消息未能得到回复，请稍后重试。",
  },
};

export type Notice = keyof typeof TEXTS;

/** Tells a person. An `extra` notice gives way where only one message is left: an answer is still to come. */
export type Tell = (to: string, text: string, accountId: string, key: string, extra: boolean) => Promise<unknown>;

export class Notices {
  readonly #told: Recently;
  readonly #send: Tell;

  constructor(send: Tell, now?: () => number) {
    this.#send = send;
    this.#told = new Recently(QUIET_MS, now);
  }

  /** Tells whoever sent `message`, unless they were told something a moment ago. Never rejects. */
  async tell(accountId: string, message: InboundMessage, notice: Notice): Promise<void> {
    const who = `${accountId}\n${message.from}`;
    if (this.#told.has(who)) return;
    this.#told.note(who);
    try {
      await this.#send(message.from, TEXTS[notice][languageOf(message.text)], accountId, `openclaw:notice:${notice}:${message.deliveryId}`, notice === "media");
    } catch (error) {
      hostLog("warn", `[${accountId}] ${message.from} could not be told that something went wrong: ${messageOf(error)}`);
    }
  }
}
