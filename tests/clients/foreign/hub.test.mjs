// The hub, and in front of it clients that nobody here wrote, as they are published: one WeChat for six of them, two for three each, and
// the official plugin on a real gateway. Needs Python 3.11 or newer, and Cargo.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { before, describe, test } from "node:test";

import { MARK, seedAccounts, sidecarBinary } from "../../host/lib/lab.mjs";
import { Model } from "../../host/lib/model.mjs";
import { OFFICIAL, redirect } from "../../host/lib/official.mjs";
import { ensureOpenClaw } from "../../host/lib/openclaw.mjs";
import { processesWithEnvironment, run, until } from "../../host/lib/processes.mjs";
import { CHANNEL, Profile } from "../../host/lib/profile.mjs";
import { Simulator } from "../../host/lib/simulator.mjs";
import { note, PNG } from "../../host/lib/talk.mjs";
import { CLIENTS, holds } from "./clients.mjs";
import { Hub } from "./hub.mjs";

const person = "ann@im.wechat";
/** What a person types to choose it. */
const nameOf = (client) => client.name.split(" ")[0];
/** Of each client's own: a file that is somewhere else is seen. Bytes behind a picture's end are no harm. */
const fileOf = (kind, name) => Buffer.from(`${kind} ${name} 中文\n`.repeat(2_000));
const pictureOf = (kind, name) => Buffer.concat([PNG, Buffer.from(`${kind} ${name}`)]);
/** What the last message that WeChat's quota allows ends with. */
const MORE = /\s*\(There is more\. Write anything and the rest follows\.\)$/;

/**
 * A simulated WeChat, the hub, a model, and what is to be ended. `accounts`: the bots' names; the same person is the owner of all.
 * WeChat's pace is off, its quota of ten messages for each of the person's is not.
 */
class House {
  clients = new Map();

  static async open({ accounts, rules }) {
    const house = new House();
    house.room = mkdtempSync(path.join(tmpdir(), "weixin-hub-"));
    try {
      house.simulator = await Simulator.start(sidecarBinary());
      await house.simulator.limit({ burst: null });
      house.bots = [];
      for (const name of accounts) house.bots.push(await house.simulator.addBot({ botId: `${name}@im.bot`, userId: person }));
      house.model = await Model.start();
      house.hub = await Hub.start(path.join(house.room, "hub"), house.simulator, { bots: house.bots, rules });
      return house;
    } catch (error) {
      await house.close();
      throw error;
    }
  }

  async close() {
    await this.stopClients();
    await this.hub?.stop();
    await this.model?.stop();
    await this.simulator?.stop();
    rmSync(this.room, { recursive: true, force: true, maxRetries: 10 });
  }

  /** A client, with a token of its own; it is not started yet. */
  async admit(client, bot, more = []) {
    const name = nameOf(client);
    const folder = path.join(this.room, name);
    mkdirSync(folder);
    const token = await this.hub.token(name, more);
    this.clients.set(name, { client, name, bot, folder, token, startedAtMs: 0 });
  }

  start(name) {
    const it = this.clients.get(name);
    const { url, cdnUrl } = this.hub;
    const { folder, token, bot, client } = it;
    return client.start({ url, cdnUrl, token, botId: bot.botId, userId: person, folder, modelUrl: this.model.url }).then((process) => (it.process = process));
  }

  startClients() {
    return Promise.all([...this.clients.keys()].map((name) => this.start(name)));
  }

  stopClients() {
    return Promise.all([...this.clients.values()].map(({ process }) => process?.stop()));
  }

  /** Waits for it; what everybody wrote says why it does not come. Only `who` has to be running for it. */
  eventually(what, probe, who) {
    const look = async () => {
      const it = this.clients.get(who);
      if (it && !it.process.running) throw new Error(`${who} has ended, before ${what}`);
      if (!this.hub.service.running) throw new Error(`the hub has ended, before ${what}`);
      return probe();
    };
    return until(what, look).catch((error) => assert.fail(`${error.message}\n${this.said(who)}`));
  }

