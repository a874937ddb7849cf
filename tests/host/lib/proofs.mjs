// OpenClaw's own check that a message adapter can do what it declares: `node proofs.mjs <what, as JSON>`, with the Node of OpenClaw.
//
// OpenClaw asks for a proof of everything that is declared, and refuses where one is missing. The proofs are made with the adapter of the
// packed plugin itself, which runs a sidecar of its own here, and where OpenClaw takes part with the gateway that runs.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdirSync, readFileSync, symlinkSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

import { until } from "./processes.mjs";
import { CHANNEL, Profile } from "./profile.mjs";
import { Simulator } from "./simulator.mjs";

const { plugin, simulatorUrl, bot, profileFolder, host, picture, env } = JSON.parse(process.argv[2]);
const sdk = path.dirname(host.openclaw);
mkdirSync(path.join(plugin, "node_modules"));
symlinkSync(sdk, path.join(plugin, "node_modules", "openclaw"), "junction");
const load = (file) => import(pathToFileURL(file).href);
const { verifyChannelMessageAdapterCapabilityProofs, verifyChannelMessageReceiveAckPolicyAdapterProofs } = await load(path.join(sdk, "dist", "plugin-sdk", "channel-outbound.js"));
const { messageAdapter: adapter } = await load(path.join(plugin, "dist", "outbound.js"));
const { sidecar } = await load(path.join(plugin, "dist", "sidecar.js"));

const simulator = Object.assign(new Simulator(), { url: simulatorUrl });
const profile = Object.assign(new Profile({ ...host, withNode: (its) => ({ ...process.env, ...its }) }, profileFolder), { extraEnv: env });
const cfg = profile.config;
const to = bot.userId;
const arrived = async (text) => (await simulator.sent({ to })).filter((message) => message.text?.includes(text));
const send = (kind, more) => adapter.send[kind]({ cfg, to, accountId: bot.accountId, deliveryQueueId: randomUUID(), deliveryPartIndex: 0, ...more });
const shown = (receipt, count) => {
  assert.equal(receipt.platformMessageIds.length, count);
  assert.equal(receipt.primaryPlatformMessageId, receipt.platformMessageIds[0]);
};

const proofs = {
  text: async () => {
    const { receipt } = await send("text", { text: "#proof-of-text" });
    shown(receipt, 1);
    assert.equal((await arrived("#proof-of-text")).length, 1);
  },
  media: async () => {
    const { receipt } = await send("media", { mediaUrl: picture, mediaLocalRoots: [path.dirname(picture)], text: "#proof-of-media" });
    shown(receipt, 2);
    const [caption] = await arrived("#proof-of-media");
    assert.equal((await simulator.sent({ to })).find(({ n }) => n === caption.n + 1)?.itemType, 2);
  },
  messageSendingHooks: async () => {
    await profile.rpc("send", { channel: CHANNEL, to, message: "#please-change for the proof", idempotencyKey: randomUUID() });
    assert.equal((await arrived("#was-changed for the proof")).length, 1);
    assert.equal((await arrived("#please-change for the proof")).length, 0);
  },
  // Whatever became of a send, OpenClaw hears that it may send again; and then the person sees it once.
  reconcileUnknownSend: async () => {
    const again = { text: "#proof-of-once", deliveryQueueId: randomUUID() };
    const first = await send("text", again);
    assert.deepEqual(adapter.durableFinal.reconcileUnknownSend({ queueId: again.deliveryQueueId }), { status: "not_sent" });
    const second = await send("text", again);
    assert.deepEqual(second.receipt.platformMessageIds, first.receipt.platformMessageIds);
    assert.equal((await arrived("#proof-of-once")).length, 1);
  },
};

const policies = {
  // The plugin acks, and leaves nothing behind. That it does so when OpenClaw has the message, and not before, is what the tests with kills show.
  manual: async () => {
    await simulator.write(bot.botId, to, "#proof-of-ack");
    await until("the answer", async () => (await arrived("echo: #proof-of-ack")).length === 1);
    const { accounts } = await sidecar().process.request("status.get", { accountId: bot.accountId });
    assert.deepEqual(accounts[0].inbox, { pending: 0, inFlight: 0 });
  },
};

// What OpenClaw asks of a package that it has not loaded.
const { persistedAuthState } = JSON.parse(readFileSync(path.join(plugin, "package.json"), "utf8")).openclaw.channel;
const { [persistedAuthState.exportName]: isLoggedIn } = await load(path.join(plugin, persistedAuthState.specifier));
assert.equal(isLoggedIn({ env: profile.env }), true);
assert.equal(isLoggedIn({ env: { ...profile.env, OPENCLAW_STATE_DIR: plugin } }), false);

const results = [
  ...(await verifyChannelMessageAdapterCapabilityProofs({ adapterName: CHANNEL, adapter, proofs })),
  ...(await verifyChannelMessageReceiveAckPolicyAdapterProofs({ adapterName: CHANNEL, adapter, proofs: policies })),
];
console.log(JSON.stringify(results.filter(({ status }) => status === "verified").map(({ capability, policy }) => capability ?? policy)));
process.exit(0);
