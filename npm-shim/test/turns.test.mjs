// A person's next message and the end of their last turn.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Turns } from "../dist/turns.js";

function gate() {
  let open;
  const opened = new Promise((resolve) => (open = resolve));
  return { open, opened };
}

/** Lets everything run that can run without time passing. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

test("a message in the middle of a turn is handed over at once: it may steer", async () => {
  const turns = new Turns();
  const end = gate();
  let second = false;
  const first = turns.run("a", "p", () => end.opened);
  await turns.run("a", "p", async () => void (second = true));
  assert.equal(second, true);
  end.open();
  await first;
});

test("a message after the answer waits until its turn is gone", async () => {
  const turns = new Turns(3_600_000);
  const end = gate();
  const said = [];
  const first = turns.run("a", "p", async () => {
    await turns.sending("a", "p", async () => said.push("answer"));
    await end.opened;
    said.push("over");
  });
  await settle();
  const second = turns.run("a", "p", async () => void said.push("next"));
  const other = turns.run("a", "somebody else", async () => void said.push("other"));
  await other;
  await settle();
  assert.deepEqual(said, ["answer", "other"]);
  end.open();
  await Promise.all([first, second]);
  assert.deepEqual(said, ["answer", "other", "over", "next"]);
});

test("a message while the answer is being sent waits too, also when the send fails", async () => {
  const turns = new Turns(3_600_000);
  const sent = gate();
  const said = [];
  const first = turns.run("a", "p", async () => {
    await turns.sending("a", "p", () => sent.opened.then(() => Promise.reject(new Error("no network")))).catch(() => said.push("failed"));
  });
  await settle();
  const second = turns.run("a", "p", async () => void said.push("next"));
  await settle();
  assert.deepEqual(said, []);
  sent.open();
  await Promise.all([first, second]);
  assert.deepEqual(said, ["failed", "next"]);
});

test("a turn that goes on after a send does not hold the next message for long", async () => {
  const turns = new Turns(5);
  const end = gate();
  const first = turns.run("a", "p", async () => {
    await turns.sending("a", "p", async () => {});
    await end.opened;
  });
  await turns.run("a", "p", async () => {});
  end.open();
  await first;
});

test("the end of a turn that the host kept for later is known by its answer", async () => {
  const turns = new Turns(20);
  await turns.run("a", "p", async (onQueued) => onQueued());
  const began = performance.now();
  await turns.sending("a", "p", async () => {});
  await turns.run("a", "p", async () => {});
  assert.ok(performance.now() - began >= 19);
  // Nothing is queued any more: a send of some other origin holds up nobody.
  await turns.run("a", "p", () => turns.sending("a", "p", async () => {}));
  const later = new Turns(3_600_000);
  await later.sending("a", "p", async () => {});
  await later.run("a", "p", async () => {});
});

test("a failed turn fails alone", async () => {
  const turns = new Turns();
  await assert.rejects(turns.run("a", "p", () => Promise.reject(new Error("broken"))), /broken/);
  await turns.run("a", "p", async () => {});
});
