/** A send by the sidecar of this process. */
import type { Methods, SendResult } from "./contract.js";
import { isSidecarError } from "./errors.js";
import { sidecar } from "./sidecar.js";
import { turns } from "./turns.js";

export type SendMethod = "outbound.sendText" | "outbound.sendMedia";
export type SendParams<M extends SendMethod> = Methods[M]["params"];

/** A send may wait for pacing (15 s by contract) and for the network. A large file takes as long as it takes; the sidecar gives up a transfer that does not move. */
export const TIMEOUT_MS: Record<SendMethod, number> = { "outbound.sendText": 120_000, "outbound.sendMedia": 30 * 60_000 };

/** How many ends of the sidecar a send outlives. */
const RESTARTS = 8;

/**
 * Sends, and asks again when the sidecar ended in the middle. With a key that is always safe, and better than to leave it to the
 * host's queue, which waits for up to ten minutes before it tries again.
 */
export async function sendHere<M extends SendMethod>(method: M, params: SendParams<M>): Promise<SendResult> {
  return await turns.sending(params.accountId, params.to, async () => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await sidecar().process.request(method, params, { timeoutMs: TIMEOUT_MS[method] });
      } catch (error) {
        if (!params.idempotencyKey || !isSidecarError(error) || error.kind !== "sidecar_exited" || attempt >= RESTARTS) throw error;
      }
    }
  });
}
