// `GET /metrics`, as Prometheus' own libraries and tools read it: `prometheus_client` of PyPI, and `promtool` of Debian where it can be had.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { defaultCache } from "../host/lib/openclaw.mjs";
import { run } from "../host/lib/processes.mjs";
import { note } from "../host/lib/talk.mjs";
import { ask, eventually, House, noPython, program, python } from "./house.mjs";

/** Debian's `promtool`, unpacked into the cache and not installed: its path, or why there is none. */
async function promtool() {
  const folder = path.join(defaultCache(), "promtool-debian");
  const tool = path.join(folder, "usr", "bin", "promtool");
  if (existsSync(tool)) return { tool };
  mkdirSync(defaultCache(), { recursive: true });
  const half = mkdtempSync(`${folder}.making-`);
  try {
    const within = { env: process.env, cwd: half, timeoutMs: 60_000 };
    const got = await run("apt-get", ["download", "prometheus"], within);
    const [file] = readdirSync(half).filter((name) => name.endsWith(".deb"));
    if (got.code !== 0 || !file) return { why: `apt-get download prometheus: ${got.output.trim().split("\n").at(-1)}` };
    const unpacked = await run("dpkg", ["-x", file, "."], within);
    const works = unpacked.code === 0 && (await run(path.join(half, "usr", "bin", "promtool"), ["--version"], within)).code === 0;
    if (!works) return { why: `its package cannot be used here: ${unpacked.output}` };
    rmSync(path.join(half, file));
    renameSync(half, folder);
    return { tool };
  } catch (error) {
    return existsSync(tool) ? { tool } : { why: error.message };
  } finally {
    rmSync(half, { recursive: true, force: true });
  }
}

const scrape = (house, token) => fetch(`${house.url}/metrics`, token ? { headers: { authorization: `Bearer ${token}` } } : {});

/** What `prometheus_client` reads, by name. */
async function read(page) {
  const { code, stdout, output } = await run(await python(), [program("figures.py")], { env: process.env, input: page });
  assert.equal(code, 0, output);
  return new Map(JSON.parse(stdout).map((family) => [family.name, family]));
}

/** The names of the families by line, `# HELP` and `# TYPE`, and every sample behind its family's lines, each family once and whole. */
function form(page) {
  assert.ok(page.endsWith("\n"), "the last line ends");
  const [help, type] = [new Map(), new Map()];
  const seen = new Set();
  let current;
  for (const line of page.trimEnd().split("\n")) {
    const [, kind, name, rest] = /^# (HELP|TYPE) ([a-zA-Z_:][\w:]*) (.+)$/.exec(line) ?? [];
    if (kind) {
      const table = kind === "HELP" ? help : type;
      assert.ok(!table.has(name), `${kind} of ${name} twice`);
      table.set(name, rest);
      current = name;
      continue;
    }
    const sample = /^([a-zA-Z_:][\w:]*)(\{.*\})? (\S+)$/.exec(line);
    assert.ok(sample, `no line of the format: ${line}`);
    assert.equal(sample[1], current, `a sample without its family's HELP and TYPE before it: ${line}`);
    assert.ok(type.has(current) && help.has(current), line);
    assert.ok(Number.isFinite(Number(sample[3])), line);
    const series = `${sample[1]}${sample[2] ?? ""}`;
    assert.ok(!seen.has(series), `${series} twice`);
    seen.add(series);
  }
  return { help, type };
}

