// A terminal's QR code as plain text, for pages on which lines are far apart.
import assert from "node:assert/strict";
import { test } from "node:test";

import { asBlocks } from "../dist/qr-text.js";

test("halves of characters become whole blocks, colours go", () => {
  const terminal = "\u001b[38;5;16;48;5;231m █▀▄ \u001b[0m\n\u001b[38;5;16;48;5;231m▄ ▀█ \u001b[0m";
  assert.deepEqual(asBlocks(terminal).split("\n"), ["  ████    ", "  ██  ██  ", "    ████  ", "██    ██  "]);
});
