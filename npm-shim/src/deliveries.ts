/**
 * What became of each delivery: taken over, given back, or still being worked on.
 *
 * The sidecar's inbox is the durable ingress. It keeps a message until the ack, and delivers it again after a
 * restart of either side. So a delivery is acked when the host has adopted the turn (from then on the host's own
 * restart recovery answers for it), and given back when the host failed before that.
 *
 * A sidecar that died and came back delivers what it had not seen acked, while this process may be in the middle of
 * it, or done with it. Such a delivery starts no second turn: it joins the one that runs, or is acked at once.
 */
import type { InboundMessage } from "./contract.js";
import { messageOf } from "./errors.js";
import type { Log } from "./log.js";

/** How many adopted deliveries are remembered, for acks that were lost with a sidecar. */
const REMEMBERED = 4_000;
const FIRST_RETRY_MS = 1_000;
const MAX_RETRY_MS = 60_000;
/** A message is given up only when it failed often and for long. Its own date may be wrong: so many attempts take a day. */
const GIVE_UP_ATTEMPTS = 8;
const GIVE_UP_AGE_MS = 24 * 60 * 60 * 1000;
const GIVE_UP_ANYHOW = Math.ceil(GIVE_UP_AGE_MS / MAX_RETRY_MS);
/** An ack is waited for, but a sidecar that is just being restarted does not hold up the turn. */
const ACK_WAIT_MS = 3_000;

export type DeliveryPort = {
  ack: (deliveryId: string) => Promise<unknown>;
  nack: (deliveryId: string, retryAfterMs: number, reason: string) => Promise<unknown>;
  /** Lets the person's next message come although this one is not acked: it may be the one that stops it. */
  release: (deliveryId: string) => Promise<unknown>;
  /** It was handed over in vain for a day, and does not come again. */
  givenUp: (message: InboundMessage, error: unknown) => void;
  log: Log;
  now?: () => number;
};

/** The callbacks that the host's turn-adoption lifecycle gets for one delivery. */
export type Adoption = {
  /** It takes time before the host gets it: the person's next message may come, it may be a stop. */
  onHeld: () => void;
  onAdopted: () => Promise<void>;
  onDeferred: () => void;
  onAbandoned: () => void;
};

type Work = { message: InboundMessage; state: "open" | "deferred" | "adopted" | "returned"; released: boolean };

export class Deliveries {
  readonly #port: DeliveryPort;
  readonly #open = new Map<string, Work>();
  readonly #adopted = new Set<string>();

  constructor(port: DeliveryPort) {
    this.#port = port;
  }

  /** Runs `dispatch` for a delivery, unless its turn runs or ran here already. Never rejects. */
  async handle(message: InboundMessage, dispatch: (message: InboundMessage, adoption: Adoption) => Promise<void>): Promise<void> {
    const id = message.deliveryId;
    if (this.#adopted.has(id)) {
      await this.#ack(id);
      return;
    }
    const running = this.#open.get(id);
    if (running) {
      // The same delivery from a sidecar that was started again; the turn that runs settles it.
      running.message = message;
      if (running.released) this.#release(running);
      return;
    }
    const work: Work = { message, state: "open", released: false };
    this.#open.set(id, work);
    try {
      await dispatch(message, {
        onHeld: () => {
          if (work.state === "open" && !work.released) this.#release(work);
        },
        onAdopted: () => this.#adopt(work),
        onDeferred: () => {
          if (work.state !== "open") return;
          work.state = "deferred";
          if (!work.released) this.#release(work);
        },
        onAbandoned: () => void this.#giveBack(work, new Error("the host abandoned the queued turn")),
      });
      // Ended without a turn of its own: a command, a duplicate that the host recognised, a sender it refused.
      // A queued turn is not over yet: its adoption or abandonment comes later.
      if (work.state === "open") await this.#adopt(work);
    } catch (error) {
      await this.#giveBack(work, error);
    }
  }

  async #adopt(work: Work): Promise<void> {
    if (work.state === "adopted" || work.state === "returned") return;
    work.state = "adopted";
    const id = work.message.deliveryId;
    this.#open.delete(id);
    this.#adopted.add(id);
    if (this.#adopted.size > REMEMBERED) {
      for (const oldest of this.#adopted) {
        this.#adopted.delete(oldest);
        break;
      }
    }
    await this.#ack(id);
  }

  #release(work: Work): void {
    const id = work.message.deliveryId;
    work.released = true;
    // Where it fails, the next message waits for the ack of this one.
    this.#port.release(id).catch((error: unknown) => this.#port.log("warn", `release of ${id} failed: ${messageOf(error)}`));
  }

  async #ack(id: string): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const acked = this.#port.ack(id).catch((error: unknown) => {
      // It comes again, and is then acked from memory, or recognised by the host as a duplicate.
      this.#port.log("warn", `ack of ${id} failed: ${messageOf(error)}`);
    });
    await Promise.race([acked, new Promise((resolve) => (timer = setTimeout(resolve, ACK_WAIT_MS)))]);
    clearTimeout(timer);
  }

  async #giveBack(work: Work, error: unknown): Promise<void> {
    const { message } = work;
    if (work.state === "adopted") {
      // The host has it and answers for it; coming again could only answer it twice.
      this.#port.log("error", `the turn for message ${message.messageId} failed after the host took it over: ${messageOf(error)}`);
      return;
    }
    if (work.state === "returned") return;
    const age = (this.#port.now ?? Date.now)() - message.timestampMs;
    if (message.attempt >= GIVE_UP_ANYHOW || (message.attempt >= GIVE_UP_ATTEMPTS && age >= GIVE_UP_AGE_MS)) {
      this.#port.log("error", `message ${message.messageId} from ${message.from} is given up after ${message.attempt} attempts: ${messageOf(error)}`);
      this.#port.givenUp(message, error);
      await this.#adopt(work);
      return;
    }
    work.state = "returned";
    this.#open.delete(message.deliveryId);
    const retryAfterMs = Math.min(FIRST_RETRY_MS * 2 ** Math.min(message.attempt - 1, 10), MAX_RETRY_MS);
    this.#port.log(
      "warn",
      `message ${message.messageId} could not be handed to the agent (attempt ${message.attempt}), next try in ${retryAfterMs} ms: ${messageOf(error)}`,
    );
    await this.#port.nack(message.deliveryId, retryAfterMs, messageOf(error)).catch((nackError: unknown) => {
      // Not acked either, so it comes again with the next sidecar.
      this.#port.log("debug", `nack of ${message.deliveryId} failed: ${messageOf(nackError)}`);
    });
  }
}
