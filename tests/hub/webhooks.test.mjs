// Backends that have an address instead of a connection: what is posted to them, tried with the published libraries of Standard Webhooks;
// what they answer; where the hub does not post; and alerts.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { Service } from "../host/lib/processes.mjs";
import { note, PNG } from "../host/lib/talk.mjs";
import { eventually, House, noPython, program, python } from "./house.mjs";
import { Receiver } from "./receiver.mjs";

/** `hub.toml` for webhooks, by backend; whoever writes reaches them. */
const rules = (hooks, more = "") => {
  const places = [...new Set(Object.values(hooks).map(({ place }) => place))];
  const tables = Object.entries(hooks).map(([name, hook]) => `[backends.${name}]\naccess = "open"\n[backends.${name}.webhook]\n${hook.webhook}`);
  return `allowed_hosts = ${JSON.stringify(places)}\n${tables.join("\n")}\n${more}`;
};
const everybody = (...names) => names.map((name) => `[backends.${name}]\naccess = "open"\n`).join("");
const people = (account, whose) => `[accounts.${account}.people]\n${Object.entries(whose).map(([person, name]) => `"${person}" = "${name}"\n`).join("")}`;

/** A house and a receiver that is the only backend of it. */
async function posted(t, answer) {
  const hook = await Receiver.start(answer);
  t.after(() => hook.close());
  const house = await House.open({ rules: rules({ hook }) });
  t.after(() => house.close());
  return { house, hook, bot: house.bots[0], simulator: house.simulator };
}

const nothingWaits = (house, name = "hook") => eventually("nothing to wait", async () => (await house.hub.queued())[name] === 0);
const said = (house, text) => house.hub.output.split(text).length - 1;
const ann = "ann@im.wechat";

/** A poll of the bot was answered. */
const answered = (house, bot) =>
  eventually("an answered poll", async () => {
    await house.simulator.release(bot.botId);
    return (await house.figure("weixin_account_last_poll_age_seconds", `account="${bot.accountId}"`)) !== undefined;
  });

