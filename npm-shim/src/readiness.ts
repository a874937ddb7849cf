/** Whether a heartbeat would reach anybody now: the host asks before it delivers one, and skips it with the reason. */
import { resolveAccount, type HostConfig } from "./accounts.js";
import type { AccountStatus } from "./contract.js";
import { stateDir } from "./state-dir.js";

type Ready = { ok: boolean; reason: string };

/** Reasons are words of the host's kind: they are shown as they are, in its log and in `system heartbeat last`. */
export function readinessOf(account: { enabled: boolean; configured: boolean }, status: AccountStatus | undefined): Ready {
  const not = (reason: string): Ready => ({ ok: false, reason });
  if (!account.enabled) return not("weixin-disabled");
  if (!account.configured) return not("weixin-not-logged-in");
  if (!status || status.state === "stopped" || status.state === "superseded") return not("weixin-not-running");
  if (status.state === "paused") return not("weixin-login-expired");
  // Most likely nobody would see it.
  if (status.delivery?.state === "unconfirmed") return not("weixin-unconfirmed");
  return { ok: true, reason: "ok" };
}

export async function checkReady({ cfg, accountId }: { cfg: HostConfig; accountId?: string | null }): Promise<Ready> {
  const account = resolveAccount(cfg, stateDir(), accountId);
  const { sidecar } = await import("./sidecar.js");
  try {
    const status = await sidecar().process.requestIfRunning("status.get", { accountId: account.accountId });
    return readinessOf(account, status?.accounts[0]);
  } catch {
    return readinessOf(account, undefined);
  }
}
