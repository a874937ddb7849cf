/** QR login: in a terminal, and for the Control UI. */
import { createInterface } from "node:readline/promises";

import type { ChannelPlugin } from "openclaw/plugin-sdk/channel-core";

import { accountIdOf, channelConfig, defaultAccountId, listAccountIds, namedAccount, resolveAccount, type HostConfig, type ResolvedAccount } from "./accounts.js";
import type { LoginProgress, LoginWaitResult } from "./contract.js";
import { messageOf } from "./errors.js";
import { hostConfig, hostLog, hostRuntime } from "./host.js";
import { CHANNEL_ID } from "./ids.js";
import { localeOf } from "./locale.js";
import { LOGIN_TEXTS, LOGIN_TIMEOUT_MS, WAIT_SLACK_MS, waitForLogin } from "./login-steps.js";
import { sidecar } from "./sidecar.js";
import { stateDir } from "./state-dir.js";

type Login = NonNullable<NonNullable<ChannelPlugin<ResolvedAccount>["auth"]>["login"]>;
type Gateway = NonNullable<ChannelPlugin<ResolvedAccount>["gateway"]>;

/** How long one `web.login.wait` may last where the Control UI names no time. */
const WEB_WAIT_MS = 120_000;

const TEXTS = {
  en: {
    scan: "Scan this QR code with WeChat on your phone:",
    ...LOGIN_TEXTS.en,
    code: "Number shown on the phone: ",
    needsTerminal:
      "WeChat asks for the number shown on the phone. Run this in a terminal: openclaw channels login --channel openclaw-weixin",
    noLogin: "No login is under way. Show a new QR code first.",
    notTold: (why: string) => `the gateway was not told which accounts there are now (${why}). Restart it: openclaw gateway restart`,
  },
  "zh-CN": {
    scan: "请用手机微信扫描二维码：",
    ...LOGIN_TEXTS["zh-CN"],
    code: "请输入手机上显示的数字：",
    needsTerminal: "微信要求输入手机上显示的数字。请在终端中运行：openclaw channels login --channel openclaw-weixin",
    noLogin: "当前没有进行中的登录，请先获取新的二维码。",
    notTold: (why: string) => `未能通知网关账号有变化（${why}）。请重启网关：openclaw gateway restart`,
  },
};

const texts = () => TEXTS[localeOf(process.env)];

/** `openclaw channels login --channel openclaw-weixin` */
export const login: Login = async ({ cfg, accountId, runtime }) => {
  const side = sidecar();
  await side.configure(channelConfig(cfg as HostConfig));
  // The host fills in the default account where the person named none; only a name of theirs is a hint for iLink.
  const asked = accountIdOf(cfg as HostConfig, stateDir(), accountId);
  const named = asked === defaultAccountId(cfg as HostConfig, stateDir()) ? {} : { accountId: asked };
  const started = await side.process.request("login.start", named);
  const t = texts();
  const show = (qrText: string, qrUrl: string) => runtime.log(`\n${t.scan}\n\n${qrText}\n${t.link}\n${qrUrl}\n`);

  const prompt = new CodePrompt((code) => side.process.request("login.submitCode", { sessionKey: started.sessionKey, code }));
  const stop = side.onLoginProgress(started.sessionKey, (progress) => {
    if (progress.state === "refreshed" && progress.qrText) show(progress.qrText, progress.qrUrl ?? "");
    // The end of the login is reported below, once.
    if (!isFinal(progress.state) && progress.message) runtime.log(progress.message);
    if (progress.state === "code_required" || progress.state === "code_rejected") prompt.ask();
    else prompt.cancel();
  });
  let result: LoginWaitResult;
  try {
    show(started.qrText, started.qrUrl);
    if (started.message) runtime.log(started.message);
    result = await waitForLogin(side, started.sessionKey);
  } finally {
    stop();
    prompt.cancel();
  }
  if (!result.connected && !result.alreadyConnected) throw new Error(result.message);
  runtime.log(result.message || t.connected(result.accountId ?? ""));
  if (result.connected) await reloadChannel();
};