  said(who) {
    const outputs = [...this.clients].filter(([name]) => !who || name === who).map(([name, { process }]) => [name, process?.output ?? ""]);
    return [["hub", this.hub.output], ...outputs].map(([name, output]) => `== ${name}\n${output.slice(-6_000)}`).join("\n");
  }

  sent(bot) {
    return this.simulator.sent({ botId: bot.botId, to: person });
  }

  /** The person chooses who answers. */
  async use(name, bot) {
    const known = (await this.sent(bot)).length;
    await this.simulator.write(bot.botId, person, `/use ${name}`);
    const said = `Your messages go to ${name} now.`;
    await this.eventually(`the switch to ${name}`, async () => (await this.sent(bot)).slice(known).some((sent) => sent.text === said));
  }

  answersTo(text, { client, bot }) {
    return this.sent(bot).then((sent) => sent.filter(({ text: said }) => client.answers(text).test((said ?? "").replace(MORE, ""))));
  }

  /** The client that is there answers a text. */
  async asks(text, it) {
    await this.simulator.write(it.bot.botId, person, text);
    await this.answers(text, it);
  }

  answers(text, it) {
    return this.eventually(`the answer of ${it.name} to ${text}`, async () => (await this.answersTo(text, it)).length > 0, it.name);
  }

  /** It was answered once, by that client. */
  async wasAnsweredOnce(text, it) {
    const there = await Promise.all(this.bots.map((bot) => this.answersTo(text, { ...it, bot })));
    assert.deepEqual(there.map(({ length }) => length), this.bots.map((bot) => (bot === it.bot ? 1 : 0)), `answers to ${text}\n${this.said(it.name)}`);
    assert.deepEqual(await this.hub.sendersOf(it.bot.accountId, person, (said) => it.client.answers(text).test(said)), [it.name], `who answered ${text}`);
  }

  /** A file and a picture to it, which it keeps. */
  async gives(it, address) {
    const content = { "a file": [{ type: "file", fileName: `报告-${it.name}.txt`, media: { bytes: fileOf("to", it.name).toString("base64"), address } }] };
    content["a picture"] = [{ type: "image", media: { bytes: pictureOf("to", it.name).toString("base64"), address } }];
    for (const [what, bytes] of [["a file", fileOf("to", it.name)], ["a picture", pictureOf("to", it.name)]]) {
      await this.simulator.send(it.bot.botId, person, { content: content[what] });
      await this.eventually(`${what} in the folder of ${it.name}`, () => holds(it.folder, bytes), it.name);
    }
  }

  /** A file and a picture from it, as the person's phone has them. */
  async takes(it) {
    for (const [ending, itemType, bytes] of [["txt", 4, fileOf("from", it.name)], ["png", 2, pictureOf("from", it.name)]]) {
      // Another wish for each bot: hermes takes the same words of the same person for the same message.
      const file = path.join(this.room, `ours-${it.name}-${it.bot.accountId}.${ending}`);
      writeFileSync(file, bytes);
      await this.simulator.write(it.bot.botId, person, it.client.wish(file));
      await this.eventually(`${path.basename(file)}`, async () => (await this.received(it.bot, itemType, bytes)) > 0, it.name);
    }
  }

  /** How many times the person got just these bytes. */
  async received(bot, itemType, bytes) {
    const media = (await this.sent(bot)).filter((sent) => sent.media && sent.itemType === itemType);
    const contents = await Promise.all(media.map(({ n }) => this.simulator.content(n)));
    return contents.filter((content) => content.equals(bytes)).length;
  }

