// Runs the host tests. `node tests/host/run.mjs [name pattern]`
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const [pattern] = process.argv.slice(2);
const file = fileURLToPath(new URL("host.test.mjs", import.meta.url));
const args = ["--test", "--test-reporter=spec", ...(pattern ? [`--test-name-pattern=${pattern}`] : []), file];
process.exitCode = spawnSync(process.execPath, args, { stdio: "inherit" }).status ?? 1;
