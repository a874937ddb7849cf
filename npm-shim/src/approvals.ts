/** Who may answer what an agent asks before it does something: whoever owns the bot, and OpenClaw's own command owners on this channel. */
import type { ChannelPlugin } from "openclaw/plugin-sdk/channel-core";
import { createChannelApprovalAuth } from "openclaw/plugin-sdk/approval-auth-runtime";

import { resolveAccount, type HostConfig } from "./accounts.js";
import { CHANNEL_ID, CHANNEL_LABEL, looksLikeUserId, normalizeTarget } from "./ids.js";
import { localeOf } from "./locale.js";
import { stateDir } from "./state-dir.js";

const CHANNEL_OWNER = new RegExp(`^${CHANNEL_ID}:`);

/** The people who may approve for an account. Entries of `commands.ownerAllowFrom` without a channel are ours where they look like a WeChat id. */
export function approvers(cfg: HostConfig & { commands?: { ownerAllowFrom?: readonly (string | number)[] } }, accountId?: string | null): string[] {
  const { userId } = resolveAccount(cfg, stateDir(), accountId);
  const owners = (cfg.commands?.ownerAllowFrom ?? []).map(String).filter((entry) => CHANNEL_OWNER.test(entry) || looksLikeUserId(entry));
  // Only what can be somebody: an empty list means everybody to the host.
  return [...(userId ? [userId] : []), ...owners].map((entry) => normalizeTarget(entry) ?? "").filter(looksLikeUserId);
}

/** Read by whoever tried to approve, in the language of the gateway. */
const NOBODY = {
  en: `❌ Nobody owns this ${CHANNEL_LABEL} bot: its login is too old to say who scanned it. Name the owner in commands.ownerAllowFrom, or log in again.`,
  "zh-CN": "❌ 这个微信机器人没有主人：登录太早，没有记录是谁扫的码。请在 commands.ownerAllowFrom 中填写主人，或重新登录。",
};

const auth = createChannelApprovalAuth({
  channelLabel: CHANNEL_LABEL,
  resolveInputs: ({ cfg, accountId }) => ({ explicit: approvers(cfg as HostConfig, accountId) }),
  normalizeApprover: (value) => normalizeTarget(String(value)),
  normalizeSenderId: normalizeTarget,
});

export const approvalCapability: NonNullable<ChannelPlugin["approvalCapability"]> = {
  authorizeActorAction: (params) => {
    // Where nobody is known the host would let everybody who may write.
    if (approvers(params.cfg as HostConfig, params.accountId).length === 0) {
      return {
        authorized: false,
        reason: NOBODY[localeOf(process.env)],
      };
    }
    return auth.approvalAuth.authorizeActorAction(params);
  },
};
