// Programs that look at this repository's texts, each in its pinned version, installed into the tests' cache at its first use.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { defaultCache } from "./host/lib/openclaw.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Runs a command in the repository; returns whether it succeeded. */
export const run = (command, args, options = {}) => spawnSync(command, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"], ...options }).status === 0;

/** A program of PyPI: its path, or `undefined` where there is no Python to install it with. */
export function fromPyPI(name, version) {
  const folder = path.join(defaultCache(), `${name}-${version}`);
  const [scripts, ending] = process.platform === "win32" ? ["Scripts", ".exe"] : ["bin", ""];
  const program = path.join(folder, scripts, `${name}${ending}`);
  if (existsSync(program)) return program;
  rmSync(folder, { recursive: true, force: true });
  if (!run("python3", ["-m", "venv", folder])) return undefined;
  const python = path.join(folder, scripts, `python${ending}`);
  if (!run(python, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", `${name}==${version}`])) throw new Error(`${name} ${version} could not be installed`);
  return program;
}

/** A program of npm, by its file in its package: its path. */
export function fromNpm(name, version, file) {
  const folder = path.join(defaultCache(), `${path.basename(name)}-${version}`);
  if (!existsSync(folder)) {
    const half = `${folder}.installing-${process.pid}`;
    rmSync(half, { recursive: true, force: true });
    mkdirSync(half, { recursive: true });
    const args = ["install", "--silent", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts", "--prefix", half, `${name}@${version}`];
    if (!run("npm", args, { shell: process.platform === "win32" })) throw new Error(`${name} ${version} could not be installed`);
    renameSync(half, folder);
  }
  return path.join(folder, "node_modules", name, file);
}
