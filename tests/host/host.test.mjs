// The plugin and the sidecar on a real OpenClaw gateway.
//
//   node --test tests/host/host.test.mjs
//
// Needs a built sidecar (target/debug, or OPENCLAW_WEIXIN_SIDECAR_BIN). OpenClaw itself is installed once into
// ${XDG_CACHE_HOME:-~/.cache}/openclaw-weixin-sidecar; OPENCLAW_HOST_DIR names one that is there already.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { seedAccounts } from "./lib/lab.mjs";
import { until } from "./lib/processes.mjs";
import { CHANNEL } from "./lib/profile.mjs";
import { useLab } from "./lib/setup.mjs";
import { ask, note, pause, unhurried } from "./lib/talk.mjs";

const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

const lab = useLab();

describe("from a QR scan to a reply", () => {
  let simulator;
  let profile;
  let gateway;
  const stranger = "stranger@im.wechat";
  const bots = async () => (await simulator.state()).bots;
  const indexed = () => JSON.parse(readFileSync(path.join(profile.stateDir, CHANNEL, "accounts.json"), "utf8"));

  before(async () => {
    simulator = await lab.simulator({ autoLogin: true });
    profile = await lab.profile(simulator);
    unhurried(profile);
  });
  after(async () => {
    await gateway?.stop();
    await simulator?.stop();
  });

  test("the host's own installer takes the packed plugin", () => {
    assert.match(lab.installed.output, /Installed plugin: openclaw-weixin/);
  });

  test("a login in the terminal shows the code and its link, and connects the account", async () => {
    const login = await profile.must(["channels", "login", "--channel", "wechat"]);
    assert.match(login.output, /[▀▄█]/, "no QR code");
    assert.match(login.output, /link on the phone:\s+https?:\/\//);
    const [bot] = await bots();
    assert.deepEqual(indexed(), [bot.accountId]);
    assert.ok(profile.config.channels[CHANNEL].channelConfigUpdatedAt);
  });

  test("who scanned the code is answered by the agent, with typing meanwhile", async () => {
    gateway = await lab.gateway(profile);
    const [bot] = await bots();
    const first = await ask(simulator, bot, bot.userId, "#first question");
    const times = [];
    for (let i = 1; i <= 3; i += 1) times.push((await ask(simulator, bot, bot.userId, `#question-${i}`)).ms);
    note(`message to reply: first ${first.ms} ms, warm ${times.join(", ")} ms`);
    const { typing } = (await bots())[0];
    assert.ok(typing.some((entry) => entry.to === bot.userId && entry.status === 1), "typing was not shown");
    assert.ok(typing.some((entry) => entry.to === bot.userId && entry.status === 2), "typing was not ended");
    assert.equal(lab.model.askedAbout("#question-2").length, 1);
  });

  test("a person who writes back at once gets one answer to each message", async () => {
    const [bot] = await bots();
    const known = (await simulator.sent({ botId: bot.botId, to: bot.userId })).length;
    const texts = Array.from({ length: 60 }, (_, n) => `#at-once-${n}.`);
    for (const text of texts) await ask(simulator, bot, bot.userId, text);
    const sent = await simulator.sent({ botId: bot.botId, to: bot.userId });
    assert.deepEqual(sent.slice(known).map((message) => message.text), texts.map((text) => `echo: ${text}`));
  });

  test("a stranger gets a pairing code, once, and is answered after the approval", async () => {
    const [bot] = await bots();
    const { answer } = await ask(simulator, bot, stranger, "#knock", { expected: "openclaw pairing approve" });
    await simulator.write(bot.botId, stranger, "#knock-again");
    const code = /approve openclaw-weixin\s+(?:`?)([A-Z0-9]{6,})/.exec(answer.text)?.[1];
    assert.ok(code, `no code in: ${answer.text}`);
    await profile.must(["pairing", "approve", CHANNEL, code]);
    await ask(simulator, bot, stranger, "#let-in");
    const toStranger = await simulator.sent({ botId: bot.botId, to: stranger });
    assert.equal(toStranger.filter((message) => message.text.includes(code)).length, 1, "the code came more than once");
    assert.equal(lab.model.askedAbout("#knock").length, 0, "the agent heard a stranger");
  });

  test("a slow turn does not hold up another person", async () => {
    const [bot] = await bots();
    const alone = [];
    for (let i = 1; i <= 3; i += 1) alone.push((await ask(simulator, bot, stranger, `#alone-${i}`)).ms);
    const slow = ask(simulator, bot, bot.userId, "#take-your-time slow100");
    await until("the slow turn to reach the model", () => lab.model.askedAbout("#take-your-time").length > 0);
    const beside = [];
    for (let i = 1; i <= 3; i += 1) beside.push((await ask(simulator, bot, stranger, `#beside-${i}`)).ms);
    const besideEnded = Date.now();
    assert.equal(lab.model.askedAbout("#take-your-time")[0].answeredMs, undefined, "the slow turn was over already");
    lab.model.finish("#take-your-time");
    const { answer } = await slow;
    assert.ok(answer.atMs > besideEnded);
    note(`alone ${median(alone)} ms, beside a slow turn ${median(beside)} ms, ratio ${(median(beside) / median(alone)).toFixed(2)}`);
  });

  test("a second account comes in while the gateway runs, and the first goes on", async () => {
    await profile.must(["channels", "login", "--channel", CHANNEL]);
    const [first, second] = await bots();
    assert.deepEqual(indexed(), [first.accountId, second.accountId]);
    await ask(simulator, second, second.userId, "#hello-from-two");
    await ask(simulator, first, first.userId, "#still-there");
  });

  test("the Control UI gets a QR code as an image, and the account it connects", async () => {
    const started = await profile.rpc("web.login.start", { channel: CHANNEL });
    assert.match(started.qrDataUrl, /^data:image\/png;base64,[A-Za-z0-9+/=]{100,}$/);
    const [first] = await bots();
    await ask(simulator, first, first.userId, "#while-the-code-is-on-show");
    const waited = await profile.rpc("web.login.wait", { channel: CHANNEL, sessionKey: started.sessionKey, timeoutMs: 30_000 }, { timeoutMs: 45_000 });
    assert.equal(waited.connected, true);
    const all = await bots();
    const third = all.at(-1);
    await ask(simulator, third, third.userId, "#hello-from-three");
    await ask(simulator, all[0], all[0].userId, "#one-again");
  });

  test("status tells of every account, and probes it", async () => {
    const { output } = await profile.must(["channels", "status", "--probe"]);
    const lines = output.split("\n").filter((line) => line.includes("WeChat"));
    assert.equal(lines.length, 3, output);
    for (const line of lines) assert.match(line, /running.*connected.*works/);
  });

  test("a message can be sent from the command line", async () => {
    const [bot] = await bots();
    const done = await profile.must(["message", "send", "--channel", CHANNEL, "--account", bot.accountId, "--target", bot.userId, "--message", "#from-cli"]);
    assert.match(done.output, /Sent via WeChat/);
    const sent = await simulator.sent({ botId: bot.botId, to: bot.userId });
    assert.equal(sent.filter((message) => message.text === "#from-cli").length, 1);
  });

  test("a logout removes the credentials", async () => {
    const last = indexed().at(-1);
    await profile.must(["channels", "logout", "--channel", CHANNEL, "--account", last]);
    assert.ok(!indexed().includes(last));
    assert.ok(!existsSync(path.join(profile.stateDir, CHANNEL, "accounts", `${last}.json`)));
  });

  test("one sidecar serves all accounts, and ends with its gateway", async () => {
    if (process.platform === "linux") assert.equal(gateway.sidecars().length, 1);
    const { code } = await gateway.stop();
    assert.equal(code, 0);
    for (const bot of await bots()) assert.equal(bot.activePolls, 0);
    await simulator.stop();
    assert.deepEqual(await lab.leftovers(), []);
  });
});

describe("a login that asks for the number on the phone", () => {
  test("the terminal asks for it, and a right one connects", async () => {
    const simulator = await lab.simulator();
    const profile = await lab.profile(simulator);
    const { Service } = await import("./lib/processes.mjs");
    const login = new Service(profile.host.node, [profile.host.openclaw, "channels", "login", "--channel", CHANNEL], {
      env: profile.env,
      cwd: profile.home,
      stdin: "pipe",
    });
    try {
      await until("the QR code", () => /https?:\/\//.test(login.output));
      await simulator.login("latest", "scan");
      await simulator.login("latest", "need-code", { code: "4711" });
      await until("the question", () => login.output.includes("Number shown on the phone"));
      login.child.stdin.write("4711\n");
      await until("the code to arrive", async () => (await simulator.state()).logins.at(-1).status !== "need_verifycode");
      await simulator.login("latest", "confirm", { userId: "coded@im.wechat", botId: "coded@im.bot" });
      const { code } = await login.ended;
      assert.equal(code, 0, login.output);
      assert.ok(existsSync(path.join(profile.stateDir, CHANNEL, "accounts", "coded-im-bot.json")));
    } finally {
      await login.stop(2_000);
      await simulator.stop();
    }
  });
});

describe("gateway and sidecar are killed", () => {
  const people = (count) => Array.from({ length: count }, (_, i) => `person${i}@im.wechat`);

  /** Ten messages to a running gateway that is killed `afterMs` later and started again: what the model and the people saw. */
  async function crash({ from, text = "", prepare = async () => {}, moment }) {
    const simulator = await lab.simulator();
    const profile = await lab.profile(simulator);
    const bot = await simulator.addBot({ botId: "crash@im.bot", userId: "owner@im.wechat" });
    seedAccounts(profile, simulator, [bot]);
    profile.configure((config) => Object.assign(config.channels[CHANNEL], { dmPolicy: "open", allowFrom: ["*"] }));
    unhurried(profile);
    let gateway = await lab.gateway(profile);
    await ask(simulator, bot, bot.userId, "#warm-up");
    await prepare(simulator);
    const messages = Array.from({ length: 10 }, (_, i) => ({ from: from[i % from.length], text: `#message-${i}-${text}` }));
    for (const message of messages) await simulator.write(bot.botId, message.from, message.text);
    const writtenAt = Date.now();
    await moment(simulator);
    const { sidecars } = await gateway.kill();
    if (process.platform === "linux") assert.equal(sidecars.length, 1);
    const afterMs = Date.now() - writtenAt;
    const before = { sent: await simulator.sent({ botId: bot.botId }), asked: lab.model.requests.length };
    await simulator.clearFaults();
    gateway = await lab.gateway(profile);
    const answersTo = (sent, message) => sent.filter((one) => one.to === message.from && one.text.includes(message.text));
    await until(
      "ten answers",
      async () => {
        const sent = await simulator.sent({ botId: bot.botId });
        return messages.every((message) => answersTo(sent, message).length > 0);
      },
      { everyMs: 250 },
    );
    // What is answered twice is answered again soon: the host is done with its recovery when it is idle.
    await pause(6_000);
    const sent = await simulator.sent({ botId: bot.botId });
    note(
      `killed ${afterMs} ms after ten messages from ${from.length}: ${before.asked - 1} were with the model and ${before.sent.length - 1} ` +
        `answered by then; ${lab.model.requests.length - 1} model calls in all`,
    );
    for (const person of from) {
      const order = sent.filter((one) => one.to === person).flatMap((one) => /#message-(\d+)/.exec(one.text)?.[1] ?? []);
      assert.deepEqual(order, [...order].sort(), `answers to ${person} are out of order`);
    }
    for (const message of messages) {
      assert.equal(answersTo(sent, message).length, 1, `${message.text} was answered ${answersTo(sent, message).length} times`);
      assert.ok(lab.model.askedAbout(message.text).length >= 1, `${message.text} did not reach the model`);
    }
    await gateway.stop();
    await simulator.stop();
  }

  test("ten people's messages are answered exactly once", async () => {
    await crash({ from: people(10), moment: () => pause(700) });
  });

  // Not ten of one person: WeChat lets a bot send ten messages for each it gets, and the host adds a notice of its own.
  test("two people's ten messages are answered exactly once and in order, although turns were interrupted", async () => {
    await crash({
      from: people(2),
      text: "slow2",
      // Both first messages are with the model, which answers after two seconds: these turns are cut in the middle.
      moment: () => until("both people's turns at the model", () => lab.model.requests.length >= 3),
    });
  });

  test("answers that were on their way are not sent twice", async () => {
    await crash({
      from: people(10),
      // The server answers late, and the kill comes while it does: nobody knows what became of these sends.
      prepare: (simulator) => simulator.fault({ endpoint: "sendmessage", kind: "delay", value: 4_000 }),
      moment: async () => {
        await until("all ten at the model", () => lab.model.requests.filter((request) => request.answeredMs).length >= 11);
        await pause(1_000);
      },
    });
  });
});

describe("what WeChat does not allow now is held", () => {
  test("an answer that is held is not reported as delivered, and arrives after the person's next message", async () => {
    const simulator = await lab.simulator();
    const profile = await lab.profile(simulator);
    const bot = await simulator.addBot({ botId: "held@im.bot", userId: "owner@im.wechat" });
    seedAccounts(profile, simulator, [bot]);
    profile.configure((config) => Object.assign(config.channels[CHANNEL], { outbox: { quotaPerMessage: 1, notice: false } }));
    const gateway = await lab.gateway(profile);
    const texts = async () => (await simulator.sent({ botId: bot.botId })).map((message) => message.text);
    const send = (text, ...more) => profile.cli(["message", "send", "--channel", CHANNEL, "--target", bot.userId, "--message", text, ...more]);
    try {
      await ask(simulator, bot, bot.userId, "#one");

      // Of a process of its own: the same quota, and no success for what was not sent.
      const json = await send("from a script", "--json");
      assert.notEqual(json.code, 0, json.output);
      assert.equal(JSON.parse(json.stdout).deliveryStatus, "suppressed", json.output);
      assert.match(json.stderr, /owner@im.wechat is not sent yet: WeChat allows no more messages until they write.*do not send it again/s);

      // The next message lets it out, and has no room left for its own answer.
      await simulator.write(bot.botId, bot.userId, "#two");
      await gateway.says("The message to owner@im.wechat is not sent yet");
      await until("the script's message", async () => (await texts()).length === 2);
      assert.deepEqual(await texts(), ["echo: #one", "from a script"]);
      const status = await profile.must(["channels", "status"]);
      assert.match(status.output, /1 message waits to be sent/);

      await simulator.write(bot.botId, bot.userId, "#three");
      await until("the answer", async () => (await texts()).length === 3);
      assert.equal((await texts())[2], "echo: #two");
      await gateway.says("held message");
      // The answer to #three is held now. Nothing else is: no notice of the host, no second answer.
      await until("the model's third answer", () => lab.model.askedAbout("#three").some((request) => request.answeredMs));
      await until("the third answer to be held", () => gateway.output.split("is not sent yet").length === 3);
      await pause(2_000);
      assert.match((await profile.must(["channels", "status"])).output, /1 message waits to be sent/);
      // The agent knows what became of its second answer when it is asked for the third.
      const said = JSON.stringify(lab.model.askedAbout("#three")[0].messages);
      assert.match(said, /A message of yours is not sent yet: WeChat allows no more messages until they write/);
    } finally {
      await gateway.stop();
      await simulator.stop();
    }
  });

  test("a stale login is told where people look, holds what is sent, and ends with a new login without a restart", async () => {
    const simulator = await lab.simulator();
    const profile = await lab.profile(simulator);
    const bot = await simulator.addBot({ botId: "stale@im.bot", userId: "owner@im.wechat" });
    seedAccounts(profile, simulator, [bot]);
    const gateway = await lab.gateway(profile);
    try {
      await ask(simulator, bot, bot.userId, "#before");
      await simulator.expire(bot.botId);
      await until("the status to say so", async () => /log in again/.test((await profile.must(["channels", "status"])).output));
      const sent = await profile.cli(["message", "send", "--channel", CHANNEL, "--target", bot.userId, "--message", "kept for later"]);
      assert.match(sent.output, /is not sent yet: WeChat no longer accepts the login/);
      const login = profile.must(["channels", "login", "--channel", CHANNEL]);
      await until("the login", async () => (await simulator.state()).logins.length === 1);
      await simulator.login("latest", "confirm", { userId: bot.userId, botId: bot.botId });
      await login;
      await until("the held message", async () => (await simulator.sent()).some((message) => message.text === "kept for later"));
      await ask(simulator, bot, bot.userId, "#after");
    } finally {
      await gateway.stop();
      await simulator.stop();
    }
  });
});

describe("a state directory that the official plugin left", () => {
  test("works unchanged: same account, no new login, cursor and approvals taken over", async () => {
    const simulator = await lab.simulator();
    const profile = await lab.profile(simulator);
    const bot = await simulator.addBot({ botId: "old@im.bot", userId: "owner@im.wechat" });
    seedAccounts(profile, simulator, [bot]);
    // The official plugin had taken in one message and noted the cursor behind it.
    await simulator.write(bot.botId, bot.userId, "#seen-before");
    const cursor = await simulator.poll(bot);
    assert.ok(cursor);
    const dir = path.join(profile.stateDir, CHANNEL, "accounts");
    writeFileSync(path.join(dir, `${bot.accountId}.sync.json`), JSON.stringify({ get_updates_buf: cursor }));
    writeFileSync(path.join(dir, `${bot.accountId}.context-tokens.json`), JSON.stringify({}));
    // Somebody was approved, in the file that makes OpenClaw refuse to start with the official plugin.
    const credentials = path.join(profile.stateDir, "credentials");
    mkdirSync(credentials, { recursive: true });
    const leftover = path.join(credentials, `${CHANNEL}-${bot.accountId}-allowFrom.json`);
    writeFileSync(leftover, JSON.stringify({ version: 1, allowFrom: ["friend@im.wechat"] }));

    const gateway = await lab.gateway(profile);
    try {
      await ask(simulator, bot, "friend@im.wechat", "#approved-before");
      await ask(simulator, bot, bot.userId, "#new-message");
      assert.equal(lab.model.askedAbout("#seen-before").length, 0, "an old message came again");
      assert.ok(!existsSync(leftover), "the approvals were not imported");
      assert.deepEqual((await simulator.state()).logins, [], "there was a new login");
      assert.ok(readdirSync(dir).includes(`${bot.accountId}.json`));
    } finally {
      await gateway.stop();
      await simulator.stop();
    }
  });
});
