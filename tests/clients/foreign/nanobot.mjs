// nanobot-ai (PyPI): its gateway, with weixin as its only channel. Everything is said in its configuration.
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { python } from "./install.mjs";

const install = () => python(fileURLToPath(new URL("nanobot.txt", import.meta.url)), "Crypto, nanobot.channels.weixin.runtime", "foreign-nanobot");

export const nanobot = {
  name: "nanobot-ai",
  prepare: async () => void (await install()),
  program: async ({ url, cdnUrl, token, folder, modelUrl }) => {
    // It looks for its configuration, and keeps what it knows, in the home directory.
    const home = path.join(folder, ".nanobot");
    mkdirSync(home, { recursive: true });
    const configuration = {
      agents: { defaults: { model: "echo", provider: "custom", workspace: path.join(folder, "workspace") } },
      providers: { custom: { apiKey: "none", apiBase: modelUrl } },
      channels: {
        // It is on unless it is told, at a port of its own.
        websocket: { enabled: false },
        weixin: { enabled: true, allowFrom: ["*"], baseUrl: url, cdnBaseUrl: cdnUrl, token },
      },
      gateway: { heartbeat: { enabled: false } },
    };
    writeFileSync(path.join(home, "config.json"), JSON.stringify(configuration));
    return { command: path.join(await install(), "nanobot"), args: ["gateway", "--port", "0"], ready: "channel starting with long-poll" };
  },
  // The model calls a tool of the agent.
  wish: (file) => `#send tool:message${JSON.stringify({ content: "here", media: [file] })}`,
};
