/** The OpenClaw versions this plugin works with. */

/** The first host whose inbound, ingress and outbound interfaces this plugin was built and tested against. */
export const MINIMUM_HOST = "2026.9.6";

/** `2026.9.6` → `[2026, 9, 6]`; `undefined` for what is no such version, such as a development build's name. */
function parse(version: string): [number, number, number] | undefined {
  const match = /^v?(\d{4})\.(\d{1,2})\.(\d{1,2})(?:[-+.].*)?$/.exec(version.trim());
  return match ? [Number(match[1]), Number(match[2]), Number(match[3])] : undefined;
}

/** Throws when the host is known to be too old. A host that does not tell its version is let through. */
export function assertHostVersion(version: string | undefined): void {
  const host = parse(version ?? "");
  const minimum = parse(MINIMUM_HOST);
  if (!host || !minimum) return;
  for (let i = 0; i < 3; i += 1) {
    const difference = host[i]! - minimum[i]!;
    if (difference > 0) return;
    if (difference < 0) {
      throw new Error(
        `openclaw-weixin-sidecar needs OpenClaw ${MINIMUM_HOST} or newer, and this is ${version}. Update OpenClaw ` +
          `(openclaw update) and start the gateway again; until then WeChat stays off. Messages that arrive meanwhile ` +
          `are kept by WeChat's server.`,
      );
    }
  }
}
