// One laboratory per run: OpenClaw, a model, a simulator, and profiles with the packed plugin installed.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { pack } from "../../../npm-shim/scripts/pack.mjs";
import { VERSION, packForRegistry, packPlatform, released } from "../../../npm-shim/scripts/packages.mjs";
import { NAME, fileOf, thisPlatform } from "../../../npm-shim/scripts/platforms.mjs";
import { Model } from "./model.mjs";
import { copyTree, ensureOpenClaw } from "./openclaw.mjs";
import { CHANNEL, Profile } from "./profile.mjs";
import { Registry } from "./registry.mjs";
import { processesWithEnvironment, run, until } from "./processes.mjs";
import { Simulator } from "./simulator.mjs";

const repository = path.dirname(path.dirname(path.dirname(path.dirname(fileURLToPath(import.meta.url)))));

/** The sidecar under test: the development build, which `cargo test` makes too, so that nobody waits for a second one. */
export function sidecarBinary() {
  return process.env.OPENCLAW_WEIXIN_SIDECAR_BIN || path.join(repository, "target", "debug", fileOf(thisPlatform()));
}

/** What several test files share, made by `run.mjs`: the packed plugin, and the folder of the files that run one after the other. */
function shared() {
  const { WEIXIN_LAB_FOLDER: folder, WEIXIN_LAB_TARBALL: tarball } = process.env;
  return folder && tarball ? { folder, tarball } : undefined;
}

/** Builds and packs the plugin, with the sidecar under test inside. Returns the package. */
export async function packPlugin(host, out, log = () => {}) {
  const binary = sidecarBinary();
  if (!existsSync(binary)) throw new Error(`there is no ${binary}. Build it: cargo build`);
  await buildShim(host, log);
  return pack({ out, binary });
}

/** What every process of a laboratory has in its environment: its folder, and the pid of its file. */
export const MARK = "OPENCLAW_WEIXIN_LAB";

export class Lab {
  #running = [];

  /** Everything that takes long is done here, once. */
  static async open({ cache, log = () => {}, from = "package" } = {}) {
    const lab = new Lab();
    lab.log = log;
    lab.shared = shared();
    lab.folder = lab.shared?.folder ?? mkdtempSync(path.join(tmpdir(), "openclaw-weixin-lab-"));
    // Every process of this run carries this, so that those left over can be found.
    lab.mark = [MARK, `${lab.folder}:${process.pid}:`];
    try {
      lab.host = await ensureOpenClaw(cache, log);
      lab.binary = sidecarBinary();
      lab.model = await Model.start();
      if (from !== "package") await lab.#publish(from);
      else lab.tarball = lab.shared?.tarball ?? (await packPlugin(lab.host, path.join(lab.folder, "pack"), log));
      return lab;
    } catch (error) {
      await lab.close();
      throw error;
    }
  }

