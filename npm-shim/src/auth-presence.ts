/**
 * Whether anybody is logged in, for whoever has not loaded the plugin (`openclaw.channel.persistedAuthState` in package.json). OpenClaw documents that
 * for all channels; 2026.9.6 asks only those that it brings itself.
 */
import { resolveStateDir } from "openclaw/plugin-sdk/state-paths";

import { listAccountIds, resolveAccount } from "./accounts.js";

export function hasAnyWeixinAuth({ env = process.env }: { env?: NodeJS.ProcessEnv } = {}): boolean {
  const dir = resolveStateDir(env);
  return listAccountIds(dir).some((id) => resolveAccount({}, dir, id).configured);
}
