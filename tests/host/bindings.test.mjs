// Accounts by their names, and agents bound to an account, to a person, and by a command. On a real OpenClaw gateway.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { addPlugin } from "./lib/plugin.mjs";
import { until } from "./lib/processes.mjs";
import { CHANNEL } from "./lib/profile.mjs";
import { openGateway, useLab } from "./lib/setup.mjs";
import { ask } from "./lib/talk.mjs";

const lab = useLab();

/** Stands in for a coding agent behind ACP: says what it was told, and in which session. */
const HARNESS = `import { registerAcpRuntimeBackend, tryDispatchAcpReplyHook } from "openclaw/plugin-sdk/acp-runtime-backend";
const turn = (input) => ({
  requestId: input.requestId,
  promptStarted: Promise.resolve(),
  events: (async function* () { yield { type: "text_delta", stream: "output", text: "harness: " + input.text }; })(),
  result: Promise.resolve({ status: "completed" }),
  cancel: async () => {},
  closeStream: async () => {},
});
const runtime = {
  ownerAwareSessions: 1,
  ensureSession: async ({ sessionKey, agentId, agent }) => ({ sessionKey, agentId, backend: "lab-harness", runtimeSessionName: agent + ":" + sessionKey }),
  startTurn: turn,
  runTurn: (input) => turn(input).events,
  cancel: async () => {},
  close: async () => {},
};
export default {
  id: "lab-harness",
  name: "Harness of the laboratory",
  register(api) {
    registerAcpRuntimeBackend({ id: "lab-harness", runtime, healthy: () => true });
    // As the plugin that brings the real ones does it.
    api.on("reply_dispatch", tryDispatchAcpReplyHook);
  },
};`;

const BOUND = "bound@im.wechat";

describe("agents that are bound, accounts that have names", () => {
  let here;
  let first;
  let second;
  before(async () => {
    here = await openGateway(lab, {
      bots: ["first", "second"],
      configure: (channel) => {
        channel.accounts = { "second-im-bot": { name: "Work Phone" } };
      },
      prepare: (profile) => {
        addPlugin(lab, profile, "lab-harness", HARNESS);
        profile.configure((config) => {
          const [echo] = config.models.providers.lab.models;
          config.models.providers.lab.models.push({ ...echo, id: "other", name: "other" });
          const model = { primary: "lab/other" };
          const runtime = { type: "acp", acp: { agent: "lab", backend: "lab-harness", mode: "persistent" } };
          config.agents.entries = { main: {}, work: { model }, private: { model }, lab: { runtime } };
          config.bindings = [
            { agentId: "private", match: { channel: CHANNEL, accountId: "*", peer: { kind: "direct", id: BOUND } } },
            { agentId: "work", match: { channel: CHANNEL, accountId: "second-im-bot" } },
          ];
          config.acp = { enabled: true, backend: "lab-harness", defaultAgent: "lab", allowedAgents: ["lab", "stranger"] };
          config.commands = { ...config.commands, ownerAllowFrom: [`${CHANNEL}:owner-of-first@im.wechat`] };
        });
      },
    });
    [first, second] = here.bots;
  }, { timeout: 300_000 });
  after(() => here?.stop());

  const agentOf = async (bot, from, text) => {
    await ask(here.simulator, bot, from, text);
    const [request] = lab.model.askedAbout(text);
    return JSON.stringify(request.messages).match(/agent[=:]\s?"?(main|work|private)/)?.[1] ?? request.model;
  };

  test("an account's people talk with the agent that is bound to it, a bound person with theirs", async () => {
    assert.equal(await agentOf(first, "somebody@im.wechat", "#to-main"), "main");
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
