/**
 * Keeps a person's next message out of the moment in which their last turn ends.
 *
 * A message that comes while a turn runs steers it or waits behind it; the host decides. But one that the host checks
 * just before a turn is over, and queues just after, is answered twice: by "couldn't produce or deliver a reply", and
 * then by its turn (OpenClaw 2026.9.6: the parked message is drained before it was admitted). A turn ends soon after
 * its last answer, so a message that comes once OpenClaw has handed over a final one is kept until the turn is gone. And the other way round: while
 * the host decides on a message, which with a picture takes a second, a send of that conversation is not over, so that no turn ends meanwhile.
 */
import { AsyncLocalStorage } from "node:async_hooks";

/** How long a turn that gives a final answer counts as one that is about to end: what the host does afterwards may take long. */
const MOST_END_MS = 20_000;
/** How long after another send, as a tool's, a turn may last before the send was evidently not its answer. */
const GRACE_MS = 2_500;
/** How long a send that went out is kept open at most while the host decides on another message of that person. */
const MOST_DECIDING_MS = 3_000;
/** How long a message waits at most for a send that may be the last: a file takes as long as it takes, and people may want to stop that. */
const MOST_WAIT_MS = 3_000;

/** What becomes of a turn. */
export type Course = {
  /** It takes time before the host has it: what the person writes meanwhile waits, but for what stops a turn. */
  onAhead: () => void;
  /** Resolves when no turn is about to end, at once for what is urgent. A turn that took time calls it again right before the host gets it. */
  notEnding: () => Promise<void>;
  /** From now on the host decides on it. */
  onDeciding: () => void;
  /** The host adopted or queued it, or works on it. */
  onDecided: () => void;
  /** A final answer is on its way (a turn may have several, one after the other): it is about to end. */
  onAnswering: () => void;
  /** The host keeps it for later. */
  onQueued: () => void;
  /** It is over, however it ended. */
  onSettled: () => void;
};

type Conversation = {
  /** Calls of `run`, those that wait included. */
  users: number;
  /** Turns that are being dispatched. */
  running: number;
  /** Turns that the host keeps for later, until it says that they are over. */
  queued: number;
  sending: number;
  /** Turns that are about to end. */
  answering: number;
  /** Messages that are on their way to the host, and that nothing may overtake. */
  ahead: number;
  lastSentMs: number;
  /** Messages on which the host decides. */
  deciding: Set<symbol>;
  /** Messages that wait for the end of a turn, in order. */
  held: symbol[];
  waiting: Set<() => void>;
};

export class Turns {
  readonly #conversations = new Map<string, Conversation>();
  readonly #graceMs: number;
  readonly #mostWaitMs: number;
  readonly #mostEndMs: number;
  readonly #mostDecidingMs: number;
  /** The message whose turn sends. */
  readonly #current = new AsyncLocalStorage<symbol>();

  constructor({ graceMs = GRACE_MS, mostWaitMs = MOST_WAIT_MS, mostEndMs = MOST_END_MS, mostDecidingMs = MOST_DECIDING_MS } = {}) {
    this.#mostDecidingMs = mostDecidingMs;
    this.#graceMs = graceMs;
    this.#mostWaitMs = mostWaitMs;
    this.#mostEndMs = mostEndMs;
  }

