/**
 * Several messages of a person within a short moment become one turn: on WeChat a picture and the question about it are two messages.
 *
 * OpenClaw's inbound debounce does it, with its settings and one of this channel, which all count for every message. Where none is set, only
 * a file without a word waits, and what comes behind it: nobody who writes a sentence waits longer for the answer.
 */
import type { OpenClawConfig } from "openclaw/plugin-sdk/channel-core";
import { createInboundDebouncer, resolveInboundDebounceMs } from "openclaw/plugin-sdk/channel-inbound-debounce";

import { channelConfig } from "./accounts.js";
import type { InboundMessage } from "./contract.js";
import type { Adoption } from "./deliveries.js";
import { CHANNEL_ID } from "./ids.js";

/** How long a file waits for another one, or for words. */
const FILE_MS = 1_500;
/** How long the words behind a file wait for more. */
const WORDS_MS = 500;
/** So many messages are one turn: an album is nine pictures. */
const MOST = 20;

/** Hands messages of one person to the host, as one turn. */
export type Hand = (messages: InboundMessage[], adoption: Adoption) => Promise<void>;

export type BurstsPort = {
  config: () => OpenClawConfig;
  /** Whether a message is a command to the agent's gateway: it is never joined with others. */
  isCommand: (message: InboundMessage) => boolean;
  /** Whether it stops a turn: it goes ahead at once, and ends what still waits. */
  isStop: (message: InboundMessage) => boolean;
  log: (message: string) => void;
};

type Waiting = { message: InboundMessage; adoption: Adoption; hand: Hand; started: boolean; resolve: () => void; reject: (error: unknown) => void };

export class Bursts {
  readonly #port: BurstsPort;
  readonly #debouncer;

  constructor(port: BurstsPort) {
    this.#port = port;
    this.#debouncer = createInboundDebouncer<Waiting>({
      debounceMs: 0,
      buildKey: ({ message }) => (port.isStop(message) ? null : keyOf(message)),
      resolveDebounceMs: ({ message }, pending) => waitOf(port.config(), message, (pending?.length ?? 0) > 0),
      shouldDebounce: ({ message }) => !port.isCommand(message),
      // One that was delivered before may be known to the host already, together with what was beside it then: nothing new is joined to it.
      canAppend: ({ message }, pending) => pending.length < MOST && pending.every((one) => one.message.attempt > 1 === message.attempt > 1),
      onFlush: (items, createFlush) => {
        for (const item of items) item.started = true;
        return createFlush({
          lifecycle: {
            abortSignal: new AbortController().signal,
            onAdopted: async () => {
              // The last one's ack is the last: where they are cut off in the middle it comes again, and by its id the host knows the turn.
              await Promise.all(items.slice(0, -1).map(({ adoption }) => adoption.onAdopted()));
              await items.at(-1)?.adoption.onAdopted();
            },
            onDeferred: () => {
              for (const { adoption } of items) adoption.onDeferred();
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
            );
            for (const { resolve } of items) resolve();
          },
        });
      },
      onError: (error, items) => {
        for (const { reject } of items) reject(error);
      },
      onCancel: (items) => {
        for (const { message, resolve } of items) {
          port.log(`[${message.accountId}] message ${message.messageId} from ${message.from} was stopped by its sender before the agent got it`);
          resolve();
        }
      },
    });
  }

  /** Has `hand` called for a message, alone or with what comes within a moment. Resolves and rejects as `hand` does. */
  async take(message: InboundMessage, adoption: Adoption, hand: Hand): Promise<void> {
    if (this.#port.isStop(message)) this.#debouncer.cancelKey(keyOf(message));
    await new Promise<void>((resolve, reject) => {
      const waiting = { message, adoption, hand, started: false, resolve, reject };
      this.#debouncer.enqueue(waiting).catch(reject);
      // What comes behind it has to come meanwhile.
      if (!waiting.started) adoption.onHeld();
    });
  }
}

const keyOf = ({ accountId, from }: InboundMessage) => `${accountId}\n${from}`;

function waitOf(cfg: OpenClawConfig, message: InboundMessage, behindAnother: boolean): number {
  const own = channelConfig(cfg as Parameters<typeof channelConfig>[0]).inboundDebounceMs ?? undefined;
  const inbound = cfg.messages?.inbound;
  const isSet = [own, inbound?.byChannel?.[CHANNEL_ID], inbound?.debounceMs].some((value) => value !== undefined);
  if (isSet) return resolveInboundDebounceMs({ cfg, channel: CHANNEL_ID, ...(own === undefined ? {} : { overrideMs: own }) });
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
