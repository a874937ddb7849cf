/** The manifest beside `dist/`: the one source of the configuration's schema. */
import { readFileSync } from "node:fs";

import type { ChannelPlugin } from "openclaw/plugin-sdk/channel-core";

import { CHANNEL_ID } from "./ids.js";

type ConfigSchema = NonNullable<ChannelPlugin["configSchema"]>;

let read: ConfigSchema | undefined;

export function configSchema(): ConfigSchema {
  if (!read) {
    const manifest = JSON.parse(readFileSync(new URL("../openclaw.plugin.json", import.meta.url), "utf8")) as { channelConfigs: Record<string, ConfigSchema> };
    read = manifest.channelConfigs[CHANNEL_ID]!;
  }
  return read;
}
