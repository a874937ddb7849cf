/** What every way through a login has in common: its words, and the wait for its end. */
import type { LoginWaitResult } from "./contract.js";
import type { sidecar } from "./sidecar.js";

/** Codes run out after minutes and are replaced; the whole login may take this long. */
export const LOGIN_TIMEOUT_MS = 480_000;
/** The sidecar answers `login.wait` at its deadline; this is how late that answer may be. */
export const WAIT_SLACK_MS = 15_000;

export const LOGIN_TEXTS = {
  en: {
    link: "Or open this link on the phone:",
    connected: (account: string) => `WeChat account ${account} is connected.`,
  },
  "zh-CN": {
    link: "或在手机上打开此链接：",
    connected: (account: string) => `微信账号 ${account} 已连接。`,
  },
};

/** Waits until a login is over. */
export function waitForLogin(side: ReturnType<typeof sidecar>, sessionKey: string): Promise<LoginWaitResult> {
  return side.process.request("login.wait", { sessionKey, timeoutMs: LOGIN_TIMEOUT_MS }, { timeoutMs: LOGIN_TIMEOUT_MS + WAIT_SLACK_MS });
}
