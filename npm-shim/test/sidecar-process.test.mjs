// The process class against a child that misbehaves on purpose.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, test } from "node:test";
import { fileURLToPath } from "node:url";

import { SidecarProcess } from "../dist/sidecar-process.js";
import { compareVersions } from "../dist/versions.js";

const fixture = fileURLToPath(new URL("fixtures/child.mjs", import.meta.url));
const folder = mkdtempSync(path.join(tmpdir(), "openclaw-weixin-shim-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

let made = 0;
const open = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((owner) => owner.close()));
});

/** A process owner whose child plays `runs`. */
function owner(runs, options = {}) {
  const count = path.join(folder, `starts-${(made += 1)}`);
  writeFileSync(count, "");
  const seen = { logs: [], notifications: [], ready: [], givenUp: [] };
  const process_ = new SidecarProcess({
    binary: () => ({ path: process.execPath, source: "environment" }),
    args: [fixture],
    env: { ...process.env, CHILD: JSON.stringify({ runs }), CHILD_COUNT: count },
    initialize: () => ({ protocolVersion: 1, host: { name: "test", version: "1" } }),
    log: (level, text) => seen.logs.push(`${level} ${text}`),
    onNotification: (method, params) => seen.notifications.push([method, params]),
    onReady: (_result, restarted) => seen.ready.push(restarted),
    onGivenUp: (error) => seen.givenUp.push(error),
    minimumVersion: "0.1.0",
    timing: { handshakeMs: 3_000, requestMs: 3_000, backoffMs: 5, maxBackoffMs: 20, crashWindowMs: 30_000, crashLimit: 4, shutdownMs: 3_000, idleMs: 60_000 },
    ...options,
  });
  open.push(process_);
  return Object.assign(process_, { seen, starts: () => readFileSync(count, "utf8").length });
}

