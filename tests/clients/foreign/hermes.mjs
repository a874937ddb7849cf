// hermes-agent (PyPI): its gateway, with Weixin as its only platform. Everything is said in its environment and its configuration.
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { python } from "./install.mjs";

const install = () => python(fileURLToPath(new URL("hermes.txt", import.meta.url)), "aiohttp, gateway.platforms.weixin", "foreign-hermes");

export const hermes = {
  name: "hermes-agent",
  prepare: async () => void (await install()),
  program: async ({ url, cdnUrl, token, botId, userId, folder, modelUrl }) => {
    const home = path.join(folder, "hermes");
    mkdirSync(home, { recursive: true });
    const configuration = {
      // With a length it does not ask the internet for one.
      model: { default: "echo", provider: "custom", base_url: modelUrl, api_key: "none", context_length: 200_000 },
      auxiliary: { title_generation: { enabled: false } },
      // What comes while it works waits; without this it says so, and breaks its work off.
      display: { busy_input_mode: "queue", busy_ack_enabled: false },
      // It waits so long for more before it answers; 3 seconds unless it is told.
      platforms: { weixin: { extra: { text_batch_delay_seconds: 0.2 } } },
      // It would install packages while it runs, and download a program.
      security: { allow_lazy_installs: false, tirith_enabled: false },
    };
    // JSON is YAML.
    writeFileSync(path.join(home, "config.yaml"), JSON.stringify(configuration));
    const env = {
      HERMES_HOME: home,
      WEIXIN_BASE_URL: url,
      WEIXIN_CDN_BASE_URL: cdnUrl,
      WEIXIN_TOKEN: token,
      // It does not start without. It drops what comes from this id.
      WEIXIN_ACCOUNT_ID: botId,
      WEIXIN_DM_POLICY: "open",
      WEIXIN_ALLOW_ALL_USERS: "true",
      // Without one its first answer is a notice.
      WEIXIN_HOME_CHANNEL: userId,
    };
    return { command: path.join(await install(), "hermes"), args: ["gateway", "run", "-v"], env, ready: "[Weixin] Connected" };
  },
  // The model answers with what it was asked, and files are sent that an answer names so. Not out of its own folder.
  wish: (file) => `#send MEDIA:${file}`,
};
