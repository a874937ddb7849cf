// Packs the plugin, with this machine's sidecar inside where --binary names it: then it needs no platform package.
//
//   node scripts/pack.mjs --out <dir> [--binary <file>]     prints the tarball's path
//
// Works in a folder of its own, so nothing is left in the source tree. packages.mjs makes what is published.
import { spawnSync } from "node:child_process";
import { cpSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";

import { main } from "./commands.mjs";
import { REPOSITORY, stageBinary, thisPlatform } from "./platforms.mjs";

const shim = path.join(REPOSITORY, "npm-shim");

/**
 * Returns the path of the tarball. `dist/` must have been built. `binary` is carried inside, for `platform` (this machine's
 * where none is named); `manifest` changes what package.json says.
 */
export function pack({ out, binary, platform, manifest = (own) => own }) {
  const dist = path.join(shim, "dist");
  if (!existsSync(path.join(dist, "index.js"))) throw new Error("npm-shim/dist is not built. Run: npm run build");
  const stage = mkdtempSync(path.join(tmpdir(), "openclaw-weixin-pack-"));
  try {
    cpSync(dist, path.join(stage, "dist"), { recursive: true });
    const own = JSON.parse(readFileSync(path.join(shim, "package.json"), "utf8"));
    writeFileSync(path.join(stage, "package.json"), `${JSON.stringify(manifest(own), null, 2)}\n`);
    copyFileSync(path.join(REPOSITORY, "plugin-manifest", "openclaw.plugin.json"), path.join(stage, "openclaw.plugin.json"));
    for (const name of ["README.md", "LICENSE"]) {
      const file = [path.join(shim, name), path.join(REPOSITORY, name)].find((candidate) => existsSync(candidate));
      if (file) copyFileSync(file, path.join(stage, name));
    }
    if (binary) {
      const carried = platform ?? thisPlatform();
      stageBinary(path.join(stage, "bin", carried.key), carried, binary);
    }
    return packFolder(stage, out);
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
}

/** Packs a folder as npm would publish it; returns the tarball's path. */
export function packFolder(folder, out) {
  mkdirSync(out, { recursive: true });
  const run = spawnSync("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", path.resolve(out)], {
    cwd: folder,
    encoding: "utf8",
    shell: process.platform === "win32",
  });
  if (run.status !== 0) throw new Error(`npm pack failed: ${run.stderr || run.error?.message}`);
  const report = JSON.parse(run.stdout);
  const { filename } = Array.isArray(report) ? report[0] : Object.values(report)[0];
  return path.join(path.resolve(out), filename);
}

await main(import.meta.url, () => {
  const { values } = parseArgs({ options: { out: { type: "string", default: "." }, binary: { type: "string" } } });
  console.log(pack(values));
});
