/**
 * A page of the gateway that shows the code of one login, for setups in a browser.
 *
 * What the Control UI shows of a wizard is text, with a font and a distance of lines of its own: a code that is drawn with characters falls apart
 * there. A step may have a link though, and the gateway serves what plugins give it. The page reloads itself: it always has the code that is valid.
 */
import { randomBytes } from "node:crypto";
import type { ServerResponse } from "node:http";

import { registerPluginHttpRoute } from "openclaw/plugin-sdk/webhook-ingress";

import type { LoginProgress } from "./contract.js";
import { hostLog } from "./host.js";
import { CHANNEL_ID } from "./ids.js";
import { localeOf } from "./locale.js";

const RELOAD_SECONDS = 2;
/** How long the page says how a login ended. */
const OVER_MS = 60_000;

const TEXTS = {
  en: {
    title: "WeChat login",
    scan: "Scan this code with WeChat on your phone. It is replaced here when it runs out.",
    link: "This page is on the phone itself? Open this link",
    scanned: "The phone has read the code. Confirm the login there.",
    code: "The phone shows a number. Type it where you set up OpenClaw: press Continue there.",
    over: "This login is over. Close this page, and press Continue where you set up OpenClaw.",
    onward: "When the phone has confirmed, press Continue where you set up OpenClaw.",
  },
  "zh-CN": {
    title: "微信登录",
    scan: "请用手机微信扫描二维码。二维码过期后，这里会自动更换。",
    link: "如果本页面就在这部手机上，请打开此链接",
    scanned: "手机已扫码，请在手机上确认登录。",
    code: "手机上显示了一个数字，请回到 OpenClaw 的设置页面点继续，然后输入。",
    over: "这次登录已结束。请关闭本页面，回到 OpenClaw 的设置页面点继续。",
    onward: "手机确认后，请回到 OpenClaw 的设置页面点继续。",
  },
};

type Says = Exclude<keyof (typeof TEXTS)["en"], "title" | "link" | "onward">;

/** What the page says in each state of a login. */
const SAYS: Record<LoginProgress["state"], Says> = {
  waiting: "scan",
  refreshed: "scan",
  scanned: "scanned",
  redirected: "scanned",
  code_required: "code",
  code_rejected: "code",
  code_blocked: "scan",
  confirmed: "over",
  already_connected: "over",
  expired: "over",
  failed: "over",
  cancelled: "over",
};

/** A code, as an image (a data URL) and as the link that it holds. */
type Code = { image: string; link: string };

export class LoginPage {
  /** Its address below the gateway's, which nobody can guess: whoever scans the code becomes the bot's owner. */
  readonly path = `/${CHANNEL_ID}/login/${randomBytes(16).toString("hex")}`;
  #code: Code;
  #says: Says = "scan";
  readonly #unregister: () => void;

  /** Throws where the gateway does not take the page. */
  constructor(code: Code) {
    this.#code = code;
    this.#unregister = registerPluginHttpRoute({
      path: this.path,
      // The address is what lets in.
      auth: "plugin",
      match: "exact",
      pluginId: CHANNEL_ID,
      source: "login",
      throwOnFailure: true,
      handler: (_request, response) => this.#answer(response),
      log: (message) => hostLog("warn", message),
    });
  }

  /** Takes over what a login tells. */
  follow(progress: LoginProgress): void {
    if (progress.qrPngDataUrl) this.#code = { image: progress.qrPngDataUrl, link: progress.qrUrl ?? "" };
    this.#says = SAYS[progress.state];
  }

  /** The login is over, however it ended. */
  close(): void {
    this.#says = "over";
    setTimeout(this.#unregister, OVER_MS).unref();
  }

  #answer(response: ServerResponse): true {
    const language = localeOf(process.env);
    const t = TEXTS[language];
    const { image, link } = this.#code;
    const scan = this.#says === "scan";
    const code = scan ? `<img src="${escapeHtml(image)}" alt="${t.title}">` : "";
    const onward = scan || this.#says === "scanned" ? `<p class="aside">${t.onward}</p>` : "";
    const onPhone = scan && isWebLink(link) ? `<p class="aside"><a href="${escapeHtml(link)}" rel="noreferrer">${t.link}</a></p>` : "";
    const reload = this.#says === "over" ? "" : `<meta http-equiv="refresh" content="${RELOAD_SECONDS}">`;
    response.writeHead(200, {
      "content-type": "text/html; charset=utf-8",
      "cache-control": "no-store",
      "content-security-policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
      "referrer-policy": "no-referrer",
      "x-content-type-options": "nosniff",
    });
    response.end(`<!doctype html>
<html lang="${language}">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">${reload}<title>${t.title}</title>
<style>
body { margin: 0; min-height: 100vh; display: grid; place-content: center; justify-items: center; gap: 1rem; padding: 1rem; box-sizing: border-box;
  font: 1.1rem/1.5 system-ui, sans-serif; text-align: center; background: #fff; color: #222 }
img { width: min(80vmin, 26rem); image-rendering: pixelated }
p { margin: 0; max-width: 32rem }
.aside, .aside a { color: #666 }
</style></head>
<body>${code}<p>${t[this.#says]}</p>${onward}${onPhone}</body>
</html>
`);
    return true;
  }
}

const escapeHtml = (text: string) => text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);

/** The link comes from iLink: nothing else is to be opened by a click. */
const isWebLink = (link: string) => /^https?:\/\//i.test(link);
