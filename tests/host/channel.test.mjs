// What a person, a stranger and an operator meet on a running gateway: a stop that stops, nothing fetched for who may not write,
// an account that is gone when it is removed, a health monitor that lets healthy accounts alone.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { after, before, describe, mock, test } from "node:test";
import { pathToFileURL } from "node:url";

import { ensureOpenClaw } from "./lib/openclaw.mjs";
import { until } from "./lib/processes.mjs";
import { CHANNEL } from "./lib/profile.mjs";
import { openGateway, useLab } from "./lib/setup.mjs";
import { ask, note, PNG } from "./lib/talk.mjs";

const lab = useLab();
const MINUTE = 60_000;

describe("on a running gateway", () => {
  let here;
  let bot;
  before(async () => {
    here = await openGateway(lab, {
      bots: ["bot", "other"],
      configure: (channel) => {
        // What a channel of OpenClaw must accept, whether or not it looks at it.
        channel.healthMonitor = { enabled: true };
        channel.accounts = { "bot-im-bot": { healthMonitor: { enabled: true } }, "other-im-bot": { dmPolicy: "pairing", allowFrom: [] } };
      },
      prepare: (profile) => profile.configure((config) => (config.messages = { ...config.messages, queue: { mode: "collect" } })),
    });
    [bot] = here.bots;
  }, { timeout: 300_000 });
  after(() => here?.stop());

  test("/stop gets through behind a turn that runs and a message that waits for it", async () => {
    const from = "impatient@im.wechat";
    const began = Date.now();
    await here.simulator.write(bot.botId, from, "#long slow40.");
    await until("the turn to be at the model", () => lab.model.askedAbout("#long").length > 0);
    await here.simulator.write(bot.botId, from, "#waits-for-the-first.");
    await here.simulator.write(bot.botId, from, "/stop");
    const said = async () => (await here.simulator.sent({ to: from })).map(({ text }) => text ?? "");
    await until("the stop to be answered", async () => (await said()).some((text) => /abort|stopp/i.test(text)));
    const seconds = Math.round((Date.now() - began) / 1000);
    note(`/stop was answered ${seconds} s after the first message`);
    assert.ok(!(await said()).some((text) => text.includes("#long")), "the turn ran to its end");
  });

  test("a stranger's files are not fetched, an approved person's are", async () => {
    const [, other] = here.bots;
    const from = "stranger@im.wechat";
    const media = path.join(here.profile.stateDir, CHANNEL, "media", "other-im-bot");
    const picture = { content: [{ type: "text", text: "#look" }, { type: "image", media: { bytes: PNG.toString("base64") } }] };
    await here.simulator.send(other.botId, from, picture);
    const code = await until("the pairing code", async () => {
      const sent = await here.simulator.sent({ to: from });
      return sent.map(({ text }) => /\b[A-Z0-9]{8}\b/.exec(text ?? "")?.[0]).find(Boolean);
    });
    assert.ok(!existsSync(media) || readdirSync(media).length === 0, "something was fetched");
    await here.profile.must(["pairing", "approve", CHANNEL, code, "--account", "other-im-bot"]);
    await ask(here.simulator, other, from, "#look", { send: () => here.simulator.send(other.botId, from, picture) });
    assert.equal(readdirSync(media).length, 1);
  });

  test("an account that is removed is gone: login, messages, poller", async () => {
    const [, other] = here.bots;
    const channel = path.join(here.profile.stateDir, CHANNEL);
    await here.profile.must(["channels", "remove", "--channel", CHANNEL, "--account", "other-im-bot", "--delete"]);
    await until("the poller to end", async () => (await here.simulator.state()).bots.find(({ botId }) => botId === other.botId).activePolls === 0);
    assert.deepEqual(readdirSync(path.join(channel, "accounts")).filter((name) => name.startsWith("other")), []);
    assert.deepEqual(JSON.parse(readFileSync(path.join(channel, "accounts.json"), "utf8")), ["bot-im-bot"]);
    assert.ok(!existsSync(path.join(channel, "media", "other-im-bot")), "its files are left");
    // The other one goes on.
    await ask(here.simulator, bot, "somebody@im.wechat", "#still-here");
  });
});

test("the health monitor restarts nobody who polls, in two hours with failures in between", async () => {
  const host = await ensureOpenClaw(undefined, note);
  const dist = path.join(path.dirname(host.openclaw), "dist");
  const policy = readdirSync(dist).find((name) => /^channel-health-policy-.*\.mjs$/.test(name));
  const { r: evaluate } = await import(pathToFileURL(path.join(dist, policy)).href);
  assert.equal(typeof evaluate, "function", "this OpenClaw exports evaluateChannelHealth under another name: look at the end of that file");
  const { toSnapshot } = await import("../../npm-shim/dist/snapshot.js");
  const began = 1_800_000_000_000;
  mock.timers.enable({ apis: ["Date"], now: began });
  try {
    const health = (snapshot) =>
      evaluate(snapshot, { now: Date.now(), channelConnectGraceMs: 2 * MINUTE, staleEventThresholdMs: 30 * MINUTE });
    let snapshot = { accountId: "a", enabled: true, configured: true, linked: true, running: true, lastStartAt: began };
    let lastPollAtMs = began;
    for (let minute = 1; minute <= 120; minute += 1) {
      mock.timers.setTime(began + minute * MINUTE);
      const fails = (minute >= 10 && minute < 50) || minute === 70 || minute > 100;
      if (!fails) lastPollAtMs = Date.now() - 20_000;
      const status = fails ? { state: "backoff", lastError: "HTTP 500" } : { state: "polling" };
      snapshot = { ...snapshot, ...toSnapshot({ accountId: "a", lastPollAtMs, ...status }, snapshot) };
      assert.deepEqual(health(snapshot), { healthy: true, reason: health(snapshot).reason }, `minute ${minute}`);
    }
    // What the monitor is for: nothing was heard of the account for longer than that.
    mock.timers.setTime(Date.now() + 31 * MINUTE);
    assert.equal(health(snapshot).healthy, false);
  } finally {
    mock.timers.reset();
  }
});
