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
import { parseArgs } from "node:util";

import { main } from "./commands.mjs";
import { inspect, notFor } from "./inspect.mjs";
import { pack, packFolder } from "./pack.mjs";
import { NAME, PLATFORMS, REPOSITORY, fileOf, packageOf, platformOf, stageBinary } from "./platforms.mjs";

const own = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
export const VERSION = own.version;

/** Where a release workflow runs, a package names its repository: npm compares that with what the workflow proves of itself. */
function repository() {
  const { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: name } = process.env;
  return server && name ? { repository: { type: "git", url: `git+${server}/${name}.git` } } : {};
}

/** Makes the package of one platform; returns the tarball's path. Another `version` than this one's is for tests. */
export function packPlatform({ platform, binary, out, version = VERSION }) {
  const { key, os, cpu } = platform;
  const wrong = notFor(platform, readFileSync(binary));
  if (wrong.length > 0) throw new Error(`${binary}: ${wrong.join(", ")}`);
  const stage = mkdtempSync(path.join(tmpdir(), "openclaw-weixin-platform-"));
  try {
    stageBinary(path.join(stage, "bin"), platform, binary);
    copyFileSync(path.join(REPOSITORY, "LICENSE"), path.join(stage, "LICENSE"));
    const manifest = {
      name: packageOf(platform),
      version,
      description: `The ${key} binary of ${NAME}; install that package, not this one`,
      license: own.license,
      ...repository(),
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
    ...repository(),
    optionalDependencies: Object.fromEntries(names.map((name) => [name, version])),
    openclaw: { ...base.openclaw, install: { ...base.openclaw.install, requiredPlatformPackages: names } },
  });
  return pack({ out, manifest });
}

/** The tarballs of a release in `folder`, the plugin's last, if this version is there for `platform`; those for machines without a registry are not among them. */
export function released(folder, platform) {
  const [own, plugin] = [packageOf(platform), NAME].map((name) => path.join(folder, `${name}-${VERSION}.tgz`));
  if (!existsSync(own) || !existsSync(plugin)) return undefined;
  const others = PLATFORMS.map((one) => path.join(folder, `${packageOf(one)}-${VERSION}.tgz`)).filter((file) => existsSync(file));
  return [...others, plugin];
}

/** Packs a release of these platforms, whose binaries are `<binaries>/<key>/<file>`. Returns the tarballs, the plugin's last. */
export function packAll({ platforms, binaries, out }) {
  const binaryOf = (platform) => path.join(binaries, platform.key, fileOf(platform));
  const missing = platforms.map(binaryOf).filter((binary) => !existsSync(binary));
  if (missing.length > 0) throw new Error(`there is no ${missing.join(", no ")}`);
  const problems = platforms.flatMap((platform) => inspect(platform, binaryOf(platform)).map((problem) => `${binaryOf(platform)}: ${problem}`));
  if (problems.length > 0) throw new Error(`not to be released:\n  ${problems.join("\n  ")}`);
  const carried = platforms.flatMap((platform) => [packPlatform, packOffline].map((make) => make({ platform, binary: binaryOf(platform), out })));
  return [...carried, packForRegistry({ out, platforms })];
}

await main(import.meta.url, () => {
  const { values } = parseArgs({ options: { out: { type: "string", default: "." }, binaries: { type: "string" }, only: { type: "string" } } });
  if (!values.binaries) throw new Error("--binaries <dir> names the folder with <key>/openclaw-weixin-sidecar");
  const platforms = values.only ? values.only.split(",").map(platformOf) : PLATFORMS;
  packAll({ platforms, binaries: values.binaries, out: values.out }).forEach((file) => console.log(file));
});
