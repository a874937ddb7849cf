// A stand-in model: an OpenAI-compatible server that answers with what it was asked.
//
// It echoes every message of the person since its last answer, so a reply shows which messages it answers. A text
// with `slow8` is answered after 8 seconds, or when the test says so (`finish`), one with `tool:name{"an":"argument"}` after a call of that tool, and one with
// `fails` not at all: the server says 500. Everything it was asked is recorded.
import { createServer } from "node:http";

export class Model {
  requests = [];
  #server;
  #sockets = new Set();

  static async start() {
    const model = new Model();
    model.#server = createServer((request, response) => void model.#handle(request, response));
    model.#server.on("connection", (socket) => {
      model.#sockets.add(socket);
      socket.once("close", () => model.#sockets.delete(socket));
    });
    await new Promise((resolve) => model.#server.listen(0, "127.0.0.1", resolve));
    model.url = `http://127.0.0.1:${model.#server.address().port}/v1`;
    return model;
  }

  async stop() {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Requests whose person said something with `text`, not answered by the model before. */
  askedAbout(text) {
    return this.requests.filter((request) => request.asked.some((asked) => asked.includes(text)));
  }

  /** Answers what is about `text` now, however slow it was to be. */
  finish(text) {
    for (const request of this.askedAbout(text)) request.finish?.();
  }

  async #handle(request, response) {
    let body = "";
    for await (const chunk of request) body += chunk;
    if (request.method !== "POST") {
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify({ object: "list", data: [{ id: "echo", object: "model" }] }));
      return;
    }
    const { messages = [], model, stream, tools = [] } = JSON.parse(body);
    const asked = unanswered(messages);
    const record = { atMs: Date.now(), model, asked, messages, tools: tools.map((tool) => tool.function?.name), answeredMs: undefined };
    this.requests.push(record);
    const seconds = Math.max(0, ...asked.map((text) => Number(/slow(\d+)/.exec(text)?.[1] ?? 0)));
    if (seconds > 0) {
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, seconds * 1000);
        record.finish = () => (clearTimeout(timer), resolve());
      });
    }
    if (response.destroyed) return;
    record.answeredMs = Date.now();
    if (asked.at(-1)?.includes("fails")) {
      response.writeHead(500, { "content-type": "application/json" });
      response.end(JSON.stringify({ error: { message: "the model is out of order", type: "server_error" } }));
      return;
    }
    const called = messages.slice(lastAnswer(messages) + 1).some((message) => message.role === "tool");
    const call = called ? undefined : toolCall(asked, this.requests.length);
    const answer = call ? { content: null, tool_calls: [call] } : { content: `echo: ${asked.join(" / ") || "(nothing)"}` };
    const finish_reason = call ? "tool_calls" : "stop";
    const base = { id: `chatcmpl-${this.requests.length}`, created: Math.floor(Date.now() / 1000), model: "echo" };
    const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 };
    if (!stream) {
      response.writeHead(200, { "content-type": "application/json" });
      response.end(
        JSON.stringify({ ...base, object: "chat.completion", choices: [{ index: 0, message: { role: "assistant", ...answer }, finish_reason }], usage }),
      );
      return;
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    const send = (choice, more = {}) => response.write(`data: ${JSON.stringify({ ...base, object: "chat.completion.chunk", choices: choice ? [choice] : [], ...more })}\n\n`);
    send({ index: 0, delta: { role: "assistant", ...answer }, finish_reason: null });
    send({ index: 0, delta: {}, finish_reason });
    send(undefined, { usage });
    response.end("data: [DONE]\n\n");
  }
}

/** What the person said since the model last answered. The host's own words are left out: tests mark theirs with #. */
function unanswered(messages) {
  return messages
    .slice(lastAnswer(messages) + 1)
    .filter((message) => message.role === "user")
    .flatMap((message) => textOf(message.content).split("\n"))
    .map((line) => /#[\w-]+.*/.exec(line)?.[0])
    .filter(Boolean);
}

/** Where the model's last answer is; a tool call is none. */
const lastAnswer = (messages) => messages.findLastIndex((message) => message.role === "assistant" && !message.tool_calls?.length);

/** The call that somebody asks for with `tool:name{…}`. */
function toolCall(asked, n) {
  const [, name, json] = asked.map((text) => /tool:(\w+)(\{.*\})/.exec(text)).find(Boolean) ?? [];
  return name && { index: 0, id: `call_${n}`, type: "function", function: { name, arguments: json } };
}

function textOf(content) {
  if (typeof content === "string") return content;
  return (content ?? []).map((part) => part.text ?? "").join("\n");
}
