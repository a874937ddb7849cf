// What a person sees while a turn runs, and when it fails: typing, tool progress, notices. On a real OpenClaw gateway.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { until } from "./lib/processes.mjs";
import { CHANNEL } from "./lib/profile.mjs";
import { openGateway, useLab } from "./lib/setup.mjs";
import { ask, note, pause } from "./lib/talk.mjs";

const TEXT = 1;
const TOOL_BEGINS = 11;
const TOOL_ENDED = 12;
const lab = useLab();

describe("while a turn runs", () => {
  let here;
  let simulator;
  let bot;
  before(async () => {
    here = await openGateway(lab, { configure: (channel) => (channel.replyProgressMessages = true) });
    ({ simulator } = here);
    [bot] = here.bots;
  }, { timeout: 300_000 });
  after(() => here?.stop());

  const sentTo = (person) => simulator.sent({ to: person });
  const typingOf = async (person) => (await simulator.state()).bots[0].typing.filter(({ to }) => to === person).map(({ status }) => status);
  const ended = (person) => until(`typing to ${person} to end`, async () => (await typingOf(person)).at(-1) === 2);

  // The model calls the tool when the message says so.
  for (const [name, call, tool, status] of [
    ["a tool call", 'tool:ls{"path":"."}', "ls", "completed"],
    ["a tool call that fails", 'tool:read{"path":"nowhere.txt"}', "read", "failed"],
    ["a tool of the catalogue", 'tool:tool_call{"id":"session_status","args":{}}', "session_status", "completed"],
  ]) {
    test(`${name} is shown: that it begins, how it ended, and then the answer`, async () => {
      const person = `${tool}@im.wechat`;
      await ask(simulator, bot, person, `#with-a-tool ${call}`, { expected: "#with-a-tool" });
      const sent = await sentTo(person);
      assert.deepEqual(sent.map(({ itemType }) => itemType), [TOOL_BEGINS, TOOL_ENDED, TEXT], JSON.stringify(sent));
      const begins = sent[0].items[0].tool_call_start_item;
      const end = sent[1].items[0].tool_call_result_item;
      assert.deepEqual([begins.tool_name, end.tool_name, end.status], [tool, tool, status]);
      assert.equal(begins.tool_call_id, end.tool_call_id);
      assert.ok(sent[0].runId && sent[0].runId === sent[1].runId, "the two belong to different runs");
      await ended(person);
    });
  }

  test("without replyProgressMessages there is nothing but the answer", async () => {
    here.profile.configure((config) => delete config.channels[CHANNEL].replyProgressMessages);
    await here.gateway.says("config hot reload applied");
    const person = "undisturbed@im.wechat";
    await ask(simulator, bot, person, `#quietly tool:ls{"path":"."}`, { expected: "#quietly" });
    assert.ok(lab.model.requests.some(({ messages }) => JSON.stringify(messages).includes("#quietly") && messages.some(({ role }) => role === "tool")), "no tool was called");
    await pause(1_000);
    assert.deepEqual((await sentTo(person)).map(({ itemType }) => itemType), [TEXT]);
  });

  test("typing begins before the answer, and is ended after it", async () => {
    const person = "patient@im.wechat";
    const asked = ask(simulator, bot, person, "#slowly slow3");
    await until("typing", async () => (await typingOf(person)).includes(1));
    assert.equal((await sentTo(person)).length, 0, "typing came after the answer");
    await asked;
    await ended(person);
  });

  test("a turn that fails is told once, and typing ends", async () => {
    const person = "unlucky@im.wechat";
    await simulator.write(bot.botId, person, "#fails");
    const [notice] = await until("a notice", async () => {
      const sent = await sentTo(person);
      return sent.length > 0 && sent;
    });
    note(`after a model's error 500: ${notice.text}`);
    assert.match(notice.text, /⚠️/);
    await ended(person);
    await pause(3_000);
    assert.deepEqual((await sentTo(person)).map(({ text }) => text), [notice.text]);
    assert.doesNotMatch(notice.text, /out of order/, "the inside is told to people");
    await ask(simulator, bot, person, "#better-now", { expected: "#better-now" });
  });
});
