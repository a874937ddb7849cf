// Files, quotes, commands and hooks: through a real OpenClaw gateway.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Lab, seedAccounts } from "./lib/lab.mjs";
import { until } from "./lib/processes.mjs";
import { CHANNEL } from "./lib/profile.mjs";
import { ask, note, pause, unhurried } from "./lib/talk.mjs";

const PNG = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");
const sha = (bytes) => bytes.toString("base64");

describe("what a message can carry", () => {
  let lab;
  let simulator;
  let profile;
  let gateway;
  let bot;
  const stranger = "guest@im.wechat";

  before(async () => {
    lab = await Lab.open({ log: note });
    simulator = await lab.simulator();
    profile = await lab.profile(simulator);
    bot = await simulator.addBot({ botId: "media@im.bot", userId: "owner@im.wechat" });
    seedAccounts(profile, simulator, [bot]);
    unhurried(profile);
    await simulator.limit({ quotaPerToken: null, burst: null });
    profile.configure((config) => {
      Object.assign(config.channels[CHANNEL], { dmPolicy: "open", allowFrom: ["*"] });
      config.channels[CHANNEL].outbox.quotaPerMessage = 1000;
    });
    gateway = await lab.gateway(profile);
    await ask(simulator, bot, bot.userId, "#warm-up", { waitMs: 60_000 });
  }, { timeout: 900_000 });
  after(async () => {
    await gateway?.stop();
    const left = await lab?.close();
    assert.deepEqual(left ?? [], [], "processes were left running");
  });

  /** Everything that the model was told when it was asked about `text`. */
  const context = (text) => JSON.stringify(lab.model.askedAbout(text).at(-1).messages.slice(-4));
  const send = (content, more = {}) => () => simulator.send(bot.botId, bot.userId, { content, ...more });

  test("nine pictures and a text are in the agent's context, in order", async () => {
    const pictures = Array.from({ length: 9 }, (_, n) => ({ type: "image", media: { bytes: sha(Buffer.concat([PNG, Buffer.from([n])])) } }));
    await ask(simulator, bot, bot.userId, "#nine-pictures", { send: send([{ type: "text", text: "#nine-pictures" }, ...pictures]) });
    const told = context("#nine-pictures");
    const files = [...told.matchAll(/[^\s"'()\[\]\\]*media[/\\]+inbound[/\\]+[^\s"'()\[\]|\\]+/g)].map(([file]) => file);
    const unique = [...new Set(files)];
    assert.equal(unique.length, 9, told);
    const resolve = (file) => (path.isAbsolute(file) ? file : path.join(profile.stateDir, file.replace(/^.*?media/, "media")));
    const order = unique.map((file) => readFileSync(resolve(file)).at(-1));
    assert.deepEqual(order, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  });

  test("a file that cannot be received is said to the agent and to the person, and the text is answered", async () => {
    const broken = { type: "file", fileName: "report.pdf", media: { bytes: sha(PNG), damage: { kind: "missing" } } };
    await ask(simulator, bot, bot.userId, "#broken-file", { send: send([{ type: "text", text: "#broken-file" }, broken]) });
    assert.match(context("#broken-file"), /report\.pdf.*could not be received/s);
    await until("the notice", async () => (await simulator.sent({ to: bot.userId })).some((one) => one.text?.includes("could not be received")));
  });

  test("a quote is answered with its content: inline, by its id, in part, and also when it is not known", async () => {
    const [id] = await simulator.write(bot.botId, bot.userId, "#quotable the quick brown fox");
    await until("the answer", async () => (await simulator.sent({ to: bot.userId })).some((one) => one.text?.includes("#quotable")));
    const quoting = (text, quote) => ask(simulator, bot, bot.userId, text, { send: () => simulator.send(bot.botId, bot.userId, { text, quote }) });
    await quoting("#by-id", { svr_id: id });
    assert.match(context("#by-id"), /the quick brown fox/);
    await quoting("#inline", { message_item: { type: 1, text_item: { text: "words of an older phone" } } });
    assert.match(context("#inline"), /words of an older phone/);
    await quoting("#in-part", { svr_id: id, partial_text: { start: "quick", end: "brown", startindex: 0, endindex: 0 } });
    assert.match(context("#in-part"), /quick brown/);
    await quoting("#unknown", { svr_id: "1234567890123456789" });
    assert.match(context("#unknown"), /not known here any more/);
  });

  test("the agent's files and those of the command line reach the person byte for byte", async () => {
    const workspace = path.join(profile.stateDir, "workspace");
    mkdirSync(workspace, { recursive: true });
    const file = path.join(workspace, "cat.png");
    writeFileSync(file, PNG);
    const done = await profile.cli(["message", "send", "--channel", CHANNEL, "--target", bot.userId, "--message", "#caption", "--media", file]);
    assert.equal(done.code, 0, done.output);
    const sent = await simulator.sent({ to: bot.userId });
    const picture = sent.at(-1);
    assert.equal(sent.at(-2).text, "#caption");
    assert.equal(picture.itemType, 2, JSON.stringify(picture));
    assert.deepEqual(await simulator.content(picture.n), PNG);
    const outside = await profile.cli(["message", "send", "--channel", CHANNEL, "--target", bot.userId, "--message", "x", "--media", "/etc/passwd"]);
    assert.notEqual(outside.code, 0, outside.output);
    assert.equal((await simulator.sent({ to: bot.userId })).length, sent.length, "a file outside the roots was sent");
  });

  test("/echo and /toggle-debug are for people who may give commands", async () => {
    const { answer } = await ask(simulator, bot, bot.userId, "/echo hello there", { expected: "hello there" });
    assert.match(answer.text, /WeChat to gateway: \d+ ms/);
    await ask(simulator, bot, bot.userId, "/toggle-debug", { expected: "Debug mode is on" });
    await ask(simulator, bot, bot.userId, "#debugged");
    await until("the timing", async () => (await simulator.sent({ to: bot.userId })).at(-1).text?.startsWith("⏱"));
    await ask(simulator, bot, bot.userId, "/toggle-debug", { expected: "Debug mode is off" });
    assert.equal(lab.model.askedAbout("hello there").length, 0);
  });

  test("a guest whom the allowlist does not name gives no commands", async () => {
    profile.configure((config) => Object.assign(config.channels[CHANNEL], { dmPolicy: "allowlist", allowFrom: [bot.userId] }));
    await pause(2_000);
    const before = (await simulator.sent({ to: stranger })).length;
    await simulator.write(bot.botId, stranger, "/echo let me in");
    await ask(simulator, bot, bot.userId, "#after-the-guest");
    assert.equal((await simulator.sent({ to: stranger })).length, before);
  });
});
