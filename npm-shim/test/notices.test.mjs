// What people are told when something of theirs failed, and the channel's own commands.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";

import { isDebug, parseCommand, runCommand } from "../dist/commands.js";
import { Notices } from "../dist/notices.js";

const state = mkdtempSync(path.join(tmpdir(), "weixin-commands-"));
after(() => rmSync(state, { recursive: true, force: true }));

const message = (more = {}) => ({ deliveryId: "d1", accountId: "a", from: "p@im.wechat", text: "hello", timestampMs: 1_000, parts: [], ...more });

test("a person is told in their language, once a minute at most, and others at once", async () => {
  const said = [];
  let now = 0;
  const notices = new Notices(async (to, text) => said.push([to, text]), () => now);
  await notices.tell("a", message(), "media");
  await notices.tell("a", message(), "turn");
  await notices.tell("a", message({ from: "q@im.wechat", text: "你好" }), "turn");
  now = 60_000;
  await notices.tell("a", message(), "turn");
  assert.deepEqual(said.map(([to]) => to), ["p@im.wechat", "q@im.wechat", "p@im.wechat"]);
  assert.match(said[0][1], /could not be received/);
  assert.match(said[1][1], /未能得到回复/);
  assert.match(said[2][1], /not answered/);
});

test("a notice that cannot be sent harms nobody", async () => {
  const notices = new Notices(async () => Promise.reject(new Error("no network")));
  await notices.tell("a", message(), "turn");
});

test("only the two commands are the channel's", () => {
  assert.deepEqual(parseCommand(" /echo  one\ntwo "), { name: "echo", text: "one\ntwo" });
  assert.deepEqual(parseCommand("/ECHO"), { name: "echo", text: "" });
  assert.deepEqual(parseCommand("/toggle-debug"), { name: "toggle-debug" });
  for (const text of ["/echoes", "echo x", "/help", "say /echo x", ""]) assert.equal(parseCommand(text), undefined, text);
});

test("/echo answers with the text and the times, /toggle-debug is kept per account", () => {
  assert.match(runCommand({ name: "echo", text: "hi" }, message(), 1_250, state), /^hi\n\n⏱[^]*WeChat to gateway: 250 ms/);
  assert.equal(isDebug("a", state), false);
  assert.match(runCommand({ name: "toggle-debug" }, message(), 0, state), /is on/);
  assert.deepEqual([isDebug("a", state), isDebug("b", state)], [true, false]);
  assert.match(runCommand({ name: "toggle-debug" }, message(), 0, state), /is off/);
  assert.equal(isDebug("a", state), false);
});
