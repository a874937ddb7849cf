// The hub's console: screens that are drawn from what the hub answers, again every few seconds.
import { languages, texts } from "./texts.js";

const PAGE = 50;
const STATES = ["polling", "starting", "backoff", "paused", "stopped", "superseded"];
const ROLES = ["backend", "viewer", "admin"];
/** What the hub takes as the name of a backend. */
const NAME = "[\\p{Alphabetic}\\p{N}_.\\-]+";
const LOGIN_ENDS = new Set(["confirmed", "already_connected", "expired", "failed", "cancelled"]);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/* ---------- language, numbers, times ---------- */

const LANGUAGE = "hub.language";
const recalled = () => { try { return localStorage.getItem(LANGUAGE); } catch { return null; } };
let language = recalled() in languages ? recalled() : /^zh/i.test(navigator.language) ? "zh-CN" : "en";

const t = (key, values = {}) => (texts[language][key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
/** The text for one of the hub's own words; one that is not known is shown as it is. */
const word = (family, name) => texts[language][`${family}_${name}`] ?? name;
const number = (n) => new Intl.NumberFormat(language).format(n ?? 0);

const STEPS = [["day", 86400e3], ["hour", 3600e3], ["minute", 60e3], ["second", 1e3]];
function ago(ms) {
  // The two clocks may differ a little; nothing that the hub reports lies ahead.
  const past = Math.max(0, Date.now() - ms);
  const [unit, length] = STEPS.find(([, length]) => past >= length) ?? STEPS.at(-1);
  return new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "short" }).format(-Math.floor(past / length), unit);
}
const clock = (ms, style) => new Intl.DateTimeFormat(language, style).format(ms);
const moment = (ms) => clock(ms, { month: "numeric", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const exactly = (ms) => clock(ms, { dateStyle: "medium", timeStyle: "medium" });
const time = (ms, say = ago) => (ms ? h("time", { datetime: new Date(ms).toISOString(), title: exactly(ms) }, say(ms)) : t("none"));

/* ---------- drawing ---------- */

// What is on the page is changed into what is wanted, not replaced: focus, selection, scroll and what is typed stay where they are.
// Children without a key are matched by place (so an absent one leaves an empty text there), those with a key by their key.
const h = (tag, props, ...children) => ({ tag, props: props ?? {}, key: props?.key, children: plain(children) });
const plain = (children) => children.flat(Infinity).map((child) => (child == null || child === false ? "" : child.tag ? child : String(child)));

const SVG = "http://www.w3.org/2000/svg";
const PROPERTIES = new Set(["checked", "indeterminate", "disabled", "value"]);
const matches = (node, wanted) => (wanted.tag ? node.localName === wanted.tag : node.nodeType === Node.TEXT_NODE);
const create = (wanted, parent) => (wanted.tag ? document.createElementNS(wanted.tag === "svg" ? SVG : parent.namespaceURI, wanted.tag) : document.createTextNode(wanted));

function reconcile(parent, wanted) {
  const keys = new Set(wanted.map((one) => one.key));
  const keyed = new Map();
  for (const node of [...parent.childNodes]) {
    if (node.key === undefined) continue;
    if (keys.has(node.key)) keyed.set(node.key, node);
    else node.remove();
  }
  let at = parent.firstChild;
  for (const one of wanted) {
    const found = one.key === undefined ? (at?.key === undefined ? at : null) : keyed.get(one.key);
    let node = found;
    if (!found || !matches(found, one)) {
      node = create(one, parent);
      node.key = one.key;
      if (found === at) at = at?.nextSibling ?? null;
      found?.remove();
    }
    if (node === at) at = at.nextSibling;
    else parent.insertBefore(node, at);
    if (one.tag) update(node, one);
    else if (node.data !== one) node.data = one;
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function update(node, { props, children }) {
  const before = node.props ?? {};
  for (const name of new Set([...Object.keys(before), ...Object.keys(props)])) if (name !== "key" && name !== "value") put(node, name, props[name], before[name]);
  node.props = props;
  reconcile(node, children);
  // After the children: a select needs its options. And only a new value, or what somebody types would be undone by the next refresh.
  if ("value" in props && props.value !== before.value && node.value !== String(props.value)) node.value = props.value;
}

function put(node, name, value, before) {
  if (name.startsWith("on")) node[name] = value ? (event) => handle(value, event) : null;
  else if (PROPERTIES.has(name)) { if (node[name] !== value) node[name] = value ?? false; }
  else if (value === before) return;
  else if (value == null || value === false) node.removeAttribute(name);
  else node.setAttribute(name, value === true ? "" : value);
}

/** Runs what a person asked for: not twice at once, and its failure is told. */
async function handle(work, event) {
  const node = event.currentTarget;
  const guarded = event.type === "click" || event.type === "submit";
  if (event.type === "submit") event.preventDefault();
  // Not `disabled`: that takes the focus away.
  if (guarded && node.hasAttribute("aria-busy")) return;
  const running = work(event);
  if (!(running instanceof Promise)) return;
  if (guarded) node.setAttribute("aria-busy", "true");
  try { await running; } catch (error) { complain(error); } finally { if (guarded) node.removeAttribute("aria-busy"); }
}

const app = document.getElementById("app");
function paint() {
  const focused = document.activeElement;
  document.documentElement.lang = language;
  document.title = [model.signedIn === false ? t("signIn") : model.screen?.title(model), t("product")].filter(Boolean).join(" · ");
  reconcile(app, model.signedIn === undefined ? [] : model.signedIn ? shell() : signInPage());
  if (focused === document.activeElement || focused === document.body) return;
  if (focused.isConnected) focused.focus({ preventScroll: true });
  else if (!document.querySelector("dialog[open]")) document.getElementById("main")?.focus({ preventScroll: true });
}

/* ---------- the hub ---------- */

/** The hub's answer was no. */
class Refusal extends Error {
  constructor(message, kind) {
    super(message);
    this.kind = kind;
  }
}

let calls = 0;
async function call(method, params = {}, signal) {
  const body = JSON.stringify({ jsonrpc: "2.0", id: (calls += 1), method, params });
  const response = await fetch("/rpc", { method: "POST", headers: { "content-type": "application/json" }, body, signal, cache: "no-store" });
  if (response.status === 401) {
    if (model.signedIn) signedOut(t("signInAgain"));
    throw new Refusal(t("signInAgain"), "unauthorized");
  }
  const { error, result } = await response.json();
  if (error) throw new Refusal(error.message, error.data?.kind);
  return result;
}

async function signIn(credentials) {
  const response = await fetch("/session", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(credentials) });
  if (response.ok) {
    Object.assign(model, { signedIn: true, signInProblem: undefined });
    return void visitRoute();
  }
  const known = { 401: credentials.code ? "signInLink" : "signInWrong", 403: "signInRole", 429: "signInMany" };
  const problem = t(known[response.status] ?? "unreachable");
  if (!credentials.code) return void signedOut(problem);
  // An old link harms no session that is still good.
  model.signInProblem = problem;
  visitRoute();
}

function signedOut(problem) {
  visit += 1;
  clearTimeout(timer);
  Object.assign(model, { signedIn: false, signInProblem: problem, overview: undefined, data: undefined, screen: undefined });
  selected.clear();
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  paint();
  document.querySelector("[name=token]").focus();
}

/* ---------- what is shown, and its refreshing ---------- */

const model = { signedIn: undefined, signInProblem: undefined, overview: undefined, name: "", screen: undefined, params: {}, data: undefined, failure: undefined, unreachable: false };
/** Accounts that are ticked, with their names; over pages and refreshes. */
const selected = new Map();
/** Counts what was opened: an answer for something that was left is not shown. */
let visit = 0;
let timer;

const link = (name, params = {}) => {
  const query = String(new URLSearchParams(Object.entries(params).filter(([, value]) => value !== undefined && value !== "")));
  return `#/${name}${query && `?${query}`}`;
};

// Going back leads to where one was on a page; a link to its top.
const places = new Map();
let followed = false;
let here = location.hash;
document.addEventListener("click", (event) => { if (event.target.closest?.("a")) followed = true; });

async function visitRoute() {
  const code = /^#code=(.+)$/.exec(location.hash)?.[1];
  if (code) {
    history.replaceState(null, "", location.pathname);
    await signIn({ code }).catch(() => signedOut(t("unreachable")));
    return;
  }
  const top = followed ? 0 : (places.get(location.hash) ?? 0);
  [here, followed] = [location.hash, false];
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const name = path || "overview";
  const screen = Object.hasOwn(screens, name) ? screens[name] : missing;
  const moved = model.screen !== undefined;
  Object.assign(model, { name, screen, params: Object.fromEntries(new URLSearchParams(query)), data: undefined, failure: undefined });
  Object.assign(local, { people: "", content: false, allAlerts: new Set() });
  const loading = load();
  paint();
  if (moved) document.getElementById("main")?.focus({ preventScroll: true });
  await loading;
  scrollTo(0, top);
}

/** Changes the route's parameters without leaving the screen. */
function adjust(params, delay = 0) {
  Object.assign(model.params, params);
  history.replaceState(null, "", link(model.name, model.params));
  here = location.hash;
  clearTimeout(timer);
  visit += 1;
  timer = setTimeout(load, delay);
  paint();
}

async function load() {
  clearTimeout(timer);
  const { screen, params } = model;
  if (!screen) return;
  const mine = (visit += 1);
  try {
    const [overview, data] = await Promise.allSettled([call("hub.overview"), screen.load?.(params)]);
    if (mine !== visit) return;
    if (overview.status === "rejected") throw overview.reason;
    Object.assign(model, { signedIn: true, overview: overview.value, unreachable: false });
    if (data.status === "fulfilled") Object.assign(model, { data: data.value, failure: undefined });
    else if (data.reason instanceof Refusal) model.failure = data.reason;
    else throw data.reason;
  } catch (error) {
    if (mine !== visit) return;
    if (error.kind === "unauthorized") return void signedOut(model.signInProblem);
    if (error instanceof Refusal) model.failure = error;
    else model.unreachable = true;
    model.signedIn ??= true;
  }
  paint();
  if (!document.hidden) timer = setTimeout(load, screen.every ?? 5000);
}

document.addEventListener("visibilitychange", () => { if (model.signedIn) document.hidden ? clearTimeout(timer) : load(); });
// The address changes before the page does; what is scrolled in between is neither's.
addEventListener("scroll", () => { if (here === location.hash) places.set(here, scrollY); }, { passive: true });
addEventListener("hashchange", visitRoute);
addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog")) return;
  const field = document.querySelector("[data-test=search]");
  if (field) { event.preventDefault(); field.focus(); field.select(); }
});

/* ---------- small parts ---------- */

/** Tells a thing in passing. A modal dialog hides what is outside of it, so that the texts go where the person is. */
const toasts = document.getElementById("toasts");
function toast(text, kind = "done") {
  ([...document.querySelectorAll("dialog[open]")].at(-1) ?? document.body).append(toasts);
  const node = document.createElement("p");
  node.className = kind;
  node.dataset.test = "toast";
  node.textContent = text;
  toasts.append(node);
  setTimeout(() => node.remove(), kind === "done" ? 4000 : 9000);
}
const complain = (error) => { if (error.kind !== "unauthorized" && error.name !== "AbortError") toast(error instanceof Refusal ? error.message : t("unreachable"), "problem"); };

async function copy(text, node) {
  try {
    await navigator.clipboard.writeText(text);
    toast(t("copied"));
  } catch {
    // Without TLS a page that is not on loopback may not copy.
    if (node) getSelection().selectAllChildren(node);
    toast(t("notCopied"), "problem");
  }
}

const button = (text, onclick, { kind = "", test, ...props } = {}) => h("button", { type: "button", class: kind, onclick, "data-test": test, ...props }, text);
const badge = (kind, text) => h("span", { class: `badge ${kind}` }, text);
const note = (text) => h("p", { class: "note" }, text);
const empty = (text, ...more) => h("div", { class: "empty" }, h("p", null, text), more);
const mono = (text) => h("span", { class: "mono" }, text ?? t("none"));
const field = (label, input, hint) => h("label", { class: "field" }, h("span", null, label), input, hint && h("small", null, hint));
const input = (name, props) => h("input", { name, autocomplete: "off", spellcheck: "false", ...props });
const searchField = (label, value, oninput) => input(null, { type: "search", class: "search", "aria-label": label, placeholder: label, "data-test": "search", value, oninput: (event) => oninput(event.target.value) });
const checkbox = (label, checked, set, props) => input(null, { type: "checkbox", "aria-label": label, checked, onchange: (event) => { set(event.target.checked); paint(); }, ...props });
const options = (family, values) => values.map((value) => h("option", { value, key: value }, word(family, value)));
const accountLink = (id) => h("a", { class: "mono", href: link("account", { id }) }, id);
const warning = (text) => h("p", { class: "warning", role: "alert" }, text);
const facts = (list) => h("dl", { class: "facts" }, list.filter(([, value]) => value != null && value !== "").map(([key, value]) => h("div", { key }, h("dt", null, t(key)), h("dd", null, value))));
const heading = (text, ...tools) => h("div", { class: "heading" }, h("h1", null, text), h("div", { class: "tools" }, tools));

const icon = (path) => h("svg", { viewBox: "0 0 20 20", "aria-hidden": "true" }, h("path", { d: path }));
const ICONS = {
  overview: "M3 10.5 10 4l7 6.5M5 9v7h10V9", accounts: "M10 9.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM4 16.5c.6-3.2 3-4.8 6-4.8s5.4 1.6 6 4.8",
  backends: "M3.5 4h13v4.5h-13zM3.5 11.5h13V16h-13zM6.5 6.2h.1M6.5 13.7h.1", approvals: "M10 3 4 5.5v4c0 3.8 2.5 6.3 6 7.5 3.5-1.2 6-3.7 6-7.5v-4ZM7.3 10l2 2 3.5-3.8",
  held: "M5.5 3.5h9M5.5 16.5h9M6.5 3.5c0 4 7 9 7 13M13.5 3.5c0 4-7 9-7 13", trace: "M5 4v12M5 6h7M5 14h7M14.5 6h.1M14.5 14h.1",
};

const ACTIONS = { name: "do", title: "" };
const columns = (first, ...others) => [{ name: "main", title: t(first) }, ...others.map((key) => ({ name: key, title: t(key) }))];

/** A table; on a phone its rows are cards, whose cells say their column's name. */
function table(label, columns, rows) {
  const head = ({ name, title, sort, control }) => h("th", { scope: "col", class: name, "data-column": name, "aria-sort": sort?.now }, control ?? (sort
    ? button([title, h("span", { class: "arrow", "aria-hidden": "true" }, { ascending: "▲", descending: "▼" }[sort.now] ?? "↕")], sort.turn, { kind: "plain", "aria-label": t("sortBy", { column: title }) })
    : title || h("span", { class: "hidden" }, t("actions"))));
  const naming = columns[0].control ? 1 : 0;
  const cell = ({ name, title }, index, content) => h(index === naming ? "th" : "td", { class: name, scope: index === naming ? "row" : null, "data-label": title }, content);
  return h("table", null, h("caption", { class: "hidden" }, label), h("thead", null, h("tr", null, columns.map(head))),
    h("tbody", null, rows.map((row) => h("tr", row.props, columns.map((column, index) => cell(column, index, row.cells[index]))))));
}

const pageOf = ({ page }) => Math.max(0, Number.parseInt(page, 10) || 0);
async function paged(method, list, params, asked) {
  const page = pageOf(params);
  const found = await call(method, { ...asked, query: params.q || undefined, offset: page * PAGE, limit: PAGE });
  // The page that was open may have gone.
  if (found[list].length === 0 && found.total > 0 && page > 0) adjust({ page: Math.ceil(found.total / PAGE) - 1 });
  return found;
}

function pager(total, params) {
  const page = pageOf(params);
  if (total <= PAGE) return null;
  const turn = (to) => () => { adjust({ page: to || undefined }); scrollTo(0, 0); };
  const range = t("range", { from: number(page * PAGE + 1), to: number(Math.min(total, (page + 1) * PAGE)), total: number(total) });
  return h("div", { class: "pager" },
    button(t("previous"), turn(page - 1), { disabled: page === 0, test: "previous" }), h("span", null, range),
    button(t("next"), turn(page + 1), { disabled: (page + 1) * PAGE >= total, test: "next" }));
}

/* ---------- dialogs ---------- */

function openDialog(title, view, onclose) {
  const node = document.createElement("dialog");
  node.setAttribute("aria-labelledby", "dialog-title");
  const dialog = {
    node,
    paint: () => reconcile(node, plain([
      h("div", { class: "dialog-head" },
        h("h2", { id: "dialog-title" }, typeof title === "function" ? title() : title),
        button("×", () => node.close(), { kind: "plain close", "aria-label": t("close") })),
      view(dialog),
    ])),
    close: () => node.close(),
  };
  node.addEventListener("close", () => {
    document.body.append(toasts);
    node.remove();
    onclose?.();
  });
  document.body.append(node);
  dialog.paint();
  node.showModal();
  return dialog;
}

/** Whether the person pressed the button that names what will happen. */
const confirmed = (title, text, action, refuse = t("cancel")) => new Promise((resolve) => {
  let sure = false;
  openDialog(title, (dialog) => [
    h("p", null, text),
    h("div", { class: "actions" }, button(refuse, dialog.close, { autofocus: true }), button(action, () => { sure = true; dialog.close(); }, { kind: "danger", test: "confirm" })),
  ], () => resolve(sure));
});

/** One login after the other. Each of `queue` is an account to log in again, or `{}` for a new one. */
function logIn(queue) {
  const now = { at: 0, state: "preparing", message: "", picture: "", link: "", account: undefined, label: "", connected: 0 };
  let session, running;
  const last = () => now.at === queue.length - 1;
  const next = () => { now.at += 1; begin(); };
  const dialog = openDialog(() => (queue[now.at].accountId ? t("loginFor", { name: queue[now.at].name }) : t("loginTitle")), draw, () => { leave(); load(); });
  begin();

  function leave() {
    running?.abort();
    if (session && !LOGIN_ENDS.has(now.state)) call("login.cancel", { sessionKey: session }).catch(() => {});
    session = undefined;
  }
  function take({ state = now.state, message = "", qrPngDataUrl = now.picture, qrUrl = now.link, accountId }) {
    Object.assign(now, { state, message, picture: qrPngDataUrl, link: qrUrl, account: accountId });
    const asked = dialog.node.querySelector("input[name=code]") !== null;
    dialog.paint();
    if (!asked) dialog.node.querySelector("input[name=code]")?.focus();
  }
  async function begin(label = now.label) {
    leave();
    now.label = label;
    const mine = (running = new AbortController());
    take({ state: "preparing", qrPngDataUrl: "", qrUrl: "" });
    try {
      const started = await call("login.start", { accountId: queue[now.at].accountId, label: label || undefined, force: true });
      if (mine.signal.aborted) return void call("login.cancel", { sessionKey: started.sessionKey }).catch(() => {});
      session = started.sessionKey;
      take({ ...started, state: "waiting" });
      await follow(mine.signal);
    } catch (error) {
      if (!mine.signal.aborted) take({ state: "failed", message: error instanceof Refusal ? error.message : t("unreachable") });
      return;
    }
    if (mine.signal.aborted || !["confirmed", "already_connected"].includes(now.state)) return;
    now.connected += 1;
    dialog.paint();
    const other = now.account && queue[now.at].accountId && now.account !== queue[now.at].accountId;
    if (last() || other) return;
    await pause(1500);
    if (!mine.signal.aborted) next();
  }
  async function follow(signal) {
    for (let after; !signal.aborted && !LOGIN_ENDS.has(now.state);) {
      const asked = Date.now();
      try {
        const answer = await call("hub.login", { sessionKey: session, waitMs: 20000, after }, signal);
        if (signal.aborted) return;
        // A hub that does not wait is not asked without a pause.
        if (answer.version === after && Date.now() - asked < 1000) await pause(1000);
        after = answer.version;
        take(answer);
      } catch (error) {
        if (signal.aborted || error instanceof Refusal) throw error;
        take({ message: t("unreachable") });
        await pause(2000);
      }
    }
  }
  function draw(dialog) {
    const over = LOGIN_ENDS.has(now.state);
    const fine = now.state === "confirmed" || now.state === "already_connected";
    const used = over || ["scanned", "code_required", "code_rejected"].includes(now.state);
    const wanted = queue[now.at].accountId;
    // The hub's own words matter where ours do not say the cause, or where it adds a list of them.
    const detail = now.state === "expired" ? now.message.split("\n").slice(1).join("\n") : now.message;
    const more = detail && (["failed", "preparing"].includes(now.state) || detail.includes("\n") || detail === t("unreachable") || !texts[language][`login_${now.state}`]);
    return [
      queue.length > 1 && h("p", { class: "note" }, t("loginStep", { at: now.at + 1, total: queue.length })),
      h("div", { class: `code-frame${used ? " used" : ""}` }, now.picture && h("img", { src: now.picture, alt: t("qrAlt"), "data-test": "qr", onload: crisp })),
      h("p", { class: `login-state ${fine ? "good" : over ? "bad" : ""}`, role: "status", "data-test": "login-state", "data-state": now.state }, word("login", now.state)),
      more && h("p", { class: "note lines" }, detail),
      fine && wanted && now.account && now.account !== wanted && h("p", { class: "warning" }, t("loginOther", { id: now.account })),
      ["code_required", "code_rejected"].includes(now.state) && h("form", { class: "inline", key: "code", onsubmit: submitCode },
        field(t("loginNumber"), input("code", { inputmode: "numeric", autocomplete: "one-time-code", required: true, maxlength: 12, "data-test": "login-code" })),
        h("button", { class: "primary", "data-test": "login-code-submit" }, t("submit"))),
      // WeChat takes the label at the start of a login, so another label means another code.
      !wanted && !used && h("details", { key: "label" }, h("summary", null, t("loginAddLabel")),
        h("form", { class: "inline", onsubmit: (event) => void begin(event.target.elements.label.value.trim()) },
          field(t("loginLabel"), input("label", { maxlength: 64 })), h("button", null, t("loginWithLabel")))),
      over && queue.length > 1 && last() && h("p", { class: "note" }, t("loginDone", { n: now.connected, total: queue.length })),
      h("div", { class: "actions" },
        now.link && !used && button(t("copyLink"), () => copy(now.link)),
        over && !fine && button(t("tryAgain"), () => void begin(), { kind: "primary", test: "login-again" }),
        !last() && button(over && fine ? t("next") : t("skipAccount"), next),
        fine && last() && button(t("done"), dialog.close, { kind: "primary", test: "login-done" })),
    ];
  }
  async function submitCode(event) {
    const input = event.target.elements.code;
    await call("login.submitCode", { sessionKey: session, code: input.value.trim() });
    input.value = "";
  }
}

/** Modules of the code become whole pixels where they fit: the hub draws them 8 pixels wide. */
function crisp({ target }) {
  const modules = target.naturalWidth / 8;
  const whole = Math.floor(312 / modules) * modules;
  target.width = target.height = whole >= 280 ? whole : 296;
}

/** A backend is there from its first token on. Without `backend` its name is asked for. */
function createToken(backend) {
  let made;
  let role = ROLES[0];
  const create = async ({ target: { elements } }) => {
    const name = backend ?? elements.backend.value.trim();
    const accounts = elements.accounts.value.split(/[\s,]+/).filter(Boolean);
    made = await call("hub.tokens.create", { backend: name, role, accounts: accounts.length ? accounts : undefined });
    backend = name;
    dialog.paint();
    dialog.node.querySelector(".primary")?.focus();
  };
  const dialog = openDialog(() => (backend ? t("createTokenFor", { backend }) : t("newBackend")), (dialog) => (made ? [
    h("code", { class: "secret", key: "value", "data-test": "token-value" }, made.token),
    h("p", { class: "warning", key: "once" }, t("tokenOnce")),
    h("div", { class: "actions", key: "made" }, button(t("copy"), () => copy(made.token, dialog.node.querySelector("code")), { kind: "primary" }), button(t("done"), dialog.close, { test: "token-done" })),
  ] : [h("form", { key: "form", onsubmit: create },
    !backend && field(t("backendName"), input("backend", { required: true, maxlength: 64, pattern: NAME, title: t("backendNameHint"), autofocus: true, "data-test": "backend-name" }), t("backendNameHint")),
    field(t("role"), h("select", { name: "role", value: role, onchange: (event) => { role = event.target.value; dialog.paint(); } }, options("role", ROLES)), word("roleHint", role)),
    field(t("tokenAccounts"), h("textarea", { name: "accounts", rows: 3, spellcheck: "false", autocomplete: "off" }), t("tokenAccountsHint")),
    h("div", { class: "actions" }, button(t("cancel"), dialog.close), h("button", { class: "primary", "data-test": "token-submit" }, t("createToken"))))]), load);
}

/* ---------- frame and sign-in ---------- */

const languageChoice = () => h("select", { class: "language", "aria-label": t("language"), "data-test": "language", value: language, onchange: (event) => {
  language = event.target.value;
  try { localStorage.setItem(LANGUAGE, language); } catch { /* It holds for this page then. */ }
  paint();
} }, Object.entries(languages).map(([code, name]) => h("option", { value: code, key: code, lang: code }, name)));

const signInPage = () => [h("main", { class: "sign-in", id: "main", tabindex: -1, key: "sign-in" },
  h("h1", null, t("product")), note(t("signInHint")),
  h("form", { onsubmit: (event) => signIn({ token: event.target.elements.token.value.trim() }) },
    field(t("token"), h("input", { name: "token", type: "password", autocomplete: "current-password", required: true, "data-test": "sign-in-token" })),
    h("button", { class: "primary", "data-test": "sign-in-submit" }, t("signIn"))),
  h("p", { class: "warning", role: "alert" }, model.signInProblem), languageChoice())];

const NAVIGATION = ["overview", "accounts", "backends", "approvals", "held", "trace"];
function shell() {
  const counts = { approvals: model.overview?.waitingApprovals, held: model.overview?.held };
  const ready = !model.screen?.load || model.data !== undefined;
  const current = model.name === "account" ? "accounts" : model.name;
  return [
    button(t("skip"), () => document.getElementById("main").focus(), { kind: "skip", key: "skip" }),
    h("header", { key: "header" }, h("p", { class: "brand" }, t("product")),
      h("nav", { "aria-label": t("navigation") }, NAVIGATION.map((name) => h("a", { href: link(name), key: name, "data-test": `nav-${name}`, "aria-current": name === current ? "page" : null },
        icon(ICONS[name]), h("span", null, t(name)), counts[name] > 0 && h("b", null, counts[name] > 999 ? "999+" : counts[name])))),
      h("div", { class: "session" }, languageChoice(), button(t("signOut"), async () => {
        await fetch("/session", { method: "DELETE" });
        signedOut();
      }, { test: "sign-out", kind: "plain" }))),
    h("main", { id: "main", tabindex: -1, key: "main" },
      h("p", { class: "warning", role: "status", hidden: !model.unreachable }, t("unreachable")),
      model.failure && warning(t("failedToLoad", { message: model.failure.message })),
      model.screen && h("div", { key: `${model.name} ${model.params.id}` }, ready ? model.screen.view(model.data, model.params) : !model.failure && !model.unreachable && note(t("loading")))),
  ];
}

/* ---------- screens ---------- */

/** What a screen remembers that is no part of its address. */
const local = { people: "", content: false, allAlerts: new Set() };

const nameOf = (account) => account.name ?? account.label ?? account.accountId;
const stateOf = ({ state }) => badge(`state-${state}`, word("state", state));
function whyOf({ problem, probableCause, pausedReason, state, lastError }) {
  if (problem) return problem;
  if (probableCause) return word("cause", probableCause);
  if (pausedReason) return word("paused", pausedReason);
  return ["backoff", "superseded"].includes(state) ? lastError : undefined;
}
const deliveryOf = ({ delivery }) => (delivery === "unconfirmed" ? badge("warn", word("delivery", delivery)) : word("delivery", delivery));
const forLogin = (account) => ({ accountId: account.accountId, name: nameOf(account) });

async function each(accountIds, method, done) {
  for (const accountId of accountIds) await call(method, { accountId });
  toast(t(done, { n: number(accountIds.length) }));
  await load();
}

const missing = { title: () => t("notFound"), view: () => empty(t("notFound")) };

const screens = {
  overview: {
    title: () => t("overview"),
    load: async () => null,
    view: () => {
      const { accounts, held, waitingApprovals, alerts, version, startedAtMs } = model.overview;
      if (accounts.total === 0) return [heading(t("overview")), empty(t("noAccounts"), button(t("addAccount"), () => logIn([{}]), { kind: "primary", test: "add-account" }))];
      // A state of few accounts must still be seen beside one of a thousand.
      const shares = STATES.map((state) => (accounts[state] ? Math.max(accounts[state] / accounts.total, 0.008) : 0));
      const sum = shares.reduce((a, b) => a + b, 0);
      let from = 0;
      const bars = STATES.map((state, index) => {
        const width = (shares[index] / sum) * 100;
        from += width;
        return width > 0 && h("rect", { key: state, class: `state-${state}`, x: `${from - width}%`, width: `${width}%`, height: "100%" });
      });
      const kinds = [...new Set(alerts.map(({ kind }) => kind))];
      return [
        heading(t("overview")),
        h("section", { class: "fleet" },
          h("p", { class: "figure" }, h("b", null, number(accounts.total)), " ", t("accountsTotal")),
          h("svg", { class: "bar", "aria-hidden": "true" }, bars),
          h("ul", { class: "legend" }, STATES.filter((state) => accounts[state]).map((state) => h("li", { key: state },
            h("a", { href: link("accounts", { state }) }, badge(`state-${state}`, word("state", state)), h("b", null, number(accounts[state]))))))),
        h("section", { class: "figures" },
          h("a", { class: "figure", href: link("held") }, h("b", null, number(held)), " ", t("heldTotal")),
          h("a", { class: "figure", href: link("approvals") }, h("b", null, number(waitingApprovals)), " ", t("approvalsTotal"))),
        h("section", null, h("h2", null, t("needsYou")), kinds.length ? kinds.map((kind) => alertGroup(kind, alerts.filter((alert) => alert.kind === kind))) : empty(t("allWell"))),
        h("p", { class: "note foot" }, t("version", { version }), " · ", t("since", { time: clock(startedAtMs, { dateStyle: "medium", timeStyle: "short" }) })),
      ];
    },
  },

  accounts: {
    title: () => t("accounts"),
    load: (params) => paged("hub.accounts", "accounts", params, { state: params.state || undefined, sort: params.sort, descending: params.desc === "1" || undefined }),
    view: ({ total, accounts }, params) => {
      const filtered = params.q || params.state;
      const here = accounts.filter(({ accountId }) => selected.has(accountId)).length;
      const tick = (account, on) => { on ? selected.set(account.accountId, nameOf(account)) : selected.delete(account.accountId); };
      const sorted = (name, descendingFirst) => {
        const isNow = params.sort === name;
        const turn = () => adjust({ sort: name, desc: (isNow ? params.desc !== "1" : descendingFirst) ? "1" : undefined, page: undefined });
        return { turn, now: isNow ? (params.desc === "1" ? "descending" : "ascending") : null };
      };
      const picked = () => [...selected].map(([accountId, name]) => ({ accountId, name }));
      const clear = () => { selected.clear(); paint(); };
      return [
        heading(t("accounts"), button(t("addAccount"), () => logIn([{}]), { kind: "primary", test: "add-account" })),
        h("div", { class: "filters" }, searchField(t("searchAccounts"), params.q ?? "", (q) => adjust({ q, page: undefined }, 200)),
          h("select", { "aria-label": t("state"), value: params.state ?? "", "data-test": "state-filter", onchange: (event) => adjust({ state: event.target.value, page: undefined }) },
            h("option", { value: "" }, t("anyState")), options("state", STATES)),
          h("span", { class: "note", role: "status" }, t("found", { n: number(total) }))),
        selected.size > 0 && h("div", { class: "bulk", key: "bulk", role: "group", "aria-label": t("selected", { n: number(selected.size) }) }, h("strong", null, t("selected", { n: number(selected.size) })),
          button(t("logInAgain"), () => logIn(picked()), { kind: "primary", test: "bulk-login" }),
          button(t("start"), () => each([...selected.keys()], "account.start", "started")), button(t("stop"), () => each([...selected.keys()], "account.stop", "stopped")), button(t("clear"), clear, { kind: "plain" })),
        accounts.length === 0
          ? (filtered ? empty(t("noMatch"), button(t("clearFilters"), () => adjust({ q: "", state: "", page: undefined }))) : empty(t("noAccounts")))
          : table(t("accounts"), [
            { name: "tick", control: checkbox(t("selectPage"), here === accounts.length, (on) => accounts.forEach((account) => tick(account, on)), { indeterminate: here > 0 && here < accounts.length, "data-test": "select-page" }) },
            { name: "main", title: t("account"), sort: sorted("name", false) }, { name: "state", title: t("state"), sort: sorted("state", false) },
            { name: "when", title: t("lastInbound"), sort: sorted("lastInbound", true) }, { name: "delivery", title: t("delivery") },
            { name: "queue", title: t("queues"), sort: sorted("held", true) }, { name: "backends", title: t("backendsOf") },
          ], accounts.map((account) => ({
            props: { key: account.accountId, "data-test": "account-row", "data-account": account.accountId, class: selected.has(account.accountId) ? "ticked" : "" },
            cells: [
              checkbox(t("selectOne", { name: nameOf(account) }), selected.has(account.accountId), (on) => tick(account, on)),
              [h("a", { href: link("account", { id: account.accountId }) }, nameOf(account)), nameOf(account) !== account.accountId && h("small", { class: "mono" }, account.accountId)],
              [stateOf(account), whyOf(account) && h("small", { class: "why", title: whyOf(account) }, whyOf(account)),
                account.state === "paused" && button(t("logInAgain"), () => logIn([forLogin(account)]), { kind: "small" })],
              time(account.lastInboundAtMs),
              account.delivery === "unknown" ? t("none") : deliveryOf(account),
              [account.held > 0 && h("a", { href: link("held", { account: account.accountId }) }, t("heldShort", { n: number(account.held) })),
                account.inboxPending > 0 && h("span", null, t("inboxShort", { n: number(account.inboxPending) })), !account.held && !account.inboxPending && t("none")],
              account.backends?.length ? account.backends.join(", ") : t("none"),
            ],
          }))),
        pager(total, params),
      ];
    },
  },

  account: {
    title: ({ data, params }) => (data?.account ? nameOf(data.account) : (params.id ?? "")),
    // The hub has no question for one account, and an id may be a part of others'.
    load: async ({ id }) => {
      const { accounts } = await call("hub.accounts", { query: id, limit: 500 });
      const account = accounts.find(({ accountId }) => accountId === id);
      if (!account) return {};
      try {
        return { account, peers: (await call("peers.list", { accountId: id, query: local.people || undefined, limit: 200 })).peers };
      } catch (error) {
        // What can be done with the account does not depend on who wrote to it.
        if (error instanceof Refusal && error.kind !== "unauthorized") return { account, peers: [], problem: error.message };
        throw error;
      }
    },
    view: ({ account, peers, problem }, { id }) => {
      const back = h("a", { class: "back", href: link("accounts") }, `‹ ${t("backToAccounts")}`);
      if (!account) return [back, empty(t("noAccount", { id }))];
      const name = nameOf(account);
      const change = (method, done) => async () => { await call(method, { accountId: account.accountId }); toast(t(done, { name })); await load(); };
      const remove = async () => {
        if (!(await confirmed(t("removeTitle", { name }), t("removeText"), t("removeAction")))) return;
        await call("accounts.remove", { accountId: account.accountId });
        selected.delete(account.accountId);
        toast(t("removed", { name }));
        location.hash = link("accounts");
      };
      const searchPeople = (text) => { local.people = text; clearTimeout(timer); timer = setTimeout(load, 200); };
      const runs = ["polling", "starting", "backoff"].includes(account.state);
      return [
        back,
        h("div", { class: "heading" }, h("h1", null, name, " ", stateOf(account)), h("div", { class: "tools" },
          !runs && button(t("start"), change("account.start", "startedOne"), { test: "account-start" }),
          account.state !== "stopped" && button(t("stop"), change("account.stop", "stoppedOne"), { test: "account-stop" }),
          button(t("logInAgain"), () => logIn([forLogin(account)]), { kind: account.state === "paused" ? "primary" : "", test: "account-login" }),
          button(t("remove"), remove, { kind: "danger", test: "account-remove" }))),
        facts([
          ["accountId", mono(account.accountId)], ["name", account.name], ["label", account.label], ["userId", account.userId && mono(account.userId)], ["problem", account.problem],
          ["pausedReason", account.pausedReason && word("paused", account.pausedReason)], ["probableCause", account.probableCause && word("cause", account.probableCause)],
          ["lastError", account.lastError], ["lastPoll", time(account.lastPollAtMs)], ["lastInbound", time(account.lastInboundAtMs)],
          ["lastConfirmed", time(account.lastConfirmedAtMs)], ["delivery", deliveryOf(account)], ["budgetLimit", account.budgetLimit && number(account.budgetLimit)],
          ["heldMessages", account.held ? h("a", { href: link("held", { account: account.accountId }) }, number(account.held)) : "0"],
          ["inboxPending", number(account.inboxPending)], ["backendsOf", account.backends?.join(", ") || t("none")], ["defaultBackend", account.defaultBackend],
        ]),
        h("h2", null, t("people")),
        problem && warning(problem),
        (peers.length > 0 || local.people) && h("div", { class: "filters", key: "people" }, searchField(t("searchPeople"), local.people, searchPeople)),
        peers.length === 0 ? empty(t(local.people ? "noPeopleMatch" : "noPeople")) : table(t("people"), [...columns("person", "lastInbound"), ACTIONS],
          peers.map((person) => ({ person, peer: person.peer ?? person.userId ?? person.id })).map(({ person, peer }) => ({
            props: { key: peer, "data-test": "peer-row", "data-peer": peer },
            cells: [mono(peer), time(person.lastInboundAtMs), h("a", { href: link("trace", { account: account.accountId, peer }), "aria-label": `${t("openTrace")}: ${peer}` }, t("openTrace"))],
          }))),
      ];
    },
  },

  backends: {
    title: () => t("backends"),
    load: () => call("hub.backends"),
    view: ({ backends }) => [
      heading(t("backends"), button(t("newBackend"), () => createToken(), { kind: "primary", test: "new-backend" })),
      backends.length === 0 && empty(t("noBackends")), backends.map(backendCard),
    ],
  },

  approvals: {
    title: () => t("approvals"),
    load: () => call("hub.approvals"),
    view: ({ waiting }) => {
      const decide = (method, done, { backend, accountId, peer }) => async () => { await call(method, { backend, accountId, peer }); toast(t(done, { peer })); await load(); };
      const choice = (one, action, method, done, kind) => button(t(action), decide(method, done, one), { kind, test: action, "data-peer": one.peer, "aria-label": `${t(action)}: ${one.peer}` });
      const rows = waiting.map((one) => ({
        props: { key: `${one.backend} ${one.accountId} ${one.peer}`, "data-test": "approval-row" },
        cells: [
          mono(one.peer), h("code", { class: "pairing" }, one.code), accountLink(one.accountId), one.backend, time(one.atMs),
          [choice(one, "approve", "hub.approve", "approved", "primary"), choice(one, "deny", "hub.deny", "denied")],
        ],
      }));
      return [heading(t("approvals")), note(t("approvalsHint")), rows.length === 0 ? empty(t("noApprovals")) : table(t("approvals"), [...columns("person", "code", "account", "backend", "asked"), ACTIONS], rows)];
    },
  },

  held: {
    title: () => t("held"),
    load: (params) => paged("hub.held", "items", params, { accountId: params.account || undefined }),
    view: ({ total, items }, params) => {
      const cancel = ({ queueId, to }) => async () => {
        if (!(await confirmed(t("cancelTitle"), t("cancelText", { to }), t("cancelAction"), t("keep")))) return;
        const { cancelled } = (await call("outbound.cancel", { queueId })) ?? {};
        toast(t(cancelled === false ? "notCancelled" : "cancelled"), cancelled === false ? "problem" : "done");
        await load();
      };
      // The hub only tries; what came of it says the message's trace.
      const send = ({ queueId, accountId, to }) => async () => {
        await call("hub.sendNow", { queueId });
        let state = "held";
        for (let tries = 0; waits(state) && tries < 6; tries += 1) {
          if (tries > 0) await pause(500);
          const { events } = await call("hub.trace", { accountId, peer: to, limit: 500 });
          state = events.find(({ id }) => id === queueId)?.state ?? state;
        }
        toast(stepOf(state), state === "sent" ? "done" : "problem");
        await load();
      };
      return [
        heading(t("held")), note(t("heldHint")),
        (total > 0 || params.q || params.account) && h("div", { class: "filters", key: "filters" }, searchField(t("searchHeld"), params.q ?? "", (q) => adjust({ q, page: undefined }, 200)),
          params.account && button(`${t("onlyAccount", { name: params.account })} ×`, () => adjust({ account: undefined, page: undefined }), { kind: "chip" })),
        items.length === 0 ? empty(t(params.q || params.account ? "noHeldMatch" : "noHeld")) : table(t("held"), [...columns("to", "reason", "kind", "account", "backend", "created"), ACTIONS], items.map((item) => ({
          props: { key: item.queueId, "data-test": "held-row", "data-queue": item.queueId },
          cells: [
            [h("a", { class: "mono", href: link("trace", { account: item.accountId, peer: item.to }) }, item.to), h("small", { class: "mono" }, item.queueId)],
            item.reason ? word("reason", item.reason) : t("step_pending"), word("kind", item.kind), accountLink(item.accountId), item.backend ?? t("none"), time(item.createdAtMs),
            [button(t("sendNow"), send(item), { test: "held-send", "data-queue": item.queueId, "aria-label": `${t("sendNow")}: ${item.to}` }),
              button(t("cancel"), cancel(item), { kind: "danger", test: "held-cancel", "data-queue": item.queueId, "aria-label": `${t("cancel")}: ${item.to}` })],
          ],
        }))),
        pager(total, params),
      ];
    },
  },

  trace: {
    title: () => t("trace"),
    every: 2000,
    load: async ({ account, peer }) => {
      if (!account || !peer) return { events: [] };
      const { events } = await call("hub.trace", { accountId: account, peer, content: local.content, limit: 200 });
      return { events: [...events].sort((a, b) => b.atMs - a.atMs) };
    },
    view: ({ events }, { account, peer }) => {
      const open = account && peer;
      const seen = new Map();
      const keyOf = ({ id, direction, state, attempt, atMs }) => {
        const key = [id, direction, state, attempt, atMs].join(" ");
        return seen.set(key, (seen.get(key) ?? 0) + 1) && `${key} ${seen.get(key)}`;
      };
      const follow = (event) => {
        const { account, peer } = event.target.elements;
        followed = true;
        location.hash = link("trace", { account: account.value.trim(), peer: peer.value.trim() });
      };
      const show = async () => {
        local.content = !local.content;
        await load();
        if (!local.content || !model.failure) return;
        const refusal = model.failure;
        local.content = false;
        await load();
        complain(refusal);
      };
      return [
        heading(t("trace"), open && button(t(local.content ? "hideContent" : "showContent"), show, { test: "trace-content", "aria-pressed": String(local.content) })), note(t("traceHint")),
        h("form", { class: "inline wide", onsubmit: follow },
          field(t("account"), input("account", { required: true, value: account ?? "", "data-test": "trace-account" })),
          field(t("person"), input("peer", { required: true, value: peer ?? "", "data-test": "trace-peer" })),
          h("button", { "data-test": "trace-open" }, t("follow"))),
        open && (events.length === 0 ? empty(t("noEvents")) : table(t("trace"), columns("time", "direction", "state", ...(local.content ? ["text"] : []), "message", "backend"), events.map((event) => ({
          props: { key: keyOf(event), class: `way-${event.direction}`, "data-test": "trace-event" },
          cells: [
            time(event.atMs, moment), [h("span", { class: "way", "aria-hidden": "true" }, event.direction === "in" ? "↓" : "↑"), " ", t(event.direction)],
            [stepOf(event.state), event.attempt > 1 && h("small", null, t("attemptN", { n: event.attempt }))],
            ...(local.content ? [h("span", { class: "lines" }, event.text ?? h("small", null, t("noText")))] : []), mono(event.id), event.backend ?? t("none"),
          ],
        })))),
      ];
    },
  },
};

/** A state of the hub's, as it writes them: `sent`, or `held: quota`. */
function stepOf(state) {
  const [step, reason] = state.split(": ");
  return reason ? t("stepWhy", { step: word("step", step), reason: word("reason", reason) }) : word("step", step);
}

const waits = (state) => /^(held|pending)/.test(state);

function alertGroup(kind, alerts) {
  const first = 12;
  const shown = local.allAlerts.has(kind) ? alerts : alerts.slice(0, first);
  const known = `hint_${kind}` in texts[language];
  const row = (alert) => h("li", { key: `${alert.accountId ?? alert.backend} ${alert.sinceMs}` },
    h("a", { href: alert.accountId ? link("account", { id: alert.accountId }) : link("backends"), class: "mono", title: alert.message }, alert.accountId ?? alert.backend ?? t("details")),
    h("span", { class: "note" }, time(alert.sinceMs)), !known && h("span", null, alert.message));
  return h("article", { class: "alert", key: kind, "data-test": "alert", "data-kind": kind },
    h("div", { class: "heading" }, h("h3", null, word("alert", kind), " ", h("b", { class: "count" }, number(alerts.length))),
      kind === "login_expired" && button(t(alerts.length > 1 ? "logInAll" : "logInAgain"), () => logIn(alerts.map(({ accountId }) => ({ accountId, name: accountId }))), { test: "alert-login" })),
    known && note(t(`hint_${kind}`)), h("ul", null, shown.map(row)),
    alerts.length > shown.length && button(t("showAll", { n: number(alerts.length) }), () => { local.allAlerts.add(kind); paint(); }, { kind: "plain" }));
}

function backendCard(backend) {
  // Names of admins and viewers are listed too, and those whose tokens are gone while messages still wait.
  const routed = backend.access != null;
  const scope = (accounts) => {
    if (accounts == null || accounts.length === 0) return t(accounts ? "noneAccounts" : "allAccounts");
    return h("details", null, h("summary", null, number(accounts.length)), h("ul", { class: "ids" }, accounts.map((id) => h("li", { key: id }, accountLink(id)))));
  };
  const revoke = ({ id }) => async () => {
    if (!(await confirmed(t("revokeTitle", { id }), t("revokeText"), t("revokeAction")))) return;
    await call("hub.tokens.revoke", { id });
    toast(t("revoked", { id }));
    await load();
  };
  return h("article", { class: "card", key: backend.name, "data-test": "backend", "data-backend": backend.name },
    h("div", { class: "heading" },
      h("h2", null, backend.name, " ", routed && badge(backend.online ? "state-polling" : "state-paused", t(backend.online ? "online" : "offline"))),
      button(t("createToken"), () => createToken(backend.name), { test: "token-create", "data-backend": backend.name })),
    !routed && note(t("notRouted")),
    (routed || backend.queued > 0) && facts([
      ...(routed ? [["access", word("access", backend.access)], ["accounts", scope(backend.accounts)], ["connections", number(backend.connections)]] : []),
      ["queued", backend.queued && backend.oldestMs ? t("queuedOldest", { n: number(backend.queued), time: ago(backend.oldestMs) }) : number(backend.queued)],
      ["webhook", backend.webhook && mono(backend.webhook === true ? "✓" : backend.webhook)],
    ]),
    backend.tokens.length === 0 ? note(t("noTokens")) : table(t("tokens", { backend: backend.name }), [...columns("tokenId", "role", "accounts", "created", "lastUsed"), ACTIONS], backend.tokens.map((token) => ({
      props: { key: token.id, "data-test": "token-row" },
      cells: [
        mono(token.id), word("role", token.role), scope(token.accounts), time(token.createdAtMs), token.lastUsedAtMs ? time(token.lastUsedAtMs) : t("neverUsed"),
        button(t("revoke"), revoke(token), { kind: "danger", test: "token-revoke", "data-token": token.id, "aria-label": `${t("revoke")}: ${token.id}` }),
      ],
    }))));
}

visitRoute();
