// The official plugin, as it is on npm.
import { writeFileSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

import { run, until } from "./processes.mjs";
import { CHANNEL } from "./profile.mjs";

export const OFFICIAL = "@tencent-weixin/openclaw-weixin@2.4.9";

/** The official plugin's login asks one host that it has as a constant: its `fetch` is led to the simulator. */
export function redirect(folder, url) {
  const file = path.join(folder, "redirect.mjs");
  writeFileSync(
    file,
    `const real = globalThis.fetch;
globalThis.fetch = (to, ...more) => real(String(to).replace("https://ilinkai.weixin.qq.com", ${JSON.stringify(url)}), ...more);
`,
  );
  return pathToFileURL(file).href;
}

/** A profile with the official plugin, logged in by QR code: `{simulator, profile}`; its package is `profile.official`. */
export async function officialProfile(lab, { owner, botId }) {
  const simulator = await lab.simulator({ strict: false });
  const packed = await run("npm", ["pack", "--silent", OFFICIAL, "--pack-destination", lab.folder], { env: process.env });
  if (packed.code !== 0) throw new Error(packed.output);
  const official = path.join(lab.folder, packed.stdout.trim());
  const env = { NODE_OPTIONS: `--import=${redirect(lab.folder, simulator.url)}` };
  const profile = await lab.profileWith(official, simulator, { env });
  profile.official = official;
  const accountId = botId.replace(/[@.]/g, "-");
  profile.configure((config) => (config.channels = { [CHANNEL]: { accounts: { [accountId]: { cdnBaseUrl: `${simulator.url}/c2c` } } } }));
  const login = profile.must(["channels", "login", "--channel", CHANNEL], { timeoutMs: 120_000 });
  await until("its login", async () => (await simulator.state()).logins.length === 1, { timeoutMs: 60_000 });
  await simulator.login("latest", "scan");
  await simulator.login("latest", "confirm", { userId: owner, botId });
  await login;
  return { simulator, profile };
}
