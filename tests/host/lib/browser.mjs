// Chromium without a window, from npm, unpacked into the tests' cache; and what a phone reads on its pages.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

import { fromNpm } from "../../tools.mjs";

const require = createRequire(import.meta.url);
const [CHROMIUM, PLAYWRIGHT] = ["153.0.0", "1.65.1"];

/** The package has a build for x64 Linux alone. */
export const hasBrowser = process.platform === "linux" && process.arch === "x64";

/** The folder of the unpacked program: `chromium`, and the libraries that it needs, for machines that lack them. */
function unpacked() {
  const packed = fromNpm("@sparticuz/chromium", CHROMIUM, path.join("build", "index.js"));
  const folder = path.join(path.dirname(packed), "..", "unpacked");
  if (existsSync(folder)) return folder;
  const half = `${folder}-${process.pid}`;
  rmSync(half, { recursive: true, force: true });
  mkdirSync(half);
  // It unpacks into the folder for temporary files, the libraries where it believes to be in a container that has none.
  const script = `import(${JSON.stringify(pathToFileURL(packed).href)}).then(({ default: chromium }) => chromium.executablePath())`;
  const { status, stderr } = spawnSync(process.execPath, ["-e", script], { env: { ...process.env, TMPDIR: half, AWS_LAMBDA_JS_RUNTIME: "nodejs22.x" }, encoding: "utf8" });
  if (status !== 0) throw new Error(`Chromium could not be unpacked: ${stderr}`);
  renameSync(half, folder);
  return folder;
}

/** A browser of Playwright's: https://playwright.dev/docs/api/class-browser. It speaks English; whoever opens it closes it. */
export async function openBrowser() {
  const { chromium } = require(fromNpm("playwright-core", PLAYWRIGHT, "index.js"));
  const folder = unpacked();
  return await chromium.launch({
    executablePath: path.join(folder, "chromium"),
    args: ["--no-sandbox", "--disable-gpu", "--lang=en-US"],
    env: { ...process.env, LD_LIBRARY_PATH: path.join(folder, "al2023", "lib") },
  });
}

function read(data, width, height) {
  const decode = require(fromNpm("jsqr", "1.4.0", path.join("dist", "jsQR.js")));
  return (decode.default ?? decode)(new Uint8ClampedArray(data), width, height)?.data;
}

/** What a phone reads in a picture (PNG): the text of its code, or `undefined`. */
export function readCode(png) {
  const { PNG } = require(fromNpm("pngjs", "7.0.0", path.join("lib", "png.js")));
  const { data, width, height } = PNG.sync.read(png);
  return read(data, width, height);
}

/** What a phone reads in a code that is drawn with characters, each two modules high. */
export function readDrawn(text) {
  const rows = text.split("\n").filter((row) => /[█▀▄]/.test(row));
  const dark = rows.flatMap((row) => ["▀", "▄"].map((half) => [...row].map((sign) => sign === "█" || sign === half)));
  const [scale, quiet] = [6, 4];
  const width = (Math.max(0, ...dark.map((row) => row.length)) + 2 * quiet) * scale;
  const height = (dark.length + 2 * quiet) * scale;
  const data = new Uint8ClampedArray(width * height * 4).fill(255);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const at = (y * width + x) * 4;
      if (dark[Math.floor(y / scale) - quiet]?.[Math.floor(x / scale) - quiet]) data.fill(0, at, at + 3);
    }
  }
  return read(data, width, height);
}
