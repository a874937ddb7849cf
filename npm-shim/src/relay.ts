/**
 * Sends of commands (`openclaw message send`) through the running gateway, whose plugins see and change what goes out.
 *
 * A command's process has the channel and no other plugin. OpenClaw's own way (`deliveryMode: "gateway"`) makes an error of a held message, and needs a
 * gateway; so a command hands the sidecar's request, with its key, to a method of the gateway's. Where no gateway can be reached it sends by itself.
 */
import type { OpenClawPluginApi } from "openclaw/plugin-sdk/channel-core";

import type { Methods, SendResult } from "./contract.js";
import { isSidecarError, messageOf, SidecarError, type SidecarErrorKind } from "./errors.js";
import { reportSent, whatHooksSay } from "./hooks.js";
import { hostLog } from "./host.js";
import { CHANNEL_ID } from "./ids.js";
import { sidecar } from "./sidecar.js";
import { stateDir } from "./state-dir.js";
import { turns } from "./turns.js";

export type SendMethod = "outbound.sendText" | "outbound.sendMedia";
type SendParams<M extends SendMethod> = Methods[M]["params"];

const [READY, SEND] = [`${CHANNEL_ID}.relay`, `${CHANNEL_ID}.send`];
/** A gateway that does not answer within this time counts as none. */
const READY_TIMEOUT_MS = 10_000;
/** What the gateway's sidecar does within its own time limit is answered before a command gives up. */
const SLACK_MS = 10_000;

/** What the gateway's method answers. */
type Answer = { result: SendResult } | { cancelled: string } | { error: { kind?: SidecarErrorKind; message: string; retryable: boolean } };

/** A plugin of the gateway does not want a message to go out. */
export class Cancelled extends Error {}

/** For a gateway: takes what commands hand over. */
export function registerRelay(api: OpenClawPluginApi): void {
  api.registerGatewayMethod(READY, ({ respond }) => respond(true, { stateDir: stateDir() }), { scope: "operator.write" });
  api.registerGatewayMethod(
    SEND,
    async ({ params, respond }) => {
      const { method, request, timeoutMs } = params as { method: SendMethod; request: SendParams<SendMethod>; timeoutMs: number };
      if (method !== "outbound.sendText" && method !== "outbound.sendMedia") return respond(true, failure(new Error(`${String(method)} is no send`)));
      respond(true, await take(method, request, timeoutMs).catch(failure));
    },
    { scope: "operator.write" },
  );
}

async function take<M extends SendMethod>(method: M, request: SendParams<M>, timeoutMs: number): Promise<Answer> {
  const { to, accountId } = request;
  const said = await whatHooksSay({ to, accountId, text: request.text ?? "", file: "path" in request ? (request.fileName ?? request.path) : undefined });
  if (said.cancelled !== undefined) return { cancelled: said.cancelled };
  const changed = said.text === (request.text ?? "") ? request : { ...request, text: said.text };
  const result = await turns.sending(accountId, to, () => sidecar().process.request(method, changed, { timeoutMs }));
  // Of a held one the sidecar tells the end.
  if (result.status !== "held") reportSent({ to, accountId, text: said.text, status: result.status, messageIds: result.messageIds });
  return { result };
}

const failure = (error: unknown): Answer => ({
  error: isSidecarError(error) ? { kind: error.kind, message: error.message, retryable: error.retryable } : { message: messageOf(error), retryable: false },
});

/**
 * For a command: has the gateway send. `undefined` where there is none (that has this method, and for a file: that reads the same folders): the caller
 * sends. Rejects with {@link Cancelled}, with what the gateway's sidecar refused, and as retryable where the gateway ended over it: the key makes
 * another try safe, and the host's queue makes it.
 */
export async function throughGateway<M extends SendMethod>(method: M, request: SendParams<M>, timeoutMs: number): Promise<SendResult | undefined> {
  const { callGatewayFromCli } = await import("openclaw/plugin-sdk/gateway-runtime");
  const call = async (name: string, params: unknown, withinMs: number) =>
    await callGatewayFromCli(name, { timeout: String(withinMs), json: true }, params, { progress: false, scopes: ["operator.write"] });
  try {
    const ready = await call(READY, {}, READY_TIMEOUT_MS);
    if (method === "outbound.sendMedia" && ready.stateDir !== stateDir()) return undefined;
  } catch (error) {
    hostLog("debug", `no gateway to send through: ${messageOf(error)}`);
    return undefined;
  }
  let answer: Answer;
  try {
    answer = (await call(SEND, { method, request, timeoutMs }, timeoutMs + SLACK_MS)) as Answer;
  } catch (error) {
    throw new SidecarError("request_timeout", `The gateway ended, or was lost, while it sent: ${messageOf(error)}`, { cause: error, retryable: true });
  }
  if ("result" in answer) return answer.result;
  if ("cancelled" in answer) throw new Cancelled(answer.cancelled);
  const { kind, message, retryable } = answer.error;
  throw kind ? new SidecarError(kind, message, { retryable }) : new Error(message);
}
