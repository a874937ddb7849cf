// Looks for misspelt words, with `typos` as it is published on PyPI: `node tests/spelling.mjs`. What is no mistake here stands in
// _typos.toml. Where there is no Python to install it with, it says so and finds nothing.
import { spawnSync } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { defaultCache } from "./host/lib/openclaw.mjs";

const VERSION = "1.52.0";
const root = fileURLToPath(new URL("..", import.meta.url));
const folder = path.join(defaultCache(), `typos-${VERSION}`);
const typos = path.join(folder, process.platform === "win32" ? "Scripts/typos.exe" : "bin/typos");

const run = (command, args) => spawnSync(command, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"] }).status === 0;

if (!existsSync(typos)) {
  rmSync(folder, { recursive: true, force: true });
  const made = run("python3", ["-m", "venv", folder]);
  if (!made) {
    console.log("spelling: not looked at, there is no python3 with venv");
    process.exit(0);
  }
  const pip = path.join(path.dirname(typos), "python");
  if (!run(pip, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", `typos==${VERSION}`])) process.exit(1);
}
process.exit(run(typos, ["--format", "brief", "."]) ? 0 : 1);
