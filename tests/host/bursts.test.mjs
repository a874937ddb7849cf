// Pictures and the words about them are one turn, whatever happens in between. On a real OpenClaw gateway.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { until } from "./lib/processes.mjs";
import { CHANNEL } from "./lib/profile.mjs";
import { openGateway, useLab } from "./lib/setup.mjs";
import { ask, pause, PNG } from "./lib/talk.mjs";

const lab = useLab();

describe("messages of a person within a moment", () => {
  let here;
  let simulator;
  let bot;
  before(async () => {
    here = await openGateway(lab);
    ({ simulator } = here);
    [bot] = here.bots;
  }, { timeout: 300_000 });
  after(() => here?.stop());

  const picture = (from) => simulator.send(bot.botId, from, { content: [{ type: "image", media: { bytes: PNG.toString("base64") } }] });
  const turnsOf = (text) => lab.model.askedAbout(text);
  /** The files that the model was told of in what it had not answered yet. */
  const filesIn = ({ messages }) => {
    const since = messages.slice(messages.findLastIndex(({ role }) => role === "assistant") + 1).filter(({ role }) => role === "user");
    return new Set(JSON.stringify(since).match(/inbound\/[^\s"\\\])]+/g) ?? []).size;
  };
  const answersTo = async (from) => (await simulator.sent({ to: from })).map(({ text }) => text ?? "");
  /** Changes the configuration of the gateway that runs, which says that it looks at it. */
  const reconfigure = async (key, change) => {
    here.profile.configure(change);
    await until("the configuration to be read", () => new RegExp(`evaluating reload \\([^)]*${key}`).test(here.gateway.output));
    await pause(500);
  };

  test("an album and a question about it are one turn with one answer", async () => {
    const from = "album@im.wechat";
    for (let n = 0; n < 9; n += 1) await picture(from);
    await ask(simulator, bot, from, "#which-is-nicer");
    const asked = turnsOf("#which-is-nicer");
    assert.equal(asked.length, 1);
    assert.equal(filesIn(asked[0]), 9, JSON.stringify(asked[0].messages.slice(-2)));
    await pause(2_500);
    assert.equal((await answersTo(from)).length, 1, JSON.stringify(await answersTo(from)));
  });

  test("a picture alone is answered, a moment later", async () => {
    const from = "speechless@im.wechat";
    const requests = lab.model.requests.length;
    await picture(from);
    await until("an answer", async () => (await answersTo(from)).length === 1);
    assert.equal(lab.model.requests.length, requests + 1);
    assert.equal(filesIn(lab.model.requests.at(-1)), 1);
  });

  test("a command behind a picture is a command, and the picture comes to the agent", async () => {
    const from = "commander@im.wechat";
    await picture(from);
    await simulator.write(bot.botId, from, "/status");
    const said = await until("both to be answered", async () => {
      const texts = await answersTo(from);
      return texts.length >= 2 && texts;
    });
    assert.ok(said.some((text) => text.startsWith("echo:")) && said.some((text) => /openclaw/i.test(text)), JSON.stringify(said));
  });

  test("a stop ends what waits: the agent never gets it", async () => {
    const from = "changed-my-mind@im.wechat";
    const requests = lab.model.requests.length;
    await picture(from);
    await pause(300);
    await simulator.write(bot.botId, from, "/stop");
    await until("the stop to be answered", async () => (await answersTo(from)).length > 0);
    await pause(2_500);
    assert.equal(lab.model.requests.length, requests, "the agent was asked");
  });

  test("a gateway that is killed while a picture waits for its words loses neither", async () => {
    const from = "interrupted@im.wechat";
    const known = lab.model.requests.length;
    await picture(from);
    await pause(400);
    await here.gateway.kill();
    assert.equal(lab.model.requests.length, known, "it did not wait");
    await simulator.write(bot.botId, from, "#after-the-kill");
    here.gateway = await lab.gateway(here.profile);
    await until("an answer", async () => (await answersTo(from)).some((text) => text.includes("#after-the-kill")));
    await pause(2_500);
    const turns = lab.model.requests.slice(known);
    assert.equal(turns.filter((turn) => filesIn(turn) > 0).length, 1, "the picture is lost, or came twice");
    assert.equal(turns.filter(({ asked }) => asked.includes("#after-the-kill")).length, 1);
  });

  test("nor does a sidecar that is killed then", { skip: process.platform !== "linux" && "finds the sidecar in /proc" }, async () => {
    const from = "unshaken@im.wechat";
    const known = lab.model.requests.length;
    await picture(from);
    await pause(400);
    for (const pid of here.gateway.sidecars()) process.kill(pid, "SIGKILL");
    await ask(simulator, bot, from, "#and-then", { expected: "#and-then" });
    const turns = lab.model.requests.slice(known);
    assert.equal(turns.filter((turn) => filesIn(turn) > 0).length, 1, "the picture is lost, or came twice");
    assert.equal(turns.filter(({ asked }) => asked.includes("#and-then")).length, 1);
  });

  test("who turns it off has each message for itself; who sets a time has texts joined too", async () => {
    // Half an hour for others, nothing here: with the former, no picture would come to the model in this test.
    await reconfigure("messages.inbound", (config) => (config.messages = { ...config.messages, inbound: { debounceMs: 1_800_000, byChannel: { [CHANNEL]: 0 } } }));
    const requests = lab.model.requests.length;
    await picture("apart@im.wechat");
    await simulator.write(bot.botId, "apart@im.wechat", "#for-itself");
    await until("an answer", async () => (await answersTo("apart@im.wechat")).some((text) => text.includes("#for-itself")));
    assert.ok(lab.model.requests.slice(requests).some((request) => filesIn(request) > 0 && request.asked.length === 0), "it was joined");
    const started = (await simulator.state()).bots[0].notifyStart;
    await reconfigure("inboundDebounceMs", (config) => (config.channels[CHANNEL].inboundDebounceMs = 1_000));
    const from = "in-pieces@im.wechat";
    await simulator.write(bot.botId, from, "#one");
    await simulator.write(bot.botId, from, "#two");
    await ask(simulator, bot, from, "#three", { expected: "#one / #two / #three" });
    assert.equal(turnsOf("#three").length, 1);
    assert.deepEqual((await simulator.state()).bots[0].notifyStart, started, "the account was started anew");
  });
});
