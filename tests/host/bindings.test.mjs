// Accounts by their names, and agents bound to an account, to a person, and by a command. On a real OpenClaw gateway.
import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { addPlugin } from "./lib/plugin.mjs";
import { until } from "./lib/processes.mjs";
import { CHANNEL } from "./lib/profile.mjs";
import { openGateway, useLab } from "./lib/setup.mjs";
import { ask } from "./lib/talk.mjs";

const lab = useLab();

/**
 * Stands in for a coding agent behind ACP: says what it was told; where that is `slow` it writes the file `working`, and works until it is cancelled.
 * It cannot be had while the file `away` is there.
 */
const harness = (away, working) => `import { existsSync, writeFileSync } from "node:fs";
import { registerAcpRuntimeBackend, tryDispatchAcpReplyHook } from "openclaw/plugin-sdk/acp-runtime-backend";
const running = new Set();
const turn = (input) => {
  let end;
  const ended = new Promise((resolve) => (end = () => resolve("cancelled")));
  running.add(end);
  const slow = input.text.includes("slow");
  if (slow) writeFileSync(${JSON.stringify(working)}, "");
  const worked = slow ? new Promise(() => {}) : Promise.resolve("completed");
  const result = Promise.race([ended, worked]).then((status) => (running.delete(end), { status }));
  return {
    requestId: input.requestId,
    promptStarted: Promise.resolve(),
    events: (async function* () {
      if ((await result).status === "completed") yield { type: "text_delta", stream: "output", text: "harness: " + input.text };
    })(),
    result,
    cancel: async () => end(),
    closeStream: async () => {},
  };
};
const runtime = {
  ownerAwareSessions: 1,
  ensureSession: async ({ sessionKey, agentId, agent }) => ({ sessionKey, agentId, backend: "lab-harness", runtimeSessionName: agent + ":" + sessionKey }),
  startTurn: turn,
  runTurn: (input) => turn(input).events,
  cancel: async () => running.forEach((end) => end()),
  close: async () => {},
};
export default {
  id: "lab-harness",
  name: "Harness of the laboratory",
  register(api) {
    registerAcpRuntimeBackend({ id: "lab-harness", runtime, healthy: () => !existsSync(${JSON.stringify(away)}) });
    // As the plugin that brings the real ones does it.
    api.on("reply_dispatch", tryDispatchAcpReplyHook);
  },
};`;

const BOUND = "bound@im.wechat";
const HARNESSED = "harnessed@im.wechat";

