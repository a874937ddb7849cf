// The hub as a child process, on a simulated WeChat: its accounts, its tokens, what it says about itself.
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";

import { seedAccounts, sidecarBinary } from "../../host/lib/lab.mjs";
import { run, Service, until } from "../../host/lib/processes.mjs";

export class Hub {
  #listen = "127.0.0.1:0";

  /** `bots`: accounts that are logged in already. `rules`: `hub.toml`. */
  static async start(folder, simulator, { bots, rules = "" }) {
    const hub = new Hub();
    hub.env = { PATH: process.env.PATH, HOME: folder, LANG: "C.UTF-8", OPENCLAW_STATE_DIR: folder, ...simulator.env };
    mkdirSync(folder, { recursive: true });
    // WeChat's pace would make the tests long; its quota stays as it is.
    const config = { channels: { "openclaw-weixin": { outbox: { perMinute: 6_000, burst: 100 } } } };
    const configure = (change) => (change(config), writeFileSync(path.join(folder, "openclaw.json"), JSON.stringify(config)));
    seedAccounts({ stateDir: folder, configure }, simulator, bots);
    writeFileSync(path.join(folder, "openclaw-weixin", "hub.toml"), rules);
    hub.admin = await hub.token("console", ["--role", "admin"]);
    await hub.run();
    return hub;
  }

  /** Starts it, again at the same address once it has one. */
  async run() {
    this.service = new Service(sidecarBinary(), ["hub", "--listen", this.#listen, "--json"], { env: this.env });
    const line = await until("the hub's address", () => {
      if (!this.service.running) throw new Error(`the hub ended: ${this.service.output}`);
      return this.service.output.split("\n").find((candidate) => candidate.includes('"url"'));
    });
    this.url = JSON.parse(line).url;
    this.#listen = new URL(this.url).host;
    this.cdnUrl = `${this.url}/c2c`;
  }

  stop() {
    return this.service.stop();
  }

  get output() {
    return this.service.output;
  }

  /** A new token. */
  async token(backend, more = []) {
    const made = await run(sidecarBinary(), ["hub", "token", "create", "--backend", backend, "--json", ...more], { env: this.env });
    if (made.code !== 0) throw new Error(`no token for ${backend}: ${made.output}`);
    return JSON.parse(made.stdout).token;
  }

  /** Asks it as its admin. */
  async ask(method, params = {}) {
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
    const response = await fetch(`${this.url}/rpc`, { method: "POST", headers: { authorization: `Bearer ${this.admin}`, "content-type": "application/json" }, body });
    const { result, error } = await response.json();
    if (error) throw new Error(`${method}: ${JSON.stringify(error)}`);
    return result;
  }

  /** How many messages wait for each backend, by name. */
  async queued() {
    const { backends } = await this.ask("hub.backends");
    return Object.fromEntries(backends.map(({ name, queued }) => [name, queued]));
  }

  /** The backends that sent a text that fits. */
  async sendersOf(accountId, peer, fits) {
    const { events } = await this.ask("hub.trace", { accountId, peer, content: true, limit: 500 });
    return events.filter((event) => event.direction === "out" && fits(event.text ?? "")).map((event) => event.backend);
  }
}
