/** `/echo` and `/toggle-debug`: answered by the channel itself, for people whom the gateway lets give commands. And what of a text is a command. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";

import type { OpenClawConfig, PluginRuntime } from "openclaw/plugin-sdk/channel-core";

import type { InboundMessage } from "./contract.js";
import { CHANNEL_ID } from "./ids.js";
import { languageOf } from "./locale.js";

export type ChannelCommand = { name: "echo"; text: string } | { name: "toggle-debug" };

/** Whether a text is a command: the host's, or one of those here. */
export const isCommand = (runtime: PluginRuntime, cfg: OpenClawConfig, text: string) =>
  // A skill's is known to its agent only; it looks like any other.
  runtime.channel.commands.isControlCommandMessage(text, cfg) || /^\s*[/!][a-z]/i.test(text);

/** Whether there may be a command somewhere in a text, so that it matters who may give them. A path may look like one. */
export const mayHoldCommand = (runtime: PluginRuntime, cfg: OpenClawConfig, text: string) =>
  runtime.channel.commands.shouldComputeCommandAuthorized(text, cfg) || parseCommand(text) !== undefined;

export function parseCommand(text: string): ChannelCommand | undefined {
  const [, name, rest] = /^\/(echo|toggle-debug)(?:\s+([\s\S]*))?$/i.exec(text.trim()) ?? [];
  switch (name?.toLowerCase()) {
    case "echo":
      return { name: "echo", text: rest?.trim() ?? "" };
    case "toggle-debug":
      return { name: "toggle-debug" };
    default:
      return undefined;
  }
}

const TEXTS = {
  en: {
    on: "Debug mode is on: every answer is followed by how long it took. /toggle-debug ends it.",
    off: "Debug mode is off.",
    sent: "sent",
    toGateway: "WeChat to gateway",
    inGateway: "in the gateway",
    turn: "turn",
  },
  "zh-CN": {
    on: "调试模式已开启：每条回复后会附上耗时。再次发送 /toggle-debug 即可关闭。",
    off: "调试模式已关闭。",
    sent: "发送时间",
    toGateway: "微信到网关",
    inGateway: "网关内",
    turn: "回复用时",
  },
};

/** What the command answers. `receivedAtMs` is when the message reached this process. */
export function runCommand(command: ChannelCommand, message: InboundMessage, receivedAtMs: number, stateDir: string): string {
  // A command has no language of its own: what is said behind it may have.
  const t = TEXTS[languageOf(command.name === "echo" ? command.text : "")];
  if (command.name === "toggle-debug") return toggleDebug(message.accountId, stateDir) ? t.on : t.off;
  const timing = [
    "⏱ /echo",
    `${t.sent}: ${new Date(message.timestampMs).toISOString()}`,
    `${t.toGateway}: ${receivedAtMs - message.timestampMs} ms`,
    `${t.inGateway}: ${Date.now() - receivedAtMs} ms`,
  ].join("\n");
  return command.text ? `${command.text}\n\n${timing}` : timing;
}

/** What follows an answer while debug mode is on. */
export function debugLine(message: InboundMessage, receivedAtMs: number, answeredAtMs: number): string {
  const t = TEXTS[languageOf(message.text)];
  return `⏱ ${t.toGateway} ${receivedAtMs - message.timestampMs} ms, ${t.turn} ${answeredAtMs - receivedAtMs} ms`;
}

/** The official plugin's file, so that the switch survives a change of plugins. */
const debugFile = (stateDir: string) => path.join(stateDir, CHANNEL_ID, "debug-mode.json");

export function isDebug(accountId: string, stateDir: string): boolean {
  return readDebug(stateDir)[accountId] === true;
}

function toggleDebug(accountId: string, stateDir: string): boolean {
  const accounts = { ...readDebug(stateDir) };
  const on = accounts[accountId] !== true;
  accounts[accountId] = on;
  const file = debugFile(stateDir);
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  const next = `${file}.${process.pid}.tmp`;
  writeFileSync(next, JSON.stringify({ accounts }, null, 2), { mode: 0o600 });
  renameSync(next, file);
  return on;
}

function readDebug(stateDir: string): Record<string, boolean> {
  try {
    const read = JSON.parse(readFileSync(debugFile(stateDir), "utf8")) as { accounts?: unknown };
    return typeof read.accounts === "object" && read.accounts !== null ? (read.accounts as Record<string, boolean>) : {};
  } catch {
    return {};
  }
}