  /** Puts a release into a registry on loopback, from which profiles then install it: packages of the binary under test, or from `dist` those that `make dist` made. */
  async #publish(from) {
    if (from === "dist") {
      this.packages = released(path.join(repository, "target", "dist"), thisPlatform());
      if (!this.packages) throw new Error(`there are no packages of ${VERSION} for ${thisPlatform().key} in target/dist: make dist`);
    } else {
      await buildShim(this.host, this.log);
      const out = path.join(this.folder, "release");
      const platform = thisPlatform();
      this.packages = [packPlatform({ platform, binary: this.binary, out }), packForRegistry({ out, platforms: [platform] })];
    }
    const registry = await Registry.start(this.host, path.join(this.folder, "registry"), { log: this.log, env: { ...process.env, ...this.markEnv } });
    this.#running.push(registry);
    for (const tarball of this.packages) await registry.publish(tarball);
    this.published = { name: `${NAME}@${VERSION}`, env: registry.env };
  }

  get markEnv() {
    return Object.fromEntries([this.mark]);
  }

  /** Ends what still runs and removes the folder. Returns what was left running although it should not. */
  async close() {
    for (const thing of this.#running.splice(0).reverse()) await thing.stop().catch(() => {});
    await this.model?.stop();
    const left = await this.leftovers();
    if (!this.shared) rmSync(this.folder, { recursive: true, force: true, maxRetries: 10 });
    return left;
  }

  /** Processes of this run that are still there after a moment of grace. */
  async leftovers() {
    const look = () => processesWithEnvironment(this.mark.join("=")) ?? [];
    await until("everything to end", () => look().length === 0, { timeoutMs: 7_000 }).catch(() => {});
    return look();
  }

  /** The packed plugin, unpacked into a folder of that name. Returns where. */
  async unpack(name) {
    const folder = path.join(this.folder, name);
    mkdirSync(folder, { recursive: true });
    const done = await run("tar", ["-xzf", this.tarball, "-C", folder]);
    if (done.code !== 0) throw new Error(done.output);
    return path.join(folder, "package");
  }

  async simulator(options) {
    const simulator = await Simulator.start(this.binary, { env: { ...process.env, ...this.markEnv }, ...options });
    this.#running.push(simulator);
    return simulator;
  }

  /**
   * A fresh profile with the plugin installed by OpenClaw's own installer. OpenClaw notes absolute paths, so every
   * profile of a folder lives at the same place, one after the other, and is a copy of the first.
   */
  async profile(simulator, { env = {} } = {}) {
    const folder = path.join(this.folder, "profile");
    const template = path.join(this.folder, "template");
    const said = path.join(this.folder, "installed.txt");
    if (existsSync(template)) {
      copyTree(template, folder);
      this.installed = { output: readFileSync(said, "utf8") };
    } else {
      rmSync(folder, { recursive: true, force: true });
      const first = await Profile.create(this.host, folder, { modelUrl: this.model.url });
      first.extraEnv = { ...this.markEnv, ...this.published?.env };
      this.installed = await first.installPlugin(this.published?.name ?? `npm-pack:${this.tarball}`);
      writeFileSync(said, this.installed.output);
      copyTree(folder, `${template}.half`);
      renameSync(`${template}.half`, template);
    }
    const profile = new Profile(this.host, folder);
    profile.extraEnv = { ...this.markEnv, ...simulator?.env, ...env };
    await profile.adopt({ modelUrl: this.model.url });
    this.model.requests.length = 0;
    return profile;
  }

  /** A fresh profile without any plugin. */
  async bareProfile({ env = {} } = {}) {
    const folder = path.join(this.folder, "profile");
    rmSync(folder, { recursive: true, force: true });
    const profile = await Profile.create(this.host, folder, { modelUrl: this.model.url });
    profile.extraEnv = { ...this.markEnv, ...env };
    this.model.requests.length = 0;
    return profile;
  }

  /** A fresh profile with another plugin installed, from a package. */
  async profileWith(tarball, simulator, { env = {} } = {}) {
    const profile = await this.bareProfile();
    await profile.installPlugin(`npm-pack:${tarball}`);
    profile.extraEnv = { ...profile.extraEnv, ...simulator?.env, ...env };
    return profile;
  }

  async gateway(profile) {
    const gateway = await profile.startGateway();
    this.#running.push(gateway);
    return gateway;
  }
}

/** Account files as the official plugin leaves them, for bots that the simulator knows. */
export function seedAccounts(profile, simulator, bots) {
  const dir = path.join(profile.stateDir, CHANNEL);
  mkdirSync(path.join(dir, "accounts"), { recursive: true });
  writeFileSync(path.join(dir, "accounts.json"), JSON.stringify(bots.map((bot) => bot.accountId)));
  for (const bot of bots) {
    const saved = { token: bot.token, savedAt: new Date().toISOString(), baseUrl: simulator.url, userId: bot.userId };
    writeFileSync(path.join(dir, "accounts", `${bot.accountId}.json`), JSON.stringify(saved), { mode: 0o600 });
  }
  profile.configure((config) => {
    config.channels = { [CHANNEL]: { enabled: true, ...config.channels?.[CHANNEL] } };
  });
}

async function buildShim(host, log) {
  const shim = path.join(repository, "npm-shim");
  const env = { ...process.env, OPENCLAW_HOST_DIR: host.folder };
  if (!existsSync(path.join(shim, "node_modules", "typescript"))) {
    log("installing the shim's build tools");
    const done = await run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], { cwd: shim, env: process.env });
    if (done.code !== 0) throw new Error(`npm ci in npm-shim failed:\n${done.output.slice(-2000)}`);
  }
  const built = await run(process.execPath, [path.join(shim, "scripts", "build.mjs")], { env });
  if (built.code !== 0) throw new Error(`the shim does not build:\n${built.output.slice(-4000)}`);
}