  /**
   * Runs a turn once the one before is not about to end; at once where it is `urgent`. Where it has to wait, `onHeld` is called, and
   * what comes afterwards waits behind it. `turn` gets what to call in its course. Rejects as `turn` does.
   */
  async run(accountId: string, peer: string, turn: (course: Course) => Promise<void>, { urgent = false, onHeld = () => {} } = {}): Promise<void> {
    const key = keyOf(accountId, peer);
    const conversation = this.#conversations.get(key) ?? newConversation();
    this.#conversations.set(key, conversation);
    conversation.users += 1;
    const ahead = counted(conversation, "ahead");
    try {
      if (!urgent) await this.#untilMine(conversation, ahead.begin, onHeld);
      conversation.running += 1;
      const queued = counted(conversation, "queued");
      const answering = counted(conversation, "answering");
      const onAnswering = () => {
        answering.begin();
        setTimeout(() => {
          if (answering.end()) wake(conversation);
        }, this.#mostEndMs).unref();
      };
      const onSettled = () => {
        if (queued.end()) this.#over(key, conversation);
      };
      const me = Symbol("turn");
      const onDeciding = () => void conversation.deciding.add(me);
      const onDecided = () => {
        const wasAhead = ahead.end();
        if (conversation.deciding.delete(me) || wasAhead) wake(conversation);
      };
      const notEnding = async () => {
        if (urgent) return;
        let held = false;
        await this.#untilNotEnding(conversation, async (ms) => {
          ahead.begin();
          if (!held) onHeld();
          held = true;
          await changed(conversation, ms);
        });
      };
      try {
        await this.#current.run(me, turn, { onAhead: ahead.begin, notEnding, onDeciding, onDecided, onQueued: queued.begin, onAnswering, onSettled });
      } finally {
        onDecided();
        // One that was queued answers later, and by other means.
        answering.end();
        conversation.running -= 1;
        this.#over(key, conversation);
      }
    } finally {
      if (ahead.end()) wake(conversation);
      conversation.users -= 1;
      this.#forget(key, conversation);
    }
  }

  /** Notes a send to a person as long as it takes, and as long as the host decides on another message of theirs. Resolves and rejects as `send` does. */
  async sending<T>(accountId: string | null | undefined, peer: string, send: () => Promise<T>): Promise<T> {
    const key = keyOf(accountId ?? "", peer);
    const conversation = this.#conversations.get(key);
    if (!conversation) return await send();
    conversation.sending += 1;
    try {
      return await send();
    } finally {
      await this.#othersDecided(conversation);
      conversation.sending -= 1;
      conversation.lastSentMs = performance.now();
      wake(conversation);
      if (conversation.users === 0) setTimeout(() => this.#forget(key, conversation), this.#graceMs).unref();
    }
  }

  /** Waits until the host has decided on what others of this conversation handed over. */
  async #othersDecided(conversation: Conversation): Promise<void> {
    const until = performance.now() + this.#mostDecidingMs;
    const own = this.#current.getStore();
    for (;;) {
      const left = until - performance.now();
      if (left <= 0 || ![...conversation.deciding].some((one) => one !== own)) return;
      await changed(conversation, left);
    }
  }

  /** A turn is over. After the last one nothing is about to end. */
  #over(key: string, conversation: Conversation): void {
    if (conversation.running === 0 && conversation.queued === 0) conversation.lastSentMs = -Infinity;
    wake(conversation);
    this.#forget(key, conversation);
  }

  /** Waits until no turn is about to end, behind those that wait already. Whoever had to wait is `ahead` from then on. */
  async #untilMine(conversation: Conversation, begin: () => void, onHeld: () => void): Promise<void> {
    const { held } = conversation;
    const me = Symbol("held");
    const hold = async (ms?: number) => {
      if (!held.includes(me)) {
        held.push(me);
        onHeld();
      }
      await changed(conversation, ms);
    };
    // As long as it takes: what is ahead is handed over, or its dispatch ends.
    while (conversation.ahead > 0 || (held[0] ?? me) !== me) await hold();
    await this.#untilNotEnding(conversation, hold);
    if (held[0] !== me) return;
    held.shift();
    begin();
  }

  /** Waits until no turn is about to end; `hold` waits for the next change, or for so long. */
  async #untilNotEnding(conversation: Conversation, hold: (ms?: number) => Promise<void>): Promise<void> {
    const since = performance.now();
    for (;;) {
      const now = performance.now();
      const { answering, sending, lastSentMs } = conversation;
      const until = answering > 0 ? Infinity : since + this.#mostWaitMs;
      const left = answering + sending > 0 ? Infinity : lastSentMs + this.#graceMs - now;
      if (left <= 0 || now >= until) break;
      const most = Math.min(left, until - now);
      await hold(most === Infinity ? undefined : most);
    }
  }

  #forget(key: string, conversation: Conversation): void {
    const idle = conversation.users === 0 && conversation.queued === 0 && conversation.sending === 0;
    const forgotten = idle && performance.now() - conversation.lastSentMs >= this.#graceMs;
    // By now there may be another one of that person.
    if (forgotten && this.#conversations.get(key) === conversation) this.#conversations.delete(key);
  }
}

const newConversation = (): Conversation => ({
  users: 0,
  running: 0,
  queued: 0,
  sending: 0,
  answering: 0,
  ahead: 0,
  deciding: new Set(),
  held: [],
  lastSentMs: -Infinity,
  waiting: new Set(),
});

/** Counts one among a conversation's, once, from `begin` to `end`. `end` returns whether it was counted; after it nothing begins. */
function counted(conversation: Conversation, what: "queued" | "ahead" | "answering") {
  let counts = false;
  let over = false;
  return {
    begin: () => {
      if (counts || over) return;
      counts = true;
      conversation[what] += 1;
    },
    end: () => {
      over = true;
      if (!counts) return false;
      counts = false;
      conversation[what] -= 1;
      return true;
    },
  };
}

/** Waits for the next change, or for `ms`. */
async function changed(conversation: Conversation, ms?: number): Promise<void> {
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
