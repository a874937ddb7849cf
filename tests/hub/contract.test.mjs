// The contract over the network, as programs in other languages speak it: on a WebSocket with npm's `ws` and Python's `websockets`, by
// pull with curl and Python's urllib. Who does not read, who is a thousand, whose token goes.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { run } from "../host/lib/processes.mjs";
import { note } from "../host/lib/talk.mjs";
import { ask, curl, eventually, House, noPython, post, Refused, Wire } from "./house.mjs";

const everybody = (...names) => names.map((name) => `[backends.${name}]\naccess = "open"\n`).join("");
const hasCurl = await run("curl", ["--version"], { env: process.env }).then(({ code }) => code === 0, () => false);
const linux = process.platform === "linux" ? false : "memory is read in /proc";
const refusal = (kind) => (error) => error instanceof Refused && error.kind === kind;

/** A backend that pulls looks like one that is connected. */
const pulling = (call) => ({
  call,
  next: (method, fits = () => true) =>
    eventually(method, async () => {
      if (method === "inbound.message") {
        const { messages } = await call("inbound.pull", { waitMs: 20_000, max: 1 });
        return messages.find(fits);
      }
      const { events } = await call("events.pull", { waitMs: 20_000 });
      return events.find((event) => event.method === method && fits(event.params))?.params;
    }),
});

/** Everything that a small backend does, by whatever way. */
async function converse(backend, house, bot, connected) {
  const { call } = backend;
  const { simulator } = house;
  const owner = bot.userId;
  if (connected) await assert.rejects(call("status.get"), refusal("not_initialized"));
  const begun = await call("initialize", { protocolVersion: 1, host: { name: "test", version: "1" } });
  assert.equal(begun.protocolVersion, 1);
  assert.equal(begun.sidecar.name, "openclaw-weixin-sidecar");
  if (connected) await assert.rejects(call("initialize", { protocolVersion: 1, host: { name: "test", version: "1" } }), refusal("invalid_request"));
  else assert.deepEqual((await call("events.pull", { waitMs: 0 })).events.filter(({ method }) => method === "outbound.update"), []);

  await simulator.write(bot.botId, owner, "hello 你好 😀\u2028\"\\");
  const message = await backend.next("inbound.message");
  assert.equal(message.text, "hello 你好 😀\u2028\"\\");
  assert.deepEqual([message.accountId, message.conversation.id, message.attempt], [bot.accountId, owner, 1]);
  assert.ok(message.deliveryId.startsWith(`${bot.accountId}:`), message.deliveryId);

  assert.deepEqual(await call("outbound.sendTyping", { to: owner, active: true }), { sent: true });
  const answer = { to: owner, text: "an answer 答复 😀", idempotencyKey: "the-answer" };
  const sent = await call("outbound.sendText", answer);
  assert.equal(sent.status, "sent");
  assert.deepEqual(await call("outbound.sendText", answer), sent, "the same key is the same send");
  await call("outbound.sendTyping", { to: owner, active: false });
  assert.deepEqual(await call("inbound.ack", { deliveryIds: [message.deliveryId] }), { acked: 1 });
  assert.deepEqual(await call("inbound.ack", { deliveryIds: [message.deliveryId] }), { acked: 0 });
  assert.deepEqual(await house.read(bot, owner), [answer.text]);
  const typing = (await simulator.state()).bots.find(({ botId }) => botId === bot.botId).typing.map(({ status }) => status);
  assert.deepEqual([typing[0], typing.at(-1)], [1, 2], "typing began and ended");

  // To somebody who never wrote nothing may be sent; it is when they do.
  const newcomer = `newcomer-${bot.accountId}@im.wechat`;
  const held = await call("outbound.sendText", { to: newcomer, text: "welcome" });
  assert.deepEqual([held.status, held.heldReason], ["held", "no_context"]);
  assert.deepEqual((await call("outbound.queue")).items.map(({ queueId }) => queueId), [held.queueId]);
  await simulator.write(bot.botId, newcomer, "here I am");
  const update = await backend.next("outbound.update", ({ queueId }) => queueId === held.queueId);
  assert.deepEqual([update.status, update.to, update.text, update.accountId], ["sent", newcomer, "welcome", bot.accountId]);
  assert.deepEqual(await house.read(bot, newcomer), ["welcome"]);
  const second = await backend.next("inbound.message");
  assert.equal(second.text, "here I am");
  await call("inbound.nack", { deliveryId: second.deliveryId, retryAfterMs: 0 });
  const again = await backend.next("inbound.message");
  assert.deepEqual([again.deliveryId, again.attempt], [second.deliveryId, 2]);
  assert.deepEqual(await call("inbound.ack", { deliveryIds: [again.deliveryId] }), { acked: 1 });

  await assert.rejects(call("no.such.method"), (error) => error.code === -32601);
  await assert.rejects(call("outbound.sendText", { text: "to whom?" }), (error) => error.code === -32602 && /to/.test(error.message));
}

