// What most host tests begin with: a laboratory per file, and a gateway whose accounts everybody may write to.
import assert from "node:assert/strict";
import { after, before } from "node:test";

import { Lab, seedAccounts } from "./lab.mjs";
import { CHANNEL } from "./profile.mjs";
import { ask, note, unhurried } from "./talk.mjs";

/**
 * The laboratory of this file, or of this `describe`, opened before its first test; afterwards nothing of it may be left
 * running. Its methods are there once it is open.
 */
export function useLab() {
  let lab;
  before(async () => {
    lab = await Lab.open({ log: note });
  }, { timeout: 900_000 });
  after(async () => {
    const left = await lab?.close();
    assert.deepEqual(left ?? [], [], "processes were left running");
  });
  return new Proxy({}, { get: (_target, name) => (typeof lab[name] === "function" ? lab[name].bind(lab) : lab[name]) });
}

/**
 * A running gateway with an account per name in `bots`, that has answered on each: `{simulator, profile, bots, gateway,
 * restart, stop}`. WeChat's limits are off, and everybody may write. `configure` gets the channel's settings, `prepare` the profile,
 * before the gateway starts; `profile` makes another one than that with the packed plugin.
 */
export async function openGateway(lab, { bots: names = ["bot"], env = {}, configure = () => {}, prepare = () => {}, profile: make, holdMs } = {}) {
  const simulator = await lab.simulator({ holdMs });
  const profile = await (make ? make(simulator) : lab.profile(simulator, { env }));
  const bots = [];
  for (const name of names) bots.push(await simulator.addBot({ botId: `${name}@im.bot`, userId: `owner-of-${name}@im.wechat` }));
  seedAccounts(profile, simulator, bots);
  unhurried(profile);
  await simulator.limit({ quotaPerToken: null, burst: null });
  profile.configure((config) => {
    const channel = config.channels[CHANNEL];
    Object.assign(channel, { dmPolicy: "open", allowFrom: ["*"] });
    channel.outbox.quotaPerMessage = 1_000;
    configure(channel);
  });
  prepare(profile);
  const gateway = await lab.gateway(profile);
  for (const bot of bots) await ask(simulator, bot, bot.userId, "#warm-up");
  return {
    simulator,
    profile,
    bots,
    gateway,
    async restart() {
      await this.gateway.stop();
      this.gateway = await lab.gateway(profile);
    },
    async stop() {
      await this.gateway.stop();
      await simulator.stop();
    },
  };
}
