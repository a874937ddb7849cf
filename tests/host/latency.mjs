// How long a message takes on a real gateway, from its arrival at WeChat's server to the model, and from the model's answer to
// the wire: this plugin and the official one, each in a gateway of its own, in turns, on the same machine at the same time.
//
//   cargo build --release && OPENCLAW_WEIXIN_SIDECAR_BIN=target/release/openclaw-weixin-sidecar node tests/host/latency.mjs [messages]
import { Lab, seedAccounts } from "./lib/lab.mjs";
import { officialProfile } from "./lib/official.mjs";
import { CHANNEL } from "./lib/profile.mjs";
import { ask, note, pause, unhurried } from "./lib/talk.mjs";

const MESSAGES = Number(process.argv[2] ?? 200);
const WARM_UP = 10;
const BETWEEN_MS = 2_000;
const OWNER = "owner@im.wechat";

const open = async () => await Lab.open({ log: note });

async function official(lab) {
  const { simulator, profile } = await officialProfile(lab, { owner: OWNER, botId: "theirs@im.bot" });
  return await ready("official", lab, simulator, profile);
}

async function ours(lab) {
  const simulator = await lab.simulator();
  const profile = await lab.profile(simulator);
  const bot = await simulator.addBot({ botId: "ours@im.bot", userId: OWNER });
  seedAccounts(profile, simulator, [bot]);
  unhurried(profile);
  profile.configure((config) => (config.channels[CHANNEL].outbox.quotaPerMessage = 1_000));
  return await ready("ours", lab, simulator, profile);
}

async function ready(name, lab, simulator, profile) {
  await simulator.limit({ quotaPerToken: null, burst: null });
  await lab.gateway(profile);
  const [bot] = (await simulator.state()).bots;
  await ask(simulator, bot, OWNER, "#hello");
  return { name, lab, simulator, bot, times: { toModel: [], toWire: [], whole: [] } };
}

async function measure(side, n) {
  const text = `#message-${n}.`;
  const began = Date.now();
  const { answer, ms } = await ask(side.simulator, side.bot, OWNER, text);
  const [request] = side.lab.model.askedAbout(text);
  if (n < WARM_UP) return;
  side.times.toModel.push(request.atMs - began);
  side.times.toWire.push(answer.atMs - request.answeredMs);
  side.times.whole.push(ms);
}

const at = (times, part) => times.toSorted((a, b) => a - b)[Math.min(times.length - 1, Math.floor(times.length * part))];

const labs = [];
try {
  labs.push(await open(), await open());
  const sides = [await ours(labs[0]), await official(labs[1])];
  for (let n = 0; n < MESSAGES + WARM_UP; n += 1) {
    for (const side of n % 2 === 0 ? sides : sides.toReversed()) {
      await measure(side, n);
      await pause(BETWEEN_MS / 2);
    }
  }
  const rows = sides.flatMap(({ name, times }) =>
    Object.entries(times).map(([part, all]) => ({ plugin: name, part, messages: all.length, p50: at(all, 0.5), p90: at(all, 0.9) })),
  );
  console.table(rows);
} finally {
  for (const lab of labs) await lab.close();
}
