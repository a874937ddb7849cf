/** Why there is no executable, as far as the files tell, and what to do. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import path from "node:path";

import { SidecarError } from "./errors.js";
import { BINARY_ENV, NAME, platformPackage, platformPackageOf, SUPPORTED_PLATFORMS, type BinaryLookup, type PlatformPackage } from "./platform-packages.js";

/** Why there is no binary for `key` at any of `roots`, and what to do about it. */
export function missingBinary(key: string, roots: readonly string[], lookup: BinaryLookup): SidecarError {
  if (!(SUPPORTED_PLATFORMS as readonly string[]).includes(key)) return unsupported(key);
  const installed = roots.map((root) => platformPackageOf(key, root)).find((found) => found !== undefined);
  if (installed) return unusablePackage(key, installed);
  const again = `openclaw plugins install ${NAME} --force, or npm install ${NAME}`;
  const others = [...new Set(roots.flatMap((root) => [...carriedPlatforms(root), ...installedPlatforms(root)]))].filter((other) => other !== key);
  if (key === "darwin-x64" && others.includes("darwin-arm64") && (lookup.cpu ?? cpuName)()?.startsWith("Apple")) {
    return new SidecarError(
      "binary_wrong_platform",
      `This Mac has an Apple processor, and this Node is built for Intel and runs under Rosetta, so it asks for the Intel sidecar where the one for ` +
        `Apple's processors is installed. Use Node for arm64 (node -p process.arch says which one runs), or install the plugin with the Node that runs it (${again}).`,
    );
  }
  if (others.length > 0) {
    return new SidecarError(
      "binary_wrong_platform",
      `The sidecar is installed for ${others.join(", ")}, and this machine is ${key}. The folder was packed, copied or mounted from another machine: ` +
        `install the plugin on this one (${again}).`,
    );
  }
  const lockfile = roots.map((root) => lockfileWithout(root, key)).find((file) => file !== undefined);
  if (lockfile) {
    return new SidecarError(
      "binary_missing",
      `The sidecar for ${key} is not installed: ${lockfile} was written without ${platformPackage(key)}, on another kind of machine, or when the registry (a mirror, perhaps) ` +
        `did not have it yet. Install again (${again}); where that changes nothing, a little later or from another registry, and in a project of your own ` +
        `npm install ${platformPackage(key)}.`,
    );
  }
  return new SidecarError(
    "binary_missing",
    `The sidecar for ${key} is not installed: the optional package ${platformPackage(key)} is missing. This happens when npm ran with --omit=optional or ` +
      `--no-optional (also by omit=optional in .npmrc), or when a registry mirror does not have it yet. Install again without that (${again}), or set ${BINARY_ENV} to the ` +
      `binary's path.`,
  );
}

/** What is wrong with a platform's package that is there. */
function unusablePackage(key: string, { binary, version, wanted }: PlatformPackage): SidecarError {
  if (!existsSync(binary)) {
    return new SidecarError(
      "binary_missing",
      `${platformPackage(key)} is installed, and its program is gone: there is no ${binary}. Virus scanners do that: allow the file, then install again ` +
        `(openclaw plugins install ${NAME} --force, or npm install ${NAME} --force).`,
    );
  }
  return new SidecarError(
    "binary_missing",
    `The sidecar ${String(wanted)} for ${key} is not installed; ${path.dirname(path.dirname(binary))} is version ${String(version)}, of another installation. Install again ` +
      `(openclaw plugins install ${NAME} --force, or npm install ${NAME}@${String(wanted)}).`,
  );
}

function unsupported(key: string): SidecarError {
  const bits32 = ["ia32", "arm", "mips", "mipsel"].some((arch) => key.endsWith(`-${arch}`));
  const advice = bits32
    ? "This Node is a 32-bit program: where the machine and its system are 64-bit, install the 64-bit Node."
    : `Build it from source with cargo and set ${BINARY_ENV} to the result.`;
  return new SidecarError("platform_unsupported", `There is no ${NAME} for ${key}. Supported: ${SUPPORTED_PLATFORMS.join(", ")}. ${advice}`);
}

/** Platform packages that are installed beside this one, whatever they are for. */
function installedPlatforms(root: string): string[] {
  const keys: string[] = [];
  for (let folder = root; ; folder = path.dirname(folder)) {
    for (const key of SUPPORTED_PLATFORMS) if (existsSync(path.join(folder, "node_modules", platformPackage(key), "package.json"))) keys.push(key);
    if (folder === path.dirname(folder)) return keys;
  }
}

/** The lock file of the folder that this package is installed in, where it names this package and not the platform's. */
function lockfileWithout(root: string, key: string): string | undefined {
  const modules = path.dirname(root);
  const file = path.join(path.dirname(modules), "package-lock.json");
  if (path.basename(modules) !== "node_modules" || !existsSync(file)) return undefined;
  try {
    const lock = JSON.parse(readFileSync(file, "utf8")) as { packages?: Record<string, unknown> };
    const names = Object.keys(lock.packages ?? {}).map((name) => name.slice(name.lastIndexOf("node_modules/") + "node_modules/".length));
    return names.includes(NAME) && !names.includes(platformPackage(key)) ? file : undefined;
  } catch {
    // One that cannot be read says nothing.
    return undefined;
  }
}

function cpuName(): string | undefined {
  return cpus()[0]?.model;
}

function carriedPlatforms(root: string): string[] {
  try {
    return readdirSync(path.join(root, "bin"));
  } catch {
    return [];
  }
}