describe("agents that are bound, accounts that have names", () => {
  let here;
  let first;
  let second;
  let away;
  let working;
  before(async () => {
    away = path.join(lab.folder, "away");
    working = path.join(lab.folder, "working");
    here = await openGateway(lab, {
      bots: ["first", "second"],
      configure: (channel) => {
        channel.accounts = { "second-im-bot": { name: "Work Phone" } };
      },
      prepare: (profile) => {
        addPlugin(lab, profile, "lab-harness", harness(away, working));
        profile.configure((config) => {
          const [echo] = config.models.providers.lab.models;
          for (const id of ["work", "private"]) config.models.providers.lab.models.push({ ...echo, id, name: id });
          const on = (model) => ({ model: { primary: `lab/${model}` } });
          const runtime = { type: "acp", acp: { agent: "lab", backend: "lab-harness", mode: "persistent" } };
          config.agents.entries = { main: on("echo"), work: on("work"), private: on("private"), lab: { runtime } };
          config.bindings = [
            { agentId: "private", match: { channel: CHANNEL, accountId: "*", peer: { kind: "direct", id: BOUND } } },
            { type: "acp", agentId: "lab", match: { channel: CHANNEL, accountId: "first-im-bot", peer: { kind: "direct", id: HARNESSED } } },
            { agentId: "work", match: { channel: CHANNEL, accountId: "second-im-bot" } },
          ];
          config.acp = { enabled: true, backend: "lab-harness", defaultAgent: "lab", allowedAgents: ["lab", "stranger"] };
          config.commands = { ...config.commands, ownerAllowFrom: [`${CHANNEL}:owner-of-first@im.wechat`, `${CHANNEL}:${HARNESSED}`] };
        });
      },
    });
    [first, second] = here.bots;
  }, { timeout: 300_000 });
  after(() => here?.stop());

  const agentOf = async (bot, from, text) => {
    await ask(here.simulator, bot, from, text);
    return lab.model.askedAbout(text)[0].model;
  };

  test("an account's people talk with the agent that is bound to it, a bound person with theirs", async () => {
    assert.equal(await agentOf(first, "somebody@im.wechat", "#to-main"), "echo");
    assert.equal(await agentOf(second, "somebody@im.wechat", "#to-work"), "work");
    assert.equal(await agentOf(first, BOUND, "#to-private"), "private");
  });

  test("an agent that a command binds to a conversation has it, after a restart too, until it is let go", async () => {
    const { simulator } = here;
    const owner = "owner-of-first@im.wechat";
    await ask(simulator, first, owner, "/acp spawn lab --bind here", { expected: "Bound this conversation" });
    await ask(simulator, first, owner, "#bound", { expected: "harness: " });
    await ask(simulator, first, "somebody@im.wechat", "#not-bound");
    await here.restart();
    await ask(simulator, first, owner, "#still-bound", { expected: "harness: " });
    await ask(simulator, first, owner, "/session unbind", { expected: "nbound" });
    await ask(simulator, first, owner, "#let-go");
  });

  test("a harness that no agent of the configuration is can be bound all the same, and let go", async () => {
    const { simulator } = here;
    const owner = "owner-of-first@im.wechat";
    await ask(simulator, first, owner, "/acp spawn stranger --bind here", { expected: "Bound this conversation" });
    await ask(simulator, first, owner, "#to-stranger", { expected: "harness: " });
    await ask(simulator, first, owner, "/session unbind", { expected: "nbound" });
    await ask(simulator, first, owner, "#own-again");
  });

  test("a person whom the configuration binds to a harness has it; while it cannot be had commands are answered, and a message waits", async () => {
    const { simulator } = here;
    writeFileSync(away, "");
    await ask(simulator, first, HARNESSED, "/whoami", { expected: "harnessed" });
    await ask(simulator, first, HARNESSED, "#while-away", { expected: "cannot be reached now" });
    rmSync(away);
    await until("the answer", async () => (await simulator.sent({ to: HARNESSED })).some(({ text }) => /harness: .*#while-away/s.test(text ?? "")));
    const told = (await simulator.sent({ to: HARNESSED })).filter(({ text }) => /cannot be reached|#while-away/.test(text ?? ""));
    assert.equal(told.length, 2, JSON.stringify(told.map(({ text }) => text)));
    await ask(simulator, first, HARNESSED, "#configured", { expected: "harness: " });
  });

  test("what a harness works on is stopped by /stop, and the next message comes to it", async () => {
    const { simulator } = here;
    await simulator.write(first.botId, HARNESSED, "#slow work");
    await until("the harness to work", () => existsSync(working));
    await simulator.write(first.botId, HARNESSED, "/stop");
    await ask(simulator, first, HARNESSED, "#next", { expected: "harness: " });
    const sent = await simulator.sent({ to: HARNESSED });
    assert.ok(!sent.some(({ text }) => /harness: .*#slow work/s.test(text ?? "")), JSON.stringify(sent.map(({ text }) => text)));
  });

  test("an account is meant by its name on the command line", async () => {
    const { profile } = here;
    for (const name of ["Work Phone", "work-phone"]) {
      const self = await profile.must(["directory", "self", "--channel", CHANNEL, "--account", name, "--json"]);
      assert.match(self.output, /second-im-bot/, name);
    }
    const { output } = await profile.must(["channels", "logout", "--channel", CHANNEL, "--account", "Work Phone"]);
    assert.match(output, /Cleared saved auth/);
    assert.deepEqual(JSON.parse(readFileSync(path.join(profile.stateDir, CHANNEL, "accounts.json"), "utf8")), ["first-im-bot"]);
    await until("the gateway to see it", async () => !/second-im-bot/.test((await profile.must(["channels", "list"])).output));
    await ask(here.simulator, first, "somebody@im.wechat", "#still-here");
  });
});
