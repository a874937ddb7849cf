/** Changes of an account's section of the configuration, whatever spelling of its id is the key there. */
import { accountConfig, channelConfig, type HostConfig } from "./accounts.js";
import { CHANNEL_ID } from "./ids.js";

/** A copy of `cfg` with one account's section changed, or taken out. */
export function withAccount<Cfg extends HostConfig>(
  cfg: Cfg,
  accountId: string,
  change: (account: Record<string, unknown>) => Record<string, unknown> | undefined,
): Cfg {
  const channel = channelConfig(cfg);
  const own = accountConfig(channel, accountId);
  const key = Object.entries(channel.accounts ?? {}).find(([, value]) => value === own)?.[0] ?? accountId;
  const { [key]: _before, ...others } = channel.accounts ?? {};
  const changed = change({ ...own });
  return { ...cfg, channels: { ...cfg.channels, [CHANNEL_ID]: { ...channel, accounts: changed ? { ...others, [key]: changed } : others } } };
}