  /** Files are where they belong, and nowhere else. */
  async filesAreTheirs() {
    const all = [...this.clients.values()];
    for (const it of all) {
      for (const bytes of [fileOf("to", it.name), pictureOf("to", it.name)]) {
        assert.deepEqual(all.filter(({ folder }) => holds(folder, bytes)).map(({ name }) => name), [it.name], "who has the file");
      }
      for (const [itemType, bytes] of [[4, fileOf("from", it.name)], [2, pictureOf("from", it.name)]]) {
        const times = await Promise.all(this.bots.map((bot) => this.received(bot, itemType, bytes)));
        assert.deepEqual(times, this.bots.map((bot) => (bot === it.bot ? 1 : 0)), `how often ${it.name} sent its file\n${this.said(it.name)}`);
      }
    }
  }

  /** Nothing waits for anybody: what they had is acked. */
  allTaken() {
    return this.eventually("everything to be taken", async () => Object.values(await this.hub.queued()).every((count) => count === 0));
  }

  /** The hub has nothing more to send, and the server took everything. */
  async nothingIsLeft() {
    await this.eventually("everything to be sent", async () => (await this.hub.ask("hub.held")).total === 0);
    assert.deepEqual(await this.simulator.rejected(), [], "something was refused");
  }
}

async function giveFullUrls(simulator) {
  const init = { method: "PUT", headers: { "content-type": "application/json" }, body: JSON.stringify({ uploadFullUrl: true }) };
  const response = await fetch(`${simulator.url}/_sim/cdn`, init);
  assert.ok(response.ok, await response.text());
}

const version = await run("python3", ["-c", "import sys, venv; print(sys.version_info >= (3, 11))"], { env: process.env }).catch(() => ({ stdout: "" }));
const skip = version.stdout.trim() === "True" ? false : "there is no Python 3.11 or newer with venv";

