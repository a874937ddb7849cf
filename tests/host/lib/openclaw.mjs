// A real OpenClaw, installed once into a cache folder.
//
// The folder is filled beside itself and moved into place, so a half-done install is never taken for a whole one;
// a lock keeps two runs from installing at once; what is there is tried before it is trusted.
import { closeSync, cpSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, statSync, unlinkSync, writeFileSync, writeSync } from "node:fs";
import os from "node:os";
import path from "node:path";

import { run } from "./processes.mjs";

/** Another one for `tests/host/versions.mjs`. */
export const OPENCLAW_VERSION = process.env.OPENCLAW_HOST_VERSION || "2026.9.6";
/** For machines whose Node is older than OpenClaw wants. */
const NODE_VERSION = "24.21.0";

/** Where tests keep it between runs. */
export function defaultCache() {
  return path.join(process.env.XDG_CACHE_HOME || path.join(os.homedir(), ".cache"), "openclaw-weixin-sidecar");
}

/** Installs OpenClaw into `cache`, where it is not there yet, and returns how to run it. */
export async function ensureOpenClaw(cache = defaultCache(), log = () => {}) {
  const given = process.env.OPENCLAW_HOST_DIR;
  if (given) {
    const host = describe(given);
    const trouble = await examine(host);
    if (trouble) throw new Error(`OPENCLAW_HOST_DIR=${given}: ${trouble}`);
    return host;
  }
  mkdirSync(cache, { recursive: true });
  const folder = path.join(cache, `openclaw-${OPENCLAW_VERSION}`);
  if (!(await examine(describe(folder)))) return describe(folder);
  const unlock = await lock(path.join(cache, "install.lock"), log);
  try {
    // Somebody else may have installed it while we waited.
    const trouble = await examine(describe(folder));
    if (!trouble) return describe(folder);
    log(`installing OpenClaw ${OPENCLAW_VERSION} into ${folder} (${trouble}); this takes a minute`);
    await install(folder, log);
    const still = await examine(describe(folder));
    if (still) throw new Error(`OpenClaw was installed into ${folder}, but ${still}`);
    return describe(folder);
  } finally {
    unlock();
  }
}

function describe(folder) {
  const modules = path.join(folder, "node_modules");
  const carried = path.join(modules, `node-${process.platform}-${process.arch}`, "bin", process.platform === "win32" ? "node.exe" : "node");
  const node = existsSync(carried) ? carried : process.execPath;
  return {
    folder,
    node,
    openclaw: path.join(modules, "openclaw", "openclaw.mjs"),
    /** `env` with the right Node first on PATH, for OpenClaw and the npm that it runs. */
    withNode: (env) => ({ ...env, PATH: `${path.dirname(node)}${path.delimiter}${env.PATH ?? ""}` }),
  };
}

/** What is wrong with it, or nothing. */
async function examine(host) {
  if (!existsSync(host.openclaw)) return "it is not there";
  try {
    const { version } = JSON.parse(readFileSync(path.join(path.dirname(host.openclaw), "package.json"), "utf8"));
    if (version !== OPENCLAW_VERSION) return `it is version ${version}`;
    const answer = await run(host.node, [host.openclaw, "--version"], { env: host.withNode(process.env), timeoutMs: 60_000 });
    return answer.code === 0 && answer.output.includes(OPENCLAW_VERSION) ? undefined : `it does not start: ${answer.output.trim().slice(0, 300)}`;
  } catch (error) {
    return `it is damaged: ${error.message}`;
  }
}

async function install(folder, log) {
  const half = `${folder}.installing-${process.pid}`;
  rmSync(half, { recursive: true, force: true });
  mkdirSync(half, { recursive: true });
  writeFileSync(path.join(half, "package.json"), '{"name":"openclaw-weixin-sidecar-tests","private":true}\n');
  const npm = async (env, ...packages) => {
    const done = await run("npm", ["install", "--no-audit", "--no-fund", "--no-save", ...packages], { cwd: half, env, timeoutMs: 900_000 });
    if (done.code !== 0) throw new Error(`npm install ${packages.join(" ")} failed:\n${done.output.slice(-2000)}`);
  };
  try {
    const packages = [`openclaw@${OPENCLAW_VERSION}`];
    let env = process.env;
    if (!nodeIsNewEnough(process.versions.node)) {
      const node = `node-${process.platform}-${process.arch}@${NODE_VERSION}`;
      log(`this Node is ${process.versions.node}; using ${node} for OpenClaw`);
      await npm(env, node);
      env = describe(half).withNode(env);
      packages.push(node);
    }
    await npm(env, ...packages);
    const old = `${folder}.old-${process.pid}`;
    if (existsSync(folder)) renameSync(folder, old);
    try {
      renameSync(half, folder);
    } catch (error) {
      // Another run was quicker, with the same content; ours goes.
      if (!["ENOTEMPTY", "EEXIST"].includes(error.code)) throw error;
    }
    rmSync(old, { recursive: true, force: true });
  } finally {
    rmSync(half, { recursive: true, force: true });
  }
}

/** OpenClaw's own rule: 24.16 and newer 24s, or 26.1 and newer. */
function nodeIsNewEnough(version) {
  const [major, minor] = version.split(".").map(Number);
  return (major === 24 && minor >= 16) || (major === 26 && minor >= 1) || major > 26;
}

/** Takes the lock, waiting for its holder while that lives. Returns how to give it back. */
async function lock(file, log) {
  for (let told = false; ; ) {
    try {
      const handle = openSync(file, "wx");
      writeSync(handle, String(process.pid));
      closeSync(handle);
      return () => rmSync(file, { force: true });
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    }
    if (isStale(file)) {
      try {
        unlinkSync(file);
      } catch {
        // Somebody else took it away first.
      }
      continue;
    }
    if (!told) log("waiting for another run that installs OpenClaw");
    told = true;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

function isStale(file) {
  try {
    const pid = Number(readFileSync(file, "utf8"));
    // An empty file is a lock that is just being written, for a moment.
    if (!pid) return Date.now() - statSync(file).mtimeMs > 10_000;
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return error.code === "ESRCH" || error.code === "ENOENT";
  }
}

/** Copies a profile; links and modes stay as they are. */
export function copyTree(from, to) {
  rmSync(to, { recursive: true, force: true });
  cpSync(from, to, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
}
