// The host tests with every OpenClaw that npm has from our minimum on, each in the cache; and what the last one before it says to the plugin.
//
//   node tests/host/versions.mjs [name pattern]
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { packPlugin } from "./lib/lab.mjs";
import { ensureOpenClaw } from "./lib/openclaw.mjs";
import { run } from "./lib/processes.mjs";

const { openclaw } = JSON.parse(readFileSync(new URL("../../npm-shim/package.json", import.meta.url), "utf8"));
const minimum = openclaw.install.minHostVersion.replace(/^>=/, "");
/** 2026.10.1 comes after 2026.9.6. */
const { compare: order } = new Intl.Collator("en", { numeric: true });

const asked = await run("npm", ["view", "openclaw", "versions", "--json"], { env: process.env });
if (asked.code !== 0) throw new Error(asked.output);
const versions = JSON.parse(asked.stdout).filter((version) => /^\d+\.\d+\.\d+$/.test(version)).sort(order);
const supported = versions.filter((version) => order(version, minimum) >= 0);
const before = versions.filter((version) => order(version, minimum) < 0).at(-1);
console.log(`# from ${minimum} on npm has ${supported.join(", ")}`);

const node = (version, file, args = [], more = {}) => {
  const env = { ...process.env, OPENCLAW_HOST_VERSION: version, ...more };
  return spawnSync(process.execPath, [fileURLToPath(new URL(file, import.meta.url)), ...args], { stdio: "inherit", env }).status === 0;
};
const results = supported.map((version) => [version, node(version, "run.mjs", process.argv.slice(2))]);
if (before) {
  const folder = mkdtempSync(path.join(tmpdir(), "openclaw-weixin-labs-"));
  // An older host has not the types that the plugin is built with.
  const tarball = await packPlugin(await ensureOpenClaw(), path.join(folder, "pack"));
  results.push([`${before} (refused)`, node(before, "too-old.mjs", [], { WEIXIN_LAB_FOLDER: folder, WEIXIN_LAB_TARBALL: tarball })]);
  rmSync(folder, { recursive: true, force: true });
}
for (const [version, passed] of results) console.log(`${passed ? "ok  " : "FAIL"} OpenClaw ${version}`);
process.exit(results.every(([, passed]) => passed) ? 0 : 1);
