// People who write while something happens to the gateway, and what became of their messages.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

import { until } from "./processes.mjs";
import { pause } from "./talk.mjs";

const EVERY_MS = 500;
/** So many may wait for their answer before the next one writes, or writes after a while all the same. */
const AT_ONCE = 3;
const UNANSWERED_MS = 2_500;
/** So many never wait: a machine that cannot keep up would never be done. */
const AT_MOST = 10;
/**
 * After so many everybody is answered, or that was waited for this long, and then nobody writes for a while: OpenClaw puts some
 * changes off until nothing runs, and a turn runs on after its answer.
 */
const BETWEEN_RESTS = 6;
const UNTIL_REST_MS = 15_000;
const REST_MS = 3_000;
const LONGEST_REST_MS = 30_000;
/** How often it is looked. It costs what the gateway needs. */
const LOOK_MS = 250;

const somebody = () => `${randomUUID()}@im.wechat`;

/**
 * A new person writes every half second, to one bot after the other: no message waits behind another. Fewer where the
 * machine is slow, because OpenClaw puts some changes off until nothing runs. Without bots nobody writes.
 */
export class Traffic {
  #simulator;
  #gateway;
  #asked = [];
  #over = false;
  #writing;
  #sidecars = new Set();
  #most = 0;
  #restMs = REST_MS;

  /** Traffic while `work` runs, and no longer, however it ends. Resolves as `work` does. */
  static async during(here, work) {
    const traffic = new Traffic(here);
    try {
      return await work(traffic);
    } finally {
      traffic.#over = true;
    }
  }

  constructor({ simulator, gateway, bots }) {
    this.#simulator = simulator;
    this.#gateway = gateway;
    this.#writing = this.#write(bots);
    this.#watch();
  }

  /** Every sidecar of the gateway that was seen since. */
  get sidecars() {
    return [...this.#sidecars];
  }

  /** How many people have written. */
  get written() {
    return this.#asked.length;
  }

  /** OpenClaw refused something because a turn ran: from now on the rests are twice as long. */
  restLonger() {
    this.#restMs = Math.min(2 * this.#restMs, LONGEST_REST_MS);
  }

  /** One more message, of a person of its own. */
  async ask(bot, text) {
    const message = { from: somebody(), text };
    this.#asked.push(message);
    await this.#simulator.write(bot.botId, message.from, message.text);
  }

  /**
   * Stops writing, and waits until everybody was answered, each once, and nobody was polled twice. Returns how many were told
   * `instead`, where the host may say that in place of an answer.
   */
  async settle({ instead, sidecarsAtOnce = 1 } = {}) {
    this.#over = true;
    await this.#writing;
    const heard = (sent, { from }) => sent.filter((one) => one.to === from).map((one) => one.text);
    const answers = ({ text }) => (said) => said === `echo: ${text}` || (instead !== undefined && instead.test(said));
    const unanswered = async () => {
      const sent = await this.#simulator.sent();
      return this.#asked.filter((message) => !heard(sent, message).some(answers(message))).map(({ text }) => text);
    };
    const told = () => {
      const lines = this.#gateway.output.split("\n").filter((line) => /weixin|reload|admission|restart|deliver/.test(line));
      return lines.slice(-60).join("\n");
    };
    await until("all answers", async () => (await unanswered()).length === 0, { everyMs: 250 }).catch(async () =>
      assert.fail(`no answer to ${(await unanswered()).join(" ")}\n${told()}`),
    );
    // What would be said twice is said again soon.
    await pause(3_000);
    const sent = await this.#simulator.sent();
    for (const message of this.#asked) {
      const said = heard(sent, message);
      assert.ok(said.length === 1 && said.every(answers(message)), `${message.text} was answered: ${JSON.stringify(said)}\n${told()}`);
    }
    assert.ok(this.#most <= sidecarsAtOnce, `${this.#most} sidecars at once`);
    for (const bot of (await this.#simulator.state()).bots) assert.equal(bot.maxActivePolls, 1, `${bot.botId} was polled twice at once`);
    return instead ? this.#asked.filter((message) => heard(sent, message).some((said) => instead.test(said))).length : 0;
  }

  async #write(bots) {
    const already = (await this.#simulator.sent()).filter(({ text }) => text?.includes("#meanwhile-")).length;
    for (let n = 0; !this.#over && bots.length > 0; n += 1) {
      const message = { from: somebody(), text: `#meanwhile-${n}.` };
      await this.#simulator.write(bots[n % bots.length].botId, message.from, message.text);
      this.#asked.push(message);
      await pause(EVERY_MS);
      const answered = async () => (await this.#simulator.sent()).filter(({ text }) => text?.includes("#meanwhile-")).length - already;
      const open = async () => (this.#over ? 0 : n + 1 - (await answered()));
      await until("room for one more", async () => (await open()) < AT_ONCE, { timeoutMs: UNANSWERED_MS, everyMs: LOOK_MS }).catch(() => {});
      while ((await open()) >= AT_MOST) await pause(LOOK_MS);
      if (n % BETWEEN_RESTS < BETWEEN_RESTS - 1) continue;
      const rested = await until("everybody", async () => (await open()) <= 0, { timeoutMs: UNTIL_REST_MS, everyMs: LOOK_MS }).catch(() => false);
      if (rested && !this.#over) await pause(this.#restMs);
    }
  }

  async #watch() {
    if (process.platform !== "linux") return;
    while (!this.#over) {
      const now = this.#gateway.sidecars();
      for (const pid of now) this.#sidecars.add(pid);
      this.#most = Math.max(this.#most, now.length);
      await pause(100);
    }
  }
}