describe("the contract in other languages", { concurrency: true, timeout: 60_000 }, () => {
  const ways = [
    ["ws", "a WebSocket of Node (ws)", false, (house, token) => house.wire(token)],
    ["websockets", "a WebSocket of Python (websockets)", noPython, (house, token) => house.pythonBackend("ws", token)],
    ["curl", "pulls of curl", hasCurl ? false : "there is no curl", (house, token) => pulling((...asked) => curl(house.url, token, ...asked))],
    ["urllib", "pulls of Python (urllib)", noPython, async (house, token) => pulling((...asked) => asking(house, token).then((wire) => wire.call(...asked)))],
  ];
  const running = new Map();
  const asking = (house, token) => {
    if (!running.has(token)) running.set(token, house.pythonBackend("rpc", token));
    return running.get(token);
  };
  for (const [name, what, skip, open] of ways) {
    test(what, { skip, timeout: 60_000 }, async (t) => {
      const house = await House.open({ rules: everybody(name) });
      t.after(() => house.close());
      const [bot] = house.bots;
      const { token } = await house.token(name);
      const connected = what.includes("WebSocket");
      await converse(await open(house, token), house, bot, connected);
      assert.deepEqual(await house.simulator.rejected(), []);
      assert.deepEqual(await house.hub.queued(), { [name]: 0, console: 0 });
    });
  }
});

describe("what a line may be", { timeout: 60_000 }, () => {
  test("a batch, a notification, and what is no request, on a WebSocket as over HTTP", async (t) => {
    const house = await House.open();
    t.after(() => house.close());
    const { token } = await house.token("one");
    const request = (id, method = "accounts.list") => ({ jsonrpc: "2.0", id, method, params: {} });
    const batch = [request(7), request("八", "no.such.method"), { jsonrpc: "2.0", method: "accounts.list" }, 5];
    const codes = (answers) => answers.map(({ id, error }) => [id, error?.code]).sort((a, b) => String(a[0]).localeCompare(String(b[0])));
    const expected = [[7, undefined], ["八", -32601], [null, -32600]].sort((a, b) => String(a[0]).localeCompare(String(b[0])));

    const answered = await post(house.url, token, batch);
    assert.deepEqual([answered.status, codes(answered.body)], [200, expected]);
    assert.deepEqual(await post(house.url, token, { jsonrpc: "2.0", method: "accounts.list" }), { status: 204, body: undefined });
    assert.equal((await post(house.url, token, "{")).body.error.code, -32700);

    const wire = await house.backend(token);
    const lines = [];
    wire.took = (line) => lines.push(line);
    wire.socket.send(JSON.stringify(batch));
    wire.socket.send(Buffer.from(JSON.stringify(request(9))), { binary: true });
    wire.socket.send("{");
    await eventually("three answers", () => lines.filter((line) => !line.method).length === 3);
    assert.deepEqual(codes(lines.find(Array.isArray)), expected);
    assert.ok(lines.some(({ id, result }) => id === 9 && result.accounts.length === 1), "binary frames are lines too");
    assert.ok(lines.some(({ error }) => error?.code === -32700));
  });

  test("a line that is too long is told so", async (t) => {
    const house = await House.open();
    t.after(() => house.close());
    const wire = await house.backend((await house.token("one")).token);
    const answer = new Promise((resolve) => (wire.took = ({ error }) => error && resolve(error.code)));
    wire.socket.on("error", () => {});
    wire.call("accounts.list", { x: "y".repeat(8 << 20) }).catch(() => {});
    const told = await Promise.race([answer, wire.closed.then(({ code, reason }) => `${code} ${reason}`)]);
    assert.ok(told === -32600 || /^1009/.test(told), `what it is told: ${told}`);
  });
});

