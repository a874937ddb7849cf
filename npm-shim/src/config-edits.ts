/** Changed copies of the configuration; the host writes them. */
import { accountConfig, accountKey, channelConfig, type HostConfig } from "./accounts.js";
import { CHANNEL_ID } from "./ids.js";

/** A copy of `cfg` with these settings of the channel over those that are there. */
export function withChannel<Cfg extends object>(cfg: Cfg, settings: Record<string, unknown>): Cfg {
  const { channels } = cfg as HostConfig;
  return { ...cfg, channels: { ...channels, [CHANNEL_ID]: { ...channelConfig(cfg), ...settings } } };
}

/** A copy of `cfg` with one account's section changed, or taken out, whatever spelling of its id is the key there. */
export function withAccount<Cfg extends object>(
  cfg: Cfg,
  accountId: string,
  change: (account: Record<string, unknown>) => Record<string, unknown> | undefined,
): Cfg {
  const channel = channelConfig(cfg);
  const key = accountKey(channel, accountId) ?? accountId;
  const { [key]: _before, ...others } = channel.accounts ?? {};
  const changed = change({ ...accountConfig(channel, accountId) });
  return withChannel(cfg, { accounts: changed ? { ...others, [key]: changed } : others });
}