async function until(probe, what) {
  const end = Date.now() + 5_000;
  while (!probe()) {
    assert.ok(Date.now() < end, `waited for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const failure = (kind, ...texts) => (error) => {
  assert.equal(error.kind, kind, error.message);
  for (const text of texts) assert.match(error.message, text);
  return true;
};

test("starts once for many requests, and matches answers to them", async () => {
  const side = owner([{ on: { "status.get": { afterMs: 50 } } }]);
  const [slow, fast] = await Promise.all([
    side.request("status.get", { probe: true }),
    side.request("accounts.list", {}),
  ]);
  assert.deepEqual(slow.params, { probe: true });
  assert.equal(fast.method, "accounts.list");
  assert.equal(side.starts(), 1);
  assert.deepEqual(side.seen.ready, [false]);
});

test("passes notifications on, in order", async () => {
  const notify = [1, 2, 3].map((n) => ({ method: "inbound.message", params: { n } }));
  const side = owner([{ on: { "account.start": { notify } } }]);
  await side.request("account.start", { accountId: "a" });
  assert.deepEqual(side.seen.notifications.map(([, params]) => params.n), [1, 2, 3]);
});

test("an error answer keeps its kind, and whether to try again", async () => {
  const data = { kind: "ilink_throttled", retryable: true, retryAfterMs: 7 };
  const side = owner([{ on: { "outbound.sendText": { error: { code: -32021, message: "too fast", data } } } }]);
  await assert.rejects(side.request("outbound.sendText", { to: "x", text: "y" }), (error) => {
    assert.equal(error.kind, "ilink_throttled");
    assert.equal(error.retryable, true);
    assert.equal(error.retryAfterMs, 7);
    assert.equal(error.message, "too fast");
    return true;
  });
});

test("a crash fails what is under way with an error that may be tried again, and says why", async () => {
  const side = owner([{ stderr: "thread panicked at disk", on: { "accounts.list": { exit: 101 }, "status.get": { never: true } } }]);
  side.retain();
  const waiting = side.request("status.get", {});
  waiting.catch(() => {});
  await assert.rejects(side.request("accounts.list", {}), (error) => {
    assert.equal(error.kind, "sidecar_exited");
    assert.equal(error.retryable, true);
    assert.match(error.message, /code 101/);
    assert.match(error.message, /panicked at disk/);
    return true;
  });
  await assert.rejects(waiting, failure("sidecar_exited"));
});

test("is started again after a crash while it is needed", async () => {
  const side = owner([{ on: { "accounts.list": { signal: "SIGKILL" } } }, {}]);
  side.retain();
  await assert.rejects(side.request("accounts.list", {}), failure("sidecar_exited", /SIGKILL/));
  await until(() => side.seen.ready.length === 2, "the second start");
  assert.deepEqual(side.seen.ready, [false, true]);
  assert.equal((await side.request("accounts.list", {})).start, 2);
});

test("is not started again by itself when nothing needs it, but with the next request", async () => {
  const side = owner([{ on: { "accounts.list": { exit: 1 } } }, {}]);
  await assert.rejects(side.request("accounts.list", {}), failure("sidecar_exited"));
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.equal(side.starts(), 1);
  assert.equal((await side.request("accounts.list", {})).start, 2);
});

test("a crash loop ends with an error that says so", async () => {
  const side = owner([{ stderr: "no such table", on: { "status.get": { exit: 3 } } }], {
    onReady: () => void side.request("status.get", {}).catch(() => {}),
  });
  const release = side.retain();
  await side.start();
  await until(() => side.seen.givenUp.length === 1, "the end of the loop");
  failure("crash_loop", /4 times/, /no such table/, new RegExp(`${process.execPath} doctor`))(side.seen.givenUp[0]);
  await assert.rejects(side.request("accounts.list", {}), failure("crash_loop"));
  assert.equal(side.starts(), 4);
  release();
});

test("a child that ends before the handshake is an error for whoever asked", async () => {
  const side = owner([{ stderr: "state directory is read-only", exitAtOnce: 2 }, {}]);
  await assert.rejects(side.start(), failure("sidecar_exited", /code 2/, /read-only/));
  await side.start();
  assert.equal(side.starts(), 2);
});

test("output that is not the protocol is named, and ends the child", async () => {
  const side = owner([{ garbageAtOnce: "Welcome to my wrapper" }]);
  await assert.rejects(side.start(), failure("not_protocol", /Welcome to my wrapper/, /OPENCLAW_WEIXIN_SIDECAR_BIN/));
  assert.equal(side.pid, undefined);
});

test("output that is not the protocol after the handshake is no different", async () => {
  const side = owner([{ on: { "accounts.list": { garbage: '{"hello": 1}' } } }]);
  await assert.rejects(side.request("accounts.list", {}), failure("not_protocol", /hello/));
});

test("another protocol version is refused", async () => {
  const side = owner([{ initialize: { protocolVersion: 2 } }]);
  await assert.rejects(side.start(), failure("protocol_mismatch", /protocol 2/));
});

test("a sidecar that refuses our protocol version is refused", async () => {
  const side = owner([{ refuse: "protocolVersion: must be 3" }]);
  await assert.rejects(side.start(), failure("protocol_mismatch", /must be 3/));
});

test("a sidecar that is too old is refused, with what to do", async () => {
  const side = owner([{ initialize: { sidecar: { name: "x", version: "0.0.9", pid: 1 } } }]);
  await assert.rejects(side.start(), failure("sidecar_too_old", /0\.0\.9/, /0\.1\.0 or newer/));
});

test("a child that never answers the handshake is ended", async () => {
  const side = owner([{ silent: true }], { timing: { handshakeMs: 150 } });
  await assert.rejects(side.start(), failure("handshake_timeout", /did not answer within 0\.15 s/));
  assert.equal(side.pid, undefined);
});

test("a slow answer fails alone", async () => {
  const side = owner([{ on: { "status.get": { never: true } } }]);
  await assert.rejects(side.request("status.get", {}, { timeoutMs: 60 }), failure("request_timeout", /status\.get/));
  assert.equal((await side.request("accounts.list", {})).start, 1);
});

test("closing asks the child to shut down, and nothing starts it again", async () => {
  const side = owner([{}]);
  side.retain();
  await side.start();
  await side.close();
  assert.equal(side.pid, undefined);
  await assert.rejects(side.request("accounts.list", {}), failure("stopped"));
  assert.equal(side.starts(), 1);
});

test("closing kills a child that does not listen", async () => {
  const side = owner([{ on: { shutdown: { never: true } } }], { timing: { shutdownMs: 200 } });
  await side.start();
  const before = Date.now();
  await side.close();
  assert.ok(Date.now() - before < 3_000);
  assert.equal(side.pid, undefined);
});

test("closing later waits for whoever still needs it, and lets nobody start another", async () => {
  const side = owner([{ on: { "status.get": { afterMs: 50 } } }]);
  const release = side.retain();
  await side.start();
  const closed = side.closeWhenUnneeded(60_000);
  assert.equal((await side.request("status.get", {})).method, "status.get");
  release();
  await closed;
  assert.equal(side.pid, undefined);
  await assert.rejects(side.request("accounts.list", {}), failure("stopped"));
  assert.equal(side.starts(), 1);
});

test("closing later does not wait for ever", async () => {
  const side = owner([{}]);
  const release = side.retain();
  await side.start();
  await side.closeWhenUnneeded(50);
  assert.equal(side.pid, undefined);
  release();
});

test("an idle child that nothing needs is stopped", async () => {
  const side = owner([{}], { timing: { idleMs: 40, shutdownMs: 2_000, requestMs: 2_000, handshakeMs: 2_000 } });
  // The timer itself does not keep this process alive; something else must.
  const alive = setInterval(() => {}, 1_000);
  await side.request("accounts.list", {});
  await until(() => side.pid === undefined, "the idle stop");
  assert.equal((await side.request("accounts.list", {})).start, 2);
  clearInterval(alive);
});

test("a request that comes while an idle child is being ended goes to the next one", async () => {
  const slowEnd = { on: { shutdown: { afterMs: 300 }, "status.get": { afterMs: 400 } } };
  const side = owner([slowEnd, {}], { timing: { idleMs: 20, shutdownMs: 2_000, requestMs: 2_000, handshakeMs: 2_000 } });
  await side.request("accounts.list", {});
  // The child was asked to end, and takes its time.
  await new Promise((resolve) => setTimeout(resolve, 150));
  const { start } = await side.request("status.get", {});
  assert.equal(start, 2);
});

test("the child's log lines go to the host's log with their level", async () => {
  const line = JSON.stringify({ ts: "2026-01-01T00:00:00Z", level: "WARN", target: "inbound", msg: "cursor is old", accountId: "a", n: 3 });
  const side = owner([{ stderr: `${line}\nplain words` }]);
  await side.start();
  await until(() => side.seen.logs.includes("warn plain words"), "the log");
  assert.ok(side.seen.logs.includes("warn cursor is old accountId=a n=3"));
});

test("a program that is not there is explained", async () => {
  const side = owner([{}], { binary: () => ({ path: path.join(folder, "nowhere"), source: "plugin package" }) });
  await assert.rejects(side.start(), failure("binary_missing", /nowhere is gone/));
});

test("a file that is no program is explained", { skip: process.platform === "win32" }, async () => {
  const file = path.join(folder, "not-a-program");
  writeFileSync(file, Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0, 0, 0, 0]), { mode: 0o755 });
  const side = owner([{}], { binary: () => ({ path: file, source: "plugin package" }) });
  await assert.rejects(side.start(), failure("binary_wrong_platform", /not a program for this machine/));
});

test("versions are compared as numbers", () => {
  assert.equal(compareVersions("0.10.0", "0.9.9"), 1);
  assert.equal(compareVersions("1.2.3", "1.2.3"), 0);
  assert.equal(compareVersions("1.2.3-rc.1", "1.2.3"), -1);
  assert.equal(compareVersions("1.2", "1.2.1"), -1);
});
