// A whole gateway in a page: starts the sidecar, starts every account, answers each message with its own text.
//
//   openclaw-weixin-sidecar login                 (once)
//   node examples/echo-gateway.mjs [path of the sidecar]
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

const sidecar = spawn(process.argv[2] ?? "openclaw-weixin-sidecar", [], { stdio: ["pipe", "pipe", "inherit"] });
const waiting = new Map();
let lastId = 0;

function call(method, params = {}) {
  const id = ++lastId;
  sidecar.stdin.write(JSON.stringify({ jsonrpc: "2.0", id, method, params }) + "\n");
  return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
}

async function answer(message) {
  const { deliveryId, accountId, from, text } = message;
  // The key makes it one answer, however often the message is delivered.
  await call("outbound.sendText", { accountId, to: from, text: `You said: ${text}`, idempotencyKey: deliveryId });
  await call("inbound.ack", { deliveryIds: [deliveryId] });
}

createInterface({ input: sidecar.stdout }).on("line", (line) => {
  const { id, result, error, method, params } = JSON.parse(line);
  if (method === "inbound.message") {
    answer(params).catch((failure) => {
      console.error(failure.message);
      call("inbound.nack", { deliveryId: params.deliveryId, retryAfterMs: 5000 }).catch(() => {});
    });
  }
  const call_ = waiting.get(id);
  waiting.delete(id);
  if (error) call_?.reject(new Error(error.message));
  else call_?.resolve(result);
});
sidecar.on("exit", (code) => process.exit(code ?? 1));
process.on("SIGINT", () => call("shutdown"));

const host = { name: "echo-gateway", version: "1.0.0" };
await call("initialize", { protocolVersion: 1, host });
const { accounts } = await call("accounts.list");
for (const { accountId, configured } of accounts) if (configured) await call("account.start", { accountId });
console.error(`answering for ${accounts.length} account(s); Ctrl-C ends it`);
