// The sidecar dies, the gateway does not: on a real OpenClaw gateway.
//
//   WEIXIN_KILLS=100 WEIXIN_SUPERVISED_S=600 node --test tests/host/supervision.test.mjs
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { seedAccounts } from "./lib/lab.mjs";
import { until } from "./lib/processes.mjs";
import { openGateway, useLab } from "./lib/setup.mjs";
import { ask, note, pause } from "./lib/talk.mjs";

const KILLS = Number(process.env.WEIXIN_KILLS ?? 20);
const SUPERVISED_MS = Number(process.env.WEIXIN_SUPERVISED_S ?? 30) * 1000;

const lab = useLab();

describe("a gateway whose sidecar dies", { skip: process.platform !== "linux" }, () => {
  test(`${KILLS} kills under load: the gateway stays, every message is answered once, one poller at a time`, async () => {
    const quick = { OPENCLAW_WEIXIN_SUPERVISION: JSON.stringify({ crashLimit: 10_000, maxBackoffMs: 250 }) };
    const here = await openGateway(lab, { env: quick });
    const { simulator, gateway } = here;
    const [bot] = here.bots;
    const { pid } = gateway.service;
    const killed = new Set();
    const asked = [];
    try {
      for (let n = 0; n < KILLS; n += 1) {
        const message = { from: `person${n % 5}@im.wechat`, text: `#kill-${n}.` };
        asked.push(message);
        await simulator.write(bot.botId, message.from, message.text);
        await pause(Math.random() * 600);
        const [sidecar] = await until("a sidecar", () => (gateway.sidecars().length > 0 ? gateway.sidecars() : undefined), { everyMs: 20 });
        assert.equal(gateway.sidecars().length, 1, "two sidecars at once");
        process.kill(sidecar, "SIGKILL");
        killed.add(sidecar);
      }
      const answersTo = (sent, { from, text }) => sent.filter((one) => one.to === from && one.text?.includes(text));
      const unanswered = async () => {
        const sent = await simulator.sent({ botId: bot.botId });
        return asked.filter((message) => answersTo(sent, message).length === 0).map(({ text }) => text);
      };
      await until("all answers", async () => (await unanswered()).length === 0, { everyMs: 250 }).catch(async () => {
        const lines = gateway.output.split("\n").filter((line) => /weixin|deliver/.test(line));
        assert.fail(`no answer to ${(await unanswered()).join(" ")}\n${lines.slice(-60).join("\n")}`);
      });
      await pause(3_000);
      const sent = await simulator.sent({ botId: bot.botId });
      for (const message of asked) assert.equal(answersTo(sent, message).length, 1, `${message.text} was answered ${answersTo(sent, message).length} times`);
      assert.ok(gateway.service.running && gateway.service.pid === pid, "the gateway is another one");
      assert.equal(gateway.sidecars().length, 1);
      const [seen] = (await simulator.state()).bots;
      note(`${killed.size} sidecars killed, ${asked.length} messages answered once, at most ${seen.maxActivePolls} polls at once`);
      // A poll that was cut by a kill may be held by the server for a moment beside its successor's.
      assert.ok(seen.maxActivePolls <= 2, `${seen.maxActivePolls} polls at once`);
    } finally {
      await here.stop();
    }
  });

  test(`a supervisor has nothing to restart in ${SUPERVISED_MS / 1000} s`, async () => {
    const simulator = await lab.simulator();
    const profile = await lab.profile(simulator);
    const bot = await simulator.addBot({ botId: "supervised@im.bot", userId: "owner@im.wechat" });
    seedAccounts(profile, simulator, [bot]);
    let starts = 0;
    let gateway;
    let over = false;
    // As systemd does it: what ends is started again.
    const supervise = async () => {
      while (!over) {
        starts += 1;
        gateway = await lab.gateway(profile);
        await gateway.service.ended;
      }
    };
    const supervised = supervise();
    try {
      await until("the gateway", () => gateway !== undefined);
      const until_ = Date.now() + SUPERVISED_MS;
      for (let n = 0; Date.now() < until_; n += 1) {
        await ask(simulator, bot, bot.userId, `#still-up-${n}.`);
        await pause(5_000);
      }
      assert.equal(starts, 1, "the gateway was restarted");
    } finally {
      over = true;
      await gateway?.stop();
      await supervised;
      await simulator.stop();
    }
  });
});
