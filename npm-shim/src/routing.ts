/**
 * Which agent and which session a person's messages are for: OpenClaw's routes, its configured bindings (`bindings` in the configuration),
 * and what a command in the conversation bound (`/acp spawn … --bind here`, `/focus`), which comes before both.
 */
import { listAgentIds } from "openclaw/plugin-sdk/agent-scope-runtime";
import type { OpenClawConfig, PluginRuntime } from "openclaw/plugin-sdk/channel-core";
import {
  ensureConfiguredBindingRouteReady,
  resolveConfiguredBindingRoute,
  resolveRuntimeConversationBindingRouteAsync,
} from "openclaw/plugin-sdk/conversation-binding-runtime";

import { CHANNEL_ID } from "./ids.js";

type Route = ReturnType<PluginRuntime["channel"]["routing"]["resolveAgentRoute"]>;

/** Rejects where it cannot be known now, or whom it is bound to cannot be had: the message is for nobody else, and comes again. */
export async function routeOf(runtime: PluginRuntime, cfg: OpenClawConfig, accountId: string, sender: string): Promise<Route> {
  const conversation = { channel: CHANNEL_ID, accountId, conversationId: sender };
  const route = runtime.channel.routing.resolveAgentRoute({ cfg, channel: CHANNEL_ID, accountId, peer: { kind: "direct", id: sender } });
  const configured = resolveConfiguredBindingRoute({ cfg, route, conversation });
  const bound = await resolveRuntimeConversationBindingRouteAsync({ route: configured.route, conversation });
  if (bound.bindingOwnerAvailable === false) throw new Error(`OpenClaw does not know now what the conversation with ${sender} is bound to`);
  if (!bound.bindingRecord && configured.bindingResolution) {
    const ready = await ensureConfiguredBindingRouteReady({ cfg, bindingResolution: configured.bindingResolution });
    if (!ready.ok) throw new Error(`the agent that the conversation with ${sender} is bound to cannot be had: ${ready.error}`);
  }
  // A command binds to any harness that is allowed, also to one that no agent of the configuration is. OpenClaw refuses a turn of such an
  // agent, and finds the harness by itself where the turn is the agent's whose conversation it was.
  return listAgentIds(cfg).includes(bound.route.agentId) ? bound.route : route;
}
