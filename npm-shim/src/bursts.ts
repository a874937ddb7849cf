/**
 * Several messages of a person within a short moment become one turn: on WeChat a picture and the question about it are two messages.
 *
 * OpenClaw's inbound debounce does it, with its settings and one of this channel, which all count for every message. Where none is set, only
 * a file without a word waits, and what comes behind it: nobody who writes a sentence waits longer for the answer.
 */
import { AsyncResource } from "node:async_hooks";

import type { OpenClawConfig } from "openclaw/plugin-sdk/channel-core";
import { createInboundDebouncer } from "openclaw/plugin-sdk/channel-inbound-debounce";

import { channelConfig } from "./accounts.js";
import type { InboundMessage } from "./contract.js";
import type { Adoption } from "./deliveries.js";
import { CHANNEL_ID } from "./ids.js";

/** How long a file waits for another one, or for words. */
const FILE_MS = 1_500;
/** How long the words behind a file wait for more. */
const WORDS_MS = 500;
/** So many messages are one turn: an album is nine pictures. The sidecar lets a few more of a conversation come: one may be a stop. */
const MOST = 16;
/** More than this is no moment. */
const LONGEST_MS = 60_000;
/** From this attempt on a message comes alone: what is wrong with it must not keep others. */
const ALONE_FROM = 3;

/** Hands messages of one person to the host, as one turn, unless `isStopped` by then. */
export type Hand = (messages: InboundMessage[], adoption: Adoption, isStopped: () => boolean) => Promise<void>;

export type BurstsPort = {
  config: () => OpenClawConfig;
  /** Whether a message is a command to the agent's gateway: it is never joined with others. */
  isCommand: (message: InboundMessage) => boolean;
  /** Whether it stops a turn: it goes ahead at once. */
  isStop: (message: InboundMessage) => boolean;
  log: (message: string) => void;
};

type Waiting = { message: InboundMessage; adoption: Adoption; hand: Hand; started: boolean; handed: boolean; stopped: boolean; resolve: () => void; reject: (error: unknown) => void };

export class Bursts {
  readonly #port: BurstsPort;
  readonly #debouncer;
  /** What the host does not have yet, but for stops, by conversation. */
  readonly #open = new Map<string, Set<Waiting>>();

  constructor(port: BurstsPort) {
    this.#port = port;
    this.#debouncer = createInboundDebouncer<Waiting>({
      debounceMs: 0,
      buildKey: ({ message }) => (port.isStop(message) ? null : keyOf(message)),
      resolveDebounceMs: ({ message }, pending) => waitOf(port.config(), message, (pending?.length ?? 0) > 0),
      shouldDebounce: ({ message }) => !port.isCommand(message),
      canAppend: ({ message }, pending) => pending.length < MOST && pending.every((one) => areJoined(one.message, message)),
      onFlush: (items, createFlush) => {
        for (const item of items) item.started = true;
        return createFlush({
          lifecycle: {
            abortSignal: new AbortController().signal,
            onAdopted: async () => {
              for (const item of items) item.handed = true;
              // All at once: acks of one moment are one request.
              await Promise.all(items.map(({ adoption }) => adoption.onAdopted()));
            },
            onDeferred: () => {
              for (const item of items) {
                item.handed = true;
                item.adoption.onDeferred();
              }
            },
            onAbandoned: () => {
              for (const { adoption } of items) adoption.onAbandoned();
            },
          },
          dispatch: async ({ onAdopted, onDeferred, onAbandoned }) => {
            await items.at(-1)?.hand(
              items.map(({ message }) => message),
              {
                onHeld: () => {
                  for (const { adoption } of items) adoption.onHeld();
                },
                onAdopted: async () => await onAdopted?.(),
                onDeferred: () => void onDeferred?.(),
                onAbandoned: () => void onAbandoned?.(),
              },
              () => items.some(({ stopped }) => stopped),
            );
            for (const { resolve } of items) resolve();
          },
        });
      },
      onError: (error, items) => {
        for (const { reject } of items) reject(error);
      },
      onCancel: (items) => {
        for (const { resolve } of items) resolve();
      },
    });
  }

  /** Has `hand` called for a message, alone or with what comes within a moment. Resolves and rejects as `hand` does. */
  async take(message: InboundMessage, adoption: Adoption, hand: Hand): Promise<void> {
    const key = keyOf(message);
    const open = this.#open.get(key) ?? new Set();
    let own: Waiting | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        // The run of the account that got it last hands all of them over.
        own = { message, adoption, hand: AsyncResource.bind(hand), started: false, handed: false, stopped: false, resolve, reject };
        if (!this.#port.isStop(message)) this.#open.set(key, open.add(own));
        this.#debouncer.enqueue(own).catch(reject);
        // It begins at once or waits; what comes behind it has to come meanwhile.
        if (!own.started) adoption.onHeld();
      });
    } finally {
      if (own) open.delete(own);
      if (open.size === 0 && this.#open.get(key) === open) this.#open.delete(key);
    }
  }

  /** Somebody who may do that stops: what the host does not have yet of theirs ends here. */
  stop(accountId: string, from: string): void {
    const key = keyOf({ accountId, from });
    const ended = [...(this.#open.get(key) ?? [])].filter(({ handed }) => !handed);
    for (const waiting of ended) waiting.stopped = true;
    this.#debouncer.cancelKey(key);
    if (ended.length > 0) this.#port.log(`[${accountId}] ${ended.length} messages of ${from} were stopped by their sender before the agent got them`);
  }
}

const keyOf = ({ accountId, from }: Pick<InboundMessage, "accountId" | "from">) => `${accountId}\n${from}`;

function areJoined(one: InboundMessage, next: InboundMessage): boolean {
  if (Math.max(one.attempt, next.attempt) >= ALONE_FROM) return false;
  // What was delivered before may be known to the host already, together with what was beside it then: nothing new is joined to it.
  if (one.attempt > 1 !== next.attempt > 1) return false;
  // A turn answers one quote.
  return !(one.quote && next.quote);
}

function waitOf(cfg: OpenClawConfig, message: InboundMessage, behindAnother: boolean): number {
  const own = channelConfig(cfg as Parameters<typeof channelConfig>[0]).inboundDebounceMs ?? undefined;
  const inbound = cfg.messages?.inbound;
  // OpenClaw's own order, whose function does not tell "0" from "not set".
  const set = [own, inbound?.byChannel?.[CHANNEL_ID], inbound?.debounceMs].find((ms) => typeof ms === "number" && Number.isFinite(ms));
  if (set !== undefined) return Math.min(Math.max(0, set), LONGEST_MS);
  if (isOnlyFiles(message)) return FILE_MS;
  return behindAnother ? WORDS_MS : 0;
}

/** A voice message says something, a picture asks to be spoken of. */
const isOnlyFiles = ({ parts, quote }: InboundMessage) =>
  !quote && parts.length > 0 && parts.every(({ type }) => type === "image" || type === "video" || type === "file");

/** Messages as one: what was said in order, under the id of the last one. */
export function joined(messages: readonly InboundMessage[]): InboundMessage {
  const last = messages.at(-1);
  if (!last) throw new Error("a turn without a message");
  if (messages.length === 1) return last;
  const quote = messages.findLast((message) => message.quote)?.quote;
  return {
    ...last,
    attempt: Math.max(...messages.map(({ attempt }) => attempt)),
    text: messages.map(({ text }) => text).filter((text) => text.trim() !== "").join("\n"),
    parts: messages.flatMap(({ parts }) => parts),
    deferMedia: messages.some(({ deferMedia }) => deferMedia),
    ...(quote ? { quote } : {}),
  };
}
