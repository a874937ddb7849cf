// Settings change, the plugin is reloaded, the gateway restarts in place, all while people write: on a real OpenClaw gateway.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { until } from "./lib/processes.mjs";
import { CHANNEL } from "./lib/profile.mjs";
import { openGateway, useLab } from "./lib/setup.mjs";
import { ask, note, pause } from "./lib/talk.mjs";
import { Traffic } from "./lib/traffic.mjs";

const lab = useLab();

describe("people write while", () => {
  let here;
  let one;
  let two;
  const bot = async ({ botId }) => (await here.simulator.state()).bots.find((candidate) => candidate.botId === botId);
  const polled = (which) => until(`${which.botId} to be polled`, async () => (await bot(which)).activePolls === 1);
  const settings = (change) => here.profile.configure((config) => change(config.channels[CHANNEL]));
  const plugins = (...args) => here.profile.cli(["plugins", ...args]);
  /** What happens while people write. Before, and after it, some have been answered. */
  const whilePeopleWrite = (what, expected) =>
    Traffic.during(here, async (traffic) => {
      await until("the first people", () => traffic.written > 3);
      await what(traffic);
      const soFar = traffic.written;
      await until("people who write afterwards", () => traffic.written > soFar + 3);
      const instead = await traffic.settle(expected);
      return { sidecars: traffic.sidecars, instead };
    });

  before(async () => {
    here = await openGateway(lab, {
      bots: ["one", "two"],
      // The first entry under `accounts` would restart both.
      configure: (channel) => (channel.accounts = { "one-im-bot": { enabled: true }, "two-im-bot": { enabled: true } }),
    });
    [one, two] = here.bots;
  }, { timeout: 300_000 });
  after(() => here?.stop());

  test("a setting of the channel changes: it takes effect, in the same sidecar", async () => {
    const { sidecars } = await whilePeopleWrite(async () => {
      await here.profile.must(["config", "set", `channels.${CHANNEL}.routeTag`, "reloaded"]);
      await until("the new setting on the wire", async () => (await bot(one)).headersSeen.routeTag === "reloaded" && (await bot(two)).headersSeen.routeTag === "reloaded");
    });
    assert.equal(sidecars.length, 1);
  });

  test("who may write changes: at the next message, and nothing restarts", async () => {
    const before = [await bot(one), await bot(two)].map(({ notifyStart }) => notifyStart);
    const { sidecars } = await whilePeopleWrite(async () => {
      settings((channel) => (channel.allowFrom = ["*", "somebody@im.wechat"]));
      await here.gateway.says(`evaluating reload (channels.${CHANNEL}.allowFrom)`);
    });
    assert.deepEqual([await bot(one), await bot(two)].map(({ notifyStart }) => notifyStart), before);
    assert.equal(sidecars.length, 1);
  });

  test("one account is turned off and on: the other is not touched, and what was written meanwhile is answered", async () => {
    const before = await bot(one);
    const { sidecars } = await whilePeopleWrite(async (traffic) => {
      settings((channel) => (channel.accounts["two-im-bot"].enabled = false));
      await until("the account to stop", async () => (await bot(two)).activePolls === 0);
      await traffic.ask(two, "#while-it-is-off.");
      await ask(here.simulator, one, one.userId, "#the-other-account");
      settings((channel) => (channel.accounts["two-im-bot"].enabled = true));
      await polled(two);
    });
    const now = await bot(one);
    assert.deepEqual([now.notifyStart, now.notifyStop], [before.notifyStart, before.notifyStop], "the other account was restarted");
    assert.equal(sidecars.length, 1);
  });

  test("one account is stopped and started by hand: the same", async () => {
    const before = await bot(one);
    const account = { channel: CHANNEL, accountId: "two-im-bot" };
    const { sidecars } = await whilePeopleWrite(async (traffic) => {
      await here.profile.rpc("channels.stop", account);
      await until("the account to stop", async () => (await bot(two)).activePolls === 0);
      await traffic.ask(two, "#while-it-is-stopped.");
      await here.profile.rpc("channels.start", account);
      await polled(two);
    });
    const now = await bot(one);
    assert.deepEqual([now.notifyStart, now.notifyStop], [before.notifyStart, before.notifyStop], "the other account was restarted");
    assert.equal(sidecars.length, 1);
  });

  test("the plugin is turned off and on: turns that run answer, and the rest is answered afterwards", async () => {
    const { sidecars } = await whilePeopleWrite(async (traffic) => {
      // The command itself takes seconds: this turn is at the model when the plugin goes.
      const turn = traffic.ask(one, "#long-turn slow20.");
      const [off] = await Promise.all([plugins("disable", CHANNEL), turn]);
      assert.equal(off.code, 0, off.output);
      await until("the accounts to stop", async () => (await bot(one)).activePolls + (await bot(two)).activePolls === 0);
      await traffic.ask(one, "#while-the-plugin-is-off.");
      await until("the turn that ran on", async () => (await here.simulator.sent()).some((sent) => sent.text?.includes("#long-turn")));
      await until("the sidecar to end", () => here.gateway.sidecars().length === 0);
      const on = await plugins("enable", CHANNEL, "--accept-capabilities");
      assert.equal(on.code, 0, on.output);
      await polled(one);
      await polled(two);
    });
    assert.equal(sidecars.length, 2);
  });

  test("the gateway restarts in place: everybody is answered once, by one new sidecar", async () => {
    const { pid } = here.gateway.service;
    // OpenClaw waits for turns that run. To who wrote in the moment before, it says this itself, and counts them as answered.
    const tryAgain = { instead: /Gateway is restarting.*try again/ };
    const { sidecars, instead } = await whilePeopleWrite(async (traffic) => {
      await traffic.ask(two, "#turn-that-is-waited-for slow4.");
      const asked = here.gateway.output.length;
      const restart = await here.profile.must(["gateway", "restart"]);
      assert.match(restart.output, /restart/i);
      await until("the restart", () => /in-process restart/.test(here.gateway.output.slice(asked)));
      await until("the gateway", () => /\[gateway\] ready/.test(here.gateway.output.slice(asked)));
      await polled(one);
      await polled(two);
    }, tryAgain);
    note(`${instead} people were asked to write again by the restarting gateway`);
    assert.equal(sidecars.length, 2);
    assert.ok(here.gateway.service.running && here.gateway.service.pid === pid, "the gateway is another process");
  });
});

