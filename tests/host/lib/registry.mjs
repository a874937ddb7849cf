// An npm registry on loopback, for installing what a release would publish: verdaccio, without any other registry behind it.
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";

import { defaultCache } from "./openclaw.mjs";
import { run, Service, until } from "./processes.mjs";
import { freePort } from "./profile.mjs";

const VERDACCIO = "6.10.4";
const PNPM = "12.21.0";

/** Installs the registry and pnpm into the cache, where they are not there yet. Returns their folder. */
async function ensureTools(host, log) {
  const folder = path.join(defaultCache(), `registry-${VERDACCIO}-pnpm-${PNPM}`);
  if (existsSync(folder)) return folder;
  log(`installing verdaccio ${VERDACCIO} and pnpm ${PNPM} into ${folder}`);
  const half = `${folder}.installing-${process.pid}`;
  try {
    rmSync(half, { recursive: true, force: true });
    mkdirSync(half, { recursive: true });
    // It asks for `node-fetch@cjs`, a tag that mirrors of the registry may not have.
    writeFileSync(path.join(half, "package.json"), '{"private":true,"overrides":{"node-fetch":"2.7.0"}}\n');
    const packages = [`verdaccio@${VERDACCIO}`, `pnpm@${PNPM}`];
    const options = { cwd: half, env: host.withNode(process.env), timeoutMs: 900_000 };
    const done = await run("npm", ["install", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts", ...packages], options);
    if (done.code !== 0) throw new Error(`npm install ${packages.join(" ")} failed:\n${done.output.slice(-2000)}`);
    renameSync(half, folder);
  } catch (error) {
    // Another run was quicker, with the same content.
    if (!existsSync(folder)) throw error;
  } finally {
    rmSync(half, { recursive: true, force: true });
  }
  return folder;
}

export class Registry {
  /** Starts one that keeps its packages in `folder`. */
  static async start(host, folder, { log = () => {}, env = process.env } = {}) {
    const tools = await ensureTools(host, log);
    const registry = new Registry();
    registry.host = host;
    registry.folder = folder;
    registry.pnpm = path.join(tools, "node_modules", "pnpm", "bin", "pnpm.mjs");
    registry.url = `http://127.0.0.1:${await freePort()}/`;
    mkdirSync(folder, { recursive: true });
    const anybody = { access: "$all", publish: "$all", unpublish: "$all" };
    const config = {
      storage: path.join(folder, "storage"),
      auth: { htpasswd: { file: path.join(folder, "htpasswd"), max_users: -1 } },
      packages: { "**": anybody },
      max_body_size: "500mb",
      log: { type: "stdout", format: "json", level: "warn" },
      web: { enable: false },
    };
    const file = path.join(folder, "config.json");
    writeFileSync(file, JSON.stringify(config));
    const verdaccio = path.join(tools, "node_modules", "verdaccio", "bin", "verdaccio");
    registry.service = new Service(host.node, [verdaccio, "--config", file, "--listen", registry.url], { env, cwd: folder });
    await until("the registry", () => fetch(`${registry.url}-/ping`).then((answer) => answer.ok, () => !registry.service.running));
    if (!registry.service.running) throw new Error(`the registry did not start:\n${registry.service.output}`);
    return registry;
  }

  /** What makes npm, and all that use it, ask this registry and keep what they fetch apart. */
  get env() {
    return { npm_config_registry: this.url, npm_config_cache: path.join(this.folder, "npm-cache"), npm_config_update_notifier: "false" };
  }

  publish(tarball) {
    return this.#asPublisher("publish", tarball, "--ignore-scripts");
  }

  /** Makes a version the newest. */
  tag(name, version) {
    return this.#asPublisher("dist-tag", "add", `${name}@${version}`, "latest");
  }

  async #asPublisher(...args) {
    // A cache of its own: what is published is kept there, and would be installed from there.
    const settings = [`--${this.url.slice("http:".length)}:_authToken=anybody`, `--cache=${path.join(this.folder, "publisher-cache")}`];
    const done = await run("npm", [...args, ...settings], { env: { ...this.host.withNode(process.env), ...this.env }, cwd: this.folder });
    if (done.code !== 0) throw new Error(`npm ${args.join(" ")} failed:\n${done.output.slice(-2000)}`);
  }

  /** From now on the package is known, and cannot be fetched: as on a mirror that has not got it yet. */
  withhold(name, version) {
    rmSync(path.join(this.folder, "storage", name, `${name}-${version}.tgz`));
  }

  stop() {
    return this.service.stop(10_000);
  }
}
