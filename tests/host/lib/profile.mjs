// An OpenClaw of its own: state, home, configuration, command line, gateway.
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import os from "node:os";
import path from "node:path";

import { PATIENCE_MS, childrenNamed, run, Service, until } from "./processes.mjs";

export const CHANNEL = "openclaw-weixin";

/** A person's shell: without what would lead OpenClaw or the sidecar elsewhere. */
export function personsEnv() {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(OPENCLAW_|CLAWDBOT_|WEIXIN_|NODE_TEST|NODE_OPTIONS|NODE_V8|XDG_)/.test(name));
  return Object.fromEntries(inherited);
}

export class Profile {
  constructor(host, folder) {
    this.host = host;
    this.folder = folder;
    this.stateDir = path.join(folder, "state");
    this.home = path.join(folder, "home");
    this.configFile = path.join(this.stateDir, "openclaw.json");
    /** Set per test: where the sidecar finds iLink, and what else it should see. */
    this.extraEnv = {};
  }

  /** A fresh one, with the model as its only model. */
  static async create(host, folder, { modelUrl }) {
    const profile = new Profile(host, folder);
    for (const dir of [profile.stateDir, profile.home]) mkdirSync(dir, { recursive: true, mode: 0o700 });
    profile.writeConfig({
      gateway: { mode: "local", bind: "loopback", port: await freePort(), auth: { mode: "token", token: randomBytes(12).toString("hex") } },
      agents: {
        defaults: {
          model: { primary: "lab/echo" },
          heartbeat: { every: "0m" },
          workspace: path.join(profile.stateDir, "workspace"),
          skipBootstrap: true,
        },
      },
      models: {
        mode: "merge",
        providers: {
          lab: {
            baseUrl: modelUrl,
            apiKey: "x",
            api: "openai-completions",
            models: [
              {
                id: "echo",
                name: "echo",
                reasoning: false,
                input: ["text"],
                cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 },
                contextWindow: 196608,
                maxTokens: 8192,
              },
            ],
          },
        },
      },
      cron: { enabled: false },
      logging: { file: path.join(profile.stateDir, "gateway.log") },
      session: { dmScope: "per-account-channel-peer" },
    });
    return profile;
  }

  get config() {
    return JSON.parse(readFileSync(this.configFile, "utf8"));
  }

  writeConfig(config) {
    writeFileSync(this.configFile, `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600 });
  }

  /** Changes the configuration file in place. */
  configure(change) {
    const config = this.config;
    change(config);
    this.writeConfig(config);
  }

  /** A port and a model of this run's own, for a profile that was copied. */
  async adopt({ modelUrl }) {
    const port = await freePort();
    this.configure((config) => {
      config.gateway.port = port;
      config.models.providers.lab.baseUrl = modelUrl;
    });
  }

  get env() {
    return this.host.withNode({
      ...personsEnv(),
      ...npmSettings(),
      HOME: this.home,
      USERPROFILE: this.home,
      OPENCLAW_STATE_DIR: this.stateDir,
      OPENCLAW_LOCALE: "en",
      OPENCLAW_NO_RESPAWN: "1",
      NO_COLOR: "1",
      ...this.extraEnv,
    });
  }

  /** `openclaw …`, to its end. */
  cli(args, options = {}) {
    return run(this.host.node, [this.host.openclaw, ...args], { env: this.env, cwd: this.home, ...options });
  }

  /** As {@link cli}; anything but success is an error with the command's own words. */
  async must(args, options) {
    const done = await this.cli(args, options);
    if (done.code !== 0) throw new Error(`openclaw ${args.join(" ")} ended with ${done.code ?? done.signal}:\n${done.output.slice(-3000)}`);
    return done;
  }

  /** Installs the plugin the way a person would. `which` is what OpenClaw knows it by: `npm-pack:<tarball>`, or a name in a registry. */
  installPlugin(which) {
    return this.must(["plugins", "install", which, "--force", "--accept-capabilities"]);
  }

  /** Starts the gateway and waits until it is ready. */
  async startGateway() {
    const gateway = new Gateway(this);
    await gateway.ready();
    return gateway;
  }

  /** Calls a method of the running gateway. */
  async rpc(method, params = {}, { timeoutMs = PATIENCE_MS } = {}) {
    const done = await this.must(["gateway", "call", method, "--json", "--timeout", String(timeoutMs), "--params", JSON.stringify(params)]);
    return JSON.parse(done.stdout.slice(done.stdout.indexOf("{")));
  }
}

export class Gateway {
  constructor(profile) {
    this.profile = profile;
    this.port = profile.config.gateway.port;
    this.startedAtMs = Date.now();
    this.service = new Service(profile.host.node, [profile.host.openclaw, "gateway", "run", "--port", String(this.port)], {
      env: profile.env,
      cwd: profile.home,
    });
  }

  get output() {
    return this.service.output;
  }

  async ready() {
    await until(
      "the gateway",
      async () => {
        if (!this.service.running) throw new Error(`the gateway ended:\n${this.output.slice(-4000)}`);
        try {
          return (await fetch(`http://127.0.0.1:${this.port}/readyz`, { signal: AbortSignal.timeout(2_000) })).ok;
        } catch {
          return false;
        }
      },
      { everyMs: 100 },
    );
  }

  /** Waits until the log says `text`. */
  says(text) {
    return until(`the gateway to say ${text}`, () => this.output.includes(text));
  }

  /** The pids of its sidecars. */
  sidecars() {
    return childrenNamed(this.service.pid, "openclaw-weixin-sidecar");
  }

  stop() {
    return this.service.stop(30_000);
  }

  /** As a crash of the machine would end it: gateway and sidecar at once, without a word. */
  async kill() {
    const sidecars = this.sidecars();
    const ended = this.service.kill("SIGKILL");
    for (const pid of sidecars) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It ended with its gateway already.
      }
    }
    await ended;
    return { gateway: this.service.pid, sidecars };
  }
}

let npmEnvironment;

/** npm's settings stay those of the person who runs this, although HOME and Node are others. */
function npmSettings() {
  if (!npmEnvironment) {
    const asked = spawnSync("npm", ["config", "get", "globalconfig"], { encoding: "utf8", shell: process.platform === "win32" });
    const files = {
      NPM_CONFIG_GLOBALCONFIG: asked.status === 0 ? asked.stdout.trim() : "",
      NPM_CONFIG_USERCONFIG: process.env.NPM_CONFIG_USERCONFIG ?? path.join(os.homedir(), ".npmrc"),
    };
    npmEnvironment = Object.fromEntries(Object.entries(files).filter(([, file]) => file && existsSync(file)));
  }
  return npmEnvironment;
}

export async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}
