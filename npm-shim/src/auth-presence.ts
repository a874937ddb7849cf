/** Whether anybody is logged in: what OpenClaw asks before it loads the plugin (`openclaw.channel.persistedAuthState` in package.json). */
import { resolveStateDir } from "openclaw/plugin-sdk/state-paths";

import { listAccountIds, resolveAccount } from "./accounts.js";

export function hasAnyWeixinAuth({ env = process.env }: { env?: NodeJS.ProcessEnv } = {}): boolean {
  const dir = resolveStateDir(env);
  return listAccountIds(dir).some((id) => resolveAccount({}, dir, id).configured);
}
