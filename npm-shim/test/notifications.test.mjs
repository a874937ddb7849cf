// What the sidecar says without being asked.
import assert from "node:assert/strict";
import { test } from "node:test";

import { readNotification } from "../dist/notifications.js";

const MESSAGE = { deliveryId: "a:1", accountId: "a", messageId: "1", from: "p", text: "", attempt: 1, timestampMs: 1, parts: [] };

test("a notification that can be worked with is read", () => {
  assert.deepEqual(readNotification("inbound.message", MESSAGE), { method: "inbound.message", params: MESSAGE });
  assert.equal(readNotification("account.status", { accountId: "a", state: "polling" }).method, "account.status");
});

test("one that this plugin does not know is passed over", () => {
  for (const method of ["inbound.edited", "toString", "__proto__"]) assert.equal(readNotification(method, MESSAGE), undefined);
});

test("one that lacks something says what", () => {
  assert.throws(() => readNotification("inbound.message", undefined), /inbound\.message has no parameters/);
  assert.throws(() => readNotification("inbound.message", null), /has no parameters/);
  assert.throws(() => readNotification("inbound.message", { ...MESSAGE, parts: {} }), /no array parts/);
  assert.throws(() => readNotification("inbound.message", { ...MESSAGE, from: 7 }), /no string from/);
  assert.throws(() => readNotification("login.progress", { sessionKey: "k" }), /no string state/);
});
