// Makes the packages of a release: one for each platform, with its binary, and the plugin, which asks for them. And, for machines
// without a registry, in offline/ the plugin with the binary of one platform inside, which asks for nothing.
//
//   node scripts/packages.mjs --binaries <dir> --out <dir> [--only linux-x64,win32-x64]
//
// <binaries>/<key>/openclaw-weixin-sidecar[.exe] for each key of platforms.json, or of --only. Prints the tarballs, the plugin's
// last. The plugin names all platforms, with exact versions: which one npm installs, `os` and `cpu` decide.
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { pack, packStage } from "./pack.mjs";
import { NAME, PLATFORMS, fileOf, packageOf } from "./platforms.mjs";

const shim = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const repository = path.dirname(shim);

const own = JSON.parse(readFileSync(path.join(shim, "package.json"), "utf8"));

/** Makes the package of one platform; returns the tarball's path. `version` is for tests. */
export function packPlatform({ platform, binary, out, version = own.version }) {
  const { key, os, cpu } = platform;
  const stage = mkdtempSync(path.join(tmpdir(), "openclaw-weixin-platform-"));
  try {
    const file = fileOf(platform);
    mkdirSync(path.join(stage, "bin"));
    copyFileSync(binary, path.join(stage, "bin", file));
    chmodSync(path.join(stage, "bin", file), 0o755);
    copyFileSync(path.join(repository, "LICENSE"), path.join(stage, "LICENSE"));
    // The condition of the decoder: it goes where the binary goes.
    copyFileSync(path.join(repository, "crates", "silk-decoder", "LICENSE-SILK"), path.join(stage, "bin", "LICENSE-SILK"));
    const manifest = {
      name: packageOf(platform),
      version,
      description: `The ${key} binary of ${NAME}; install that package, not this one`,
      license: own.license,
      os: [os],
      cpu: [cpu],
      files: ["bin/"],
      // Yarn would leave it in an archive, where nothing can be executed.
      preferUnplugged: true,
    };
    writeFileSync(path.join(stage, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
    writeFileSync(path.join(stage, "README.md"), `# ${packageOf(platform)}\n\nThe ${key} binary of the package \`${NAME}\`, which installs it. Nothing to do by hand.\n`);
    return packStage(stage, out);
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
}

/** Makes the plugin's package with the binary of one platform inside; returns the tarball's path. */
export async function packOffline({ platform, binary, out }) {
  const tarball = await pack({ out: path.join(out, "offline", platform.key), binary, key: platform.key });
  const named = path.join(path.resolve(out), "offline", path.basename(tarball).replace(/\.tgz$/, `-${platform.key}.tgz`));
  renameSync(tarball, named);
  rmSync(path.dirname(tarball), { recursive: true });
  return named;
}

/** Makes the plugin's package as it is published: it asks for all platform packages, in its own version. */
export function packRelease({ out, version = own.version }) {
  const names = PLATFORMS.map(packageOf);
  const manifest = (base) => ({
    ...base,
    version,
    optionalDependencies: Object.fromEntries(names.map((name) => [name, version])),
    openclaw: { ...base.openclaw, install: { ...base.openclaw.install, requiredPlatformPackages: names } },
  });
  return pack({ out, manifest });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { out: { type: "string", default: "." }, binaries: { type: "string" }, only: { type: "string" } } });
  if (!values.binaries) throw new Error("--binaries <dir> names the folder with <key>/openclaw-weixin-sidecar");
  const only = values.only?.split(",");
  const unknown = only?.find((key) => !PLATFORMS.some((platform) => platform.key === key));
  if (unknown) throw new Error(`there is no platform ${unknown}; there are ${PLATFORMS.map(({ key }) => key).join(", ")}`);
  for (const platform of PLATFORMS.filter(({ key }) => !only || only.includes(key))) {
    const binary = path.join(values.binaries, platform.key, fileOf(platform));
    if (!existsSync(binary)) throw new Error(`there is no ${binary}`);
    console.log(packPlatform({ platform, binary, out: values.out }));
    console.log(await packOffline({ platform, binary, out: values.out }));
  }
  console.log(await packRelease({ out: values.out }));
}
