// Runs the host tests. `node tests/host/run.mjs [name pattern]`
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const [pattern] = process.argv.slice(2);
const files = ["host", "media", "turns", "reload", "broken", "supervision"].map((name) => fileURLToPath(new URL(`${name}.test.mjs`, import.meta.url)));
// One after the other: they share the machine's few cores, and measure.
const args = ["--test", "--test-concurrency=1", "--test-reporter=spec", ...(pattern ? [`--test-name-pattern=${pattern}`] : []), ...files];
process.exitCode = spawnSync(process.execPath, args, { stdio: "inherit" }).status ?? 1;
