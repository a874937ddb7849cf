/**
 * Sends of commands (`openclaw message send`) through the running gateway, whose plugins see and change what goes out.
 *
 * A command's process has the channel and no other plugin. OpenClaw's own way (`deliveryMode: "gateway"`) makes an error of a held message, and needs a
 * gateway; so a command hands the sidecar's request, with its key, to a method of the gateway's. Where no gateway can be reached it sends by itself.
 *
 * What is on its way has a mark, a file named by its key. By it a gateway shows that it is this command's; and when the answer is lost, and OpenClaw's
 * queue sends the message later, as it was typed, the mark says that hooks are to be asked first.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";

import type { OpenClawPluginApi } from "openclaw/plugin-sdk/channel-core";

import type { SendResult } from "./contract.js";
import { isSidecarError, messageOf, SidecarError, type SidecarErrorKind } from "./errors.js";
import { loadHooks, reportSent, whatHooksSay } from "./hooks.js";
import { hostLog } from "./host.js";
import { CHANNEL_ID } from "./ids.js";
import { sendHere, TIMEOUT_MS, type SendMethod, type SendParams } from "./sending.js";
import { stateDir } from "./state-dir.js";

/** `ready` answers {@link Ready}, `send` an {@link Answer}. */
const [READY, SEND] = [`${CHANNEL_ID}.ready`, `${CHANNEL_ID}.send`];
/** A gateway that does not answer within this time counts as none. */
const READY_TIMEOUT_MS = 10_000;
/** What the gateway's sidecar does within its own time limit is answered before a command gives up. */
const SLACK_MS = 10_000;

/** `here`: the gateway sees the mark, so it has the command's accounts and files. */
type Ready = { here: boolean; pid: number };
type Answer = { result: SendResult } | { cancelled: string } | { error: { kind?: SidecarErrorKind; message: string; retryable: boolean } };
/** A request, and where its file comes from, for hooks: a path or a URL. */
export type Relayed<M extends SendMethod = SendMethod> = { method: M; request: SendParams<M>; file?: string };

/** A plugin of the gateway does not want a message to go out. */
export class Cancelled extends Error {}

/** For a gateway: takes what commands hand over. */
export function registerRelay(api: OpenClawPluginApi): void {
  const scope = { scope: "operator.write" } as const;
  const ready = async ({ mark }: { mark?: unknown }): Promise<Ready> => {
    // Now: a copy of the plugin that the host is done with cannot load anything any more.
    await loadHooks();
    return { here: typeof mark === "string" && /^[0-9a-f]+$/.test(mark) && existsSync(path.join(marks(), mark)), pid: process.pid };
  };
  api.registerGatewayMethod(READY, async ({ params, respond }) => respond(true, await ready(params)), scope);
  api.registerGatewayMethod(SEND, async ({ params, respond }) => respond(true, await take(params as Relayed).catch(failure)), scope);
}

async function take({ method, request, file }: Relayed): Promise<Answer> {
  if (!Object.hasOwn(TIMEOUT_MS, method) || "url" in request) throw new Error(`a command cannot hand over ${String(method)} like this`);
  const { to, accountId } = request;
  const said = await whatHooksSay({ to, accountId, text: request.text ?? "", file });
  if (said.cancelled !== undefined) return { cancelled: said.cancelled };
  const { text } = said;
  if (request.text && text.trim() === "" && method === "outbound.sendText") return { cancelled: "nothing of its text was left" };
  const changed = text === (request.text ?? "") ? request : { ...request, text };
  let result: SendResult;
  try {
    result = await sendHere(method, changed);
  } catch (error) {
    void reportSent({ to, accountId, text, status: "failed", error: messageOf(error) });
    throw error;
  }
  // As with what the host sends: a held one is reported at its end, and one that WeChat did not confirm is not.
  if (result.status === "sent") void reportSent({ to, accountId, text, status: "sent", messageIds: result.messageIds });
  return { result };
}

const failure = (error: unknown): Answer => ({
  error: isSidecarError(error) ? { kind: error.kind, message: error.message, retryable: error.retryable } : { message: messageOf(error), retryable: false },
});

/**
 * For a command: has the gateway send. `undefined` where there is none with this command's accounts: the caller sends. Rejects with {@link Cancelled},
 * with what the gateway's sidecar refused, and as retryable where the gateway ended over it: the key makes another try safe, and the host's queue makes it.
 */
export async function throughGateway<M extends SendMethod>(relayed: Relayed<M>): Promise<SendResult | undefined> {
  const key = relayed.request.idempotencyKey;
  if (!key) return undefined;
  const { callGatewayFromCli } = await import("openclaw/plugin-sdk/gateway-runtime");
  const call = async (name: string, params: unknown, withinMs: number) =>
    await callGatewayFromCli(name, { timeout: String(withinMs), json: true }, params, { progress: false, scopes: ["operator.write"] });
  const mark = markOf(key);
  mkdirSync(marks(), { recursive: true, mode: 0o700 });
  writeFileSync(mark, "", { mode: 0o600 });
  const unmark = () => rmSync(mark, { force: true });
  const ready = await call(READY, { mark: path.basename(mark) }, READY_TIMEOUT_MS).catch((error: unknown) => {
    hostLog(isNobody(error) ? "debug" : "warn", `The gateway's plugins are not asked, because the gateway does not take messages of commands: ${messageOf(error)}`);
    return undefined;
  });
  const { here, pid } = (ready ?? { here: false, pid: 0 }) as Ready;
  // A gateway whose accounts have not started yet takes itself for a command.
  if (!here || pid === process.pid) {
    unmark();
    return undefined;
  }
  let answer: Answer;
  try {
    answer = (await call(SEND, relayed, TIMEOUT_MS[relayed.method] + SLACK_MS)) as Answer;
  } catch (error) {
    const text = `The gateway ended, or was lost, while it sent. The message is kept, and sent when the gateway runs again; do not send it again. (${messageOf(error)})`;
    throw new SidecarError("request_timeout", text, { cause: error, retryable: true });
  }
  if ("error" in answer && answer.error.retryable) throw new SidecarError(answer.error.kind ?? "request_timeout", answer.error.message, { retryable: true });
  unmark();
  if ("result" in answer) return answer.result;
  if ("cancelled" in answer) throw new Cancelled(answer.cancelled);
  const { kind, message } = answer.error;
  throw kind ? new SidecarError(kind, message) : new Error(message);
}

/**
 * For a gateway whose host sends a message from its queue: asks hooks about one whose way through a gateway broke off. Returns its text as they want
 * it, and what to call when it is sent; rejects with {@link Cancelled}.
 */
export async function asHooksWant(key: string | undefined, message: { to: string; accountId?: string | undefined; text: string; file?: string }) {
  const mark = key === undefined ? undefined : markOf(key);
  if (!mark || !existsSync(mark)) return { text: message.text, done: () => {} };
  const done = () => rmSync(mark, { force: true });
  const said = await whatHooksSay(message);
  if (said.cancelled === undefined) return { text: said.text, done };
  done();
  throw new Cancelled(said.cancelled);
}

const marks = () => path.join(stateDir(), CHANNEL_ID, "on-their-way");
const markOf = (key: string) => path.join(marks(), createHash("sha256").update(key).digest("hex"));

/** Whether nothing listens where the gateway would. */
const isNobody = (error: unknown) => error instanceof Error && error.name === "GatewayTransportError" && "code" in error && error.code === 1006;
