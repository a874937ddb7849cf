// Programs from PyPI and crates.io, in their pinned versions, in the tests' cache. Each is made once, and only what is whole is used; a
// lock keeps two runs from making the same at once.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";

import { defaultCache } from "../../host/lib/openclaw.mjs";
import { run, until } from "../../host/lib/processes.mjs";

const MINUTES = 60_000;

/** The folder of the programs of an environment with these requirements, in which `modules` can be imported. */
export async function python(requirements, modules, name = path.basename(requirements, ".txt")) {
  const folder = path.join(defaultCache(), `${name}-${keyOf([requirements])}`);
  const interpreter = path.join(folder, "bin", "python");
  const works = async () => existsSync(interpreter) && (await run(interpreter, ["-c", `import ${modules}`], { env: process.env })).code === 0;
  const must = async (command, args) => {
    const { code, output } = await run(command, args, { env: process.env, timeoutMs: 15 * MINUTES });
    assert.equal(code, 0, output);
  };
  if (await works()) return path.dirname(interpreter);
  return alone(folder, async () => {
    if (await works()) return path.dirname(interpreter);
    // An environment knows its own place, so it is made there, and a half-made one is made anew.
    rmSync(folder, { recursive: true, force: true });
    await must("python3", ["-m", "venv", folder]);
    await must(interpreter, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements]);
    assert.ok(await works(), `${requirements} is installed, and ${modules} cannot be imported`);
    return path.dirname(interpreter);
  });
}

/** The program of a Cargo project. It is built from a copy: nothing is written beside it. */
export async function cargo(project, program) {
  const files = ["Cargo.toml", "Cargo.lock", path.join("src", "main.rs")].map((file) => path.join(project, file));
  const target = path.join(defaultCache(), "foreign-crates");
  const built = path.join(defaultCache(), `${program}-${keyOf(files)}`);
  if (existsSync(built)) return built;
  // They have one target folder, for what both depend on, so one is built after the other.
  return alone(target, async () => {
    if (existsSync(built)) return built;
    const copy = path.join(target, `${program}.building`);
    rmSync(copy, { recursive: true, force: true });
    cpSync(project, copy, { recursive: true });
    // One job: the machine may be small, and others work on it.
    const env = { ...process.env, CARGO_TARGET_DIR: path.join(target, "target"), CARGO_PROFILE_DEV_DEBUG: "0" };
    const { code, output } = await run("cargo", ["build", "--quiet", "--locked", "-j1"], { cwd: copy, env, timeoutMs: 30 * MINUTES });
    assert.equal(code, 0, output);
    const half = `${built}.making`;
    copyFileSync(path.join(target, "target", "debug", program), half);
    chmodSync(half, 0o755);
    renameSync(half, built);
    rmSync(copy, { recursive: true });
    return built;
  });
}

function keyOf(files) {
  const hash = createHash("sha256");
  for (const file of files) hash.update(readFileSync(file));
  return hash.digest("hex").slice(0, 12);
}

/** Does the work while nobody else does it. The lock of somebody who has died is taken away. */
async function alone(folder, work) {
  const lock = `${folder}.lock`;
  mkdirSync(path.dirname(folder), { recursive: true });
  await until(`the other run that makes ${folder}`, () => taken(lock), { timeoutMs: 30 * MINUTES, everyMs: 500 });
  try {
    return await work();
  } finally {
    rmSync(lock, { force: true });
  }
}

function taken(lock) {
  try {
    writeFileSync(lock, String(process.pid), { flag: "wx" });
    return true;
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
  }
  try {
    const holder = Number(readFileSync(lock, "utf8"));
    // It is empty for a moment, while it is being written.
    if (holder) process.kill(holder, 0);
  } catch (error) {
    if (error.code === "ESRCH") rmSync(lock, { force: true });
  }
  return false;
}
