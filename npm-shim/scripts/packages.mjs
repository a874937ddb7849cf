// Makes the packages of a release: for registries one for each platform, with its binary, and the plugin, which asks for them; for
// machines without a registry, in offline/, the plugin with the binary of one platform inside, which asks for nothing.
//
//   node scripts/packages.mjs --binaries <dir> --out <dir> [--only linux-x64,win32-x64]
//
// <binaries>/<key>/openclaw-weixin-sidecar[.exe] for each platform, or for those of --only: then the plugin asks for no others.
// Prints the tarballs, the plugin's last. `os` and `cpu` decide which platform's package npm installs.
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { pack, packFolder } from "./pack.mjs";
import { NAME, PLATFORMS, REPOSITORY, fileOf, packageOf, platformOf, stageBinary } from "./platforms.mjs";

const own = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
export const VERSION = own.version;

/** Makes the package of one platform; returns the tarball's path. Another `version` than this one's is for tests. */
export function packPlatform({ platform, binary, out, version = VERSION }) {
  const { key, os, cpu } = platform;
  const stage = mkdtempSync(path.join(tmpdir(), "openclaw-weixin-platform-"));
  try {
    stageBinary(path.join(stage, "bin"), platform, binary);
    copyFileSync(path.join(REPOSITORY, "LICENSE"), path.join(stage, "LICENSE"));
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
    return packFolder(stage, out);
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
}

/** Makes the plugin's package with the binary of one platform inside; returns the tarball's path. */
export function packOffline({ platform, binary, out }) {
  const folder = path.join(path.resolve(out), "offline");
  mkdirSync(folder, { recursive: true });
  const stage = mkdtempSync(path.join(folder, "stage-"));
  try {
    const named = path.join(folder, `${NAME}-offline-${platform.key}-${VERSION}.tgz`);
    renameSync(pack({ out: stage, binary, platform }), named);
    return named;
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
}

/** Makes the plugin's package for registries: it asks for the packages of all `platforms`, in its own version. */
export function packForRegistry({ out, platforms = PLATFORMS, version = VERSION }) {
  const names = platforms.map(packageOf);
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
  const platforms = values.only ? values.only.split(",").map(platformOf) : PLATFORMS;
  const binaryOf = (platform) => path.join(values.binaries, platform.key, fileOf(platform));
  const missing = platforms.map(binaryOf).filter((binary) => !existsSync(binary));
  if (missing.length > 0) throw new Error(`there is no ${missing.join(", no ")}`);
  for (const platform of platforms) {
    console.log(packPlatform({ platform, binary: binaryOf(platform), out: values.out }));
    console.log(packOffline({ platform, binary: binaryOf(platform), out: values.out }));
  }
  console.log(packForRegistry({ out: values.out, platforms }));
}
