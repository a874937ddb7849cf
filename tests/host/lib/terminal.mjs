// A person at a terminal: a command that sees one, what it shows, and keys.
import { stripVTControlCharacters } from "node:util";

import { Service, until } from "./processes.mjs";

/** `script` of util-linux makes the terminal. */
export const hasTerminal = process.platform === "linux";

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

export class Terminal extends Service {
  #read = 0;

  constructor(command, { env, cwd }) {
    super("script", ["-qefc", `stty cols 160 rows 100; ${command.map(quoted).join(" ")}`, "/dev/null"], { env: { ...env, TERM: "xterm-256color" }, cwd, stdin: "pipe" });
  }

  /** Everything that was shown, without colours and movements. */
  get shown() {
    return stripVTControlCharacters(this.output);
  }

  /** Waits until it shows something, after what was waited for before. */
  async shows(pattern) {
    const at = await until(`the terminal to show ${pattern}`, () => {
      const found = this.shown.slice(this.#read).search(pattern);
      if (found < 0 && !this.running) throw new Error(`it ended before it showed ${pattern}:\n${this.shown.slice(-3_000)}`);
      return found < 0 ? undefined : found + 1;
    });
    this.#read += at;
  }

  /** Presses keys. */
  type(keys) {
    this.child.stdin.write(keys);
  }
}
