// A Linux binary in root file systems that are not this machine's: an empty one, Debian 11's, one of busybox and nothing else (as Alpine's
// user land: no glibc). In each it serves a simulated WeChat to itself, logs in, and does what people do.
import { spawn, spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";

import { must } from "../../npm-shim/scripts/commands.mjs";
import { ensureDebian } from "../../npm-shim/scripts/debian.mjs";
import { NAME, REPOSITORY, thisPlatform } from "../../npm-shim/scripts/platforms.mjs";

const folder = path.join(REPOSITORY, "target", "emulators", "roots");
const CHROOT = "/usr/sbin/chroot";
/** As Debian names a processor. */
const ARCHITECTURES = { x64: "amd64", arm64: "arm64" };

/** Nothing but a place for temporary files. */
function empty() {
  const root = path.join(folder, "empty");
  rmSync(root, { recursive: true, force: true });
  mkdirSync(path.join(root, "tmp"), { recursive: true });
  return root;
}

/** busybox for everything, statically linked: a user land without glibc. Its shell is what starts the binary. */
function busybox() {
  ensureDebian("busybox-static");
  const root = path.join(folder, "busybox");
  rmSync(root, { recursive: true, force: true });
  for (const name of ["bin", "tmp", "etc"]) mkdirSync(path.join(root, name), { recursive: true });
  copyFileSync("/bin/busybox", path.join(root, "bin", "busybox"));
  chmodSync(path.join(root, "bin", "busybox"), 0o755);
  symlinkSync("busybox", path.join(root, "bin", "sh"));
  writeFileSync(path.join(root, "etc", "hosts"), "127.0.0.1 localhost\n");
  return root;
}

/** The packages that every Debian 11 has, of this processor. Kept: it takes a minute. */
function debian11({ cpu }) {
  ensureDebian("debootstrap");
  const root = path.join(folder, `debian-11-${cpu}`);
  if (existsSync(root)) return root;
  const half = `${root}.half`;
  rmSync(half, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  // Where this machine's own packages come from; for another processor nothing of it can be run, so it is only unpacked.
  const mirror = spawnSync("sh", ["-c", "apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep /debian | grep -v security | head -n 1"], { encoding: "utf8" });
  const site = mirror.stdout.trim().replace(/\/$/, "");
  if (!site) throw new Error("apt-get names no mirror of Debian's");
  must(["debootstrap", `--arch=${ARCHITECTURES[cpu]}`, "--variant=minbase", "--foreign", "--no-check-gpg", "bullseye", half, site], { stdio: ["ignore", "ignore", "inherit"] });
  renameSync(half, root);
  return root;
}

/** What a root has to show. `start` is the program and its arguments, before those of a command. Returns what it said. */
async function walkThrough(root, { start, shell }) {
  const env = { HOME: "/tmp", OPENCLAW_STATE_DIR: "/tmp/state", LANG: "C.UTF-8", PATH: "/bin" };
  const line = (args) => (shell ? [CHROOT, root, "/bin/sh", "-c", 'exec "$0" "$@"', ...start, ...args] : [CHROOT, root, ...start, ...args]);
  const simulator = spawn(line(["simulate", "--auto-login"])[0], line(["simulate", "--auto-login"]).slice(1), { env, stdio: ["ignore", "pipe", "pipe"] });
  try {
    const { url } = JSON.parse(await firstLine(simulator));
    const on = { ...env, WEIXIN_ILINK_BASE_URL: url, WEIXIN_CDN_BASE_URL: `${url}/c2c` };
    const does = (args, expected = 0) => {
      const [command, ...rest] = line(args);
      const done = spawnSync(command, rest, { env: on, encoding: "utf8", timeout: 120_000 });
      if (done.status !== expected) throw new Error(`${args.join(" ")} ended with ${done.status ?? done.error ?? done.signal}:\n${done.stdout}${done.stderr}`);
      return done.stdout;
    };
    const { accountId } = JSON.parse(does(["login", "--json"]));
    if (!does(["accounts"]).includes(accountId)) throw new Error(`${accountId} is not among the accounts`);
    does(["doctor"]);
    const held = JSON.parse(does(["send", "--to", "ann@im.wechat", "too early", "--json"]));
    if (held.status !== "held") throw new Error(`nobody wrote yet, and it is ${held.status}`);
    if (JSON.parse(does(["outbox", "--json"])).items.length !== 1) throw new Error("what was held is not in the outbox");
  } finally {
    simulator.kill("SIGKILL");
  }
}

function firstLine(child) {
  return new Promise((resolve, reject) => {
    let said = "";
    child.stderr.on("data", (chunk) => (said += chunk));
    createInterface({ input: child.stdout }).once("line", resolve);
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`it ended with ${code}: ${said}`)));
  });
}

/** Tries a platform's binary in all of them; `start` is what runs it here: the binary alone, or an emulator and the binary. `skipped`: why nothing was tried. */
export async function roots(platform, start) {
  const count = { passed: 0, failed: 0 };
  if (process.getuid() !== 0) return { ...count, skipped: "in other root file systems: only root may change into one" };
  const own = platform.cpu === thisPlatform().cpu;
  const made = [["an empty root", empty], ["Debian 11", debian11], ...(own ? [["busybox", busybox]] : [])];
  for (const [name, make] of made) {
    const began = Date.now();
    try {
      const root = make(platform);
      // The emulator goes along: it is a static binary, too.
      const inside = start.map((file) => {
        const name = `/${path.basename(file)}`;
        copyFileSync(file, path.join(root, name));
        chmodSync(path.join(root, name), 0o755);
        return name;
      });
      rmSync(path.join(root, "tmp"), { recursive: true, force: true });
      mkdirSync(path.join(root, "tmp"));
      await walkThrough(root, { start: inside, shell: name === "busybox" });
      count.passed += 1;
      console.log(`ok   ${NAME} for ${platform.key} in ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
    } catch (error) {
      count.failed += 1;
      console.log(`FAIL ${NAME} for ${platform.key} in ${name}: ${error.message}`);
    }
  }
  return count;
}
