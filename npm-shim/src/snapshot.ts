/** The sidecar's account state in the host's words. */
import type { ChannelAccountSnapshot } from "openclaw/plugin-sdk/channel-contract";

import type { AccountStatus } from "./contract.js";

type Snapshot = ChannelAccountSnapshot;

/** What the host is told when a status comes: with each change, and every minute without one. */
export function toSnapshot(status: AccountStatus, before: Snapshot): Partial<Snapshot> {
  const times: Partial<Snapshot> = {
    lastError: status.lastError ?? null,
    ...(status.lastPollAtMs ? { lastTransportActivityAt: status.lastPollAtMs } : {}),
    ...(status.lastInboundAtMs ? { lastInboundAt: Math.max(before.lastInboundAt ?? 0, status.lastInboundAtMs) } : {}),
    // What WeChat confirmed, whoever sent it.
    ...(status.delivery?.lastConfirmedAtMs ? { lastOutboundAt: Math.max(before.lastOutboundAt ?? 0, status.delivery.lastConfirmedAtMs) } : {}),
  };
  switch (status.state) {
    case "starting":
      return { ...times, connected: false, lifecycle: "starting" };
    case "polling":
      return { ...times, connected: true, lifecycle: "ready", ...(before.connected ? {} : { lastConnectedAt: Date.now() }) };
    case "backoff":
      // The sidecar tries again by itself, every half minute. The host restarts an account that is disconnected for two minutes,
      // unless it hears of each new failure; a restart would only poll less often.
      return {
        ...times,
        connected: false,
        lifecycle: "recovering",
        lastDisconnect: { at: Date.now(), ...(status.lastError ? { error: status.lastError } : {}) },
      };
    case "paused":
      return {
        ...times,
        connected: false,
        lifecycle: "blocked",
        lastError: status.lastError ?? "WeChat no longer accepts the login. Run: openclaw channels login --channel openclaw-weixin",
      };
    case "superseded":
      return { ...times, connected: false, lifecycle: "blocked", lastError: status.lastError ?? "Another process polls this account." };
    case "stopped":
      return { ...times, connected: false, lifecycle: "stopped" };
  }
}
