// `npm test`: what is generated is current, the types agree where OpenClaw is at hand, and the unit tests pass.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const node = (...args) => {
  const done = spawnSync(process.execPath, args, { cwd: root, stdio: "inherit" });
  if (done.status !== 0) process.exit(done.status ?? 1);
};

node("scripts/gen-contract.mjs", "--check");
node("../plugin-manifest/generate.mjs", "--check");
node("scripts/build.mjs");
const tests = readdirSync(path.join(root, "test")).filter((name) => name.endsWith(".test.mjs"));
// A test that hangs names itself; for Node 20 that is its file, and packing takes its time.
node("--test", "--test-timeout=180000", ...process.argv.slice(2), ...tests.map((name) => path.join("test", name)));
