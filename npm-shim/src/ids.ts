/** The names under which the host knows this channel, and what its targets look like. */

/** Plugin id, channel id, and the key under `channels`. */
export const CHANNEL_ID = "openclaw-weixin";
export const CHANNEL_ALIASES = ["weixin", "wechat"] as const;
export const CHANNEL_LABEL = "WeChat";

const PREFIXES = new RegExp(`^(?:${[CHANNEL_ID, ...CHANNEL_ALIASES, "user", "dm"].join("|")}):`, "i");
/** How iLink writes a person. */
const USER = /^[^\s@]+@im\.wechat$/;

/** `weixin:abc@im.wechat` → `abc@im.wechat`. The part before the `@` is case-sensitive and stays as it is. */
export function normalizeTarget(raw: string): string | undefined {
  let target = raw.trim();
  while (PREFIXES.test(target)) target = target.replace(PREFIXES, "").trim();
  return target === "" ? undefined : target;
}

export function looksLikeUserId(raw: string): boolean {
  return USER.test(normalizeTarget(raw) ?? "");
}

/** As {@link normalizeTarget}, for entries of `allowFrom` and of the pairing store. */
export function normalizeAllowEntry(entry: string): string {
  return normalizeTarget(entry) ?? "";
}

/** An entry that stands for the people of `accessGroups.<name>` in the host's configuration. */
const isAccessGroup = (entry: string) => /^\s*accessGroup:\S/.test(entry);

/** Whether an entry of `allowFrom` can let anybody in. */
export const canMatch = (entry: string) => entry.trim() === "*" || isAccessGroup(entry) || looksLikeUserId(entry);