describe("webhooks", { concurrency: true, timeout: 85_000 }, () => {
  test("what people write is posted, signed; any 2xx takes it", async (t) => {
    const { house, hook, bot, simulator } = await posted(t, (_, n) => ({ status: [200, 204, 299][n % 3] }));
    await simulator.write(bot.botId, ann, "hello 你好 😀\u2028</script>");
    await simulator.send(bot.botId, ann, { content: [{ type: "image", media: { bytes: PNG.toString("base64") } }] });
    await simulator.write(bot.botId, bot.userId, "the owner's");
    await hook.got(3);
    await nothingWaits(house);
    await hook.allVerify();
    const [hello, picture] = hook.posts.map(({ body }) => body).filter(({ data }) => data.conversation.id === ann);
    assert.deepEqual([hello.type, hello.data.text, hello.data.accountId, hello.data.attempt], ["message.received", "hello 你好 😀\u2028</script>", bot.accountId, 1]);
    assert.ok(Math.abs(hello.timestamp - Date.now()) < 60_000);
    assert.match(picture.data.parts[0].url, /^\/media\/[\w-]+$/);
    assert.equal(new Set(hook.posts.map(({ id }) => id)).size, 3);
    const { token } = await house.token("hook");
    const file = await fetch(`${house.url}${picture.data.parts[0].url}`, { headers: { authorization: `Bearer ${token}` } });
    assert.ok(PNG.equals(Buffer.from(await file.arrayBuffer())));
  });

  test("after an error it is posted again under the same id, before what the person wrote next; nobody else waits for it", async (t) => {
    const codes = [500, 302, 404];
    const { house, hook, bot, simulator } = await posted(t, ({ body }) => (body.data.text === "first" && codes.length ? { status: codes.shift(), headers: { location: "/elsewhere" } } : {}));
    await simulator.write(bot.botId, ann, "first");
    await hook.got(1);
    await simulator.write(bot.botId, ann, "second");
    await simulator.write(bot.botId, "bob@im.wechat", "of another");
    await hook.got(6);
    await nothingWaits(house);
    await hook.allVerify();
    const texts = hook.posts.map(({ body }) => body.data.text);
    assert.equal(texts[1], "of another", "it did not wait");
    assert.deepEqual(texts.filter((text) => text !== "of another"), ["first", "first", "first", "first", "second"]);
    const tries = hook.posts.filter(({ body }) => body.data.text === "first");
    assert.deepEqual([...new Set(tries.map(({ id }) => id))].length, 1);
    assert.deepEqual(tries.map(({ body }) => body.data.attempt), [1, 2, 3, 4]);
    assert.ok(hook.posts.every(({ path }) => path === "/x"), "a redirect was followed");
    assert.equal(hook.posts.length, 6);
  });

  test("while connections are refused, and over a kill, it waits, under the same id", async (t) => {
    const { house, hook, bot, simulator } = await posted(t, (_, n) => (n === 1 ? { status: 503 } : {}));
    await simulator.write(bot.botId, ann, "hello");
    await hook.got(1);
    await hook.close();
    await eventually("a try that is refused", () => said(house, "a message was not posted") >= 2);
    await house.hub.service.kill();
    await house.hub.run();
    await eventually("another one", () => said(house, "a message was not posted") >= 1);
    assert.equal((await house.hub.queued()).hook, 1);
    await hook.open();
    await hook.got(2);
    await nothingWaits(house);
    await hook.allVerify();
    assert.equal(hook.posts[0].id, hook.posts[1].id);
    assert.ok(hook.posts[1].body.data.attempt > hook.posts[0].body.data.attempt);
    assert.equal(hook.posts.length, 2);
  });

  test("who does not answer within half a minute gets it again", async (t) => {
    const { house, hook, bot, simulator } = await posted(t, (_, n) => (n === 1 ? undefined : {}));
    await simulator.write(bot.botId, ann, "hello");
    await hook.got(1);
    const began = Date.now();
    await hook.got(2);
    assert.ok(Date.now() - began > 29_000, "it had its half minute");
    assert.equal(hook.posts[0].id, hook.posts[1].id);
    await nothingWaits(house);
  });

  test("a 2xx takes it, however long its body is", async (t) => {
    const { hook, bot, simulator } = await posted(t, ({ body }) => (body.data.text === "first" ? { body: "x".repeat(300_000) } : {}));
    await simulator.write(bot.botId, ann, "first");
    await hook.got(1);
    await simulator.write(bot.botId, ann, "second");
    await hook.got(2);
    assert.equal(hook.posts[1].body.data.text, "second");
  });

  test("a reply in the answer reaches the person, once", async (t) => {
    const answers = { one: { reply: "a text 答复" }, two: { reply: { text: "a whole" } }, three: "not JSON", four: { reply: "" }, five: { reply: { text: 5 } } };
    const failed = new Set();
    const { house, hook, bot, simulator } = await posted(t, ({ body, id }) => {
      // Its answer is lost: the same comes again.
      if (body.data.text === "two" && !failed.has(id)) return failed.add(id), { status: 500, body: answers.two };
      return { body: answers[body.data.text] };
    });
    for (const text of Object.keys(answers)) await simulator.write(bot.botId, ann, text);
    await hook.got(6);
    await nothingWaits(house);
    assert.deepEqual(await house.read(bot, ann), ["a text 答复", "a whole"]);
    await hook.allVerify();
    assert.equal(hook.posts.length, 6);
  });

  test("a hub that is killed at any moment of an answer makes one reply of it", async (t) => {
    const moments = [0, 1, 3, 8, 20, 60, 150];
    let killed;
    const killedAt = new Set();
    const { house, hook, bot, simulator } = await posted(t, ({ body, id }) => {
      if (!killedAt.has(id)) setTimeout(() => house.hub.service.kill().then(killed), moments[killedAt.size]);
      killedAt.add(id);
      return { body: { reply: `re: ${body.data.text}` } };
    });
    for (let n = 0; n < moments.length; n += 1) {
      const dead = new Promise((resolve) => (killed = resolve));
      await simulator.write(bot.botId, ann, String(n));
      await dead;
      await house.hub.run();
    }
    await nothingWaits(house);
    const replies = moments.map((_, n) => `re: ${n}`);
    await eventually("the last reply", async () => (await house.read(bot, ann)).length >= replies.length);
    assert.deepEqual(await house.read(bot, ann), replies);
    await hook.allVerify();
    const ids = new Map(hook.posts.map(({ id, body }) => [id, body.data.text]));
    assert.equal(ids.size, moments.length, "a message has one id, whatever happens");
    note(`killed ${moments.length} times within 150 ms of an answer: ${hook.posts.length} posts, ${replies.length} replies`);
  });

  test("killed when the reply is in the outbox and not sent; and when it is sent and the message not acked", { skip: noPython }, async (t) => {
    const { house, hook, bot, simulator } = await posted(t, ({ body }) => ({ body: { reply: `re: ${body.data.text}, try ${body.data.attempt}` } }));
    const delay = (value) => simulator.fault({ endpoint: "sendmessage", kind: "delay", value, times: 1 });
    const outgoing = async (count) => (await house.hub.ask("hub.trace", { accountId: bot.accountId, peer: ann })).events.filter(({ direction }) => direction === "out").length >= count;

    await delay(60_000);
    await simulator.write(bot.botId, ann, "first");
    await eventually("the reply in the outbox", () => outgoing(1));
    await house.hub.service.kill();
    assert.deepEqual(await house.read(bot, ann), []);
    await house.hub.run();
    await nothingWaits(house);

    await delay(3_000);
    await simulator.write(bot.botId, ann, "second");
    await eventually("the second reply in the outbox", () => outgoing(2));
    // Nothing of what follows is written down: the person has the reply, and the message is not acked.
    const lock = new Service(await python(), [program("lock.py"), house.file("sidecar.sqlite")], { env: process.env, stdin: "pipe" });
    await eventually("the lock", () => lock.output.includes("locked"));
    await eventually("the person to have it", async () => (await house.read(bot, ann)).length === 2);
    await house.hub.service.kill();
    lock.child.stdin.end();
    await lock.ended;
    await house.hub.run();
    await nothingWaits(house);

    // What it said first is what it said, whatever it says later.
    assert.deepEqual(await house.read(bot, ann), ["re: first, try 1", "re: second, try 1"]);
    await hook.allVerify();
    const idsOf = (text) => hook.posts.filter(({ body }) => body.data.text === text).map(({ id }) => id);
    for (const text of ["first", "second"]) {
      assert.equal(idsOf(text).length, 2, "it was posted again");
      assert.equal(new Set(idsOf(text)).size, 1);
    }
  });

  test("an address that is not allowed is not even connected to, however it is written", async (t) => {
    const inside = await Receiver.start();
    t.after(() => inside.close());
    const { port } = inside;
    const six = await Receiver.start(() => ({}), { host: "::1", port }).catch(() => undefined);
    t.after(() => six?.close());
    const allowed = await Receiver.start(() => ({ status: 307, headers: { location: inside.url } }));
    t.after(() => allowed.close());
    const places = [
      `127.0.0.1:${port}`,
      `localhost:${port}`,
      `LocalHost:${port}`,
      `127.1:${port}`,
      `127.8.8.8:${port}`,
      `2130706433:${port}`,
      `0x7f.0.0.1:${port}`,
      `0:${port}`,
      `0.0.0.0:${port}`,
      `[::1]:${port}`,
      `[::]:${port}`,
      `[::ffff:127.0.0.1]:${port}`,
      `[::ffff:7f00:1]:${port}`,
      `${allowed.place}@127.0.0.1:${port}`,
      `${allowed.host}.:${port}`,
      `①②⑦.⓪.⓪.①:${port}`,
    ];
    const hooks = Object.fromEntries(places.map((place, n) => [`n${n}`, { webhook: `url = "http://${place}/x"\nsecret = "${inside.secret}"\n`, place: allowed.place }]));
    hooks.redirected = allowed;
    const names = Object.keys(hooks);
    const whose = Object.fromEntries(names.map((name) => [`${name}@im.wechat`, name]));
    const alerts = `[alerts]\nurl = "http://127.0.0.1:${port}/alerts"\nsecret = "${inside.secret}"\n`;
    const text = (account, place) => rules({ ...hooks, redirected: { ...allowed, webhook: allowed.webhook, place } }, `${people(account, whose)}${alerts}`);
    const house = await House.open({ rules: ({ accountId }) => text(accountId, allowed.place) });
    t.after(() => house.close());
    const [bot] = house.bots;
    for (const name of names) await house.simulator.write(bot.botId, `${name}@im.wechat`, "hello");
    await eventually("all of them", async () => (await house.figure("weixin_account_received_messages_total", `account="${bot.accountId}"`)) === names.length);
    // An alert too.
    await house.simulator.expire(bot.botId);
    await house.simulator.release(bot.botId);
    const tries = (name) => house.hub.output.split("\n").filter((line) => line.includes("a message was not posted") && line.includes(`"${name}"`));
    for (const name of names) await eventually(`a try to post to ${name}`, () => tries(name).length >= 1).catch((error) => assert.fail(`${error.message}: ${house.hub.output}`));
    await eventually("a try to post an alert", () => house.hub.output.includes("an alert was not posted"));
    assert.deepEqual([inside.connections, six?.connections ?? 0], [0, 0], "it was connected to");
    assert.ok(allowed.connections > 0);
    for (const [n, place] of places.entries()) {
      // Of a name it is known when it is resolved: see below.
      if (!/localhost/i.test(place)) assert.match(tries(`n${n}`)[0], /no public address; name the host in allowed_hosts/, place);
    }
    assert.equal((await house.hub.queued()).n0, 1, "what was not posted is not lost");

    // Once it is allowed the same arrives: nothing else was in the way.
    await house.rule(text(bot.accountId, inside.place).replace(alerts, ""));
    await eventually("what waited", () => inside.posts.some(({ body }) => /^n\d+@im\.wechat$/.test(body.data.conversation?.id)));
    await inside.allVerify();
    note(`${places.length} spellings of a loopback address and a redirect: ${tries("n0").length} tries to the first, no connection`);
  });

  test("the log says why a message was not posted, and what to do", async (t) => {
    const hook = await Receiver.start();
    t.after(() => hook.close());
    const house = await House.open({ rules: rules({ hook }).replace("http://127.0.0.1", "http://localhost") });
    t.after(() => house.close());
    await house.simulator.write(house.bots[0].botId, ann, "hello");
    const line = await eventually("a try", () => house.hub.output.split("\n").find((candidate) => candidate.includes("was not posted")));
    assert.equal(hook.connections, 0);
    assert.match(JSON.parse(line).why, /allowed_hosts|public/);
  });

  test("hub.toml of a hub that runs: a webhook comes, moves, and goes", async (t) => {
    const [first, second] = [await Receiver.start(), await Receiver.start()];
    t.after(() => Promise.all([first.close(), second.close()]));
    const house = await House.open();
    t.after(() => house.close());
    const [bot] = house.bots;
    await house.simulator.write(bot.botId, bot.userId, "before there was one");
    await house.rule(rules({ hook: first }));
    await first.got(1);
    await nothingWaits(house);
    await house.rule(rules({ hook: second }));
    await house.simulator.write(bot.botId, ann, "moved");
    await second.got(1);
    await nothingWaits(house);
    // Its tokens' connections take over.
    const { token } = await house.token("hook");
    await house.rule(`[backends.hook]\naccess = "open"\n`);
    const wire = await house.backend(token);
    await house.simulator.write(bot.botId, ann, "gone");
    assert.equal(await wire.takes(), "gone");
    assert.deepEqual([first, second].map(({ posts }) => posts.map(({ body }) => body.data.text)), [["before there was one"], ["moved"]]);
    await first.allVerify();
    await second.allVerify();
  });

  test("hub.toml of a hub that runs: a webhook gets another account", async (t) => {
    const hook = await Receiver.start();
    t.after(() => hook.close());
    const text = (...accounts) => rules({ hook }).replace('access = "open"', `access = "open"\naccounts = ${JSON.stringify(accounts)}`);
    const house = await House.open({ bots: [{ botId: "a@im.bot" }, { botId: "b@im.bot" }], rules: text("a-im-bot") });
    t.after(() => house.close());
    const [a, b] = house.bots;
    await house.simulator.write(a.botId, ann, "of a");
    await hook.got(1);
    await house.rule(text("a-im-bot", "b-im-bot"));
    await house.simulator.write(b.botId, ann, "of b");
    await hook.got(2);
    await house.simulator.write(a.botId, ann, "of a again");
    await hook.got(3);
    await nothingWaits(house);
    assert.deepEqual(hook.posts.map(({ body }) => [body.data.text, body.data.accountId]), [["of a", a.accountId], ["of b", b.accountId], ["of a again", a.accountId]]);
  });

  test("alerts: a login that expired, a bot that is muted, a backend that is not there: each once, signed, again when it comes again", async (t) => {
    let refused = 0;
    const ops = await Receiver.start(({ body }) => (body.type === "alert.muted" && (refused += 1) === 1 ? { status: 500 } : {}));
    t.after(() => ops.close());
    const more = `${everybody("one", "absent")}[alerts]\n${ops.webhook}${people("mute-im-bot", { "lost@im.wechat": "absent" })}`;
    const house = await House.open({ bots: [{ botId: "stale@im.bot" }, { botId: "mute@im.bot" }], rules: `allowed_hosts = ["${ops.place}"]\n${more}` });
    t.after(() => house.close());
    const [stale, mute] = house.bots;
    const { simulator } = house;
    const one = await house.backend((await house.token("one")).token);
    await house.token("absent");
    const beganAt = Date.now();
    const listeners = ["a", "b", "c"].map((name) => `${name}@im.wechat`);
    const sends = async (text) => {
      for (const to of listeners) await one.call("outbound.sendText", { to, accountId: mute.accountId, text });
    };
    for (const person of listeners) {
      await simulator.write(mute.botId, person, "hello");
      await one.takes();
    }
    await sends("seen");
    await answered(house, stale);
    await simulator.expire(stale.botId);
    await simulator.release(stale.botId);
    await simulator.mute(mute.botId);
    await sends("unseen");
    const known = async () => (await house.hub.ask("hub.overview")).alerts.map(({ kind }) => kind).sort();
    await eventually("both to be known", async () => (await known()).join() === "login_expired,muted");
    const of = (type) => ops.posts.filter(({ body }) => body.type === `alert.${type}`);
    await ops.got(3);
    const tookMs = Date.now() - beganAt;
    assert.deepEqual([of("login_expired").length, of("muted").length], [1, 2]);
    assert.equal(of("muted")[0].id, of("muted")[1].id, "what was refused is posted again under its id");

    await simulator.mute(mute.botId, false);
    await sends("seen again");
    await eventually("the muting to be over", async () => !(await known()).includes("muted"));
    // It is looked every quarter of a minute. What is told of another is told of a look that saw no muting.
    await simulator.write(mute.botId, "lost@im.wechat", "is somebody there?");
    await ops.got(4);
    await simulator.mute(mute.botId);
    await sends("unseen again");
    await ops.got(5);
    assert.deepEqual(["login_expired", "backend_offline", "muted"].map((type) => of(type).length), [1, 1, 3], "what lasts is told once");
    assert.equal(new Set(ops.posts.map(({ id }) => id)).size, 4, "what comes again is new");
    const about = (type) => of(type)[0].body.data;
    assert.deepEqual([about("login_expired").kind, about("login_expired").accountId], ["login_expired", stale.accountId]);
    assert.deepEqual([about("muted").accountId, about("backend_offline").backend], [mute.accountId, "absent"]);
    for (const { body } of ops.posts) {
      assert.ok(body.data.sinceMs >= beganAt - 60_000 && body.data.sinceMs <= Date.now(), `${body.type} since ${body.data.sinceMs}`);
      assert.ok(body.data.message.length > 20);
    }
    assert.ok(!JSON.stringify(ops.posts).includes("@im.wechat"), "a person's id is in it");
    await ops.allVerify();
    note(`alerts: the first after ${tookMs} ms`);
  });

  test("alerts: a login that had expired before the hub was started has its time", async (t) => {
    const house = await House.open();
    t.after(() => house.close());
    const [bot] = house.bots;
    const expired = async () => (await house.hub.ask("hub.overview")).alerts.find(({ kind }) => kind === "login_expired");
    await answered(house, bot);
    await house.simulator.expire(bot.botId);
    await house.simulator.release(bot.botId);
    const before = await eventually("the alert", expired);
    await house.hub.service.stop();
    await house.hub.run();
    const after = await eventually("the alert again", expired);
    assert.ok(before.sinceMs > 1_000_000_000_000);
    assert.ok(after.sinceMs > 1_000_000_000_000, `since ${after.sinceMs}`);
  });
});
