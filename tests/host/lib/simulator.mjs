// The sidecar's own iLink simulator, and its control interface.
import { Service, until } from "./processes.mjs";

export class Simulator {
  /** `holdMs`: how long empty polls are held. `strict`: whether it asks for everything that the official plugin says. */
  static async start(binary, { autoLogin = false, strict = true, holdMs, env = process.env } = {}) {
    const simulator = new Simulator();
    simulator.service = new Service(binary, ["simulate", "--port", "0", ...(strict ? ["--strict"] : []), ...(autoLogin ? ["--auto-login"] : []), ...(holdMs ? ["--hold", String(holdMs)] : [])], { env });
    const line = await until("the simulator's address", () => {
      if (!simulator.service.running) throw new Error(`the simulator ended: ${simulator.service.output}`);
      return simulator.service.output.split("\n").find((candidate) => candidate.includes('"url"'));
    });
    simulator.url = JSON.parse(line).url;
    /** Point a sidecar here with these. */
    simulator.env = { WEIXIN_ILINK_BASE_URL: simulator.url, WEIXIN_CDN_BASE_URL: `${simulator.url}/c2c` };
    return simulator;
  }

  stop() {
    return this.service.stop(5_000);
  }

  state() {
    return this.#call("GET", "/_sim/state");
  }

  /** A bot that somebody logged in before. */
  addBot(bot = {}) {
    return this.#call("POST", "/_sim/bots", bot);
  }

  /** A person writes to a bot. */
  async write(botId, from, text, more = {}) {
    const { messageIds } = await this.#call("POST", "/_sim/messages", { botId, from, text, ...more });
    return messageIds;
  }

  /** A person sends items, or quotes: `{text?, content?, quote?}`. */
  async send(botId, from, message) {
    const { messageIds } = await this.#call("POST", "/_sim/messages", { botId, from, ...message });
    return messageIds;
  }

  /** What a receiver sees of a sent file. */
  async content(n) {
    const response = await fetch(`${this.url}/_sim/sent/${n}/content`);
    if (!response.ok) throw new Error(`simulator: the content of ${n} gave ${response.status}: ${await response.text()}`);
    return Buffer.from(await response.arrayBuffer());
  }

  login(which, step, body = {}) {
    return this.#call("POST", `/_sim/logins/${which}/${step}`, body);
  }

  replay(botId) {
    return this.#call("POST", "/_sim/replay", { botId });
  }

  /** The bot's login becomes stale. */
  expire(botId) {
    return this.#call("POST", `/_sim/bots/${encodeURIComponent(botId)}/expire`, {});
  }

  /** The bot's messages are taken without an id and shown to nobody, or no longer. */
  mute(botId, muted = true) {
    return this.#call("POST", `/_sim/bots/${encodeURIComponent(botId)}/${muted ? "mute" : "unmute"}`, {});
  }

  /** The bot's person logs in with another client. */
  takeOver(botId) {
    return this.#call("POST", `/_sim/bots/${encodeURIComponent(botId)}/takeover`, {});
  }

  /** Ends the polls that are held now. */
  release(botId) {
    return this.#call("POST", `/_sim/bots/${encodeURIComponent(botId)}/release`, {});
  }

  /** What was refused, or taken and shown to nobody. */
  async rejected() {
    return (await this.#call("GET", "/_sim/rejected")).rejected;
  }

  /** WeChat's send limits; `null` switches one off. */
  limit(limits) {
    return this.#call("PUT", "/_sim/limits", limits);
  }

  /** Makes an endpoint misbehave. */
  fault(fault) {
    return this.#call("POST", "/_sim/faults", fault);
  }

  clearFaults() {
    return this.#call("DELETE", "/_sim/faults");
  }

  /** Polls as a client of that bot would, and returns the cursor behind what it got. */
  async poll(bot) {
    const response = await fetch(`${this.url}/ilink/bot/getupdates`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        authorizationtype: "ilink_bot_token",
        authorization: `Bearer ${bot.token}`,
        "x-wechat-uin": Buffer.from(String(Math.floor(Math.random() * 2 ** 32))).toString("base64"),
        "ilink-app-id": "bot",
        "ilink-app-clientversion": "131081",
      },
      body: JSON.stringify({ get_updates_buf: "", base_info: { channel_version: "2.4.9", bot_agent: "OpenClaw" } }),
    });
    return (await response.json()).get_updates_buf;
  }

  /** What the bot sent; waits until there are `count`, or the time is over. */
  async sent({ botId, to, after = 0, count = 0, waitMs = 0 } = {}) {
    const query = new URLSearchParams({ after: String(after), count: String(count), waitMs: String(waitMs) });
    if (botId) query.set("botId", botId);
    if (to) query.set("to", to);
    const { sent } = await this.#call("GET", `/_sim/sent?${query}`);
    return sent;
  }

  async #call(method, path, body) {
    const response = await fetch(`${this.url}${path}`, {
      method,
      ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`simulator: ${method} ${path} gave ${response.status}: ${text.slice(0, 300)}`);
    return text ? JSON.parse(text) : undefined;
  }
}
