/** The plugin's entry. */
import type { ChannelPlugin, OpenClawPluginApi } from "openclaw/plugin-sdk/channel-core";

import { weixinPlugin } from "./channel.js";
import { assertHostVersion } from "./host-version.js";
import { addHost } from "./host.js";
import { CHANNEL_ID } from "./ids.js";
import { registerRelay } from "./relay.js";
import { retireSidecar } from "./sidecar.js";

// The host's registry is written for plugins of any probe type, which no concrete one can satisfy.
const plugin = weixinPlugin as unknown as ChannelPlugin;

const NO_SETTINGS = { type: "object", additionalProperties: false, properties: {} } as const;

export default {
  id: CHANNEL_ID,
  name: "WeChat",
  description: "WeChat through a native sidecar that speaks Tencent's iLink protocol",
  // Everything is configured under channels.openclaw-weixin; the plugin entry itself has no settings.
  configSchema: { jsonSchema: NO_SETTINGS },
  channelPlugin: plugin,
  register(api: OpenClawPluginApi): void {
    // These modes have no runtime, so they cannot tell their version either.
    if (api.registrationMode === "cli-metadata" || api.registrationMode === "tool-discovery") return;
    if (api.registrationMode !== "setup-only") {
      assertHostVersion(api.runtime.version);
      const release = addHost({ runtime: api.runtime, logger: api.logger, rootDir: api.rootDir });
      api.lifecycle?.onDispose?.(async () => {
        if (!release().inUse) await retireSidecar();
      });
    }
    api.registerChannel({ plugin });
    if (api.registrationMode === "full") registerRelay(api);
  },
};