describe("figures", { timeout: 85_000 }, () => {
  // All that a name may have: 64 letters, digits, - _ .
  const names = ["小明", "a.b-c_d", "é".repeat(64), "Größe-9", "_"];
  const odd = 'Weird "Bot"\\n@im.bot';
  let house;
  let admin;
  let page;

  before(async () => {
    const rules = names.map((name) => `[backends."${name}"]\naccess = "open"\n`).join("");
    const whose = names.map((name, n) => `"person${n}@im.wechat" = "${name}"\n`).join("");
    const bots = [{ botId: "figures@im.bot", userId: "the-owner@im.wechat" }, { botId: "mute@im.bot" }, { botId: "stale@im.bot" }, { botId: odd }];
    house = await House.open({ bots, rules: `${rules}[accounts.figures-im-bot.people]\n${whose}` });
    admin = house.hub.admin;
    const { simulator } = house;
    const [bot, mute, stale] = house.bots;
    const tokens = new Map();
    for (const name of names) tokens.set(name, (await house.token(name)).token);
    // Messages that wait, that are with somebody, and that were taken; sends of all kinds.
    for (const [n, name] of names.entries()) {
      await simulator.write(bot.botId, `person${n}@im.wechat`, `"${name}"\\ said {to="person"} 1\n# HELP weixin_hub_connections no`);
      await eventually(`a message for ${name}`, async () => (await house.hub.queued())[name] === 1);
    }
    const taken = await ask(house.url, tokens.get("小明"), "inbound.pull", { waitMs: 20_000 });
    await ask(house.url, tokens.get("小明"), "inbound.ack", { deliveryIds: taken.messages.map(({ deliveryId }) => deliveryId) });
    await ask(house.url, tokens.get("小明"), "outbound.sendText", { to: "person0@im.wechat", accountId: bot.accountId, text: "sent" });
    await ask(house.url, tokens.get("小明"), "outbound.sendText", { to: "never-wrote@im.wechat", accountId: bot.accountId, text: "held" });
    await simulator.write(mute.botId, mute.userId, "hello");
    await simulator.mute(mute.botId);
    await eventually("its message", async () => (await house.hub.queued())["小明"] === 1);
    await ask(house.url, tokens.get("小明"), "outbound.sendText", { to: mute.userId, accountId: mute.accountId, text: "unconfirmed" });
    await simulator.expire(stale.botId);
    await simulator.release(stale.botId);
    await house.backend(tokens.get("小明"));
    await house.backend(tokens.get("a.b-c_d"));
    await eventually("the stale one to pause", async () => (await house.figure("weixin_account_state", `account="${stale.accountId}",state="paused"`)) === 1);
    const response = await scrape(house, admin);
    assert.equal(response.status, 200);
    assert.match(response.headers.get("content-type"), /^text\/plain; version=0\.0\.4; charset=utf-8$/);
    page = await response.text();
  }, { timeout: 60_000 });
  after(() => house?.close());

  test("they are an admin's and a viewer's", async () => {
    const viewer = (await house.token("looks", { role: "viewer" })).token;
    const backend = (await house.token("小明")).token;
    assert.deepEqual([(await scrape(house, viewer)).status, (await scrape(house, backend)).status, (await scrape(house)).status, (await scrape(house, "wxhub_wrong")).status], [200, 403, 401, 401]);
    assert.deepEqual([...form(await (await scrape(house, viewer)).text()).help.keys()], [...form(page).help.keys()]);
  });

  test("each family has HELP and TYPE, once, and a counter's name ends in _total", () => {
    const { help, type } = form(page);
    assert.deepEqual([...help.keys()], [...type.keys()]);
    assert.ok(help.size >= 15, String(help.size));
    for (const [name, kind] of type) {
      assert.ok(["counter", "gauge"].includes(kind), `${name} is a ${kind}`);
      assert.equal(name.endsWith("_total"), kind === "counter", name);
      assert.ok(help.get(name).length > 5, name);
    }
    note(`figures: ${help.size} families, ${page.trimEnd().split("\n").filter((line) => !line.startsWith("#")).length} samples, ${page.length} bytes`);
  });

  test("prometheus_client reads what is there", { skip: noPython }, async () => {
    const families = await read(page);
    // Of a counter it says the name without `_total`.
    assert.deepEqual([...families.values()].map(({ name, type }) => (type === "counter" ? `${name}_total` : name)).sort(), [...form(page).help.keys()].sort());
    const [bot, mute, stale] = house.bots;
    const value = (name, labels = {}) => {
      const samples = families.get(name).samples.filter((sample) => Object.entries(labels).every(([label, is]) => sample.labels[label] === is));
      assert.equal(samples.length, 1, `${name} ${JSON.stringify(labels)}: ${JSON.stringify(samples)}`);
      return samples[0].value;
    };
    const of = ({ accountId }, more = {}) => ({ account: accountId, ...more });
    for (const account of house.bots) {
      const states = families.get("weixin_account_state").samples.filter(({ labels }) => labels.account === account.accountId);
      assert.equal(states.reduce((sum, sample) => sum + sample.value, 0), 1, `${account.accountId} is in one state`);
    }
    assert.equal(value("weixin_account_state", of(stale, { state: "paused" })), 1);
    assert.equal(value("weixin_account_state", of(bot, { state: "polling" })), 1);
    assert.equal(value("weixin_account_received_messages", of(bot)), names.length);
    assert.equal(value("weixin_account_inbox_messages", of(bot)), names.length - 1);
    assert.equal(value("weixin_account_held_messages", of(bot)), 1);
    assert.equal(value("weixin_account_sent_messages", of(bot, { status: "sent" })), 1);
    assert.equal(value("weixin_account_sent_messages", of(mute, { status: "unconfirmed" })), 1);
    // A name is what it is, in every script.
    const labelled = families.get("weixin_hub_backend_connections").samples.map(({ labels }) => labels.backend);
    assert.deepEqual(labelled.sort(), [...names].sort());
    assert.equal(value("weixin_hub_backend_queued_messages", { backend: "小明" }), 1);
    assert.equal(value("weixin_hub_backend_queued_messages", { backend: "é".repeat(64) }), 1);
    assert.ok(value("weixin_hub_backend_queue_age_seconds", { backend: "小明" }) < 60);
    assert.equal(value("weixin_hub_backend_connections", { backend: "a.b-c_d" }), 1);
    assert.equal(value("weixin_hub_connections"), 2);
    assert.equal(value("weixin_hub_unrouted_messages"), 0);
    assert.ok(Math.abs(value("process_start_time_seconds") * 1_000 - Date.now()) < 120_000);
    assert.ok(value("process_resident_memory_bytes") > 1_000_000);
  });

  test("no sign of a name or an id breaks a line or a label", { skip: noPython }, async () => {
    // A backend's name with such signs is not even made.
    for (const name of ['a"b', "a\\b", "a\nb", "a b", 'x"} 1\nevil{a="', ""]) await assert.rejects(house.token(name), /params.backend/, JSON.stringify(name));
    const { accountId } = house.bots[3];
    const accounts = new Set((await read(page)).get("weixin_account_state").samples.map(({ labels }) => labels.account));
    assert.ok(accounts.has(accountId) && accounts.size === house.bots.length, JSON.stringify([...accounts]));
  });

  test("nobody can be told by it: no person's id, no word of anybody, no token", () => {
    const hidden = ["im.wechat", "the-owner", "person0", "never-wrote", " said ", admin, house.bots[0].token, ...house.bots.map(({ userId }) => userId)];
    for (const text of hidden) assert.ok(!page.includes(text), text);
  });

  test("a hub without anything has a page too", async (t) => {
    const empty = await House.open({ bots: [] });
    t.after(() => empty.close());
    const text = await (await scrape(empty, empty.hub.admin)).text();
    assert.deepEqual([...form(text).help.keys()], [...form(page).help.keys()]);
    if (!noPython) assert.equal((await read(text)).size, form(text).help.size);
  });

  test("promtool check metrics finds nothing", async (t) => {
    const { tool, why } = process.platform === "linux" ? await promtool() : { why: "it is Debian's" };
    if (!tool) return t.skip(`there is no promtool: ${why}`);
    const { code, output } = await run(tool, ["check", "metrics"], { env: process.env, input: page });
    assert.equal(output.trim(), "");
    assert.equal(code, 0);
    // It does look.
    const wrong = await run(tool, ["check", "metrics"], { env: process.env, input: "# TYPE things counter\nthings 1\n" });
    assert.match(wrong.output, /counter metrics should have "_total" suffix/);
  });
});