describe("a plugin that is replaced under a running gateway", () => {
  let here;
  before(async () => {
    here = await openGateway(lab);
  }, { timeout: 300_000 });
  after(() => here?.stop());

  /** OpenClaw refuses while a turn runs, and says so: the person tries again, after `refused`. */
  async function persist(args, refused) {
    for (let times = 1; ; times += 1) {
      const done = await here.profile.cli(args);
      if (done.code === 0) return done;
      assert.match(done.output, /retry after the work finishes/);
      assert.ok(times < 12, `refused ${times} times:\n${done.output}`);
      refused();
    }
  }

  for (const [name, args] of [
    ["reloaded", () => ["plugins", "reload", CHANNEL]],
    ["installed again", () => ["plugins", "install", `npm-pack:${lab.tarball}`, "--force", "--accept-capabilities"]],
  ]) {
    test(`${name}: one new sidecar, no second poller, nothing lost`, async () => {
      const [bot] = here.bots;
      const before = here.gateway.sidecars();
      const seen = await Traffic.during({ ...here, bots: [] }, async (traffic) => {
        let restMs = 2_000;
        const done = persist(args(), () => (restMs *= 2));
        // A person in a conversation: writes, is answered, and writes again a while later; after each refusal, a longer one.
        // How long a command takes before it looks for turns, only the machine knows.
        let over = false;
        void done.finally(() => (over = true)).catch(() => {});
        for (let n = 0; !over; n += 1) {
          await ask(here.simulator, bot, bot.userId, `#${args()[1]}-${n}.`);
          for (const rested = Date.now() + restMs; !over && Date.now() < rested; ) await pause(250);
        }
        await done;
        await ask(here.simulator, bot, bot.userId, `#after-${args()[1]}`);
        // A turn that goes on answers through the sidecar of the copy that it began in.
        await traffic.settle({ sidecarsAtOnce: 2 });
        return traffic.sidecars;
      });
      assert.equal(before.length, 1);
      await until("the sidecar before to end", () => here.gateway.sidecars().length === 1);
      assert.notDeepEqual(here.gateway.sidecars(), before, "the old sidecar serves the new plugin");
      note(`${name}: ${seen.length} sidecars in turn`);
    });
  }
});