/** Asks for the number on the phone, as often as needed, and stops asking when it is no longer wanted. */
class CodePrompt {
  readonly #submit: (code: string) => Promise<unknown>;
  #asking: AbortController | undefined;

  constructor(submit: (code: string) => Promise<unknown>) {
    this.#submit = submit;
  }

  ask(): void {
    this.cancel();
    const abort = new AbortController();
    this.#asking = abort;
    void this.#read(abort.signal).catch((error: unknown) => {
      if (!abort.signal.aborted) hostLog("warn", messageOf(error));
    });
  }

  cancel(): void {
    this.#asking?.abort();
    this.#asking = undefined;
  }

  async #read(signal: AbortSignal): Promise<void> {
    const lines = createInterface({ input: process.stdin, output: process.stdout });
    try {
      for (;;) {
        const code = (await lines.question(texts().code, { signal })).trim();
        if (code !== "") {
          await this.#submit(code);
          return;
        }
      }
    } finally {
      lines.close();
    }
  }
}

function isFinal(state: LoginProgress["state"]): boolean {
  return ["confirmed", "already_connected", "expired", "failed", "cancelled"].includes(state);
}

/** Makes a running gateway see which accounts there are: a change of the channel's configuration starts the channel anew. */
export async function reloadChannel(): Promise<void> {
  try {
    // Not through the plugin's runtime: a first login comes through the setup entry, which has none.
    const { mutateConfigFile } = await import("openclaw/plugin-sdk/config-mutation");
    await mutateConfigFile({
      afterWrite: { mode: "auto" },
      mutate: (draft) => {
        const channels = ((draft as { channels?: Record<string, unknown> }).channels ??= {});
        const section = (channels[CHANNEL_ID] ??= {}) as Record<string, unknown>;
        section.channelConfigUpdatedAt = new Date().toISOString();
      },
    });
  } catch (error) {
    hostLog("warn", texts().notTold(messageOf(error)));
  }
}

/** How long, and how often, to look whether the host stopped accounts for a QR code. */
const KEEP_RUNNING_MS = 5_000;
const KEEP_RUNNING_STEP_MS = 250;

/** A login that the Control UI began. */
type WebLogin = {
  /** The code on show; replaced when it runs out. */
  qrDataUrl: string;
  message: string;
  /** Says that something changed that the page should show. */
  changed: Promise<void>;
  release: () => void;
};

const webLogins = new Map<string, WebLogin>();
let latestWebLogin: string | undefined;

/** The Control UI's QR code: an image as a data URL, because the page puts it into an image element. */
export const loginWithQrStart: NonNullable<Gateway["loginWithQrStart"]> = async ({ accountId: called, force }) => {
  const side = sidecar();
  const accountId = namedAccount(hostConfig(), stateDir(), called);
  // With `force` the host has stopped the channel before it asks.
  const keep = force ? configuredAccounts().filter((id) => id !== accountId) : side.runningAccounts();
  const started = await side.process.request("login.start", {
    ...(accountId ? { accountId } : {}),
    ...(force ? { force } : {}),
  });
  watchWebLogin(started.sessionKey, started.qrPngDataUrl, started.message);
  void keepRunning(keep);
  return { qrDataUrl: started.qrPngDataUrl, message: started.message, sessionKey: started.sessionKey, connected: false };
};

export const loginWithQrWait: NonNullable<Gateway["loginWithQrWait"]> = async (params) => {
  const sessionKey = params.sessionKey ?? latestWebLogin;
  if (!sessionKey) return { connected: false, message: texts().noLogin };
  const side = sidecar();
  const timeoutMs = params.timeoutMs ?? WEB_WAIT_MS;
  const web = webLogins.get(sessionKey);
  if (web && params.currentQrDataUrl && params.currentQrDataUrl !== web.qrDataUrl) {
    return { connected: false, message: web.message, qrDataUrl: web.qrDataUrl };
  }
  const waiting = side.process.request("login.wait", { sessionKey, timeoutMs }, { timeoutMs: timeoutMs + WAIT_SLACK_MS });
  waiting.catch(() => {});
  const result = await Promise.race([waiting, web ? web.changed.then(() => undefined) : new Promise<never>(() => {})]);
  if (!result) {
    // The code was replaced, or the phone asks for something: the page shows it and waits again.
    const now = webLogins.get(sessionKey);
    return { connected: false, message: now?.message ?? "", ...(now ? { qrDataUrl: now.qrDataUrl } : {}) };
  }
  const connected = result.connected || result.alreadyConnected;
  if (connected || isFinal(result.state)) forgetWebLogin(sessionKey);
  // Without an account the host starts them all after this; with one it would start only that one.
  if (result.connected && params.accountId && params.accountId !== result.accountId) await reloadChannel();
  return { connected, message: result.message, ...(result.accountId ? { accountId: result.accountId } : {}) };
};

