// Builds src/ to dist/, and checks its types where OpenClaw's own type declarations are at hand.
//
//   node scripts/build.mjs               builds
//   node scripts/build.mjs --typecheck   only checks
//
// OpenClaw is a peer: it is there wherever the plugin runs, but it is far too large to install for a build. So a build
// checks the types against a host that is there already: OPENCLAW_HOST_DIR (a folder with node_modules/openclaw), a
// node_modules/openclaw at or above this folder, or the one that the host tests installed. Without any it only
// translates. --typecheck insists, and has the host tests' OpenClaw installed where there is none.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const onlyTypes = process.argv.includes("--typecheck");
const hosts = await import("../../tests/host/lib/openclaw.mjs").catch(() => undefined);
let sdk = findSdk();
if (onlyTypes && !sdk) {
  if (!hosts) throw new Error("No OpenClaw to check against. Set OPENCLAW_HOST_DIR to a folder that has node_modules/openclaw.");
  sdk = sdkOf((await hosts.ensureOpenClaw(undefined, console.log)).folder);
}

const build = path.join(root, ".build");
mkdirSync(build, { recursive: true });
const config = path.join(build, "tsconfig.json");
writeFileSync(
  config,
  JSON.stringify({
    extends: "../tsconfig.json",
    compilerOptions: {
      rootDir: "../src",
      outDir: "../dist",
      noEmit: onlyTypes,
      ...(sdk ? { paths: { "openclaw/plugin-sdk/*": [`${sdk}/*.d.ts`] } } : {}),
      typeRoots: ["../node_modules/@types"],
    },
    include: ["../src"],
  }),
);

if (!onlyTypes) rmSync(path.join(root, "dist"), { recursive: true, force: true });
const tsc = path.join(root, "node_modules", "typescript", "bin", "tsc");
if (!existsSync(tsc)) {
  console.error("Run `npm ci` in npm-shim first.");
  process.exit(2);
}
const run = spawnSync(process.execPath, [tsc, "-p", config, ...(sdk ? [] : ["--noCheck"])], { stdio: "inherit", cwd: root });
if (run.status !== 0) process.exit(run.status ?? 1);
console.log(onlyTypes ? `types agree with ${sdk}` : `built dist/${sdk ? "" : " (types not checked: no OpenClaw at hand)"}`);

function findSdk() {
  const folders = [process.env.OPENCLAW_HOST_DIR];
  for (let folder = root; ; folder = path.dirname(folder)) {
    folders.push(folder);
    if (folder === path.dirname(folder)) break;
  }
  if (hosts) folders.push(path.join(hosts.defaultCache(), `openclaw-${hosts.OPENCLAW_VERSION}`));
  return folders.filter(Boolean).map(sdkOf).find((folder) => existsSync(path.join(folder, "channel-core.d.ts")));
}

function sdkOf(folder) {
  return path.join(folder, "node_modules", "openclaw", "dist", "plugin-sdk");
}
