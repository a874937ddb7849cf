// Packs the plugin as npm would publish it, with this platform's sidecar inside.
//
//   node scripts/pack.mjs --out <dir> [--binary <file>]     prints the tarball's path
//
// Works in a folder of its own, so nothing is left in the source tree. With --binary the package needs no platform
// package; releases (packages.mjs) leave it out, and name the platform packages.
import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const shim = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const repository = path.dirname(shim);

/**
 * Returns the path of the tarball. `dist/` must have been built. `binary` is carried inside, for the platform `key` (this
 * machine's where none is named); `manifest` changes what package.json says.
 */
export async function pack({ out, binary, key, manifest = (own) => own }) {
  const dist = path.join(shim, "dist");
  if (!existsSync(path.join(dist, "index.js"))) throw new Error("npm-shim/dist is not built. Run: npm run build");
  const stage = mkdtempSync(path.join(tmpdir(), "openclaw-weixin-pack-"));
  try {
    cpSync(dist, path.join(stage, "dist"), { recursive: true });
    const own = JSON.parse(readFileSync(path.join(shim, "package.json"), "utf8"));
    writeFileSync(path.join(stage, "package.json"), `${JSON.stringify(manifest(own), null, 2)}\n`);
    copyFileSync(path.join(repository, "plugin-manifest", "openclaw.plugin.json"), path.join(stage, "openclaw.plugin.json"));
    for (const name of ["README.md", "LICENSE"]) {
      const file = [path.join(shim, name), path.join(repository, name)].find((candidate) => existsSync(candidate));
      if (file) copyFileSync(file, path.join(stage, name));
    }
    if (binary) {
      // The plugin itself says where it looks.
      const { platformKey } = await import(pathToFileURL(path.join(dist, "binary.js")).href);
      const platform = key ?? platformKey();
      const name = platform.startsWith("win32-") ? "openclaw-weixin-sidecar.exe" : "openclaw-weixin-sidecar";
      const target = path.join(stage, "bin", platform, name);
      mkdirSync(path.dirname(target), { recursive: true });
      copyFileSync(binary, target);
      chmodSync(target, 0o755);
      // Its condition: it goes where the binary goes.
      copyFileSync(path.join(repository, "crates", "silk-decoder", "LICENSE-SILK"), path.join(path.dirname(target), "LICENSE-SILK"));
    }
    return packStage(stage, out);
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
}

/** Packs a folder as npm would publish it; returns the tarball's path. */
export function packStage(stage, out) {
  mkdirSync(out, { recursive: true });
  const run = spawnSync("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", path.resolve(out)], {
    cwd: stage,
    encoding: "utf8",
    shell: process.platform === "win32",
  });
  if (run.status !== 0) throw new Error(`npm pack failed: ${run.stderr || run.error?.message}`);
  const report = JSON.parse(run.stdout);
  const { filename } = Array.isArray(report) ? report[0] : Object.values(report)[0];
  return path.join(path.resolve(out), filename);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { out: { type: "string", default: "." }, binary: { type: "string" } } });
  console.log(await pack(values));
}
