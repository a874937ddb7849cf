// Who may do what, and whom OpenClaw reaches by itself: settings of the official plugin, strangers, `/allowlist`, the owner, approvals.
import assert from "node:assert/strict";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";

import { run, until } from "./lib/processes.mjs";
import { CHANNEL } from "./lib/profile.mjs";
import { openGateway, useLab } from "./lib/setup.mjs";
import { ask, pause } from "./lib/talk.mjs";

const lab = useLab();
const STRANGER = "Stranger@im.wechat";

describe("access", () => {
  let here;
  let bot;
  before(async () => {
    here = await openGateway(lab, {
      configure: (channel) => {
        Object.assign(channel, { dmPolicy: "pairing", allowFrom: [], foo: 1, groupPolicy: "open", dmHistoryLimit: 5 });
        channel.accounts = { "bot-im-bot": { bar: true }, "nobody-im-bot": { name: "gone" } };
      },
      prepare: (profile) =>
        profile.configure((config) => {
          config.cron = { enabled: true };
          config.commands = { ...config.commands, config: true, ownerAllowFrom: [`${CHANNEL}:owner-of-bot@im.wechat`] };
        }),
    });
    [bot] = here.bots;
  }, { timeout: 300_000 });
  after(() => here?.stop());

  const said = async (to) => (await here.simulator.sent({ to })).map(({ text }) => text ?? "");
  const codeOf = (texts) => texts.map((text) => /\b[A-Z0-9]{8}\b/.exec(text)?.[0]).find(Boolean);

  test("a configuration with keys that nobody reads starts, and doctor names them", async () => {
    const { output } = await here.profile.cli(["doctor", "--non-interactive"]);
    assert.match(output, /channels\.openclaw-weixin\.foo/);
    assert.match(output, /accounts\.bot-im-bot\.bar/);
    assert.match(output, /accounts\.nobody-im-bot/);
    assert.doesNotMatch(output, /groupPolicy: nobody|dmHistoryLimit: nobody/);
  });

  test("a stranger is answered in their language, once an hour, also where their request was dismissed; then welcomed", async () => {
    await here.simulator.write(bot.botId, STRANGER, "你好");
    const code = await until("the pairing code", async () => codeOf(await said(STRANGER)));
    assert.match((await said(STRANGER))[0], /你还没有使用权限[\s\S]*Stranger@im\.wechat[\s\S]*openclaw pairing approve openclaw-weixin/);
    await here.simulator.write(bot.botId, STRANGER, "在吗？");
    await ask(here.simulator, bot, bot.userId, "#meanwhile");
    await pause(1_000);
    assert.equal((await said(STRANGER)).length, 1, "one code is enough");
    assert.ok(code);
    // As in the Control UI; the command line's `pairing approve --notify` loads no plugin from npm.
    const { requests } = await here.profile.rpc("channels.pairing.list", { channel: CHANNEL });
    const [{ requestId }] = requests.filter(({ senderId }) => senderId === STRANGER);
    const approved = await here.profile.rpc("channels.pairing.approve", { channel: CHANNEL, accountId: "bot-im-bot", requestId, notify: true });
    assert.equal(approved.notification, "sent");
    await until("the welcome", async () => (await said(STRANGER)).some((text) => text.includes("你已获准使用")));
    await ask(here.simulator, bot, STRANGER, "#let-in");
  });

  test("the owner edits the list from WeChat, and it takes effect with the next message", async () => {
    const guest = "Guest@im.wechat";
    await here.simulator.write(bot.botId, bot.userId, `/allowlist add dm ${guest}`);
    await until("the answer to /allowlist", async () => (await said(bot.userId)).some((text) => /allowlist/i.test(text) && text.includes("added")));
    await ask(here.simulator, bot, guest, "#as-a-guest");
    await here.simulator.write(bot.botId, bot.userId, "/allowlist add dm nonsense");
    await until("the refusal", async () => (await said(bot.userId)).some((text) => /invalid/i.test(text)));
    await here.simulator.write(bot.botId, bot.userId, `/allowlist remove dm ${guest}`);
    await until("the removal", async () => (await said(bot.userId)).some((text) => /allowlist/i.test(text) && text.includes("removed")));
    // The gateway reads its configuration again a moment after it was written.
    await until("a pairing code", async () => {
      await here.simulator.write(bot.botId, guest, "#no-guest-any-more");
      await pause(1_000);
      return codeOf(await said(guest));
    });
    await here.simulator.write(bot.botId, guest, "#nor-now");
    await ask(here.simulator, bot, bot.userId, "#meanwhile-again");
    assert.equal(lab.model.askedAbout("#nor-now").length, 0);
  });

  test("what names nobody reaches the owner", async () => {
    const args = ["cron", "add", "--name", "report", "--at", "2s", "--session", "isolated", "--message", "#the-report", "--announce", "--channel", CHANNEL];
    await here.profile.must(args);
    await until("the report", async () => (await said(bot.userId)).some((text) => text.includes("#the-report"))).catch(async (error) => {
      const runs = await here.profile.cli(["cron", "list", "--all", "--json"]);
      throw new Error(`${error.message}\n${runs.output.slice(-3_000)}`);
    });
  });

  test("the directory lists who has written and who may; a part of an id finds the person", async () => {
    const openclaw = async (...args) => JSON.parse((await here.profile.must([...args, "--channel", CHANNEL, "--json"])).stdout);
    const listed = await openclaw("directory", "peers", "list");
    assert.equal(listed.find(({ id }) => id === bot.userId)?.raw.owner, true, JSON.stringify(listed));
    assert.ok(listed.some(({ id }) => id === STRANGER), JSON.stringify(listed));
    const [found, several, nobody] = await openclaw("channels", "resolve", "weixin:tranger", "im.wechat", "zoe");
    assert.equal(found.id, STRANGER);
    assert.deepEqual([several, nobody].map(({ resolved }) => resolved), [false, false]);
  });

  test("only the owner approves; a heartbeat that would reach nobody is skipped, and says why", async () => {
    // As the gateway asks it, in a process of the host's Node with the plugin as it is installed.
    const installed = path.join(here.profile.stateDir, "npm", "projects", "openclaw-weixin-sidecar", "node_modules", "openclaw-weixin-sidecar", "dist", "channel.js");
    const script = `
      const { weixinPlugin: plugin } = await import(${JSON.stringify(pathToFileURL(installed).href)});
      const may = (senderId, cfg = {}) => plugin.approvalCapability.authorizeActorAction({ cfg, accountId: "bot-im-bot", senderId, action: "approve", approvalKind: "exec" });
      console.log(JSON.stringify([
        may("${bot.userId}"), may("openclaw-weixin:${bot.userId}"), may("${STRANGER}"), may("${bot.userId.toUpperCase()}"), may(undefined),
        may("second@im.wechat", { commands: { ownerAllowFrom: ["openclaw-weixin:second@im.wechat", "telegram:7"] } }),
        plugin.config.resolveDefaultTo({ cfg: {} }), plugin.config.resolveDefaultTo({ cfg: { channels: { "${CHANNEL}": { defaultTo: "weixin:boss@im.wechat" } } } }),
        plugin.config.resolveAllowFrom({ cfg: {} }), (await plugin.directory.self({ cfg: {} })).id,
        ...await Promise.all([
          { cfg: {}, accountId: "bot-im-bot" },
          { cfg: { channels: { "${CHANNEL}": { enabled: false } } }, accountId: "bot-im-bot" },
          { cfg: {}, accountId: "nobody-im-bot" },
        ].map((params) => plugin.heartbeat.checkReady(params))),
      ]));`;
    const done = await run(lab.host.node, ["--input-type=module", "-e", script], { env: here.profile.env });
    assert.equal(done.code, 0, done.output);
    const [owner, prefixed, stranger, shouted, nobody, second, to, configured, admitted, self, ...ready] = JSON.parse(done.stdout.trim().split("\n").at(-1));
    assert.deepEqual([owner, prefixed, second].map(({ authorized }) => authorized), [true, true, true]);
    assert.deepEqual([stranger, shouted, nobody].map(({ authorized }) => authorized), [false, false, false]);
    assert.match(stranger.reason, /not authorized/);
    assert.deepEqual([to, configured, admitted, self], [bot.userId, "boss@im.wechat", [bot.userId], "bot-im-bot"]);
    // This process has no sidecar: the account is polled by the gateway's.
    assert.deepEqual(ready.map(({ ok, reason }) => (ok ? "ok" : reason)), ["weixin-not-running", "weixin-disabled", "weixin-not-logged-in"]);
  });

  test("a heartbeat without a target reaches the owner, and is skipped with its reason where nobody would see it", async () => {
    const { profile, simulator } = here;
    profile.configure((config) => (config.agents.defaults.heartbeat = { every: "24h" }));
    await here.restart();
    const wake = (text) => profile.must(["system", "event", "--mode", "now", "--text", text]);
    await wake("#woken-up");
    await until("the heartbeat", async () => (await said(bot.userId)).some((text) => text.includes("#woken-up")));

    await simulator.expire(bot.botId);
    await until("the status to say so", async () => /log in again/.test((await profile.must(["channels", "status"])).output));
    const before = (await said(bot.userId)).length;
    await wake("#nobody-sees-this");
    await until("the reason", async () => /weixin-login-expired/.test((await profile.must(["system", "heartbeat", "last", "--json"])).output));
    assert.equal((await said(bot.userId)).length, before);
  });

  test("doctor --fix mends a channel that is open and lets nobody in", async () => {
    const { profile } = here;
    await here.gateway.stop();
    profile.configure((config) => Object.assign(config.channels[CHANNEL], { dmPolicy: "open", allowFrom: [] }));
    const { output } = await profile.cli(["doctor", "--fix", "--non-interactive"]);
    assert.match(output, /dmPolicy: "open" without "\*" became "pairing"/, output);
    assert.equal(profile.config.channels[CHANNEL].dmPolicy, "pairing");
  });
});
