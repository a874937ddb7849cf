// The official plugin, as it is on npm.
import { writeFileSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

export const OFFICIAL = "@tencent-weixin/openclaw-weixin@2.4.9";

/** The official plugin's login asks one host that it has as a constant: its `fetch` is led to the simulator. */
export function redirect(folder, url) {
  const file = path.join(folder, "redirect.mjs");
  writeFileSync(
    file,
    `const real = globalThis.fetch;
globalThis.fetch = (to, ...more) => real(String(to).replace("https://ilinkai.weixin.qq.com", ${JSON.stringify(url)}), ...more);
`,
  );
  return pathToFileURL(file).href;
}
