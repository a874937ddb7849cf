/** Splits a byte stream into lines, however it is cut into chunks. */

/** Longer than any line the sidecar writes; a stream without newlines must not fill the memory. */
const MAX_LINE_BYTES = 64 * 1024 * 1024;

export class LineReader {
  #parts: Buffer[] = [];
  #bytes = 0;
  readonly #onLine: (line: string) => void;
  readonly #onOverflow: () => void;

  constructor(onLine: (line: string) => void, onOverflow: () => void = () => {}) {
    this.#onLine = onLine;
    this.#onOverflow = onOverflow;
  }

  push(chunk: Buffer): void {
    let from = 0;
    for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, from)) {
      this.#parts.push(chunk.subarray(from, at));
      from = at + 1;
      this.#emit();
    }
    if (from < chunk.length) {
      this.#parts.push(chunk.subarray(from));
      this.#bytes += chunk.length - from;
      if (this.#bytes > MAX_LINE_BYTES) {
        this.#parts = [];
        this.#bytes = 0;
        this.#onOverflow();
      }
    }
  }

  /** Hands over what came after the last newline. */
  end(): void {
    if (this.#parts.length > 0) this.#emit();
  }

  #emit(): void {
    // One concatenation before decoding, so that a character cut in two by a chunk's edge stays whole.
    const line = Buffer.concat(this.#parts).toString("utf8");
    this.#parts = [];
    this.#bytes = 0;
    this.#onLine(line.endsWith("\r") ? line.slice(0, -1) : line);
  }
}
