/**
 * What OpenClaw documents and ships without types; they are those of the older subpath that has the same functions. It would hide types that
 * OpenClaw has one day: a test says when.
 */
declare module "openclaw/plugin-sdk/conversation-binding-runtime" {
  import type { resolveRuntimeConversationBindingRoute } from "openclaw/plugin-sdk/conversation-runtime";

  export { ensureConfiguredBindingRouteReady, resolveConfiguredBindingRoute } from "openclaw/plugin-sdk/conversation-runtime";
  export function resolveRuntimeConversationBindingRouteAsync(
    params: Parameters<typeof resolveRuntimeConversationBindingRoute>[0],
  ): Promise<ReturnType<typeof resolveRuntimeConversationBindingRoute>>;
}
