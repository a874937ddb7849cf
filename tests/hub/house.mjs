// A simulated WeChat, the hub on it, and who asks the hub: on a WebSocket (npm's `ws`), over HTTP, and Python programs.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { Hub } from "../clients/foreign/hub.mjs";
import { python as environment } from "../clients/foreign/install.mjs";
import { sidecarBinary } from "../host/lib/lab.mjs";
import { run, Service, until } from "../host/lib/processes.mjs";
import { Simulator } from "../host/lib/simulator.mjs";
import { fromNpm } from "../tools.mjs";

const require = createRequire(import.meta.url);
const here = fileURLToPath(new URL(".", import.meta.url));
const WebSocket = require(fromNpm("ws", "8.23.0", "index.js"));

/** How long a condition may take: less than a test, so that it is the condition that fails, and says what it waited for. */
export const PATIENCE = { timeoutMs: 50_000, everyMs: 20 };
export const eventually = (what, probe) => until(what, probe, PATIENCE);

const version = await run("python3", ["-c", "import sys, venv; print(sys.version_info >= (3, 10))"], { env: process.env }).catch(() => ({ stdout: "" }));
export const noPython = version.stdout.trim() === "True" ? false : "there is no Python 3.10 or newer with venv";

/** The Python that has what `requirements.txt` names. */
const requirements = path.join(here, "requirements.txt");
let made;
export const python = () => (made ??= environment(requirements, "websockets, standardwebhooks, prometheus_client", "python-hub").then((folder) => path.join(folder, "python")));
export const program = (name) => path.join(here, name);

export class House {
  #wires = [];

  /** `bots`: as the simulator makes them. `rules`: `hub.toml`; a function gets the bots. WeChat's limits are off. */
  static async open({ bots = [{}], rules = "" } = {}) {
    const house = new House();
    house.room = mkdtempSync(path.join(tmpdir(), "weixin-hub-"));
    try {
      house.simulator = await Simulator.start(sidecarBinary());
      await house.simulator.limit({ burst: null, quotaPerToken: null });
      house.bots = [];
      for (const bot of bots) house.bots.push(await house.simulator.addBot(bot));
      const text = typeof rules === "function" ? rules(...house.bots) : rules;
      house.hub = await Hub.start(path.join(house.room, "hub"), house.simulator, { bots: house.bots, rules: text });
      return house;
    } catch (error) {
      await house.close();
      throw error;
    }
  }

  async close() {
    for (const wire of this.#wires) wire.end();
    await this.hub?.service?.stop();
    await this.simulator?.stop();
    rmSync(this.room, { recursive: true, force: true, maxRetries: 10 });
  }

  get url() {
    return this.hub.url;
  }

  /** The folder of the channel: `hub.toml`, the database. */
  file(name) {
    return path.join(this.room, "hub", "openclaw-weixin", name);
  }

  /** `hub.toml` becomes this, and the hub has read it. */
  async rule(text) {
    const taken = () => this.hub.output.split("hub.toml was taken over").length;
    const before = taken();
    writeFileSync(this.file("hub.toml"), text);
    await eventually("hub.toml to be read", () => taken() > before);
  }

  /** A token and its id. */
  token(backend, more = {}) {
    return this.hub.ask("hub.tokens.create", { backend, ...more });
  }

  /** A command, as another process. */
  async command(...args) {
    const { code, output, stdout } = await run(sidecarBinary(), args, { env: this.hub.env, timeoutMs: 30_000 });
    assert.equal(code, 0, output);
    return stdout;
  }

  /** A connection; it has said nothing yet. */
  async wire(token) {
    const wire = await Wire.open(this.url, token);
    this.#wires.push(wire);
    return wire;
  }

  /** A connection on which messages come. */
  async backend(token) {
    const wire = await this.wire(token);
    await wire.call("initialize", { protocolVersion: 1, host: { name: "test", version: "1" } });
    return wire;
  }

  /** A Python program as a backend. */
  async pythonBackend(way, token) {
    const wire = await PythonWire.start(way, this.url, token);
    this.#wires.push(wire);
    return wire;
  }

  /** A figure of `/metrics`, or `undefined`; `labels`: as they stand there. */
  async figure(name, labels = "") {
    const page = await (await fetch(`${this.url}/metrics`, { headers: { authorization: `Bearer ${this.hub.admin}` } })).text();
    const line = page.split("\n").find((candidate) => candidate.startsWith(`${name}${labels && `{${labels}}`} `));
    return line && Number(line.split(" ").at(-1));
  }

  /** What people read of a bot. */
  async read(bot, to) {
    return (await this.simulator.sent({ botId: bot.botId, to })).map(({ text }) => text);
  }

  /** The hub's memory, in MiB. Linux only. */
  memory() {
    return memoryOf(this.hub.service.pid, "VmRSS");
  }

  /** The most that it was since `forgetPeak`. */
  peak() {
    return memoryOf(this.hub.service.pid, "VmHWM");
  }

  forgetPeak() {
    writeFileSync(`/proc/${this.hub.service.pid}/clear_refs`, "5");
  }
}

function memoryOf(pid, field) {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)[1]) / 1024;
}

/** An answer that is an error. */
export class Refused extends Error {
  constructor(method, error) {
    super(`${method}: ${JSON.stringify(error)}`);
    this.code = error.code;
    this.kind = error.data?.kind;
  }
}

