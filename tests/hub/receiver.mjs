// Where webhooks are posted: a server on loopback that keeps what came, and tries its signature with the published libraries of Standard
// Webhooks, npm's at once and Python's at the end.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import http from "node:http";
import { createRequire } from "node:module";
import path from "node:path";

import { run } from "../host/lib/processes.mjs";
import { fromNpm } from "../tools.mjs";
import { eventually, noPython, program, python } from "./house.mjs";

const require = createRequire(import.meta.url);
const { Webhook } = require(fromNpm("standardwebhooks", "1.1.1", path.join("dist", "index.js")));

export class Receiver {
  /** What came: `{id, headers, raw, body, path}`, in its order. */
  posts = [];
  /** How often somebody connected. */
  connections = 0;
  secret = `whsec_${randomBytes(32).toString("base64")}`;

  /** `answer(post, n)`: `{status?, body?, headers?}`, also later, or nothing: then nobody answers. `n` counts from 1. */
  static async start(answer = () => ({}), { host = "127.0.0.1", port = 0 } = {}) {
    const receiver = new Receiver();
    Object.assign(receiver, { answer, host, port });
    await receiver.open();
    return receiver;
  }

  async open() {
    this.server = http.createServer((request, response) => this.#take(request, response));
    this.server.on("connection", () => (this.connections += 1));
    await new Promise((resolve, reject) => this.server.once("error", reject).listen(this.port, this.host, resolve));
    this.port = this.server.address().port;
  }

  /** From now on connections are refused. */
  async close() {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  /** As `allowed_hosts` names it. */
  get place() {
    return `${this.host}:${this.port}`;
  }

  get url() {
    return `http://${this.place}/x`;
  }

  /** The lines of a table of `hub.toml`. */
  get webhook() {
    return `url = "${this.url}"\nsecret = "${this.secret}"\n`;
  }

  async #take(request, response) {
    const pieces = [];
    for await (const piece of request) pieces.push(piece);
    const raw = Buffer.concat(pieces).toString();
    const headers = Object.fromEntries(["webhook-id", "webhook-timestamp", "webhook-signature"].map((name) => [name, request.headers[name]]));
    const post = { id: headers["webhook-id"], headers, raw, path: request.url, method: request.method, type: request.headers["content-type"] };
    try {
      post.body = new Webhook(this.secret).verify(raw, headers);
    } catch (error) {
      post.problem = error.message;
    }
    this.posts.push(post);
    const answer = await this.answer(post, this.posts.length);
    if (!answer) return;
    response.writeHead(answer.status ?? 200, answer.headers);
    response.end(answer.body === undefined ? "" : typeof answer.body === "string" ? answer.body : JSON.stringify(answer.body));
  }

  /** Waits for so many posts. */
  async got(count) {
    await eventually(`${count} posts`, () => this.posts.length >= count).catch((error) => assert.fail(`${error.message}; there are ${JSON.stringify(this.posts)}`));
    return this.posts;
  }

  /** Everything that came was signed as both libraries have it, and they refuse what is not. */
  async allVerify() {
    const posts = [...this.posts];
    assert.ok(posts.length > 0, "nothing came");
    for (const { problem, method, type, id, headers } of posts) {
      assert.equal(problem, undefined);
      assert.deepEqual([method, type], ["POST", "application/json"]);
      assert.match(id, /^[\w-]{1,256}$/);
      assert.match(headers["webhook-timestamp"], /^\d{10}$/);
    }
    const [{ headers, raw }] = posts;
    const forged = [
      [this.secret, headers, raw.replace("}", " }")],
      [this.secret, { ...headers, "webhook-id": `${headers["webhook-id"]}x` }, raw],
      [this.secret, { ...headers, "webhook-timestamp": String(Number(headers["webhook-timestamp"]) + 1) }, raw],
      [`whsec_${randomBytes(32).toString("base64")}`, headers, raw],
    ];
    for (const [secret, its, body] of forged) assert.throws(() => new Webhook(secret).verify(body, its));
    if (noPython) return;
    const all = [...posts.map((post) => [this.secret, post.headers, post.raw]), ...forged];
    const { code, stdout, output } = await run(await python(), [program("verify.py")], { env: process.env, input: all.map((each) => `${JSON.stringify(each)}\n`).join("") });
    assert.equal(code, 0, output);
    const verdicts = stdout.trim().split("\n").map((line) => line === "ok");
    assert.deepEqual(verdicts, all.map((_, n) => n < posts.length));
  }
}
