/**
 * `openclaw channels add` and the Control UI's "Run setup": from a QR code to an account with a name and an owner.
 *
 * An account gets its id from its login, so nothing is asked for before it. Nothing is written here: what is to be in the configuration is returned,
 * and the host writes it. Credentials are the sidecar's; it has them once the phone has confirmed.
 */
import type { ChannelSetupWizardAdapter, WizardPrompter } from "openclaw/plugin-sdk/setup";

import { accountConfig, channelConfig, defaultAccountId, listAccountIds, resolveAccount, type HostConfig } from "./accounts.js";
import { withAccount, withChannel } from "./config-edits.js";
import type { LoginProgress, LoginWaitResult } from "./contract.js";
import { messageOf } from "./errors.js";
import { hostLog } from "./host.js";
import { CHANNEL_ID } from "./ids.js";
import { localeOf } from "./locale.js";
import { LoginPage } from "./login-page.js";
import { LOGIN_TEXTS, waitForLogin } from "./login-steps.js";
import { sidecar } from "./sidecar.js";
import { stateDir } from "./state-dir.js";

type Configure = Parameters<ChannelSetupWizardAdapter["configure"]>[0];
type Config = Configure["cfg"];

/** So long a page shows that it waits, before it is asked to go on waiting. */
const HEARTBEAT_MS = 20_000;

const TEXTS = {
  en: {
    ...LOGIN_TEXTS.en,
    title: "WeChat login",
    which: "Which WeChat account?",
    another: "Log in with another one",
    renew: (name: string) => `Log ${name} in again`,
    keep: "Leave everything as it is",
    scan: "Scan this QR code with WeChat on your phone:",
    onPhone: "Open this link on the phone, in WeChat:",
    open: "The link below opens a page with the QR code. Scan it with WeChat on your phone, then continue here.",
    waiting: "Waiting for the phone",
    still: "Nothing came from the phone yet. Continue to go on waiting.",
    code: "Number shown on the phone",
    empty: "Type the number that the phone shows",
    again: "Try again?",
    name: "A name for this account (may be left empty)",
    owner: (user: string) => `Whoever scanned the code (${user}) owns this bot. May they also give OpenClaw's owner commands and approve what agents ask for?`,
  },
  "zh-CN": {
    ...LOGIN_TEXTS["zh-CN"],
    title: "微信登录",
    which: "要设置哪个微信账号？",
    another: "登录另一个账号",
    renew: (name: string) => `重新登录 ${name}`,
    keep: "保持不变",
    scan: "请用手机微信扫描二维码：",
    onPhone: "请在手机微信里打开此链接：",
    open: "点击下面的链接打开二维码页面，用手机微信扫码，然后回到这里点继续。",
    waiting: "等待手机确认",
    still: "手机还没有响应，点继续接着等待。",
    code: "手机上显示的数字",
    empty: "请输入手机上显示的数字",
    again: "要再试一次吗？",
    name: "给这个账号起个名字（可以留空）",
    owner: (user: string) => `扫码的人（${user}）是这个机器人的主人。是否也允许其使用 OpenClaw 的所有者命令，并批准智能体的请求？`,
  },
};

/** What a login says, one after the other, to whoever asks for the next. */
class Steps {
  readonly #ready: LoginProgress[] = [];
  #wake: (() => void) | undefined;

  push(progress: LoginProgress): void {
    this.#ready.push(progress);
    this.#wake?.();
  }

