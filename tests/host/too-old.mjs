// An OpenClaw before our minimum (OPENCLAW_HOST_VERSION) does not install the plugin, and says which one does. Run by `versions.mjs`, with a package.
import assert from "node:assert/strict";

import { Lab } from "./lib/lab.mjs";
import { note } from "./lib/talk.mjs";

const lab = await Lab.open({ log: note });
try {
  const profile = await lab.bareProfile();
  const done = await profile.cli(["plugins", "install", `npm-pack:${lab.tarball}`, "--force"]);
  note(done.output);
  assert.notEqual(done.code, 0, "it was installed");
  assert.match(done.output, /2026\.9\.6/, "it does not say which OpenClaw is needed");
} finally {
  assert.deepEqual(await lab.close(), []);
}