describe("somebody who does not read", { timeout: 85_000 }, () => {
  const [PEOPLE, EACH, FAT, BYTES] = [200, 100, 70, 100_000];

  test("twenty thousand messages: the memory stays flat, another is served, and at last everything comes in order", { skip: linux }, async (t) => {
    const house = await House.open({ bots: [{ botId: "slow@im.bot" }, { botId: "quick@im.bot" }], rules: everybody("slow", "quick") });
    t.after(() => house.close());
    const [bot, other] = house.bots;
    const slow = await house.backend((await house.token("slow", { accounts: [bot.accountId] })).token);
    const quick = await house.backend((await house.token("quick", { accounts: [other.accountId] })).token);
    const received = (account) => house.figure("weixin_account_received_messages_total", `account="${account.accountId}"`);
    const echo = async (text) => {
      const began = Date.now();
      await house.simulator.write(other.botId, other.userId, text);
      const message = await quick.next("inbound.message");
      await quick.call("outbound.sendText", { to: other.userId, text: `echo: ${message.text}` });
      await quick.call("inbound.ack", { deliveryIds: [message.deliveryId] });
      assert.equal(message.text, text);
      return Date.now() - began;
    };
    await echo("before");
    const empty = house.memory();

    // First what is too much for the system's buffers: the hub itself has to wait for whoever does not read.
    slow.socket.pause();
    const pausedAt = Date.now();
    const fat = (n) => `${n} ${"字".repeat(BYTES / 3)}`;
    for (let n = 1; n <= FAT; n += 1) await house.simulator.write(bot.botId, `fat${n}@im.wechat`, fat(n));
    await eventually("the long messages", async () => (await received(bot)) === FAT);
    const burst = (people, messages) => fetch(`${house.simulator.url}/_sim/burst`, { method: "POST", body: JSON.stringify({ botId: bot.botId, people, messages }) });
    // What is measured is what waiting costs, not what the first messages ever cost.
    const first = (PEOPLE * EACH) / 10;
    assert.ok((await burst(PEOPLE, first)).ok);
    await eventually("the first messages", async () => (await received(bot)) === FAT + first);
    const before = house.memory();
    house.forgetPeak();
    assert.ok((await burst(PEOPLE, PEOPLE * EACH - first)).ok);
    const echoes = [];
    await eventually("all messages", async () => {
      echoes.push(await echo(`meanwhile ${echoes.length}`));
      return (await received(bot)) === FAT + PEOPLE * EACH;
    });
    const [after, peak] = [house.memory(), house.peak()];
    const tookMs = Date.now() - pausedAt;
    assert.ok(!slow.isClosed, "it was closed");
    await eventually("all of them to be its", async () => (await house.hub.queued()).slow === FAT + PEOPLE * EACH);

    const got = new Map();
    let count = 0;
    slow.all(({ method, params }) => {
      if (method !== "inbound.message") return;
      assert.equal(params.attempt, 1, "it comes once");
      const from = params.conversation.id;
      got.set(from, [...(got.get(from) ?? []), params.text]);
      count += 1;
      slow.call("inbound.ack", { deliveryIds: [params.deliveryId] }).catch((error) => assert.fail(error));
    });
    const readAt = Date.now();
    slow.socket.resume();
    await eventually("everything", () => count >= FAT + PEOPLE * EACH);
    const drainedMs = Date.now() - readAt;
    await eventually("the last acks", async () => (await house.hub.queued()).slow === 0);
    assert.equal(count, FAT + PEOPLE * EACH);
    for (let n = 1; n <= FAT; n += 1) assert.ok(got.get(`fat${n}@im.wechat`)[0] === fat(n), `long message ${n}`);
    for (let n = 1; n <= PEOPLE; n += 1) {
      const numbers = (total) => Array.from({ length: total / PEOPLE }, (_, at) => `message ${n + at * PEOPLE} of ${total}`);
      assert.deepEqual(got.get(`person${n}@im.wechat`), [...numbers(first), ...numbers(PEOPLE * EACH - first)], `of person ${n}, in order`);
    }
    assert.ok(echoes.length > 1);
    const [middle, worst] = [echoes.sort((a, b) => a - b)[Math.floor(echoes.length / 2)], echoes.at(-1)];
    note(`a slow backend: ${count} messages, ${empty.toFixed(1)} MiB at first, ${before.toFixed(1)} after ${FAT} of ${BYTES / 1_000} kB and the first ${first}, ${after.toFixed(1)} after all, ${peak.toFixed(1)} at most between`);
    note(`  taken in within ${tookMs} ms, read in ${drainedMs} ms; another backend's echo meanwhile: ${echoes.length} times, ${middle} ms in the middle, ${worst} ms at most`);
    assert.ok(peak - before < 32, `the memory grew by ${(peak - before).toFixed(1)} MiB while ${PEOPLE * EACH - first} messages waited`);
    assert.ok(worst < 5_000, `another backend waited ${worst} ms`);
  });
});

