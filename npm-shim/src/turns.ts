/**
 * Keeps a person's next message out of the moment in which their last turn ends.
 *
 * A message that comes while a turn runs steers it or waits behind it; the host decides. But one that the host checks
 * just before a turn is over, and queues just after, is answered twice: by "couldn't produce or deliver a reply", and
 * then by its turn (OpenClaw 2026.9.6: the parked message is drained before it was admitted). A turn ends soon after
 * its answer was sent, so a message that comes from then on is handed over when the turn is gone.
 */

/** How long after a send a turn may last before the send was evidently not its answer. */
const GRACE_MS = 1_000;

type Conversation = {
  /** Calls of `run`, those that wait included. */
  users: number;
  /** Turns that are being dispatched. */
  running: number;
  /** Turns that the host keeps for later; when they end is only known by what they send. */
  queued: number;
  sending: number;
  lastSentMs: number;
  waiting: Set<() => void>;
};

export class Turns {
  readonly #conversations = new Map<string, Conversation>();
  readonly #graceMs: number;

  constructor(graceMs = GRACE_MS) {
    this.#graceMs = graceMs;
  }

  /**
   * Runs a turn once the one before is not about to end. `turn` gets what to call when the host keeps it for later.
   * Rejects as `turn` does.
   */
  async run(accountId: string, peer: string, turn: (onQueued: () => void) => Promise<void>): Promise<void> {
    const key = keyOf(accountId, peer);
    const conversation = this.#conversations.get(key) ?? newConversation();
    this.#conversations.set(key, conversation);
    conversation.users += 1;
    try {
      await this.#notEnding(conversation);
      conversation.running += 1;
      try {
        await turn(() => (conversation.queued += 1));
      } finally {
        conversation.running -= 1;
        if (conversation.running === 0 && conversation.queued === 0) conversation.lastSentMs = -Infinity;
        wake(conversation);
      }
    } finally {
      conversation.users -= 1;
      this.#forget(key, conversation);
    }
  }

  /** Notes a send to a person as long as it takes. Resolves and rejects as `send` does. */
  async sending<T>(accountId: string | null | undefined, peer: string, send: () => Promise<T>): Promise<T> {
    const key = keyOf(accountId ?? "", peer);
    const conversation = this.#conversations.get(key);
    if (!conversation) return await send();
    conversation.sending += 1;
    try {
      return await send();
    } finally {
      conversation.sending -= 1;
      conversation.lastSentMs = performance.now();
      if (conversation.running === 0 && conversation.queued > 0) conversation.queued -= 1;
      wake(conversation);
      if (conversation.users === 0) setTimeout(() => this.#forget(key, conversation), this.#graceMs).unref();
    }
  }

  async #notEnding(conversation: Conversation): Promise<void> {
    for (;;) {
      const left = conversation.lastSentMs + this.#graceMs - performance.now();
      if (conversation.sending === 0 && left <= 0) return;
      await changed(conversation, conversation.sending === 0 ? left : undefined);
    }
  }

  #forget(key: string, conversation: Conversation): void {
    const idle = conversation.users === 0 && conversation.queued === 0 && conversation.sending === 0;
    if (idle && performance.now() - conversation.lastSentMs >= this.#graceMs) this.#conversations.delete(key);
  }
}

const newConversation = (): Conversation => ({ users: 0, running: 0, queued: 0, sending: 0, lastSentMs: -Infinity, waiting: new Set() });

/** Waits for the next change, or for `ms`. */
async function changed(conversation: Conversation, ms: number | undefined): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await new Promise<void>((resolve) => {
    conversation.waiting.add(resolve);
    if (ms !== undefined) timer = setTimeout(resolve, Math.ceil(ms));
  });
  clearTimeout(timer);
}

function wake(conversation: Conversation): void {
  const waiting = [...conversation.waiting];
  conversation.waiting.clear();
  for (const resolve of waiting) resolve();
}

const keyOf = (accountId: string, peer: string) => `${accountId}\n${peer}`;

/** The turns of this gateway. */
export const turns = new Turns();
