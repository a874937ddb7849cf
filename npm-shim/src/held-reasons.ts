/** Why a message is held, and when that ends, in words for people. */
import type { HeldReason } from "./contract.js";

export const REASONS: Record<HeldReason, { why: string; when: string }> = {
  quota: { why: "WeChat allows no more messages until they write", when: "when they write" },
  no_context: { why: "they have not written to this bot yet", when: "when they write" },
  context_expired: { why: "they have not written for too long", when: "when they write" },
  throttled: { why: "WeChat limits how often this bot may write", when: "when WeChat allows it again" },
  session_expired: { why: "WeChat no longer accepts the login", when: "after the next login" },
  offline: { why: "WeChat cannot be reached", when: "when the network is back" },
};
