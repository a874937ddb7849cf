/**
 * Messages that were not delivered: what the host, the agent and a person at a terminal are told of them.
 *
 * A held message is in the sidecar's custody: kept on disk, sent by itself when it can be, its end told by
 * `outbound.update`. An unconfirmed one was taken by WeChat without an id, which in the field is the mark of a message that
 * nobody will see; it is at its end. Of both the host hears `not_sent`, which is true and keeps it from sending again.
 */
import type { OpenClawConfig } from "openclaw/plugin-sdk/channel-core";

import type { HeldReason, OutboundUpdate, SendResult } from "./contract.js";
import { messageOf } from "./errors.js";
import { REASONS } from "./held-reasons.js";
import { reportSent } from "./hooks.js";
import { hostConfig, hostLog, hostRuntime, runsAccounts } from "./host.js";
import { sessionOf } from "./routing.js";

const UNCONFIRMED = "WeChat took it without confirming it: most likely they will not see it. Sending it again would not help";

/** Says of a send that it was not delivered, where it was not. */
export function reportUndelivered(accountId: string | null | undefined, to: string, result: SendResult): void {
  if (result.status === "held") reportHeld(accountId, to, result.heldReason);
  if (result.status !== "unconfirmed") return;
  hostLog("warn", `The message to ${to} is not confirmed: ${UNCONFIRMED}.`);
  if (accountId && runsAccounts()) tellAgent(accountId, to, `A message of yours is not confirmed: ${UNCONFIRMED}. Do not send it again.`);
}

/**
 * A send was held: said in the log, to a person who sends from a command line, and to the agent of the conversation,
 * which finds it at the beginning of its next turn (most answers are held when their turn is over).
 */
function reportHeld(accountId: string | null | undefined, to: string, reason: HeldReason | null | undefined): void {
  const { why, when } = REASONS[reason ?? "throttled"];
  const text = `is not sent yet: ${why}. It is kept, and sent by itself ${when}; do not send it again.`;
  hostLog(runsAccounts() ? "info" : "warn", `The message to ${to} ${text}`);
  if (accountId && runsAccounts()) tellAgent(accountId, to, `A message of yours ${text}`);
}

/** A held message came to its end. */
export function reportUpdate(update: OutboundUpdate): void {
  const { accountId, to, status } = update;
  const lost = status === "failed" || status === "expired" || status === "unconfirmed";
  const why = update.error ? ` (${update.error})` : "";
  hostLog(lost ? "warn" : "info", `held message ${update.queueId} to ${to ?? "somebody"}: ${status}${why}`);
  if (!accountId || !to || !runsAccounts()) return;
  void reportSent({ ...update, to, text: update.text ?? "" });
  if (status === "sent") tellAgent(accountId, to, "A message of yours that was held has now been sent.");
  else if (status === "unconfirmed") tellAgent(accountId, to, `A message of yours that was held is not confirmed: ${UNCONFIRMED}.`);
  else tellAgent(accountId, to, `A message of yours that was held was never sent: ${status}${why}.`);
}

/** Puts a line before the agent's next turn with this person. */
function tellAgent(accountId: string, to: string, text: string): void {
  const tell = async () => {
    const runtime = hostRuntime();
    runtime.system.enqueueSystemEvent(`[WeChat] ${text}`, await sessionOf(runtime, hostConfig() as OpenClawConfig, accountId, to));
  };
  tell().catch((error: unknown) => hostLog("warn", `the agent could not be told about a held message: ${messageOf(error)}`));
}
