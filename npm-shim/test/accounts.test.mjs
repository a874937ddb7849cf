// The host's synchronous view of the account files, targets, and the host's version.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";

import { accountIdOf, defaultAccountId, namedAccount, listAccountIds, normalizeAccountId, resolveAccount } from "../dist/accounts.js";
import { assertHostVersion } from "../dist/host-version.js";
import { looksLikeUserId, normalizeTarget } from "../dist/ids.js";

const root = mkdtempSync(path.join(tmpdir(), "openclaw-weixin-accounts-"));
after(() => rmSync(root, { recursive: true, force: true }));

let made = 0;
function stateDir(files) {
  const dir = path.join(root, `state-${(made += 1)}`);
  for (const [name, content] of Object.entries(files)) {
    const file = path.join(dir, "openclaw-weixin", name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
  }
  return dir;
}

const config = (section) => ({ channels: { "openclaw-weixin": section } });

test("accounts are those of the index, newest last, and the newest is the default", () => {
  const dir = stateDir({ "accounts.json": ["b-im-bot", "a@im.bot", "b-im-bot"] });
  assert.deepEqual(listAccountIds(dir), ["b-im-bot", "a-im-bot"]);
  assert.equal(defaultAccountId({}, dir), "a-im-bot");
  // The one that the configuration chooses, by its id in any spelling, or by its name.
  const choosing = (defaultAccount) => ({ channels: { "openclaw-weixin": { defaultAccount, accounts: { "b-im-bot": { name: "work" } } } } });
  for (const named of ["b-im-bot", "b@im.bot", "work"]) assert.equal(defaultAccountId(choosing(named), dir), "b-im-bot", named);
  assert.equal(defaultAccountId(choosing("nobody"), dir), "a-im-bot");
});

test("an account is found by its name, as it is written or as the host writes it, where no other has it", () => {
  const dir = stateDir({ "accounts.json": ["a-im-bot", "b-im-bot", "c-im-bot"], "accounts/b-im-bot.json": { token: "t" } });
  const named = (names) => config({ accounts: Object.fromEntries(Object.entries(names).map(([id, name]) => [id, { name }])) });
  const cfg = named({ "b-im-bot": "Work phone", "c-im-bot": "工作" });
  for (const called of ["b-im-bot", "B@im.bot", "Work phone", " work PHONE ", "work-phone"]) assert.equal(accountIdOf(cfg, dir, called), "b-im-bot", called);
  assert.equal(accountIdOf(cfg, dir, "工作"), "c-im-bot");
  // What the host makes of every name without a Latin letter stands for none of them.
  assert.equal(accountIdOf(cfg, dir, "default"), "default");
  assert.equal(accountIdOf(cfg, dir, "nobody"), "nobody");
  for (const nothing of [undefined, null, " "]) assert.equal(accountIdOf(cfg, dir, nothing), "c-im-bot");
  // An id comes before a name; a name of two is nobody's.
  assert.equal(accountIdOf(named({ "b-im-bot": "a-im-bot" }), dir, "a-im-bot"), "a-im-bot");
  const twins = named({ "b-im-bot": "work", "c-im-bot": "Work" });
  assert.equal(accountIdOf(twins, dir, "work"), "work");
  // The sidecar is asked for what was said, and says that it is the name of two.
  assert.equal(namedAccount(twins, dir, " Work "), "Work");
  assert.equal(namedAccount(cfg, dir, "work-phone"), "b-im-bot");
  assert.equal(namedAccount(cfg, dir, " "), undefined);
  const account = resolveAccount(cfg, dir, "work-phone");
  assert.deepEqual([account.accountId, account.configured, account.byId], ["b-im-bot", true, false]);
  // The host would run another spelling beside the account.
  assert.deepEqual(["B@im.bot", "b-im-bot", undefined].map((called) => resolveAccount(cfg, dir, called).byId), [false, true, true]);
});

test("no files, or damaged ones, are no accounts", () => {
  assert.deepEqual(listAccountIds(path.join(root, "nowhere")), []);
  const dir = stateDir({ "accounts.json": '["a-im-bot"', "accounts/a-im-bot.json": "{" });
  assert.deepEqual(listAccountIds(dir), []);
  assert.equal(resolveAccount({}, dir, "a-im-bot").configured, false);
  assert.equal(defaultAccountId({}, dir), "default");
});

test("an account is configured when it has credentials, under its new or its old file name", () => {
  const dir = stateDir({
    "accounts.json": ["a-im-bot", "b-im-bot", "c-im-bot"],
    "accounts/a-im-bot.json": { token: "t", userId: "owner@im.wechat" },
    "accounts/b@im.bot.json": { token: "t", userId: "other@im.wechat" },
    "accounts/c-im-bot.json": { token: "" },
  });
  const account = resolveAccount({}, dir, "a-im-bot");
  assert.equal(account.configured, true);
  assert.equal(account.userId, "owner@im.wechat");
  assert.equal(account.dmPolicy, "pairing");
  assert.equal("token" in account, false);
  assert.equal(resolveAccount({}, dir, "b-im-bot").userId, "other@im.wechat");
  assert.equal(resolveAccount({}, dir, "c-im-bot").configured, false);
});

test("an account's settings come before the channel's, whatever spelling names it", () => {
  const dir = stateDir({ "accounts.json": ["a-im-bot"], "accounts/a-im-bot.json": { token: "t" } });
  const cfg = config({
    dmPolicy: "allowlist",
    allowFrom: ["x@im.wechat"],
    accounts: { "A@im.bot": { name: "Work", allowFrom: ["y@im.wechat"] } },
  });
  const account = resolveAccount(cfg, dir, "a-im-bot");
  assert.equal(account.name, "Work");
  assert.equal(account.dmPolicy, "allowlist");
  assert.deepEqual(account.allowFrom, ["y@im.wechat"]);
  assert.equal(resolveAccount(config({ enabled: false }), dir, "a-im-bot").enabled, false);
  assert.equal(resolveAccount(config({ accounts: { "a-im-bot": { enabled: false } } }), dir, "a-im-bot").enabled, false);
});

test("account ids are normalised as the host does", () => {
  assert.equal(normalizeAccountId(" 44B9B8EC@IM.bot "), "44b9b8ec-im-bot");
  assert.equal(normalizeAccountId("../../etc/passwd"), "etc-passwd");
  assert.equal(normalizeAccountId("__proto__"), "default");
  assert.equal(normalizeAccountId("@@@"), "default");
  assert.equal(normalizeAccountId("x".repeat(500)).length, 64);
});

test("a target loses its prefixes and keeps its case", () => {
  assert.equal(normalizeTarget(" weixin:AbC@im.wechat "), "AbC@im.wechat");
  assert.equal(normalizeTarget("openclaw-weixin:user:AbC@im.wechat"), "AbC@im.wechat");
  assert.equal(normalizeTarget("wechat:"), undefined);
  assert.ok(looksLikeUserId("wechat:AbC@im.wechat"));
  assert.ok(!looksLikeUserId("AbC"));
  assert.ok(!looksLikeUserId("a b@im.wechat"));
});

test("an old host is refused with what to do; newer ones and unknown builds are not", () => {
  assert.throws(() => assertHostVersion("2026.9.5"), /needs OpenClaw 2026\.9\.6 or newer, and this is 2026\.9\.5.*openclaw update/s);
  assert.throws(() => assertHostVersion("2025.12.31"), /openclaw update/);
  for (const fine of ["2026.9.6", "2026.9.6-beta.1", "2026.10.1", "2027.1.1", "unknown", undefined]) assertHostVersion(fine);
});
