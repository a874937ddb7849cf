/**
 * What the sidecar says without being asked, read as the contract has it. A line that is not so is a defect of one side: it is
 * named in the log, and nothing else happens.
 */
import type { AccountStatus, InboundMessage, LoginProgress, Notifications, OutboundUpdate } from "./contract.js";

/** The fields of each notification without which nothing can be done with it, and the type of each. */
const NEEDED: Record<keyof Notifications, Record<string, "string" | "number" | "array">> = {
  "inbound.message": {
    deliveryId: "string",
    accountId: "string",
    messageId: "string",
    from: "string",
    text: "string",
    attempt: "number",
    timestampMs: "number",
    parts: "array",
  },
  "account.status": { accountId: "string", state: "string" },
  "login.progress": { sessionKey: "string", state: "string", message: "string" },
  "outbound.update": { queueId: "string", status: "string" },
};

export type Notification =
  | { method: "inbound.message"; params: InboundMessage }
  | { method: "account.status"; params: AccountStatus }
  | { method: "login.progress"; params: LoginProgress }
  | { method: "outbound.update"; params: OutboundUpdate };

/** Reads a notification; `undefined`: a newer sidecar's, which this plugin does not know. Throws what is wrong with it. */
export function readNotification(method: string, params: unknown): Notification | undefined {
  if (!Object.hasOwn(NEEDED, method)) return undefined;
  if (typeof params !== "object" || params === null) throw new Error(`the sidecar's ${method} has no parameters`);
  for (const [field, type] of Object.entries(NEEDED[method as keyof Notifications])) {
    const value = (params as Record<string, unknown>)[field];
    if ((Array.isArray(value) ? "array" : typeof value) !== type) throw new Error(`the sidecar's ${method} has no ${type} ${field}`);
  }
  return { method, params } as Notification;
}
