// The channel's own commands: what is one, what they answer, in which language.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, beforeEach, test } from "node:test";

import { debugLine, isDebug, parseCommand, runCommand } from "../dist/commands.js";

const dir = mkdtempSync(path.join(tmpdir(), "weixin-commands-"));
const before = process.env.OPENCLAW_LOCALE;
after(() => {
  rmSync(dir, { recursive: true, force: true });
  if (before === undefined) delete process.env.OPENCLAW_LOCALE;
  else process.env.OPENCLAW_LOCALE = before;
});
beforeEach(() => (process.env.OPENCLAW_LOCALE = "en"));
const message = { accountId: "a-im-bot", text: "", timestampMs: 1_000 };

test("a command is one word at the beginning, in any case", () => {
  assert.deepEqual(parseCommand(" /Echo  hello there "), { name: "echo", text: "hello there" });
  assert.deepEqual(parseCommand("/toggle-debug"), { name: "toggle-debug" });
  for (const none of ["/echoes", "say /echo", "/", "echo"]) assert.equal(parseCommand(none), undefined, none);
});

test("/echo answers in the language of what is behind it, or in the gateway's", () => {
  const answer = (text) => runCommand({ name: "echo", text }, message, 1_007, dir);
  assert.match(answer("hello"), /^hello\n\n⏱ \/echo\nsent: 1970-01-01T00:00:01\.000Z\nWeChat to gateway: 7 ms\nin the gateway: \d+ ms$/);
  assert.match(answer("你好"), /^你好\n\n⏱ \/echo\n发送时间: .*\n微信到网关: 7 ms\n网关内: \d+ ms$/);
  process.env.OPENCLAW_LOCALE = "zh-CN";
  assert.match(answer(""), /^⏱ \/echo\n发送时间/);
});

test("/toggle-debug turns it on and off for its account, and says so", () => {
  const toggle = () => runCommand({ name: "toggle-debug" }, message, 0, dir);
  assert.match(toggle(), /^Debug mode is on/);
  assert.deepEqual([isDebug("a-im-bot", dir), isDebug("b-im-bot", dir)], [true, false]);
  process.env.OPENCLAW_LOCALE = "zh_CN.UTF-8";
  assert.equal(toggle(), "调试模式已关闭。");
  assert.equal(isDebug("a-im-bot", dir), false);
  assert.equal(debugLine({ ...message, text: "how are you?" }, 1_007, 2_007), "⏱ WeChat to gateway 7 ms, turn 1000 ms");
  assert.equal(debugLine({ ...message, text: "在吗" }, 1_007, 2_007), "⏱ 微信到网关 7 ms, 回复用时 1000 ms");
});