describe("a thousand connections of one backend", { timeout: 60_000 }, () => {
  const CONNECTIONS = 1_000;

  test("each message goes to one of them, and they cost little", { skip: linux }, async (t) => {
    const house = await House.open({ bots: [{ botId: "busy@im.bot" }, { botId: "quiet@im.bot" }], rules: everybody("many", "other") });
    t.after(() => house.close());
    const [bot, quiet] = house.bots;
    const { token } = await house.token("many", { accounts: [bot.accountId] });
    const other = await house.backend((await house.token("other", { accounts: [quiet.accountId] })).token);
    const wires = [];
    const connect = (count) => Promise.all(Array.from({ length: count }, async () => wires.push(await house.backend(token))));
    await connect(20);
    const before = house.memory();
    const beganAt = Date.now();
    while (wires.length < CONNECTIONS) await connect(Math.min(70, CONNECTIONS - wires.length));
    const connectedMs = Date.now() - beganAt;
    const each = ((house.memory() - before) * 1024) / (CONNECTIONS - 20);
    assert.equal(await house.figure("weixin_hub_backend_connections", 'backend="many"'), CONNECTIONS);

    const PEOPLE = 500;
    const takers = new Map();
    for (const wire of wires) {
      wire.all(({ method, params }) => {
        if (method !== "inbound.message") return;
        takers.set(params.text, [...(takers.get(params.text) ?? []), wire]);
        wire.call("inbound.ack", { deliveryIds: [params.deliveryId] }).catch((error) => assert.fail(error));
      });
    }
    const burst = await fetch(`${house.simulator.url}/_sim/burst`, { method: "POST", body: JSON.stringify({ botId: bot.botId, people: PEOPLE, messages: PEOPLE }) });
    assert.ok(burst.ok);
    await house.simulator.write(quiet.botId, quiet.userId, "and me");
    assert.equal(await other.takes(), "and me");
    await eventually("all of them", async () => takers.size === PEOPLE && (await house.hub.queued()).many === 0);
    assert.ok([...takers.values()].every((by) => by.length === 1), "each to one");
    const shared = new Set([...takers.values()].flat()).size;
    assert.equal(shared, PEOPLE, "in turn: nobody gets a second before everybody had one");
    const busy = house.memory();

    // They all go in one moment, with one of them in the middle of something.
    for (const wire of wires) wire.all(() => {});
    await house.simulator.write(bot.botId, bot.userId, "to one that goes");
    await eventually("it to be with one of them", async () => (await ask(house.url, house.hub.admin, "hub.trace", { accountId: bot.accountId, peer: bot.userId })).events.some(({ attempt }) => attempt === 1));
    for (const wire of wires) wire.end();
    await eventually("their end", async () => (await house.figure("weixin_hub_backend_connections", 'backend="many"')) === 0);
    const last = await house.backend(token);
    const message = await last.next("inbound.message");
    assert.equal(message.text, "to one that goes");
    // Others of them had it meanwhile, while they went.
    assert.ok(message.attempt >= 2);
    note(`a thousand connections: ${each.toFixed(1)} KiB each while idle, made in ${connectedMs} ms; hub ${before.toFixed(1)} MiB before, ${busy.toFixed(1)} after ${PEOPLE} messages, ${house.memory().toFixed(1)} when they are gone`);
    assert.ok(each < 64, `${each.toFixed(1)} KiB for an idle connection`);
  });
});

