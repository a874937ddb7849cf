/**
 * Finds the sidecar's executable, and says what to do where there is none.
 *
 * Three places, in this order: `OPENCLAW_WEIXIN_SIDECAR_BIN`, the platform package that npm installed beside this
 * one, and a binary carried in this package under `bin/<platform>/`. OpenClaw installs plugins with
 * `--ignore-scripts`, so nothing was downloaded or prepared at install time: what is here now is all there is.
 */
import { accessSync, chmodSync, closeSync, constants, existsSync, openSync, readdirSync, readFileSync, readSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { cpus, release } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { messageOf, SidecarError } from "./errors.js";

/** Overrides every other place; for development and for packagers. */
export const BINARY_ENV = "OPENCLAW_WEIXIN_SIDECAR_BIN";
/** Platforms that releases are built for: those of platforms.json, which a test compares. Linux binaries are static, for any C library. */
export const SUPPORTED_PLATFORMS = ["linux-x64", "linux-arm64", "win32-x64", "win32-arm64", "darwin-x64", "darwin-arm64"] as const;

const NAME = "openclaw-weixin-sidecar";

export type ResolvedBinary = {
  path: string;
  /** Where it was found, for logs and diagnostics. */
  source: "environment" | "platform package" | "plugin package";
};

export type BinaryLookup = {
  env?: NodeJS.ProcessEnv;
  platform?: string;
  arch?: string;
  /** The processor's name, for Node that runs under Rosetta. */
  cpu?: () => string | undefined;
  /** The kernel's version, as `uname -r` says it. */
  release?: string;
  /**
   * Folders with this package's `package.json`, best first. OpenClaw runs plugins from a private copy per process;
   * the installed folder comes before it, so that all processes run the same file.
   */
  packageRoots?: readonly (string | undefined)[];
};

/** `linux-x64`, `linux-arm64`, `win32-x64`, … */
export function platformKey(lookup: BinaryLookup = {}): string {
  return `${lookup.platform ?? process.platform}-${lookup.arch ?? process.arch}`;
}

/** The package that carries the binary of `key`. */
export function platformPackage(key: string): string {
  return `${NAME}-${key}`;
}

/** Finds the executable. Throws a {@link SidecarError} whose text says what to do. */
export function resolveBinary(lookup: BinaryLookup = {}): ResolvedBinary {
  const env = lookup.env ?? process.env;
  const override = env[BINARY_ENV]?.trim();
  if (override) {
    if (!existsSync(override)) {
      throw new SidecarError(
        "binary_missing",
        `${BINARY_ENV} names ${override}, and there is no such file. Correct the variable, or unset it to use the ` +
          `binary that came with the plugin.`,
      );
    }
    return { path: runnable(override, "environment"), source: "environment" };
  }

  const key = platformKey(lookup);
  const file = key.startsWith("win32-") ? `${NAME}.exe` : NAME;
  const roots = [...(lookup.packageRoots ?? []), ownRoot()].filter((root): root is string => root !== undefined);
  for (const root of roots) {
    const found = findInPlatformPackage(key, file, root);
    if (found) return { path: runnable(found, "platform package"), source: "platform package" };
  }
  for (const root of roots) {
    const carried = path.join(root, "bin", key, file);
    if (existsSync(carried)) return { path: runnable(carried, "plugin package"), source: "plugin package" };
  }
  throw missingBinary(key, roots, lookup);
}

function findInPlatformPackage(key: string, file: string, root: string): string | undefined {
  try {
    // package.json is always resolvable; the binary itself has no module extension.
    const manifest = createRequire(path.join(root, "package.json")).resolve(`${platformPackage(key)}/package.json`);
    const found = path.join(path.dirname(manifest), "bin", file);
    return existsSync(found) ? found : undefined;
  } catch {
    return undefined;
  }
}

function missingBinary(key: string, roots: readonly string[], lookup: BinaryLookup): SidecarError {
  if (!(SUPPORTED_PLATFORMS as readonly string[]).includes(key)) return unsupported(key);
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
  const lockfile = roots.map((root) => foreignLockfile(root, key)).find((file) => file !== undefined);
  if (lockfile) {
    return new SidecarError(
      "binary_missing",
      `The sidecar for ${key} is not installed: ${lockfile} was written on another kind of machine and does not name ${platformPackage(key)}, so npm left it out. ` +
        `Delete that file and node_modules beside it, and install again (${again}).`,
    );
  }
  return new SidecarError(
    "binary_missing",
    `The sidecar for ${key} is not installed: the optional package ${platformPackage(key)} is missing. This happens when npm ran with --omit=optional or ` +
      `--no-optional (also by omit=optional in .npmrc), or when a registry mirror does not have it yet. Install again without that (${again}), or set ${BINARY_ENV} to a ` +
      `${NAME} executable.`,
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

/** The lock file that this package was installed by, where it knows other platforms' packages and not this one's. */
function foreignLockfile(root: string, key: string): string | undefined {
  for (let folder = root; folder !== path.dirname(folder); folder = path.dirname(folder)) {
    const file = path.join(folder, "package-lock.json");
    if (!existsSync(file)) continue;
    try {
      const lock = JSON.parse(readFileSync(file, "utf8")) as { packages?: Record<string, unknown> };
      const names = Object.keys(lock.packages ?? {}).map((name) => name.slice(name.lastIndexOf("node_modules/") + "node_modules/".length));
      if (names.includes(NAME) && !names.includes(platformPackage(key))) return file;
    } catch {
      // One that cannot be read says nothing.
    }
  }
  return undefined;
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

/** Some ways of copying a package lose the executable bit; put it back where we may. */
function runnable(file: string, source: ResolvedBinary["source"]): string {
  if (!statSync(file).isFile()) {
    throw new SidecarError("binary_not_executable", `${file} is not a file. ${adviceFor(source)}`);
  }
  if (process.platform === "win32") return file;
  try {
    accessSync(file, constants.X_OK);
    return file;
  } catch {
    // Not executable: try to make it so.
  }
  try {
    chmodSync(file, statSync(file).mode | 0o755);
    accessSync(file, constants.X_OK);
    return file;
  } catch (cause) {
    throw new SidecarError(
      "binary_not_executable",
      `${file} is not executable, and it could not be made so (${messageOf(cause)}). Run: chmod +x ${quote(file)} ` +
        `as the file's owner. ${adviceFor(source)}`,
      { cause },
    );
  }
}

function adviceFor(source: ResolvedBinary["source"]): string {
  return source === "environment"
    ? `${BINARY_ENV} names it.`
    : `If its file system is mounted noexec, copy the file elsewhere and set ${BINARY_ENV}.`;
}

/** How to get a program that this machine can run. */
function howToReplace(source: ResolvedBinary["source"]): string {
  return source === "environment"
    ? `${BINARY_ENV} names it: point that variable to a build for this machine, or unset it to use the one that came with the plugin.`
    : `Install the plugin again on this machine (openclaw plugins install ${NAME} --force), or set ${BINARY_ENV} to a build for it.`;
}

/** Turns the error of a failed `spawn` into one that says what to do. */
export function explainSpawnError(error: NodeJS.ErrnoException, binary: ResolvedBinary, lookup: BinaryLookup = {}): SidecarError {
  const file = binary.path;
  switch (error.code) {
    case "ENOENT":
      // The file was there a moment ago: what is missing is the loader that it names.
      return new SidecarError(
        existsSync(file) ? "binary_wrong_platform" : "binary_missing",
        existsSync(file)
          ? `${file} cannot be started: the program loader that it needs is not on this machine (${platformKey(lookup)}). ` +
            `A build of your own for another C library looks like this; those that are published need none. ${howToReplace(binary.source)}`
          : `${file} is gone. ${howToReplace(binary.source)}`,
        { cause: error },
      );
    case "EACCES":
    case "EPERM":
      return new SidecarError(
        "binary_not_executable",
        `${file} may not be executed (${error.code}). Check its permissions (chmod +x ${quote(file)}), that its file ` +
          `system is not mounted noexec, and that no security policy forbids it.`,
        { cause: error },
      );
    case "ENOEXEC":
    case "EBADARCH":
    case "UNKNOWN":
      return foreignProgram(binary, lookup, error);
    default:
      return new SidecarError(
        "spawn_failed",
        `${file} could not be started: ${error.message}. Run it by hand with --version to see more.`,
        { cause: error, retryable: true },
      );
  }
}

function foreignProgram(binary: ResolvedBinary, lookup: BinaryLookup = {}, cause?: unknown): SidecarError {
  return new SidecarError(
    "binary_wrong_platform",
    `${binary.path} is not a program for this machine (${platformKey(lookup)}), or it is damaged. ${howToReplace(binary.source)}`,
    { cause },
  );
}

/**
 * Why a program that ended at once may never have been one. Linux hands a file that it cannot execute to the shell,
 * which then complains about its content; only a look at the file tells.
 */
export function explainEarlyExit(binary: ResolvedBinary, lookup: BinaryLookup = {}): SidecarError | undefined {
  if (process.platform !== "linux") return undefined;
  const old = oldKernel(lookup.arch ?? process.arch, lookup.release ?? release());
  if (old) return new SidecarError("platform_unsupported", old);
  const machines: Record<string, number> = { x64: 0x3e, arm64: 0xb7, arm: 0x28, riscv64: 0xf3, ia32: 0x03 };
  const expected = machines[process.arch];
  let head: Buffer;
  try {
    head = Buffer.alloc(20);
    const file = openSync(binary.path, "r");
    try {
      readSync(file, head, 0, head.length, 0);
    } finally {
      closeSync(file);
    }
  } catch {
    return undefined;
  }
  if (head.toString("latin1", 0, 2) === "#!") return undefined;
  const elf = head.toString("latin1", 0, 4) === "\x7fELF";
  return elf && (expected === undefined || head.readUInt16LE(18) === expected) ? undefined : foreignProgram(binary);
}

/** What Rust's standard library needs: https://doc.rust-lang.org/rustc/platform-support.html */
function oldKernel(arch: string, version: string): string | undefined {
  const needed = arch === "arm64" ? [4, 1] : [3, 2];
  const [major = 0, minor = 0] = version.split(".").map((part) => Number.parseInt(part, 10));
  if (Number.isNaN(major) || major > needed[0]! || (major === needed[0] && minor >= needed[1]!)) return undefined;
  return `This kernel is ${version}, and ${NAME} needs Linux ${needed.join(".")} or newer. Update the system, or run the plugin on another machine.`;
}

/** This package, as it runs. */
function ownRoot(): string {
  return path.dirname(path.dirname(fileURLToPath(import.meta.url)));
}

function quote(file: string): string {
  return /^[\w@%+=:,./-]+$/.test(file) ? file : `'${file.replaceAll("'", `'\\''`)}'`;
}