/** Requests that wait for their answers, and notifications that wait for somebody. */
class Conversation {
  #number = 0;
  #asked = new Map();
  #waiting = [];
  notes = [];

  call = (method, params = {}) => {
    const id = (this.#number += 1);
    return new Promise((resolve, reject) => {
      this.#asked.set(id, { method, resolve, reject });
      this.write(id, method, params);
    });
  };

  /** The next notification of this name that fits; `within`: an error when it does not come so soon. */
  next(method, fits = () => true, within = PATIENCE.timeoutMs) {
    const wanted = (note) => note.method === method && fits(note.params);
    const at = this.notes.findIndex(wanted);
    if (at >= 0) return Promise.resolve(this.notes.splice(at, 1)[0].params);
    return new Promise((resolve, reject) => {
      const entry = { wanted, resolve };
      const late = () => reject(new Error(`${method} did not come; there is ${JSON.stringify(this.notes).slice(0, 2_000)}`));
      const timer = setTimeout(late, within);
      entry.resolve = (params) => (clearTimeout(timer), resolve(params));
      this.#waiting.push(entry);
    });
  }

  /** To be told of every notification from now on, in the place of `next`. */
  all(taken) {
    this.taken = taken;
    for (const note of this.notes.splice(0)) taken(note);
  }

  took(line) {
    if (line.method) return this.#noted(line);
    const { method, resolve, reject } = this.#asked.get(line.id) ?? {};
    this.#asked.delete(line.id);
    if (line.error) return reject?.(new Refused(method, line.error));
    return resolve?.(line.result);
  }

  #noted(note) {
    if (this.taken) return this.taken(note);
    const at = this.#waiting.findIndex(({ wanted }) => wanted(note));
    if (at < 0) return this.notes.push(note);
    return this.#waiting.splice(at, 1)[0].resolve(note.params);
  }

  over(why) {
    for (const { method, reject } of this.#asked.values()) reject(new Error(`${method}: the connection is over: ${why}`));
    this.#asked.clear();
  }
}

/** A WebSocket, with npm's `ws`. */
export class Wire extends Conversation {
  static open(url, token) {
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(`ws${url.slice(4)}/ws`, { headers: { authorization: `Bearer ${token}` }, perMessageDeflate: false, maxPayload: 8 << 20 });
      const wire = new Wire();
      wire.socket = socket;
      wire.closed = new Promise((ended) => {
        socket.on("close", (code, reason) => {
          wire.isClosed = true;
          wire.over(`${code} ${reason}`);
          ended({ code, reason: String(reason) });
        });
      });
      socket.on("message", (data) => wire.took(JSON.parse(data)));
      socket.on("open", () => resolve(wire));
      socket.on("unexpected-response", (_, response) => {
        reject(Object.assign(new Error(`refused: ${response.statusCode}`), { status: response.statusCode }));
        socket.terminate();
      });
      socket.on("error", reject);
    });
  }

  write(id, method, params) {
    this.socket.send(JSON.stringify({ jsonrpc: "2.0", id, method, params }));
  }

  /** The texts of the next messages, acked. */
  async takes() {
    const message = await this.next("inbound.message");
    await this.call("inbound.ack", { deliveryIds: [message.deliveryId] });
    return message.text;
  }

  end() {
    this.socket.terminate();
  }
}

/** `client.py`, as a program that runs. */
class PythonWire extends Conversation {
  static async start(way, url, token) {
    const wire = new PythonWire();
    wire.service = new Service(await python(), [program("client.py"), way, url], { env: { ...process.env, HUB_TOKEN: token }, stdin: "pipe" });
    const opened = new Promise((resolve, reject) => {
      wire.service.ended.then(() => (reject(new Error(wire.service.output)), wire.over(wire.service.output)));
      wire.closed = new Promise((ended) => {
        createInterface({ input: wire.service.child.stdout }).on("line", (text) => {
          const line = JSON.parse(text);
          if (line.open) resolve();
          else if (line.closed) ended({ code: line.closed[0], reason: line.closed[1] });
          else wire.took(line);
        });
      });
    });
    await opened;
    return wire;
  }

  write(id, method, params) {
    this.service.child.stdin.write(`${JSON.stringify([id, method, params])}\n`);
  }

  end() {
    this.service.kill();
  }
}

/** What `POST /rpc` answers. */
export async function post(url, token, body) {
  const response = await fetch(`${url}/rpc`, { method: "POST", headers: { authorization: `Bearer ${token}` }, body: typeof body === "string" ? body : JSON.stringify(body) });
  const text = await response.text();
  return { status: response.status, body: text ? JSON.parse(text) : undefined };
}

/** A method over HTTP. */
export async function ask(url, token, method, params = {}) {
  const { status, body } = await post(url, token, { jsonrpc: "2.0", id: 1, method, params });
  assert.equal(status, 200, JSON.stringify(body));
  if (body.error) throw new Refused(method, body.error);
  return body.result;
}

/** The same with curl. */
export async function curl(url, token, method, params = {}) {
  const input = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
  const args = ["--silent", "--show-error", "--fail", "--noproxy", "*", "--max-time", "90", "--header", `Authorization: Bearer ${token}`, "--data-binary", "@-", `${url}/rpc`];
  const { code, stdout, output } = await run("curl", args, { env: process.env, input, timeoutMs: 95_000 });
  assert.equal(code, 0, output);
  const { result, error } = JSON.parse(stdout);
  if (error) throw new Refused(method, error);
  return result;
}