describe("foreign clients behind the hub", { skip }, () => {
  before(async () => {
    for (const client of CLIENTS) await client.prepare();
  }, { timeout: 3_600_000 });

  test("six on one WeChat: whoever is chosen answers, and a stop of clients or of the hub loses and repeats nothing", { timeout: 1_800_000 }, async () => {
    const house = await House.open({ accounts: ["one"] });
    try {
      const [bot] = house.bots;
      const { simulator, hub } = house;
      for (const client of CLIENTS) await house.admit(client, bot);
      await house.startClients();
      const all = [...house.clients.values()];
      for (const it of all) {
        const beganAtMs = Date.now();
        await house.use(it.name, bot);
        await house.asks(`#hello-${it.name} 你好`, it);
        const typed = (await simulator.state()).bots[0].typing.some((typing) => typing.atMs >= beganAtMs && typing.status === 1);
        assert.equal(typed, it.client.showsTyping, `typing of ${it.name}`);
        await house.gives(it);
        await house.takes(it);
        note(`${it.name}: ${Date.now() - beganAtMs} ms`);
      }
      for (const it of all) await house.wasAnsweredOnce(`#hello-${it.name} 你好`, it);
      await house.filesAreTheirs();

      await house.allTaken();
      await house.stopClients();
      for (const it of all) {
        await house.use(it.name, bot);
        await simulator.write(bot.botId, person, `#away-${it.name}`);
        await house.eventually(`what waits for ${it.name}`, async () => (await hub.queued())[it.name] === 1);
      }
      await house.startClients();
      for (const it of all) await house.answers(`#away-${it.name}`, it);
      await house.allTaken();

      await hub.stop();
      for (const it of all) {
        await simulator.write(bot.botId, person, `/use ${it.name}`);
        await simulator.write(bot.botId, person, `#without-hub-${it.name}`);
      }
      await hub.run();
      // Six answers of theirs and six of the hub's are more than ten: the rest is held, and no client takes that for a failure.
      await house.eventually("two that are held", async () => (await hub.ask("hub.held")).items.filter(({ reason }) => reason === "quota").length >= 2);
      await simulator.write(bot.botId, person, "/agents");
      for (const it of all) await house.answers(`#without-hub-${it.name}`, it);
      await house.allTaken();
      for (const it of all) {
        for (const text of [`#hello-${it.name} 你好`, `#away-${it.name}`, `#without-hub-${it.name}`]) await house.wasAnsweredOnce(text, it);
      }
      await house.filesAreTheirs();
      await house.nothingIsLeft();
    } finally {
      await house.close();
    }
  });

  test("three on each of two WeChats of the same person: each sees its own account only", { timeout: 1_800_000 }, async () => {
    const [first, second] = [CLIENTS.filter((_, n) => n % 2 === 0), CLIENTS.filter((_, n) => n % 2 === 1)];
    // The oldest token is an account's default, unless something else is said.
    const [open, chosen] = [nameOf(first[0]), nameOf(second.at(-1))];
    const rules = `[backends.${open}]\naccess = "open"\n[accounts.second-im-bot]\ndefault = "${chosen}"\n`;
    const house = await House.open({ accounts: ["first", "second"], rules });
    try {
      // As the real server, and otherwise than in the first test: with whole addresses.
      await giveFullUrls(house.simulator);
      const { simulator } = house;
      for (const [bot, clients] of [[house.bots[0], first], [house.bots[1], second]]) {
        for (const client of clients) await house.admit(client, bot, ["--account", bot.accountId]);
      }
      await house.startClients();
      const all = [...house.clients.values()];
      const of = (bot) => all.filter((it) => it.bot === bot);
      const turns = async (bot, other) => {
        const byDefault = house.clients.get(bot === house.bots[0] ? open : chosen);
        await house.asks(`#default-${byDefault.name}`, byDefault);
        const foreign = of(other)[0].name;
        await simulator.write(bot.botId, person, `/use ${foreign}`);
        await house.eventually(`no ${foreign}`, async () => (await house.sent(bot)).some((sent) => sent.text?.startsWith(`There is no agent “${foreign}”.`)));
        for (const it of of(bot)) {
          await house.use(it.name, bot);
          await house.asks(`#hello-${it.name}`, it);
          await house.gives(it, "full_url");
          await house.takes(it);
        }
        await house.wasAnsweredOnce(`#default-${byDefault.name}`, byDefault);
      };
      const [one, two] = house.bots;
      await Promise.all([turns(one, two), turns(two, one)]);
      for (const it of all) await house.wasAnsweredOnce(`#hello-${it.name}`, it);
      await house.filesAreTheirs();

      // Somebody else: the one that takes everybody answers, of its account; on the other nobody does.
      const stranger = "eve@im.wechat";
      for (const bot of house.bots) await simulator.write(bot.botId, stranger, "#let-me-in");
      const heard = () => simulator.sent({ to: stranger });
      await house.eventually(`the answer of ${open} to a stranger`, async () => (await heard()).some(({ text }) => text === "echo: #let-me-in"), open);
      await house.allTaken();
      assert.deepEqual((await heard()).map(({ botId }) => botId), [one.botId]);
      await house.nothingIsLeft();
    } finally {
      await house.close();
    }
  });

  test("six with tokens for both WeChats of one person: an answer goes where the question came from", { timeout: 1_800_000 }, async () => {
    const house = await House.open({ accounts: ["first", "second"] });
    try {
      for (const client of CLIENTS) await house.admit(client, house.bots[0]);
      await house.startClients();
      for (const it of house.clients.values()) {
        for (const bot of house.bots) {
          const there = { ...it, bot };
          const text = `#hello-${it.name}-${bot.accountId}`;
          await house.use(it.name, bot);
          await house.asks(text, there);
          await house.wasAnsweredOnce(text, there);
          await house.takes(there);
        }
      }
      await house.nothingIsLeft();
    } finally {
      await house.close();
    }
  });
});

