// From the official plugin to this one and back, as docs/switching.md says it, while the owner keeps writing. On a real OpenClaw gateway.
import assert from "node:assert/strict";
import { test } from "node:test";

import { officialProfile } from "./lib/official.mjs";
import { until } from "./lib/processes.mjs";
import { CHANNEL } from "./lib/profile.mjs";
import { useLab } from "./lib/setup.mjs";
import { note, pause, unhurried } from "./lib/talk.mjs";

const lab = useLab();
const OWNER = "owner@im.wechat";
const EVERY_MS = 2_000;

/** The owner writes all the time; what became of each message can be asked. */
class Owner {
  written = [];
  #over = false;
  #writing;

  constructor(simulator, bot) {
    this.simulator = simulator;
    this.bot = bot;
    this.#writing = this.#write();
  }

  async #write() {
    for (let n = 1; !this.#over; n += 1) {
      const text = `#note-${n}.`;
      this.written.push({ text, atMs: Date.now() });
      await this.simulator.write(this.bot.botId, OWNER, text);
      await pause(EVERY_MS);
    }
  }

  async stop() {
    this.#over = true;
    await this.#writing;
  }

  /** How often each message was answered, as far as it was written in this time. */
  async answers(fromMs, untilMs = Infinity) {
    const sent = (await this.simulator.sent({ to: OWNER })).map(({ text }) => text ?? "");
    const asked = this.written.filter(({ atMs }) => atMs >= fromMs && atMs < untilMs);
    return Object.fromEntries(asked.map(({ text }) => [text, sent.filter((answer) => answer.includes(text)).length]));
  }

  async answered(what) {
    const now = Date.now();
    await until(what, async () => Object.values(await this.answers(now - 2 * EVERY_MS)).some((count) => count > 0));
  }
}

test("a busy account changes to this plugin and back without a scan, and loses nothing that was written while nobody ran", { timeout: 900_000 }, async () => {
  const { simulator, profile } = await officialProfile(lab, { owner: OWNER, botId: "theirs@im.bot" });
  await simulator.limit({ quotaPerToken: null, burst: null });
  let gateway = await lab.gateway(profile);
  const [bot] = (await simulator.state()).bots;
  const owner = new Owner(simulator, bot);
  try {
    await owner.answered("the official plugin to answer");
    await gateway.stop();
    const leftMs = Date.now();
    await profile.must(["plugins", "disable", CHANNEL]);
    await profile.installPlugin(`npm-pack:${lab.tarball}`);
    await profile.must(["plugins", "enable", CHANNEL]);
    unhurried(profile);
    profile.configure((config) => (config.channels[CHANNEL].outbox.quotaPerMessage = 1_000));
    gateway = await lab.gateway(profile);
    await owner.answered("this plugin to answer");
    // All that was written since the official plugin ended, once each.
    const here = () => owner.answers(leftMs, Date.now() - 20_000);
    await until("every message to be answered", async () => Object.values(await here()).every((count) => count > 0));
    const counts = Object.values(await here());
    note(`${counts.length} messages on the way to this plugin`);
    assert.ok(counts.length > 10, "the owner wrote too little");
    assert.deepEqual([...new Set(counts)], [1]);
    assert.equal((await simulator.state()).logins.length, 1, "somebody had to scan again");

    await gateway.stop();
    const backMs = Date.now();
    const { channels } = profile.config;
    await profile.must(["plugins", "uninstall", CHANNEL, "--force"]);
    await profile.installPlugin(`npm-pack:${profile.official}`);
    await profile.must(["plugins", "enable", CHANNEL]);
    profile.configure((config) => (config.channels = { ...config.channels, [CHANNEL]: channels[CHANNEL] }));
    gateway = await lab.gateway(profile);
    await owner.answered("the official plugin to answer again");
    const there = () => owner.answers(backMs, Date.now() - 30_000);
    await until("what was written meanwhile", async () => Object.values(await there()).every((count) => count > 0));
    note(`${Object.keys(await there()).length} messages on the way back`);
    assert.equal((await simulator.state()).logins.length, 1, "somebody had to scan again");
  } catch (error) {
    error.message += `\n${gateway.output.slice(-3_000)}`;
    throw error;
  } finally {
    await owner.stop();
    await gateway.stop();
  }
});