function configuredAccounts(): string[] {
  const cfg = hostRuntime().config.current() as HostConfig;
  return listAccountIds(stateDir()).filter((id) => {
    const account = resolveAccount(cfg, stateDir(), id);
    return account.enabled && account.configured;
  });
}

/**
 * The host stops the whole channel while a QR code is on show, and leaves it stopped when nobody scans the code: right
 * for channels with one account, wrong for people who add another. So the accounts are started again at once.
 */
async function keepRunning(accountIds: readonly string[]): Promise<void> {
  const side = sidecar();
  const stopped = () => accountIds.filter((id) => !side.runningAccounts().includes(id));
  for (let waited = 0; waited < KEEP_RUNNING_MS; waited += KEEP_RUNNING_STEP_MS) {
    const before = stopped().length;
    await new Promise((resolve) => setTimeout(resolve, KEEP_RUNNING_STEP_MS));
    // When some were stopped and no more follow, the host is done with stopping.
    if (before > 0 && stopped().length === before) break;
  }
  for (const accountId of stopped()) {
    try {
      // The runtime's own gateway calls are reserved for official plugins; this is the way of the command line.
      const { callGatewayFromCli } = await import("openclaw/plugin-sdk/gateway-runtime");
      await callGatewayFromCli("channels.start", { json: true }, { channel: CHANNEL_ID, accountId });
    } catch (error) {
      hostLog("warn", `[${accountId}] stays stopped until the login ends, because the gateway did not start it: ${messageOf(error)}`);
    }
  }
}

function watchWebLogin(sessionKey: string, qrDataUrl: string, message: string): void {
  forgetWebLogin(sessionKey);
  latestWebLogin = sessionKey;
  const side = sidecar();
  // The host stops the channel while a QR code is shown; the sidecar must outlive that.
  const releaseProcess = side.process.retain();
  let announce: () => void = () => {};
  const arm = () => new Promise<void>((resolve) => (announce = resolve));
  const web: WebLogin = { qrDataUrl, message, changed: arm(), release: () => {} };
  const stop = side.onLoginProgress(sessionKey, (progress) => {
    web.message = progress.state === "code_required" || progress.state === "code_rejected" ? texts().needsTerminal : progress.message;
    if (progress.qrPngDataUrl) web.qrDataUrl = progress.qrPngDataUrl;
    if (progress.state === "refreshed" || progress.state === "code_required") {
      const tell = announce;
      web.changed = arm();
      tell();
    }
  });
  const timer = setTimeout(() => forgetWebLogin(sessionKey), LOGIN_TIMEOUT_MS + WAIT_SLACK_MS);
  timer.unref();
  web.release = () => {
    clearTimeout(timer);
    stop();
    releaseProcess();
  };
  webLogins.set(sessionKey, web);
}

function forgetWebLogin(sessionKey: string): void {
  webLogins.get(sessionKey)?.release();
  webLogins.delete(sessionKey);
  if (latestWebLogin === sessionKey) latestWebLogin = undefined;
}

/** `openclaw channels logout`: the credentials and everything kept about the account go. */
export const logoutAccount: NonNullable<Gateway["logoutAccount"]> = async ({ account }) => {
  const { removed } = await sidecar().process.request("accounts.remove", { accountId: account.accountId });
  // The host took what was typed for the id, so it has not seen which account went.
  if (!account.byId) await reloadChannel();
  return { cleared: removed, loggedOut: true };
};
