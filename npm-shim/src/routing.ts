/**
 * Which agent and which session a person's messages are for. The last that applies counts:
 *
 * 1. routes: entries of `bindings` in the configuration without a type, which `resolveAgentRoute` reads,
 * 2. entries of `type: "acp"`,
 * 3. what `/acp spawn … --bind here` bound from within the conversation, until `/session unbind`.
 */
import { listAgentIds } from "openclaw/plugin-sdk/agent-scope-runtime";
import type { OpenClawConfig, PluginRuntime } from "openclaw/plugin-sdk/channel-core";
import {
  ensureConfiguredBindingRouteReady,
  resolveConfiguredBindingRoute,
  resolveRuntimeConversationBindingRouteAsync,
} from "openclaw/plugin-sdk/conversation-binding-runtime";

import { CHANNEL_ID } from "./ids.js";

/** Where the messages of a person go now, and what that needs to be ready. Rejects where OpenClaw does not know now. */
async function find(runtime: PluginRuntime, cfg: OpenClawConfig, accountId: string, sender: string) {
  const conversation = { channel: CHANNEL_ID, accountId, conversationId: sender };
  const own = runtime.channel.routing.resolveAgentRoute({ cfg, channel: CHANNEL_ID, accountId, peer: { kind: "direct", id: sender } });
  const configured = resolveConfiguredBindingRoute({ cfg, route: own, conversation });
  const current = await resolveRuntimeConversationBindingRouteAsync({ route: configured.route, conversation });
  if (current.bindingOwnerAvailable === false) throw new Error(`OpenClaw does not know now what the conversation with ${sender} is bound to`);
  // A command binds to any harness that is allowed, also to one that no agent of the configuration is. OpenClaw refuses a turn of such an
  // agent, and finds the harness by itself where the turn is the agent's whose conversation it was.
  const route = listAgentIds(cfg).includes(current.route.agentId) ? current.route : configured.route;
  return { route, needs: current.bindingRecord ? null : configured.bindingResolution };
}

/** A conversation is bound to a harness that cannot be had now. What it was meant for is for nobody else. */
export class NotReady extends Error {}

/**
 * The route of a person's message, and what to call before it is a turn: `ready` resolves when whom it is for can be had, which may take half a
 * minute (there is none where nothing has to be made ready), and rejects with {@link NotReady}.
 */
export async function routeOf(runtime: PluginRuntime, cfg: OpenClawConfig, accountId: string, sender: string) {
  const { route, needs } = await find(runtime, cfg, accountId, sender);
  if (!needs) return { route };
  const ready = async () => {
    const found = await ensureConfiguredBindingRouteReady({ cfg, bindingResolution: needs });
    if (!found.ok) throw new NotReady(`what the conversation with ${sender} is bound to cannot be had: ${found.error}`);
  };
  return { route, ready };
}

/** The session whose agent is to hear of a person's messages. */
export async function sessionOf(runtime: PluginRuntime, cfg: OpenClawConfig, accountId: string, sender: string) {
  const { agentId, sessionKey } = (await find(runtime, cfg, accountId, sender)).route;
  return { agentId, sessionKey };
}
