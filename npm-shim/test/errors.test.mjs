// What an error says of itself, also behind one of the host's.
import assert from "node:assert/strict";
import { test } from "node:test";

import { mayPass, SidecarError } from "../dist/errors.js";

test("what may pass by itself is told from what may not, also where another error carries it", () => {
  const passing = new SidecarError("stopped", "The plugin was reloaded.", { retryable: true });
  const final = new SidecarError("ilink_rejected", "WeChat refused.");
  assert.equal(mayPass(passing), true);
  assert.equal(mayPass(new Error("not dispatched", { cause: new Error("inner", { cause: passing }) })), true);
  assert.equal(mayPass(new Error("not dispatched", { cause: final })), false);
  const reloaded = Object.assign(new Error("Plugin openclaw-weixin was reloaded or disabled"), { name: "PluginInstanceUnavailableError" });
  assert.equal(mayPass(reloaded), true);
  const endless = new Error("endless");
  endless.cause = endless;
  for (const other of [final, new Error("other"), endless, "text", undefined]) assert.equal(mayPass(other), false);
});
