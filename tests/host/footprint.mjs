// What a gateway costs with one and with a hundred WeChat accounts that nobody writes to: memory of all its processes, time until every account is
// polled. This plugin, the official one, and a gateway without accounts, one after the other, on the same machine. Linux.
//
//   cargo build --release && OPENCLAW_WEIXIN_SIDECAR_BIN=target/release/openclaw-weixin-sidecar node tests/host/footprint.mjs [rounds]
import { readFileSync, readdirSync } from "node:fs";

import { Lab, seedAccounts } from "./lib/lab.mjs";
import { officialProfile } from "./lib/official.mjs";
import { until } from "./lib/processes.mjs";
import { CHANNEL } from "./lib/profile.mjs";
import { note, pause } from "./lib/talk.mjs";

const ROUNDS = Number(process.argv[2] ?? 3);
/** A gateway does much in its first moments that has nothing to do with channels. */
const SETTLED_MS = 30_000;

/** Proportional memory of a process and of what it started, in MiB. */
function memory(pid) {
  const parents = new Map(
    readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .flatMap((name) => {
        try {
          return [[Number(name), Number(readFileSync(`/proc/${name}/stat`, "utf8").replace(/^.*\) /s, "").split(" ")[1])]];
        } catch {
          return [];
        }
      }),
  );
  const isOurs = (one) => one === pid || (parents.has(one) && isOurs(parents.get(one)));
  const of = (one) => Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${one}/smaps_rollup`, "utf8"))[1]) / 1024;
  return [...parents.keys()].filter(isOurs).reduce((all, one) => all + of(one), 0);
}

async function measure(lab, simulator, profile, name, accounts) {
  const bots = [];
  for (let n = 0; n < accounts; n += 1) bots.push(await simulator.addBot({ botId: `bot${n}@im.bot`, userId: `owner${n}@im.wechat` }));
  seedAccounts(profile, simulator, bots);
  profile.configure((config) => {
    const channel = config.channels[CHANNEL];
    if (accounts === 0) channel.enabled = false;
    // The official plugin reads that of each account.
    if (profile.official) channel.accounts = Object.fromEntries(bots.map(({ accountId }) => [accountId, { cdnBaseUrl: `${simulator.url}/c2c` }]));
  });
  const began = Date.now();
  const gateway = await lab.gateway(profile);
  const readyMs = Date.now() - began;
  const polled = async () => (await simulator.state()).bots.filter(({ botId, activePolls }) => botId.startsWith("bot") && activePolls > 0).length >= accounts;
  await until("all accounts to be polled", polled);
  const polledMs = Date.now() - began;
  await pause(SETTLED_MS);
  const mib = memory(gateway.service.pid);
  await gateway.stop();
  return { name, accounts, readyMs, polledMs, mib: Math.round(mib) };
}

const rows = [];
for (let round = 0; round < ROUNDS; round += 1) {
  for (const accounts of [0, 1, 100]) {
    for (const name of accounts === 0 ? ["none"] : ["ours", "official"]) {
      const lab = await Lab.open({ log: note });
      try {
        const make = async () => ({ simulator: await lab.simulator() });
        const { simulator, profile } = name === "official" ? await officialProfile(lab, { owner: "owner@im.wechat", botId: "theirs@im.bot" }) : await make();
        rows.push(await measure(lab, simulator, profile ?? (await lab.profile(simulator)), name, accounts));
        note(JSON.stringify(rows.at(-1)));
      } finally {
        await lab.close();
      }
    }
  }
}
console.table(rows);