describe("the official plugin behind the hub, on a real gateway", () => {
  test("receives, answers, types, moves files, answers what came while it was away, and logs another account in", { timeout: 1_800_000 }, async () => {
    const house = await House.open({ accounts: ["theirs"], rules: "enrol = true\n" });
    const mark = `${house.room}:`;
    const [bot] = house.bots;
    const { simulator, hub, model } = house;
    let gateway;
    const official = { name: "openclaw", bot, client: { answers: (text) => new RegExp(`^echo: ${text}$`) } };
    const eventually = (what, probe) =>
      until(what, probe).catch((error) => assert.fail(`${error.message}\n${house.said()}\n== gateway\n${gateway?.output.slice(-6_000)}`));
    const answered = (text) => eventually(`an answer to ${text}`, async () => (await house.answersTo(text, official)).length > 0);
    try {
      const packed = await run("npm", ["pack", "--silent", OFFICIAL, "--pack-destination", house.room], { env: process.env });
      assert.equal(packed.code, 0, packed.output);
      const profile = await Profile.create(await ensureOpenClaw(undefined, note), path.join(house.room, "profile"), { modelUrl: model.url });
      // Where it would log in again, should it think that it has to.
      profile.extraEnv = { [MARK]: mark, NODE_OPTIONS: `--import=${redirect(house.room, hub.url)}` };
      await profile.installPlugin(`npm-pack:${path.join(house.room, packed.stdout.trim())}`);
      seedAccounts(profile, hub, [{ ...bot, token: await hub.token(official.name, ["--account", bot.accountId]) }]);
      profile.configure((config) => (config.channels[CHANNEL].accounts = { [bot.accountId]: { cdnBaseUrl: hub.cdnUrl } }));

      gateway = await profile.startGateway();
      await simulator.write(bot.botId, person, "#hello");
      await answered("#hello");
      assert.ok((await simulator.state()).bots[0].typing.length > 0, "it shows no typing");
      for (const [type, bytes] of [["file", fileOf("to", official.name)], ["image", pictureOf("to", official.name)]]) {
        const content = [{ type, media: { bytes: bytes.toString("base64") }, ...(type === "file" ? { fileName: "报告.txt" } : {}) }];
        await simulator.send(bot.botId, person, { content });
        await eventually(`the ${type} in its folder`, () => holds(profile.stateDir, bytes));
      }
      const workspace = path.join(profile.stateDir, "workspace");
      mkdirSync(workspace, { recursive: true });
      for (const [name, itemType, bytes] of [["ours.txt", 4, fileOf("from", official.name)], ["ours.png", 2, pictureOf("from", official.name)]]) {
        const file = path.join(workspace, name);
        writeFileSync(file, bytes);
        await profile.must(["message", "send", "--channel", CHANNEL, "--account", bot.accountId, "--target", person, "--media", file]);
        await eventually(name, async () => (await house.received(bot, itemType, bytes)) === 1);
      }
      await house.allTaken();
      await gateway.stop();
      await simulator.write(bot.botId, person, "#away");
      await eventually("what waits for it", async () => (await hub.queued())[official.name] === 1);
      gateway = await profile.startGateway();
      await answered("#away");
      await house.allTaken();
      for (const text of ["#hello", "#away"]) await house.wasAnsweredOnce(text, official);

      await gateway.stop();
      const login = profile.must(["channels", "login", "--channel", CHANNEL]);
      await eventually("its login", async () => (await simulator.state()).logins.length === 1);
      await simulator.login("latest", "scan");
      await simulator.login("latest", "confirm", { userId: "bob@im.wechat", botId: "more@im.bot" });
      await login;
      gateway = await profile.startGateway();
      await simulator.write("more@im.bot", "bob@im.wechat", "#enrolled");
      await eventually("an answer of the new account", async () => (await simulator.sent({ botId: "more@im.bot" })).some(({ text }) => text === "echo: #enrolled"));
      assert.deepEqual(await hub.sendersOf("more-im-bot", "bob@im.wechat", (text) => text === "echo: #enrolled"), ["more-im-bot"]);
      await house.allTaken();
      await house.nothingIsLeft();
    } finally {
      await gateway?.stop();
      const look = () => processesWithEnvironment(`${MARK}=${mark}`) ?? [];
      await until("everything of the gateway to end", () => look().length === 0, { timeoutMs: 7_000 }).catch(() => {});
      const left = look();
      await house.close();
      assert.deepEqual(left, [], "processes were left running");
    }
  });
});
