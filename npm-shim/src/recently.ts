/** Who was told something a moment ago: each message to a person counts against what WeChat allows. */

/** So many are remembered, of those that were told last. */
const REMEMBERED = 1_000;

export class Recently {
  readonly #at = new Map<string, number>();
  readonly #quietMs: number;
  readonly #now: () => number;

  constructor(quietMs: number, now: () => number = Date.now) {
    this.#quietMs = quietMs;
    this.#now = now;
  }

  /** Whether `who` was told something within the quiet time. */
  has(who: string): boolean {
    return this.#now() - (this.#at.get(who) ?? -Infinity) < this.#quietMs;
  }

  note(who: string): void {
    this.#at.delete(who);
    this.#at.set(who, this.#now());
    if (this.#at.size > REMEMBERED) {
      const [oldest] = this.#at.keys();
      if (oldest !== undefined) this.#at.delete(oldest);
    }
  }
}
