// The official plugin, as it is on npm, on a real OpenClaw gateway, against our simulator: it must get along with it. And what
// our plugin sends must look as what the official one sends, field by field: the server was seen to drop what does not.
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";

import { seedAccounts } from "./lib/lab.mjs";
import { OFFICIAL, redirect } from "./lib/official.mjs";
import { run, until } from "./lib/processes.mjs";
import { CHANNEL } from "./lib/profile.mjs";
import { useLab } from "./lib/setup.mjs";
import { ask, PNG } from "./lib/talk.mjs";

const lab = useLab();

/** One of each that both plugins can send, by the same commands. */
async function sendOneOfEach({ simulator, profile, bot }) {
  const folder = path.join(profile.stateDir, "workspace");
  mkdirSync(folder, { recursive: true });
  const video = Buffer.concat([Buffer.from([0, 0, 0, 0x18]), Buffer.from("ftypmp42"), Buffer.alloc(64)]);
  for (const [name, bytes] of [["picture.png", PNG], ["clip.mp4", video], ["report.pdf", Buffer.from("%PDF-1.7\n")]]) {
    const file = path.join(folder, name);
    writeFileSync(file, bytes);
    await profile.must(["message", "send", "--channel", CHANNEL, "--account", bot.accountId, "--target", bot.userId, "--media", file]);
  }
  return Object.fromEntries((await simulator.sent({ botId: bot.botId })).map((sent) => [sent.itemType, sent]));
}

/** What a message looks like: its fields, and of its item the names, and what kind of value each has. */
function shape({ fields, items }) {
  const kinds = (value) =>
    value && typeof value === "object" ? Object.fromEntries(Object.entries(value).sort().map(([name, inner]) => [name, kinds(inner)])) : typeof value;
  // A run belongs to an answer of an agent, and is not everywhere. The context token the official plugin has in its gateway only.
  return { fields: fields.filter((name) => name !== "run_id" && name !== "context_token"), item: kinds(items[0]) };
}

describe("the official plugin", () => {
  test("logs in, receives, answers, and moves files, and our messages look like its", { timeout: 600_000 }, async () => {
    const simulator = await lab.simulator();
    await simulator.limit({ quotaPerToken: null, burst: null });
    const packed = await run("npm", ["pack", "--silent", OFFICIAL, "--pack-destination", lab.folder], { env: process.env });
    assert.equal(packed.code, 0, packed.output);
    const profile = await lab.profileWith(path.join(lab.folder, packed.stdout.trim()), simulator, {
      env: { NODE_OPTIONS: `--import=${redirect(lab.folder, simulator.url)}` },
    });
    profile.configure((config) => (config.channels = { [CHANNEL]: { accounts: { "theirs-im-bot": { cdnBaseUrl: `${simulator.url}/c2c` } } } }));

    const login = profile.must(["channels", "login", "--channel", CHANNEL]);
    await until("its login", async () => (await simulator.state()).logins.length === 1);
    await simulator.login("latest", "scan");
    await simulator.login("latest", "confirm", { userId: "owner@im.wechat", botId: "theirs@im.bot" });
    await login;
    const gateway = await lab.gateway(profile);
    const [bot] = (await simulator.state()).bots;
    const there = { simulator, profile, bot };
    await ask(simulator, bot, bot.userId, "#hello");
    const file = Buffer.from("what a person sends\n".repeat(100));
    const content = [{ type: "text", text: "#with-a-file" }, { type: "file", fileName: "notes.txt", media: { bytes: file.toString("base64") } }];
    await ask(simulator, bot, bot.userId, "#with-a-file", { send: () => simulator.send(bot.botId, bot.userId, { content }) });
    const theirs = await sendOneOfEach(there);
    assert.ok((await simulator.content(theirs[4].n)).equals(Buffer.from("%PDF-1.7\n")));
    assert.deepEqual(await simulator.rejected(), [], "something of it was refused");
    assert.match((await simulator.state()).bots[0].headersSeen.clientVersion, /^132105$/, "2.4.9, as we declare it");
    await gateway.stop();

    const ourProfile = await lab.profile(simulator);
    const ourBot = await simulator.addBot({ botId: "ours@im.bot", userId: "owner@im.wechat" });
    seedAccounts(ourProfile, simulator, [ourBot]);
    const ourGateway = await lab.gateway(ourProfile);
    await ask(simulator, ourBot, ourBot.userId, "#hello");
    const ours = await sendOneOfEach({ simulator, profile: ourProfile, bot: ourBot });
    assert.deepEqual(Object.keys(ours), Object.keys(theirs));
    for (const sent of [ours[1], theirs[1]]) assert.ok(sent.fields.includes("context_token"), "an answer without a context token");
    for (const type of Object.keys(theirs)) assert.deepEqual(shape(ours[type]), shape(theirs[type]), `item type ${type}`);
    await ourGateway.stop();
    await simulator.stop();
  });
});
