// The hub's console in a browser, on the real hub; the phone and WeChat's server are the simulator.
// `WEIXIN_CONSOLE_SHOTS=<folder>` keeps a picture of every screen.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { texts } from "../../src/hub/console/texts.js";
import { hasBrowser, openBrowser, readCode } from "../host/lib/browser.mjs";
import { sidecarBinary } from "../host/lib/lab.mjs";
import { Service, run, until } from "../host/lib/processes.mjs";
import { Simulator } from "../host/lib/simulator.mjs";

// As long as WeChat's.
const [ann, ben, eve, mallory] = ["ann", "ben", "eve", "mallory"].map((name) => `o9cq80_Zk3v9QwYb2TtL7mXc4Rd${name}@im.wechat`);
const [first, second] = ["first", "second"].map((name) => `b04ae2f1d7c5493e8a0f-${name}@im.bot`);
/** As the hub names accounts. */
const idOf = (botId) => botId.replace(/[@.]/g, "-");
const CROWD = 1_000;
const crowd = (n) => `crowd-${String(n).padStart(4, "0")}@im.bot`;
const named = { accountId: idOf(crowd(500)), name: "夜班 Night shift" };
const switchedOff = idOf(crowd(7));
const label = "前台 Front desk";
const SCREENS = ["overview", "accounts", "backends", "approvals", "held", "trace"];

const hook = (name) => `[data-test=${name}]`;
const row = (botId) => `${hook("account-row")}[data-account="${idOf(botId)}"]`;

