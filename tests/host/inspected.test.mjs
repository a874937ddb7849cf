// What OpenClaw's own inspection finds in the packed plugin: nothing. ClawHub runs it over whatever is submitted to it.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import { before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { fromNpm } from "../tools.mjs";
import { OPENCLAW_VERSION } from "./lib/openclaw.mjs";
import { run } from "./lib/processes.mjs";
import { useLab } from "./lib/setup.mjs";

const CLAWHUB = "0.23.3";
/** Deprecated barrels of which this OpenClaw offers what is needed nowhere else: the runner of hooks, and the form of their events. */
const NOWHERE_ELSE = ["hook-runtime", "plugin-runtime"];
const lab = useLab();

describe("the packed plugin", () => {
  let plugin;
  before(async () => {
    plugin = await lab.unpack("inspected");
  });

  test("clawhub package validate, with the plugin imported, reports nothing", async () => {
    const args = [fromNpm("clawhub", CLAWHUB, "bin/clawdhub.js"), "package", "validate", plugin];
    args.push("--openclaw-version", OPENCLAW_VERSION, "--runtime", "--allow-execute", "--out", path.join(lab.folder, "report"), "--json");
    const done = await run(lab.host.node, args, { env: lab.host.withNode(process.env), timeoutMs: 300_000 });
    assert.equal(done.code, 0, done.output.slice(-4_000));
    const { status, summary, targetOpenClaw, fixtures } = JSON.parse(done.stdout);
    assert.deepEqual([status, ...new Set(Object.values(summary))], ["pass", 0], JSON.stringify(summary));
    assert.equal(targetOpenClaw.version, OPENCLAW_VERSION);
    assert.deepEqual(fixtures[0].registrations, ["registerChannel", "registerGatewayMethod"], "it looked at something else");
  });

  test("nothing is imported that OpenClaw's documentation calls deprecated, but for what stands nowhere else", () => {
    const read = (file) => readFileSync(file, "utf8");
    const documented = read(path.join(path.dirname(lab.host.openclaw), "docs", "plugins", "sdk-subpaths.md"));
    const deprecated = documented.split("\n").flatMap((line) => /^\s*\| `plugin-sdk\/([\w-]+)` \|[^|]*\bDeprecated\b/.exec(line)?.[1] ?? []);
    assert.ok(deprecated.includes("hook-runtime") && deprecated.length > 10, `the page reads otherwise now: ${deprecated}`);
    const source = fileURLToPath(new URL("../../npm-shim/src/", import.meta.url));
    // A declaration may name a deprecated barrel: nothing of it is loaded.
    const imports = readdirSync(source).filter((file) => !file.endsWith(".d.ts")).flatMap((file) => [...read(path.join(source, file)).matchAll(/"openclaw\/plugin-sdk\/([\w-]+)"/g)].map(([, name]) => name));
    assert.deepEqual([...new Set(imports)].filter((name) => deprecated.includes(name)).sort(), NOWHERE_ELSE);
  });

  test("what is declared here for want of types has none in OpenClaw", () => {
    const { exports } = JSON.parse(readFileSync(path.join(path.dirname(lab.host.openclaw), "package.json"), "utf8"));
    assert.equal(exports["./plugin-sdk/conversation-binding-runtime"].types, undefined, "it has types now: delete npm-shim/src/host-untyped.d.ts");
  });
});
