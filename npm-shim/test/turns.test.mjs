// A person's next message and the end of their last turn.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Turns } from "../dist/turns.js";

function gate() {
  let open;
  const opened = new Promise((resolve) => (open = resolve));
  return { open, opened };
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
/** Lets everything run that can run without time passing. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

test("a message in the middle of a turn is handed over at once: it may steer", async () => {
  const turns = new Turns({ graceMs: 3_600_000, mostWaitMs: 3_600_000 });
  const end = gate();
  let second = false;
  const first = turns.run("a", "p", () => end.opened);
  await turns.run("a", "p", async () => void (second = true));
  assert.equal(second, true);
  end.open();
  await first;
});

test("a message after the answer waits until its turn is gone", async () => {
  const turns = new Turns({ graceMs: 3_600_000 });
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

test("a message whose files were fetched meanwhile waits too, and nothing overtakes it", async () => {
  const turns = new Turns({ graceMs: 3_600_000 });
  const [end, fetched] = [gate(), gate()];
  const said = [];
  let held = 0;
  const first = turns.run("a", "p", async ({ onAnswering }) => {
    await fetched.opened;
    onAnswering();
    await end.opened;
    said.push("over");
  });
  const second = turns.run("a", "p", async ({ notEnding }) => {
    await fetched.opened;
    await notEnding();
    said.push("picture");
  }, { onHeld: () => (held += 1) });
  fetched.open();
  await settle();
  assert.equal(held, 1, "it says that it waits");
  const third = turns.run("a", "p", async () => void said.push("words"));
  const stop = turns.run("a", "p", async ({ notEnding }) => {
    await notEnding();
    said.push("stop");
  }, { urgent: true });
  await stop;
  await settle();
  assert.deepEqual(said, ["stop"]);
  end.open();
  await Promise.all([first, second, third]);
  assert.deepEqual(said, ["stop", "over", "picture", "words"]);
});

test("a turn whose answer is sent does not end while the host decides on another message, but for a while", async () => {
  const turns = new Turns({ graceMs: 0, mostDecidingMs: 3_600_000 });
  const [answer, decided] = [gate(), gate()];
  const said = [];
  const first = turns.run("a", "p", async ({ onDeciding, onDecided }) => {
    onDeciding();
    // A command answers before it is handed over: it does not wait for itself.
    await turns.sending("a", "p", async () => said.push("progress"));
    onDecided();
    await answer.opened;
    await turns.sending("a", "p", async () => said.push("answer"));
    said.push("over");
  });
  await settle();
  assert.deepEqual(said, ["progress"]);
  const second = turns.run("a", "p", async ({ onDeciding, onQueued, onDecided, onSettled }) => {
    onDeciding();
    await decided.opened;
    onQueued();
    onDecided();
    said.push("decided");
    onSettled();
  });
  answer.open();
  await settle();
  assert.deepEqual(said, ["progress", "answer"]);
  decided.open();
  await Promise.all([first, second]);
  assert.deepEqual(said, ["progress", "answer", "decided", "over"]);

  const impatient = new Turns({ graceMs: 0, mostDecidingMs: 1 });
  const never = gate();
  const stuck = impatient.run("a", "p", async ({ onDeciding }) => {
    onDeciding();
    await never.opened;
  });
  await impatient.run("a", "p", async () => void (await impatient.sending("a", "p", async () => {})), { urgent: true });
  never.open();
  await stuck;
});

test("what an earlier conversation left behind does not end a later one", async () => {
  const turns = new Turns({ graceMs: 20 });
  let over;
  await turns.run("a", "p", async ({ onQueued, onSettled }) => {
    onQueued();
    over = onSettled;
  });
  // The answer of a queued turn is sent when its dispatch is long over.
  await turns.sending("a", "p", async () => {});
  over();
  const end = gate();
  const said = [];
  const first = turns.run("a", "p", async ({ onAnswering }) => {
    onAnswering();
    await end.opened;
    said.push("over");
  });
  await pause(60);
  const second = turns.run("a", "p", async () => void said.push("next"));
  await settle();
  assert.deepEqual(said, []);
  end.open();
  await Promise.all([first, second]);
  assert.deepEqual(said, ["over", "next"]);
});

test("a message while the answer is being sent waits too, also when the send fails", async () => {
  const turns = new Turns({ graceMs: 3_600_000 });
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
  const turns = new Turns({ graceMs: 5 });
  const end = gate();
  const first = turns.run("a", "p", async () => {
    await turns.sending("a", "p", async () => {});
    await end.opened;
  });
  await turns.run("a", "p", async () => {});
  end.open();
  await first;
});

test("a turn that gave its last answer is waited for as long as it takes to end, but not for ever", async () => {
  const turns = new Turns({ graceMs: 5, mostWaitMs: 5, mostEndMs: 3_600_000 });
  const end = gate();
  const said = [];
  const first = turns.run("a", "p", async ({ onAnswering }) => {
    onAnswering();
    await turns.sending("a", "p", async () => {});
    await end.opened;
    said.push("end");
  });
  await settle();
  const next = turns.run("a", "p", async () => void said.push("next"));
  await pause(30);
  assert.deepEqual(said, []);
  end.open();
  await Promise.all([first, next]);
  assert.deepEqual(said, ["end", "next"]);

  const impatient = new Turns({ graceMs: 5, mostWaitMs: 5, mostEndMs: 10 });
  const never = gate();
  const held = impatient.run("a", "p", async ({ onAnswering }) => {
    onAnswering();
    await never.opened;
  });
  await settle();
  await Promise.all([impatient.run("a", "p", async () => {}), pause(100)]);
  never.open();
  await held;
});

test("what the host says in place of a message that it queued is not that message's end", async () => {
  const turns = new Turns({ graceMs: 5, mostWaitMs: 5, mostEndMs: 3_600_000 });
  let queued;
  await turns.run("a", "p", async (given) => {
    queued = given;
    given.onQueued();
    given.onAnswering();
  });
  queued.onAnswering();
  await turns.run("a", "p", async () => {});
  queued.onSettled();
});

test("who waits is passed by a stop, and by nobody else", async () => {
  const turns = new Turns({ mostEndMs: 3_600_000 });
  const end = gate();
  const said = [];
  const first = turns.run("a", "p", async ({ onAnswering }) => {
    onAnswering();
    await end.opened;
  });
  await settle();
  const held = [];
  const say = (text) => turns.run("a", "p", async () => void said.push(text), { urgent: text === "stop", onHeld: () => held.push(text) });
  const waiting = [say("one"), say("two"), say("three")];
  await settle();
  assert.deepEqual(held, ["one", "two", "three"], "each lets the next one come");
  await say("stop");
  assert.deepEqual(said, ["stop"]);
  const late = say("four");
  end.open();
  await Promise.all([first, ...waiting, late]);
  assert.deepEqual(said, ["stop", "one", "two", "three", "four"]);
});

test("the end of a turn that the host kept for later is when the host says so", async () => {
  const turns = new Turns({ graceMs: 3_600_000, mostWaitMs: 3_600_000 });
  const said = [];
  let queued;
  await turns.run("a", "p", async (given) => {
    queued = given;
    given.onQueued();
    given.onQueued();
  });
  await turns.sending("a", "p", async () => said.push("answer"));
  const next = turns.run("a", "p", async () => void said.push("next"));
  await settle();
  assert.deepEqual(said, ["answer"]);
  queued.onSettled();
  await next;
  queued.onSettled();
  assert.deepEqual(said, ["answer", "next"]);
  // Nothing is queued any more: a send of some other origin holds up nobody.
  await turns.sending("a", "p", async () => {});
  await turns.run("a", "p", async () => {});
});

test("a stop is handed over at once, and nobody waits for a large file", async () => {
  const sent = gate();
  // Only a stop gets through the first one at all; through the second everybody, after a while.
  for (const [mostWaitMs, urgent] of [[3_600_000, true], [20, false]]) {
    const turns = new Turns({ graceMs: 3_600_000, mostWaitMs });
    void turns.run("a", "p", () => turns.sending("a", "p", () => sent.opened));
    await settle();
    await turns.run("a", "p", async () => {}, { urgent });
  }
  sent.open();
});

test("what comes while a message's files are fetched waits for it, but a stop does not", async () => {
  const turns = new Turns({ graceMs: 3_600_000, mostWaitMs: 20 });
  const fetched = gate();
  const said = [];
  const first = turns.run("a", "p", async ({ onAhead, onDecided }) => {
    onAhead();
    await fetched.opened;
    said.push("the picture");
    onDecided();
  });
  await settle();
  const second = turns.run("a", "p", async () => void said.push("what is this?"));
  await turns.run("a", "p", async () => void said.push("/stop"), { urgent: true });
  await settle();
  assert.deepEqual(said, ["/stop"]);
  fetched.open();
  await Promise.all([first, second]);
  assert.deepEqual(said, ["/stop", "the picture", "what is this?"]);
});

test("a failed turn fails alone", async () => {
  const turns = new Turns();
  await assert.rejects(turns.run("a", "p", () => Promise.reject(new Error("broken"))), /broken/);
  await turns.run("a", "p", async () => {});
});