describe("the console", { skip: hasBrowser ? false : "there is no browser for this machine" }, () => {
  let folder;
  let simulator;
  let env;
  let hub;
  let browser;
  /** The signed-in page of most tests. */
  let page;
  /** Asks the hub with a token of the backend `one`. */
  let one;
  let adminToken;
  /** What the pages complained of. */
  const problems = [];

  before(async () => {
    folder = mkdtempSync(path.join(tmpdir(), "weixin-console-"));
    const channel = path.join(folder, "openclaw-weixin");
    mkdirSync(path.join(channel, "accounts"), { recursive: true });
    writeFileSync(path.join(channel, "hub.toml"), '[backends.one]\naccess = "pairing"\n');
    const accounts = { [named.accountId]: { name: named.name }, [switchedOff]: { enabled: false } };
    writeFileSync(path.join(folder, "openclaw.json"), JSON.stringify({ channels: { "openclaw-weixin": { accounts } } }));
    simulator = await Simulator.start(sidecarBinary());
    env = { ...process.env, ...simulator.env, OPENCLAW_STATE_DIR: folder };
    one = caller((await command("hub", "token", "create", "--backend", "one")).token);
    adminToken = (await command("hub", "token", "create", "--backend", "office", "--role", "admin")).token;
    await startHub("127.0.0.1:0");
    browser = await openBrowser();
    page = await open();
  }, { timeout: 300_000 });

  after(async () => {
    await browser?.close();
    await hub?.service.stop(10_000);
    await simulator?.stop();
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
  });

  async function startHub(listen) {
    const service = new Service(sidecarBinary(), ["hub", "--listen", listen, "--json"], { env });
    hub = { service };
    const line = await until("the hub's address", () => {
      assert.ok(service.running, service.output);
      return service.output.split("\n").find((candidate) => candidate.includes('"consoleUrl"'));
    });
    Object.assign(hub, JSON.parse(line));
  }

  async function command(...args) {
    const done = await run(sidecarBinary(), [...args, "--json"], { env });
    assert.equal(done.code, 0, done.output);
    return JSON.parse(done.stdout);
  }

  /** How a client asks that has this token: gives the result. */
  function caller(token) {
    return async (method, params = {}) => {
      const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
      const response = await fetch(`${hub.url}/rpc`, { method: "POST", headers: { authorization: `Bearer ${token}` }, body });
      if (!response.ok) return { status: response.status };
      const { error, result } = await response.json();
      assert.ok(!error, `${method}: ${JSON.stringify(error)}`);
      return result;
    };
  }

  /** A new token that the hub, which looks every second, knows. */
  async function tokenOf(backend, role) {
    const { token } = await command("hub", "token", "create", "--backend", backend, "--role", role);
    // Not asked often: wrong tokens are counted.
    await until("the hub to know the token", async () => (await caller(token)("accounts.list")).accounts, { everyMs: 300 });
    return token;
  }

  /** A page of a browser that was never here. */
  async function open({ viewport = { width: 1280, height: 860 }, locale = "en-GB", ...more } = {}) {
    const context = await browser.newContext({ viewport, locale, ...more });
    const opened = await context.newPage();
    opened.setDefaultTimeout(30_000);
    opened.on("pageerror", (error) => problems.push(error.stack));
    // The browser says so too where nobody is signed in, where a token may not, and where the hub is away.
    opened.on("console", (said) => said.type() === "error" && !/status of 40[13]|net::ERR_/.test(said.text()) && problems.push(said.text()));
    return opened;
  }

  async function signIn(opened) {
    await opened.goto(hub.url);
    await opened.fill(hook("sign-in-token"), adminToken);
    await opened.click(hook("sign-in-submit"));
    await opened.waitForSelector(hook("nav-overview"));
  }

  const goTo = async (opened, screen, params = {}) => {
    await opened.goto(`${hub.url}/#/${screen}?${new URLSearchParams(params)}`);
    await opened.waitForSelector("main h1");
  };
  const says = (opened, text) => opened.getByText(text).first().waitFor();
  const toast = (text, opened = page) => opened.locator(hook("toast"), { hasText: text }).first().waitFor();
  const gone = (selector) => page.waitForSelector(selector, { state: "detached" });
  const state = (name) => page.waitForSelector(`${hook("login-state")}[data-state=${name}]`);
  const received = async (botId, to) => (await simulator.sent({ botId, to })).map(({ text }) => text);

  async function see(opened, name) {
    if (!process.env.WEIXIN_CONSOLE_SHOTS) return;
    mkdirSync(process.env.WEIXIN_CONSOLE_SHOTS, { recursive: true });
    await opened.screenshot({ path: path.join(process.env.WEIXIN_CONSOLE_SHOTS, `${name}.png`) });
  }

  /** What a phone reads off the screen, once that is another code than `before`: the simulator's name of it. */
  const scanned = (opened, before) => until("a code that a phone can read", async () => {
    const [, qrcode] = readCode(await opened.screenshot())?.match(/\/q\/([^?]+)\?/) ?? [];
    return qrcode !== before && qrcode;
  }, { timeoutMs: 30_000 });

  /** Messages for `one`, until there is one of that person. */
  const pulled = (peer) => until(`a message of ${peer}`, async () => {
    const { messages } = await one("inbound.pull", { waitMs: 2_000 });
    return messages.find(({ from }) => from === peer);
  }, { timeoutMs: 30_000 });

  test("the link that the hub prints signs in, once; a token of a backend does not, one of an admin does", async () => {
    await page.goto(hub.consoleUrl);
    await says(page, texts.en.noAccounts);
    assert.equal(new URL(page.url()).hash, "", "the code stays in the address");
    const [cookie] = await page.context().cookies();
    assert.ok(cookie.httpOnly && cookie.sameSite === "Strict", JSON.stringify(cookie));
    await see(page, "empty");

    const other = await open();
    await other.goto(hub.consoleUrl);
    await says(other, texts.en.signInLink);
    await other.fill(hook("sign-in-token"), await tokenOf("one", "backend"));
    await other.keyboard.press("Enter");
    await says(other, texts.en.signInRole);
    await see(other, "sign-in");
    await signIn(other);
    await other.click(hook("sign-out"));
    await other.waitForSelector(hook("sign-in-token"));
    await other.reload();
    await other.waitForSelector(hook("sign-in-token"));
    await other.context().close();
  });

  test("an account: its code is read off the screen, the number typed wrong, then right, and it receives", async () => {
    await page.click(hook("add-account"));
    const code = await scanned(page);
    await see(page, "login");
    await simulator.login(code, "scan");
    await state("scanned");
    await simulator.login(code, "need-code", { code: "4711" });
    await state("code_required");
    await see(page, "login-number");
    // The field has the focus.
    await page.keyboard.type("1234");
    await page.keyboard.press("Enter");
    await state("code_rejected");
    await page.keyboard.type("4711");
    await page.click(hook("login-code-submit"));
    await until("the number", async () => (await simulator.state()).logins.at(-1).status !== "need_verifycode");
    await simulator.login(code, "confirm", { userId: ann, botId: first });
    await state("confirmed");
    await see(page, "login-done");
    await page.click(hook("login-done"));
    await page.click(hook("nav-accounts"));
    await page.waitForSelector(`${row(first)} .state-polling`);
    assert.equal((await simulator.state()).bots.find(({ botId }) => botId === first).activePolls, 1);
  });

  test("a second account with a label: its code is replaced on the page when it runs out; with the third the login is over, and begins again", async () => {
    await page.click(hook("add-account"));
    const codes = [await scanned(page)];
    const [left] = await Promise.all([page.waitForRequest((request) => request.postData()?.includes("login.cancel")), page.keyboard.press("Escape")]);
    const { sessionKey } = JSON.parse(left.postData()).params;
    await until("the login that was left to end", async () => (await caller(adminToken)("hub.login", { sessionKey })).state === "cancelled");

    await page.click(hook("add-account"));
    codes.push(await scanned(page, codes.at(-1)));
    await page.locator("summary").click();
    await page.locator("[name=label]").fill(label);
    await see(page, "login-label");
    await page.keyboard.press("Enter");
    codes.push(await scanned(page, codes.at(-1)));
    for (const round of [1, 2]) {
      await simulator.login(codes.at(-1), "expire");
      await state("refreshed");
      codes.push(await scanned(page, codes.at(-1)));
      await see(page, `login-refreshed-${round}`);
    }
    // A login shows three codes.
    await simulator.login(codes.at(-1), "expire");
    await state("expired");
    await see(page, "login-expired");
    await page.click(hook("login-again"));
    codes.push(await scanned(page, codes.at(-1)));
    assert.equal(new Set(codes).size, 6);
    await simulator.login(codes.at(-1), "scan");
    await simulator.login(codes.at(-1), "confirm", { userId: ben, botId: second });
    await state("confirmed");
    await page.click(hook("login-done"));
    await page.waitForSelector(`${row(second)}:has-text("${label}") .state-polling`);
    await page.waitForSelector(`${row(first)} .state-polling`);
    await see(page, "accounts");
  });

  test("with the keyboard alone: signed in, a stranger approved who is told so and then reaches the backend", async () => {
    await simulator.write(first, eve, "let me in");
    const [told] = await simulator.sent({ botId: first, to: eve, count: 1, waitMs: 20_000 });
    const keys = await open();
    await keys.goto(hub.url);
    await keys.waitForSelector(hook("sign-in-token"));
    await keys.keyboard.type(adminToken);
    await keys.keyboard.press("Enter");
    await keys.waitForSelector(hook("nav-approvals"));
    /** Goes on with the tabulator until what has the focus is that, and visibly has it. */
    const tabTo = async (name) => {
      for (let presses = 0; presses < 60; presses += 1) {
        await keys.keyboard.press("Tab");
        // Behind the last one it leaves the page, and comes back.
        const [on, isSeen] = await keys.evaluate(() => [document.activeElement.dataset.test, getComputedStyle(document.activeElement).outlineStyle === "solid" || document.activeElement === document.body]);
        assert.ok(isSeen, `the focus on ${on} is not seen`);
        if (on === name) return;
      }
      assert.fail(`the tabulator does not lead to ${name}`);
    };
    await tabTo("nav-approvals");
    await keys.keyboard.press("Enter");
    await keys.waitForSelector(hook("approval-row"));
    const text = await keys.locator(hook("approval-row")).innerText();
    const [, pairing] = /\b([A-Z0-9]{6,})\b/.exec(text) ?? [];
    assert.ok(text.includes(eve) && told.text.includes(pairing), `${text}\n${told.text}`);
    await see(keys, "approvals");
    await tabTo("approve");
    await keys.keyboard.press("Enter");
    await toast(texts.en.approved.replace("{peer}", eve), keys);
    await keys.waitForSelector(hook("approval-row"), { state: "detached" });
    const [, approved] = await simulator.sent({ botId: first, to: eve, count: 2, waitMs: 20_000 });
    assert.match(approved.text, /approved|批准/);
    await keys.context().close();
    await simulator.write(first, eve, "may I now?");
    assert.equal((await pulled(eve)).text, "may I now?");
  });

  test("another stranger is denied", async () => {
    await simulator.write(first, mallory, "and me?");
    await page.click(hook("nav-approvals"));
    await page.click(`${hook("deny")}[data-peer="${mallory}"]`);
    await toast(texts.en.denied.replace("{peer}", mallory));
    await says(page, texts.en.noApprovals);
    const { waiting } = await caller(adminToken)("hub.approvals");
    assert.deepEqual(waiting, []);
  });

  const held = (queueId) => `${hook("held-row")}[data-queue=${queueId}]`;
  /** A send through a bad line: after a quarter of a minute it is held. */
  let offline;

  test("what is held is cancelled; what cannot be sent now is said why", async () => {
    await simulator.write(second, ben, "hello from ben");
    await pulled(ben);
    await simulator.fault({ endpoint: "sendmessage", kind: "status", value: 503, botId: second });
    offline = one("outbound.sendText", { accountId: idOf(second), to: ben, text: "through a bad line" });

    await simulator.write(first, ann, "hello from ann");
    await one("inbound.ack", { deliveryIds: [(await pulled(ann)).deliveryId] });
    const queued = [];
    for (let n = 1; n <= 13; n += 1) {
      const sent = await one("outbound.sendText", { accountId: idOf(first), to: ann, text: `answer ${n}` });
      if (sent.queueId) queued.push(sent.queueId);
    }
    assert.equal(queued.length, 3);
    await page.click(hook("nav-held"));
    for (const queueId of queued) await page.waitForSelector(held(queueId));
    await see(page, "held");

    await page.click(`${hook("held-cancel")}[data-queue=${queued[1]}]`);
    await see(page, "held-cancel");
    await page.click(hook("confirm"));
    await gone(held(queued[1]));
    await page.click(`${hook("held-send")}[data-queue=${queued[0]}]`);
    await toast(texts.en.reason_quota);
    await page.waitForSelector(held(queued[0]));

    await simulator.write(first, ann, "go on");
    for (const queueId of queued) await gone(held(queueId));
    const got = await until("what was held", async () => {
      const all = await received(first, ann);
      return all.includes("answer 13") && all;
    });
    assert.deepEqual(got.slice(10), ["answer 11", "answer 13"], "what was cancelled came, or the order is another");
  });

  test("a conversation's course is shown, what it says only on demand", async () => {
    const bodies = [];
    page.on("response", (response) => response.url().endsWith("/rpc") && bodies.push(response.text().catch(() => "")));
    await page.click(hook("nav-accounts"));
    await page.click(`${row(first)} a`);
    await page.waitForSelector(`${hook("peer-row")}[data-peer="${ann}"]`);
    await see(page, "account");
    await page.click(`${hook("peer-row")}[data-peer="${ann}"] a`);
    await page.waitForSelector(hook("trace-event"));
    // Thirteen answers, and what ann wrote.
    assert.equal(await page.locator(hook("trace-event")).count(), 15);
    const steps = (await page.locator(hook("trace-event")).allInnerTexts()).join("\n");
    for (const step of ["step_sent", "step_cancelled", "step_waiting", "step_taken"]) assert.ok(steps.includes(texts.en[step]), `${step}: ${steps}`);
    await see(page, "trace");
    const came = (await Promise.all(bodies)).join("");
    assert.ok(came.includes(ann) && !came.includes("hello from ann"), "what somebody wrote came to the page");
    await page.click(hook("trace-content"));
    await says(page, "hello from ann");
    await says(page, "answer 12");
    await see(page, "trace-content");
    await page.click(hook("nav-held"));
    await page.goBack();
    await page.waitForSelector(hook("trace-event"));
    assert.ok(!(await page.locator("main").innerText()).includes("hello from ann"), "it is still shown after coming back");
  });

  test("a token for a new backend: made, shown once, used, revoked, refused", async () => {
    const name = "客服-2";
    await page.click(hook("nav-backends"));
    await page.click(hook("new-backend"));
    await page.keyboard.type("no name");
    await page.click(hook("token-submit"));
    assert.ok(await page.locator(`${hook("backend-name")}:invalid`).count(), "a name with a blank is taken");
    await see(page, "new-backend");
    await page.fill(hook("backend-name"), name);
    await page.click(hook("token-submit"));
    const token = await page.locator(hook("token-value")).innerText();
    await see(page, "token");
    await page.click(hook("token-done"));
    const card = `${hook("backend")}[data-backend="${name}"]`;
    await page.waitForSelector(`${card} ${hook("token-row")}`);
    assert.ok(!(await page.content()).includes(token), "the token is still on the page");
    const theirs = caller(token);
    const { accounts } = await theirs("accounts.list");
    assert.deepEqual(accounts.map(({ accountId }) => accountId).sort(), [idOf(first), idOf(second)]);
    await theirs("inbound.pull");
    await page.waitForSelector(`${card} .badge:has-text("${texts.en.online}")`);
    await see(page, "backends");

    await page.click(`${card} ${hook("token-revoke")}`);
    await page.click(hook("confirm"));
    await gone(card);
    assert.deepEqual(await theirs("accounts.list"), { status: 401 });
    assert.equal((await one("accounts.list")).accounts.length, 2, "another's token was revoked too");
  });

  test("a viewer sees it all, and neither changes anything nor reads what people write", async () => {
    const viewer = await open();
    await viewer.goto(hub.url);
    await viewer.fill(hook("sign-in-token"), await tokenOf("watch", "viewer"));
    await viewer.click(hook("sign-in-submit"));
    await viewer.click(hook("nav-accounts"));
    await viewer.click(hook("add-account"));
    await viewer.waitForSelector(`${hook("login-state")}[data-state=failed]`);
    await says(viewer, /needs an admin's token/);
    await see(viewer, "viewer");
    await viewer.keyboard.press("Escape");
    await goTo(viewer, "trace", { account: idOf(first), peer: ann });
    await viewer.click(hook("trace-content"));
    await says(viewer, /needs an admin's token/);
    await viewer.waitForSelector(`${hook("trace-content")}[aria-pressed=false]`);
    await see(viewer, "viewer-trace");
    assert.ok(!(await viewer.locator("main").innerText()).includes("hello from ann"));
    // With its token the session ends.
    await page.click(`${hook("backend")}[data-backend=watch] ${hook("token-revoke")}`);
    await page.click(hook("confirm"));
    await says(viewer, texts.en.signInAgain);
    await viewer.context().close();
  });

  test("what the network kept back is sent now", async () => {
    await page.click(hook("nav-held"));
    const { queueId, heldReason } = await offline;
    assert.equal(heldReason, "offline");
    await page.waitForSelector(`${held(queueId)}:has-text("${texts.en.reason_offline}")`);
    await simulator.clearFaults();
    await page.click(`${hook("held-send")}[data-queue=${queueId}]`);
    await toast(texts.en.step_sent);
    await gone(held(queueId));
    assert.deepEqual(await received(second, ben), ["through a bad line"]);
    await says(page, texts.en.noHeld);
  });

  test("while the hub is away the page says so; when it is back, one signs in again and is where one was", async () => {
    await page.click(hook("nav-accounts"));
    await page.waitForSelector(row(first));
    await hub.service.stop(10_000);
    await says(page, texts.en.unreachable);
    await see(page, "away");
    await addCrowd();
    await startHub(new URL(hub.url).host);
    await says(page, texts.en.signInAgain);
    await page.fill(hook("sign-in-token"), adminToken);
    await page.keyboard.press("Enter");
    await page.waitForSelector(row(first));
  });

  /** A thousand accounts more, as the official plugin leaves them. */
  async function addCrowd() {
    const bots = [];
    for (let n = 0; n < CROWD; n += 50) {
      bots.push(...(await Promise.all(Array.from({ length: 50 }, (_, k) => simulator.addBot({ botId: crowd(n + k), userId: `owner-${n + k}@im.wechat` })))));
    }
    const channel = path.join(folder, "openclaw-weixin");
    for (const { accountId, token, userId } of bots) {
      const saved = { token, savedAt: new Date().toISOString(), baseUrl: simulator.url, userId };
      writeFileSync(path.join(channel, "accounts", `${accountId}.json`), JSON.stringify(saved), { mode: 0o600 });
    }
    writeFileSync(path.join(channel, "accounts.json"), JSON.stringify([idOf(first), idOf(second), ...bots.map(({ accountId }) => accountId)]));
  }

  test("a thousand accounts: all receive, are listed, searched, sorted, paged, filtered, stopped and started", { timeout: 120_000 }, async () => {
    const rows = page.locator(hook("account-row"));
    const finds = async (count) => {
      await page.getByText(texts.en.found.replace("{n}", new Intl.NumberFormat("en").format(count)), { exact: true }).waitFor();
      return await rows.count();
    };

    await page.click(hook("nav-overview"));
    const all = CROWD + 2;
    await page.waitForFunction((polling) => document.querySelector(".legend li b")?.textContent === polling, new Intl.NumberFormat("en").format(all - 1));
    await see(page, "overview-crowd");
    await page.click(hook("nav-accounts"));
    assert.equal(await finds(all), 50);
    await see(page, "accounts-crowd");
    await page.locator("th[data-column=main] button").click();
    await page.waitForSelector("th[data-column=main][aria-sort=ascending]");
    await says(page, "1–50 of 1,002");
    const ids = () => rows.evaluateAll((nodes) => nodes.map((node) => node.dataset.account));
    const lists = (what, wanted) => until(what, async () => wanted(await ids()), { timeoutMs: 20_000 });
    await lists("the first names", (found) => found.at(-1) === idOf(crowd(48)) && found.join() === [...found].sort().join());
    for (let turn = 1; turn <= 20; turn += 1) {
      await page.click(hook("next"));
      await says(page, `${new Intl.NumberFormat("en").format(turn * 50 + 1)}–`);
    }
    // Those whose label or name is Chinese are the last of them.
    await page.waitForSelector(`${hook("next")}:disabled`);
    await lists("the last names", (found) => found.join() === [idOf(second), named.accountId].join());
    await see(page, "accounts-last-page");

    await page.keyboard.press("/");
    await page.keyboard.type("night SHIFT");
    assert.equal(await finds(1), 1);
    assert.equal(await rows.getAttribute("data-account"), named.accountId);
    await page.fill(hook("search"), "owner-77@");
    await page.waitForSelector(row(crowd(77)));
    assert.equal(await finds(1), 1);
    await page.fill(hook("search"), "nobody");
    await says(page, texts.en.noMatch);
    await page.fill(hook("search"), "");
    await finds(all);
    await page.selectOption(hook("state-filter"), "stopped");
    assert.equal(await finds(1), 1);
    assert.equal(await rows.getAttribute("data-account"), switchedOff);
    await page.selectOption(hook("state-filter"), "");
    await finds(all);

    await page.check(hook("select-page"));
    await see(page, "accounts-selected");
    const bulk = page.locator(".bulk");
    await bulk.getByRole("button", { name: texts.en.stop, exact: true }).click();
    await toast(texts.en.stopped.replace("{n}", "50"));
    await page.selectOption(hook("state-filter"), "stopped");
    await until("fifty that are stopped", async () => (await one("status.get")).accounts.filter((account) => account.state === "stopped").length >= 50);
    await page.selectOption(hook("state-filter"), "");
    await bulk.getByRole("button", { name: texts.en.start, exact: true }).click();
    await toast(texts.en.started.replace("{n}", "50"));
    await until("those fifty to receive again", async () => (await one("status.get")).accounts.filter((account) => account.state === "polling").length >= all - 1);
    await bulk.getByRole("button", { name: texts.en.clear }).click();
  });

  test("two accounts whose logins expired are told of, and log in again one after the other", async () => {
    for (const botId of [first, second]) await simulator.expire(botId);
    await page.click(hook("nav-overview"));
    const alert = page.locator(`${hook("alert")}[data-kind=login_expired]`);
    await alert.getByRole("link", { name: idOf(first) }).waitFor();
    await alert.getByRole("link", { name: idOf(second) }).waitFor();
    await see(page, "alert");
    await alert.locator(hook("alert-login")).click();
    let code;
    for (const round of [1, 2]) {
      await says(page, `${round} of 2`);
      code = await scanned(page, code);
      const botId = (await page.locator("dialog h2").innerText()).includes(idOf(first)) ? first : second;
      await simulator.login(code, "scan");
      await simulator.login(code, "confirm", { userId: botId === first ? ann : ben, botId });
      await state("confirmed");
    }
    await says(page, "Logged in: 2 of 2.");
    await see(page, "login-both");
    await page.click(hook("login-done"));
    await alert.waitFor({ state: "detached" });
  });

  test("an account is stopped, started, and removed after a question", async () => {
    const which = { id: idOf(crowd(3)) };
    await goTo(page, "account", which);
    await page.click(hook("account-stop"));
    await page.waitForSelector("h1 .state-stopped");
    await page.click(hook("account-start"));
    await page.waitForSelector("h1 .state-polling");
    await page.click(hook("account-remove"));
    await see(page, "remove");
    await page.keyboard.press("Escape");
    await gone("dialog");
    assert.ok((await one("accounts.list")).accounts.some(({ accountId }) => accountId === which.id));
    await page.click(hook("account-remove"));
    await page.click(hook("confirm"));
    await page.waitForSelector(hook("account-row"));
    assert.ok(!(await one("accounts.list")).accounts.some(({ accountId }) => accountId === which.id));
  });

  test("in Chinese and in English, light and dark, on a phone of 360 pixels: all of it fits, and codes can be read", async () => {
    // So that no screen is empty.
    await simulator.write(second, "eva@im.wechat", "hello?");
    for (let n = 1; n <= 11; n += 1) await one("outbound.sendText", { accountId: idOf(first), to: eve, text: `more ${n}` });
    const kinds = [
      ["phone-zh-dark", { viewport: { width: 360, height: 740 }, locale: "zh-CN", colorScheme: "dark", deviceScaleFactor: 2 }],
      ["phone-en-light", { viewport: { width: 360, height: 740 }, locale: "en-US", colorScheme: "light", deviceScaleFactor: 2 }],
      ["wide-zh-light", { locale: "zh-CN", colorScheme: "light" }],
      ["wide-en-dark", { locale: "en-GB", colorScheme: "dark" }],
    ];
    await Promise.all(kinds.map(async ([name, options], number) => {
      const opened = await open(options);
      const language = options.locale === "zh-CN" ? "zh-CN" : "en";
      const say = texts[language];
      await signIn(opened);
      assert.equal(await opened.evaluate(() => document.documentElement.lang), language);
      const fits = async (screen) => {
        const over = await opened.evaluate(() => {
          const limit = document.querySelector("dialog[open]") ?? document.querySelector("main");
          const { right } = limit.getBoundingClientRect();
          const wide = [...limit.querySelectorAll("*")].filter((node) => node.getBoundingClientRect().right > right + 1);
          const page = document.documentElement.scrollWidth - innerWidth;
          return page > 0 || wide.length ? [page, ...wide.slice(0, 3).map((node) => node.outerHTML.slice(0, 120))] : [];
        });
        assert.deepEqual(over, [], `${name} ${screen}: too wide`);
        await see(opened, `${name}-${screen}`);
      };
      const isDark = await opened.evaluate(() => /^rgb\((\d+)/.exec(getComputedStyle(document.body).backgroundColor)[1] < 64);
      assert.equal(isDark, options.colorScheme === "dark");
      for (const screen of SCREENS) {
        await opened.click(hook(`nav-${screen}`));
        await opened.waitForSelector(`h1:text-is("${say[screen]}")`);
        if (screen !== "overview" && screen !== "trace") await opened.waitForSelector("tbody .main, [data-test=backend]");
        await fits(screen);
      }
      await goTo(opened, "trace", { account: idOf(first), peer: ann });
      await opened.waitForSelector(hook("trace-event"));
      await opened.click(hook("trace-content"));
      await says(opened, "hello from ann");
      await fits("trace-content");
      await goTo(opened, "account", { id: idOf(first) });
      await opened.waitForSelector(hook("peer-row"));
      await fits("account");
      // Each another one: of an account one login is under way at a time.
      await goTo(opened, "account", { id: idOf(crowd(100 + number)) });
      await opened.click(hook("account-login"));
      const code = await scanned(opened);
      await fits("login");
      await simulator.login(code, "need-code", { code: "1" });
      await opened.waitForSelector(hook("login-code"));
      await fits("login-number");
      await opened.keyboard.press("Escape");
      await opened.click(hook("nav-backends"));
      await opened.click(hook("new-backend"));
      await fits("new-backend");
      await opened.keyboard.press("Escape");
      // What was chosen holds in the next visit.
      await opened.selectOption(hook("language"), language === "en" ? "zh-CN" : "en");
      await opened.waitForSelector(`h1:text-is("${texts[language === "en" ? "zh-CN" : "en"].backends}")`);
      await opened.reload();
      await opened.waitForSelector(`h1:text-is("${texts[language === "en" ? "zh-CN" : "en"].backends}")`);
      await opened.context().close();
    }));
  });

  test("no page complained of anything", () => assert.deepEqual(problems, []));
});