describe("tokens that are revoked under way", { concurrency: true, timeout: 60_000 }, () => {
  test("whoever had it is out within a moment; what they had comes to the others of the backend", async (t) => {
    const house = await House.open({ rules: everybody("one") });
    t.after(() => house.close());
    const [bot] = house.bots;
    const gone = await house.token("one");
    const stays = await house.token("one");
    const leaving = await house.backend(gone.token);
    for (const n of [1, 2, 3]) await house.simulator.write(bot.botId, `person${n}@im.wechat`, `message ${n}`);
    const had = [];
    for (const n of [1, 2, 3]) had.push((await leaving.next("inbound.message", ({ text }) => text === `message ${n}`)).deliveryId);
    const staying = await house.backend(stays.token);
    // A send that is on its way, and pulls that wait.
    await house.simulator.fault({ endpoint: "sendmessage", kind: "delay", value: 3_000, times: 1 });
    const sending = leaving.call("outbound.sendText", { to: "person1@im.wechat", text: "sent before" }).catch(({ message }) => message);
    await eventually("the send to be under way", async () => (await ask(house.url, house.hub.admin, "hub.trace", { accountId: bot.accountId, peer: "person1@im.wechat" })).events.some(({ direction }) => direction === "out"));
    const pull = (method) => post(house.url, gone.token, { jsonrpc: "2.0", id: 1, method, params: { waitMs: 60_000 } });
    const pulls = [pull("inbound.pull"), pull("events.pull")];
    await eventually("the pull to wait", async () => (await house.figure("weixin_hub_backend_connections", 'backend="one"')) === 3);

    const revokedAt = Date.now();
    await house.command("hub", "token", "revoke", gone.id);
    assert.deepEqual(await leaving.closed, { code: 1000, reason: "the token was revoked" });
    for (const { status } of await Promise.all(pulls)) assert.equal(status, 401);
    const tookMs = Date.now() - revokedAt;
    const again = [];
    for (const n of [1, 2, 3]) again.push(await staying.next("inbound.message", ({ text }) => text === `message ${n}`));
    assert.deepEqual(again.map(({ deliveryId }) => deliveryId), had);
    // The pull of the same token may have had one in between.
    assert.ok(again.every(({ attempt }) => attempt >= 2));
    assert.deepEqual(await staying.call("inbound.ack", { deliveryIds: had }), { acked: 3 });
    assert.equal((await post(house.url, gone.token, { jsonrpc: "2.0", id: 1, method: "accounts.list" })).status, 401);
    await assert.rejects(Wire.open(house.url, gone.token), ({ status }) => status === 401);
    assert.match(await sending, /the connection is over/);
    await eventually("what was accepted to be sent", async () => (await house.read(bot, "person1@im.wechat")).length > 0);
    assert.deepEqual(await house.read(bot, "person1@im.wechat"), ["sent before"]);
    note(`a token revoked: its connection and its pulls ended after ${tookMs} ms`);
  });

  test("whoever has it and does not read is out too, and does nothing any more", async (t) => {
    const house = await House.open({ rules: everybody("one") });
    t.after(() => house.close());
    const [bot] = house.bots;
    const gone = await house.token("one");
    const leaving = await house.backend(gone.token);
    leaving.socket.pause();
    for (let n = 1; n <= 70; n += 1) await house.simulator.write(bot.botId, `fat${n}@im.wechat`, "字".repeat(40_000));
    await eventually("all of them", async () => (await house.hub.queued()).one === 70);
    await house.command("hub", "token", "revoke", gone.id);
    await eventually("the token to be gone", async () => (await post(house.url, gone.token, { jsonrpc: "2.0", id: 1, method: "accounts.list" })).status === 401);
    leaving.call("outbound.sendText", { to: "fat1@im.wechat", text: "sent after" }).catch(() => {});
    await eventually("its connection to end, or its send", async () => (await house.figure("weixin_hub_connections")) === 0 || (await house.read(bot, "fat1@im.wechat")).length > 0);
    assert.deepEqual(await house.read(bot, "fat1@im.wechat"), [], "a revoked token still sends");
  });

  /** A backend with a token for each of two accounts, and a send on the second that was held and has ended. */
  async function twoTokens(t) {
    const house = await House.open({ bots: [{ botId: "a@im.bot" }, { botId: "b@im.bot" }], rules: everybody("one") });
    t.after(() => house.close());
    const [a, b] = await Promise.all(house.bots.map((bot) => house.token("one", { accounts: [bot.accountId] }).then(({ token }) => token)));
    const [wireA, wireB] = [await house.backend(a), await house.backend(b)];
    const ended = async (token) => (await ask(house.url, token, "events.pull", { max: 1_000 })).events.filter(({ method }) => method === "outbound.update").map(({ params }) => params.queueId);
    // From now on they are kept.
    assert.deepEqual(await ended(a), []);
    const held = await wireB.call("outbound.sendText", { to: "newcomer@im.wechat", text: "of b alone" });
    assert.equal(held.status, "held");
    await house.simulator.write(house.bots[1].botId, "newcomer@im.wechat", "hello");
    await wireB.next("outbound.update", ({ queueId }) => queueId === held.queueId);
    // What is told to the first is told in the same moment; its answer comes behind it.
    await wireA.call("accounts.list");
    return { a, b, wireA, held, ended };
  }

  test("a token for one account is not told what was sent on another of the same backend", async (t) => {
    const { wireA } = await twoTokens(t);
    assert.deepEqual(wireA.notes.filter(({ method }) => method === "outbound.update"), []);
  });

  test("a token for one account does not pull away the events of another", async (t) => {
    const { a, b, held, ended } = await twoTokens(t);
    assert.deepEqual(await ended(a), []);
    assert.deepEqual(await ended(b), [held.queueId]);
  });
});
