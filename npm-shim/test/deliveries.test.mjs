// Acks and nacks: what is said to the sidecar about each delivery, whatever the host does with its turn.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Deliveries } from "../dist/deliveries.js";

function setup({ ack = async () => {}, nack = async () => {}, now } = {}) {
  const said = [];
  const deliveries = new Deliveries({
    ack: async (id) => {
      said.push(`ack ${id}`);
      await ack(id);
    },
    nack: async (id, retryAfterMs) => {
      said.push(`nack ${id} ${retryAfterMs}`);
      await nack(id);
    },
    release: async (id) => void said.push(`release ${id}`),
    givenUp: ({ deliveryId }, error) => void said.push(`given up ${deliveryId}: ${error.message}`),
    log: () => {},
    now,
  });
  return { deliveries, said };
}

const message = (more = {}) => ({
  deliveryId: "d1",
  attempt: 1,
  accountId: "a",
  messageId: "1",
  from: "p@im.wechat",
  timestampMs: 1_000,
  text: "hi",
  parts: [],
  ...more,
});

test("is acked when the host adopts the turn, not when the turn ends", async () => {
  const { deliveries, said } = setup();
  let atAdoption;
  await deliveries.handle(message(), async (_message, adoption) => {
    assert.deepEqual(said, []);
    await adoption.onAdopted();
    atAdoption = [...said];
  });
  assert.deepEqual(atAdoption, ["ack d1"]);
  assert.deepEqual(said, ["ack d1"]);
});

test("is acked where the host needed no turn for it", async () => {
  const { deliveries, said } = setup();
  await deliveries.handle(message(), async () => {});
  assert.deepEqual(said, ["ack d1"]);
});

test("is given back when the host fails before adoption, later with every attempt", async () => {
  const { deliveries, said } = setup({ now: () => 2_000 });
  const fail = async () => {
    throw new Error("session is being recovered");
  };
  await deliveries.handle(message(), fail);
  await deliveries.handle(message({ attempt: 3 }), fail);
  await deliveries.handle(message({ attempt: 50 }), fail);
  assert.deepEqual(said, ["nack d1 1000", "nack d1 4000", "nack d1 60000"]);
});

test("is not given back when the host fails after adoption", async () => {
  const { deliveries, said } = setup();
  await deliveries.handle(message(), async (_message, adoption) => {
    await adoption.onAdopted();
    throw new Error("the model is down");
  });
  assert.deepEqual(said, ["ack d1"]);
});

test("a queued turn is acked when it is adopted, long after dispatch", async () => {
  const { deliveries, said } = setup();
  let adoption;
  await deliveries.handle(message(), async (_message, given) => {
    adoption = given;
    given.onDeferred();
  });
  assert.deepEqual(said, ["release d1"]);
  // From a sidecar that was started again, and that knows nothing of it.
  await deliveries.handle(message({ attempt: 2 }), () => assert.fail("a second turn"));
  await adoption.onAdopted();
  assert.deepEqual(said, ["release d1", "release d1", "ack d1"]);
});

test("a queued turn that the host drops is given back", async () => {
  const { deliveries, said } = setup({ now: () => 2_000 });
  let adoption;
  await deliveries.handle(message(), async (_message, given) => {
    adoption = given;
    given.onDeferred();
  });
  adoption.onAbandoned();
  assert.deepEqual(said, ["release d1", "nack d1 1000"]);
});

test("a delivery that comes again while its turn runs starts no second turn", async () => {
  const { deliveries, said } = setup();
  let turns = 0;
  let finish;
  const running = deliveries.handle(message(), async (_message, adoption) => {
    turns += 1;
    await new Promise((resolve) => (finish = resolve));
    await adoption.onAdopted();
  });
  await deliveries.handle(message({ attempt: 2 }), async () => {
    turns += 1;
  });
  assert.deepEqual(said, []);
  finish();
  await running;
  assert.equal(turns, 1);
  assert.deepEqual(said, ["ack d1"]);
});

test("a delivery that comes again because its ack was lost is acked again, without a turn", async () => {
  let lost = true;
  const { deliveries, said } = setup({
    ack: async () => {
      if (lost) throw new Error("the sidecar ended");
    },
  });
  await deliveries.handle(message(), async (_message, adoption) => await adoption.onAdopted());
  lost = false;
  await deliveries.handle(message({ attempt: 2 }), async () => assert.fail("a second turn"));
  assert.deepEqual(said, ["ack d1", "ack d1"]);
});

test("a message whose date is in the future is given up too", async () => {
  const { deliveries, said } = setup({ now: () => 0 });
  const fail = () => Promise.reject(new Error("broken"));
  await deliveries.handle(message({ attempt: 1_439, timestampMs: 9e15 }), fail);
  await deliveries.handle(message({ attempt: 1_440, timestampMs: 9e15 }), fail);
  assert.deepEqual(said, ["nack d1 60000", "given up d1: broken", "ack d1"]);
});

test("a message that cannot be handled is given up after a day, not before", async () => {
  const day = 24 * 60 * 60 * 1000;
  const fail = async () => {
    throw new Error("poison");
  };
  const young = setup({ now: () => 1_000 + day - 1 });
  await young.deliveries.handle(message({ attempt: 99 }), fail);
  assert.deepEqual(young.said, ["nack d1 60000"]);
  const old = setup({ now: () => 1_000 + day });
  await old.deliveries.handle(message({ attempt: 99 }), fail);
  assert.deepEqual(old.said, ["given up d1: poison", "ack d1"]);
  const often = setup({ now: () => 1_000 + 2 * day });
  await often.deliveries.handle(message({ attempt: 2 }), fail);
  assert.deepEqual(often.said, ["nack d1 2000"]);
});

test("a nack that fails is no error: the delivery comes again anyway", async () => {
  const { deliveries, said } = setup({
    now: () => 2_000,
    nack: async () => {
      throw new Error("the sidecar ended");
    },
  });
  await deliveries.handle(message(), async () => {
    throw new Error("x");
  });
  await deliveries.handle(message({ attempt: 2 }), async (_message, adoption) => await adoption.onAdopted());
  assert.deepEqual(said, ["nack d1 1000", "ack d1"]);
});
