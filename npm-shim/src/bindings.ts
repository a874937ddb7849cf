/** Which conversations can be bound to an agent or a session, by `bindings` of `type: "acp"` or by a command; routing.ts says what comes first. */
import type { ChannelPlugin } from "openclaw/plugin-sdk/channel-core";

import { looksLikeUserId, normalizeTarget } from "./ids.js";

type Bindings = NonNullable<ChannelPlugin["bindings"]>;
type Support = NonNullable<ChannelPlugin["conversationBindings"]>;

/** A conversation is the person one talks with, whatever prefix names them. */
function conversationOf(...named: (string | undefined)[]) {
  const conversationId = named.map((name) => normalizeTarget(name ?? "")).find((name) => name !== undefined && looksLikeUserId(name));
  return conversationId === undefined ? null : { conversationId };
}

export const bindings: Bindings = {
  compileConfiguredBinding: ({ conversationId }) => conversationOf(conversationId),
  matchInboundConversation: ({ compiledBinding, conversationId }) => (compiledBinding.conversationId === conversationId ? { conversationId } : null),
  resolveCommandConversation: ({ originatingTo, commandTo, fallbackTo, senderId }) => conversationOf(originatingTo, commandTo, fallbackTo, senderId),
};

/** OpenClaw keeps what a command bound. WeChat has no threads, so an agent that is started here is bound to the conversation itself. */
export const conversationBindings: Support = { supportsCurrentConversationBinding: true, defaultTopLevelPlacement: "current" };
