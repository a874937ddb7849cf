// What OpenClaw, the agent and whoever looks are told when WeChat does not do what it says. On a real OpenClaw gateway.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { until } from "./lib/processes.mjs";
import { CHANNEL } from "./lib/profile.mjs";
import { openGateway, useLab } from "./lib/setup.mjs";
import { ask, pause } from "./lib/talk.mjs";

const lab = useLab();
const status = async (here) => (await here.profile.must(["channels", "status"])).output;
const logged = (here, text) => here.gateway.output.split(text).length - 1;

describe("a bot whose messages WeChat takes and nobody sees", () => {
  test("is told of once, nothing is sent twice or called delivered, and its recovery is told once", async () => {
    const here = await openGateway(lab);
    const { simulator, profile } = here;
    const [bot] = here.bots;
    const swallowed = async () => (await simulator.rejected()).filter(({ reason }) => reason === "the bot is muted").map(({ text }) => text);
    try {
      await simulator.mute(bot.botId);
      const people = ["ann@im.wechat", "bob@im.wechat", "cat@im.wechat"];
      for (const person of people) await simulator.write(bot.botId, person, `#from-${person.slice(0, 3)}`);
      await until("three answers that nobody sees", async () => (await swallowed()).length === 3);
      await here.gateway.says("ALERT: WeChat accepts this bot's messages");
      await here.gateway.says("is not confirmed: WeChat took it without confirming it");
      assert.match(await status(here), /confirms none of them since .*\(3 so far\): most likely nobody sees them/);

      // A command of its own is told so, and does not call it sent.
      const sent = await profile.cli(["message", "send", "--channel", CHANNEL, "--target", people[0], "--message", "from a script", "--json"]);
      assert.notEqual(sent.code, 0, sent.output);
      assert.equal(JSON.parse(sent.stdout).deliveryStatus, "suppressed", sent.output);
      assert.match(sent.stderr, /not confirmed: WeChat took it/);

      // The agent knows when it is asked next.
      await simulator.write(bot.botId, people[0], "#again");
      await until("the model to be asked", () => lab.model.askedAbout("#again").some(({ answeredMs }) => answeredMs));
      assert.match(JSON.stringify(lab.model.askedAbout("#again")[0].messages), /A message of yours is not confirmed: WeChat took it/);
      await until("its answer", async () => (await swallowed()).some((text) => text.includes("#again")));

      // The host has nothing to send again, over a restart neither.
      await here.restart();
      await pause(4_000);
      const texts = await swallowed();
      assert.equal(new Set(texts).size, texts.length, `sent twice: ${texts}`);
      assert.equal(texts.length, 5, String(texts));

      await simulator.mute(bot.botId, false);
      await ask(simulator, bot, people[1], "#better");
      await here.gateway.says("ALERT OVER: WeChat confirms this bot's messages again");
      assert.doesNotMatch(await status(here), /confirms none of them/);
      assert.equal(logged(here, "ALERT:"), 0, "the gateway that was started since was told of it again");
      assert.equal((await simulator.sent()).filter(({ text }) => texts.includes(text)).length, 0, "what nobody saw came later");
    } finally {
      await here.stop();
    }
  });
});

describe("a connection that is dead", () => {
  test("is no connected account, and one again when it is answered", async () => {
    const here = await openGateway(lab, { holdMs: 1_000 });
    const { simulator } = here;
    const [bot] = here.bots;
    try {
      assert.match(await status(here), /running.*connected/);
      await simulator.fault({ endpoint: "getupdates", kind: "silence" });
      await simulator.release(bot.botId);
      await until("the status to say so", async () => /polls in a row were not answered/.test(await status(here)));
      await simulator.write(bot.botId, bot.userId, "#meanwhile");
      await simulator.clearFaults();
      await until("an answer", async () => (await simulator.sent()).some(({ text }) => text === "echo: #meanwhile"));
      assert.doesNotMatch(await status(here), /were not answered/);
    } finally {
      await here.stop();
    }
  });
});

describe("a login that another one took over", () => {
  test("is called that, where people look", async () => {
    const here = await openGateway(lab);
    const { simulator } = here;
    const [bot] = here.bots;
    try {
      await simulator.takeOver(bot.botId);
      await until("the status to say so", async () => /taken over by another login of the same WeChat user/.test(await status(here)));
      assert.match(await status(here), /channels login --channel openclaw-weixin/);
    } finally {
      await here.stop();
    }
  });
});