  /** The next one; nothing where the login ended, or `withinMs` went by. */
  async next(end: Promise<unknown>, withinMs?: number): Promise<LoginProgress | undefined> {
    if (this.#ready.length > 0) return this.#ready.shift();
    let timer: NodeJS.Timeout | undefined;
    const late = withinMs === undefined ? [] : [new Promise<void>((resolve) => (timer = setTimeout(resolve, withinMs)))];
    await Promise.race([end, new Promise<void>((resolve) => (this.#wake = resolve)), ...late]).finally(() => clearTimeout(timer));
    return this.#ready.shift();
  }
}

const texts = () => TEXTS[localeOf(process.env)];

/** Leads through one login. `again`: the account whose login is renewed. */
async function logIn({ cfg, runtime, prompter, options }: Configure, again: string | undefined): Promise<LoginWaitResult> {
  const t = texts();
  const side = sidecar();
  await side.configure(channelConfig(cfg as HostConfig));
  const started = await side.process.request("login.start", { force: true, ...(again ? { accountId: again } : {}) });
  const { sessionKey } = started;
  const hosted = isHosted(prompter, options);
  // There is nothing to go back to: the code is used up.
  prompter.disableBackNavigation?.();
  const steps = new Steps();
  const page = prompter.openUrl ? pageOf(started.qrPngDataUrl, started.qrUrl) : undefined;
  const stop = side.onLoginProgress(sessionKey, (progress) => {
    page?.follow(progress);
    steps.push(progress);
  });
  let ended = false;
  const end = waitForLogin(side, sessionKey).finally(() => (ended = true));
  // Also where nobody continues here any more; a wizard that is cancelled ends its login.
  end.finally(() => page?.close()).catch(() => {});
  try {
    const show = async (qrText: string, qrUrl: string) => {
      if (hosted) await prompter.note(`${t.onPhone}\n${qrUrl}`, t.title);
      else runtime.log(`\n${t.scan}\n\n${qrText}\n${t.link}\n${qrUrl}\n`);
    };
    const showPage = async (text: string) => {
      // With nothing between the two: the host shows the link with the step that follows at once, or a step of its own.
      if (page) await prompter.openUrl?.(page.path);
      await prompter.note(text, t.title);
    };
    if (page) await showPage(`${t.open}\n\n${t.onPhone}\n${started.qrUrl}`);
    else await show(started.qrText, started.qrUrl);
    let asked = false;
    while (!ended) {
      const progress = prompter.progress(t.waiting);
      const step = await steps.next(end, hosted ? HEARTBEAT_MS : undefined).finally(() => progress.stop());
      // A wizard that was cancelled says so only where it is asked something.
      if (!step && !ended && hosted) await showPage(t.still);
      if (step?.state === "refreshed" && step.qrText) {
        // The page replaces its code by itself; but a question takes its link away.
        if (!page) await show(step.qrText, step.qrUrl ?? "");
        else if (asked) await showPage(t.open);
        asked = false;
      } else if (step?.state === "code_required" || step?.state === "code_rejected") {
        if (step.state === "code_rejected" && step.message) await prompter.note(step.message, t.title);
        asked = true;
        const code = await prompter.text({ message: t.code, validate: (value) => (value.trim() === "" ? t.empty : undefined) });
        await side.process.request("login.submitCode", { sessionKey, code: code.trim() });
      }
    }
    return await end;
  } finally {
    stop();
    if (!ended) await side.process.request("login.cancel", { sessionKey }).catch(() => {});
  }
}

/** A page with the code; nothing where the gateway does not take one. */
function pageOf(image: string, link: string): LoginPage | undefined {
  try {
    return new LoginPage({ image, link });
  } catch (error) {
    hostLog("warn", `the page with the code could not be had: ${messageOf(error)}`);
    return undefined;
  }
}

/** Whether whoever sets up sits somewhere else: what is printed here would be read by others, and a code logs in whoever scans it. */
const isHosted = (prompter: WizardPrompter, options: Configure["options"]) =>
  options?.deferDeviceLinkToClient === true || prompter.openUrl !== undefined || !process.stdout.isTTY;

export async function configure(ctx: Configure): Promise<Awaited<ReturnType<ChannelSetupWizardAdapter["configure"]>>> {
  const { cfg, prompter } = ctx;
  const t = texts();
  const known = listAccountIds(stateDir()).map((id) => resolveAccount(cfg as HostConfig, stateDir(), id));
  let again: string | undefined;
  if (known.length > 0) {
    const choice = await prompter.select({
      message: t.which,
      options: [
        { value: "", label: t.another },
        ...known.map(({ accountId, name }) => ({ value: accountId, label: t.renew(name ?? accountId) })),
        { value: "\n", label: t.keep },
      ],
    });
    if (choice === "\n") return { cfg, accountId: defaultAccountId(cfg as HostConfig, stateDir()) };
    again = choice || undefined;
  }
  let accountId: string | undefined;
  while (!accountId) {
    let message: string;
    try {
      const result = await logIn(ctx, again);
      accountId = (result.connected || result.alreadyConnected) && result.accountId ? result.accountId : undefined;
      message = accountId ? t.connected(accountId) : result.message;
    } catch (error) {
      // A wizard that is cancelled, or goes back, is the host's to end.
      if (error instanceof Error && /^Wizard\w+Error$/.test(error.name)) throw error;
      message = messageOf(error);
    }
    // The page has done its work: an empty address takes its link away from what is asked next.
    await prompter.openUrl?.("");
    await prompter.note(message, t.title);
    if (!accountId && !(await prompter.confirm({ message: t.again, initialValue: true }))) return { cfg, completion: "paused" };
  }
  try {
    const named = await askName(ctx, accountId, enabled(cfg));
    return { cfg: await askOwner(ctx, accountId, named), accountId, completion: "configured" };
  } catch (error) {
    // The login stands, whatever becomes of the rest: a running gateway takes it over.
    const { reloadChannel } = await import("./login.js");
    await reloadChannel();
    throw error;
  }
}

const enabled = (cfg: Config): Config => withChannel(cfg, { enabled: true, channelConfigUpdatedAt: new Date().toISOString() });

async function askName({ prompter }: Configure, accountId: string, cfg: Config): Promise<Config> {
  const before = accountConfig(channelConfig(cfg as HostConfig), accountId).name ?? "";
  const name = (await prompter.text({ message: texts().name, initialValue: before, placeholder: accountId })).trim();
  return name === "" || name === before ? cfg : withAccount(cfg, accountId, (account) => ({ ...account, name }));
}

/** Offers that the owner of the bot is an owner to OpenClaw, too; without one its first guest would become that. */
async function askOwner({ prompter }: Configure, accountId: string, cfg: Config): Promise<Config> {
  const { userId } = resolveAccount(cfg as HostConfig, stateDir(), accountId);
  const owners = (cfg as { commands?: { ownerAllowFrom?: (string | number)[] } }).commands?.ownerAllowFrom ?? [];
  const entry = `${CHANNEL_ID}:${userId}`;
  if (!userId || owners.map(String).includes(entry)) return cfg;
  if (!(await prompter.confirm({ message: texts().owner(userId), initialValue: owners.length === 0 }))) return cfg;
  return { ...cfg, commands: { ...cfg.commands, ownerAllowFrom: [...owners, entry] } } as Config;
}
