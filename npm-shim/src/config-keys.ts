/**
 * Which keys of the configuration mean something.
 *
 * The official plugin takes any key, and a gateway does not start with a configuration that is refused. So any key is taken here too: OpenClaw
 * sees all of them, the sidecar those that it knows, and `openclaw doctor` names the rest.
 */
import { channelConfig, type HostConfig } from "./accounts.js";
import type { AccountConfig, Config } from "./contract.js";
import { CHANNEL_ID } from "./ids.js";
import { configSchema } from "./manifest.js";

/** OpenClaw's own keys for any channel, which it reads itself, as far as they mean something in a conversation of two. */
const OF_THE_HOST = ["capabilities", "contextVisibility", "dmHistoryLimit", "dms", "historyLimit", "mediaMaxMb", "replyToMode", "streaming", "textChunkLimit"];
/** Those that it knows for channels with groups: harmless, and without effect. */
const OF_GROUPS = ["groupAllowFrom", "groupPolicy", "mentionPatterns"];

type Schema = { properties?: Record<string, Schema>; additionalProperties?: boolean | Schema };

const schema = () => configSchema().schema as Schema;
const ofChannel = () => Object.keys(schema().properties ?? {});
const ofAccount = () => {
  const accounts = schema().properties?.accounts?.additionalProperties;
  return typeof accounts === "object" ? Object.keys(accounts.properties ?? {}) : [];
};

const only = <T extends object>(value: T, keys: readonly string[]): T => Object.fromEntries(Object.entries(value).filter(([key]) => keys.includes(key))) as T;

/** The settings without keys that the sidecar would refuse. */
export function forSidecar(config: Config): Config {
  const own = only(config, ofChannel());
  if (!own.accounts) return own;
  const accounts = Object.entries(own.accounts).map(([id, account]) => [id, only((account ?? {}) as AccountConfig, ofAccount())]);
  return { ...own, accounts: Object.fromEntries(accounts) as Config["accounts"] };
}

/** Paths of keys that nobody reads. */
export function unknownKeys(cfg: HostConfig): string[] {
  const channel = channelConfig(cfg);
  const strange = (value: object | null | undefined, keys: readonly string[], path: string) =>
    Object.keys(value ?? {})
      .filter((key) => !keys.includes(key) && !OF_THE_HOST.includes(key) && !OF_GROUPS.includes(key))
      .map((key) => `${path}.${key}`);
  const at = `channels.${CHANNEL_ID}`;
  const accounts = Object.entries(channel.accounts ?? {});
  return [...strange(channel, ofChannel(), at), ...accounts.flatMap(([id, account]) => strange(account, ofAccount(), `${at}.accounts.${id}`))];
}
