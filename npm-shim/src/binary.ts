/**
 * Finds the sidecar's executable, and says what to do where there is none.
 *
 * Three places, in this order: `OPENCLAW_WEIXIN_SIDECAR_BIN`, the platform package that npm installed beside this
 * one, and a binary carried in this package under `bin/<platform>/`. OpenClaw installs plugins with
 * `--ignore-scripts`, so nothing was downloaded or prepared at install time: what is here now is all there is.
 */
import { accessSync, chmodSync, closeSync, constants, existsSync, openSync, readSync, realpathSync, statSync } from "node:fs";
import { release } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { messageOf, SidecarError } from "./errors.js";
import { missingBinary } from "./missing-binary.js";
import { BINARY_ENV, executable, NAME, platformKey, platformPackageOf, versionIn, type BinaryLookup } from "./platform-packages.js";

/** The oldest kernels that Rust supports, by processor; from platforms.json, which a test compares. */
const KERNELS: Record<string, readonly [number, number]> = { x64: [3, 2], arm64: [4, 1] };

export type ResolvedBinary = {
  path: string;
  /** Where it was found, for logs and diagnostics. */
  source: "environment" | "platform package" | "plugin package";
};

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
    if (isCommand(override)) {
      throw new SidecarError(
        "binary_not_executable",
        `${BINARY_ENV} names ${override}: that is npm's command, which looks for the binary itself. Unset the variable, or name the binary.`,
      );
    }
    return { path: runnable(override, "environment"), source: "environment" };
  }

  const key = platformKey(lookup);
  const roots = [...(lookup.packageRoots ?? []), ownRoot()].filter((root): root is string => root !== undefined);
  for (const root of roots) {
    // What is carried was packed together; a platform's package may belong to another installation.
    const carried = path.join(root, "bin", key, executable(key));
    if (existsSync(carried)) return { path: runnable(carried, "plugin package"), source: "plugin package" };
    const found = platformPackageOf(key, root);
    if (found && found.version === found.wanted && existsSync(found.binary)) {
      return { path: runnable(found.binary, "platform package"), source: "platform package" };
    }
  }
  throw missingBinary(key, roots, lookup);
}

/** Whether this is the `dist/cli.js` of an installed package, such as another version of this one: that would start itself for ever. */
function isCommand(file: string): boolean {
  const real = realpathSync(file);
  if (path.basename(real) !== "cli.js") return false;
  try {
    const manifest = path.join(path.dirname(path.dirname(real)), "package.json");
    return versionIn(manifest) !== undefined;
  } catch {
    return false;
  }
}

/** Some ways of copying a package lose the executable bit; put it back where we may. */
function runnable(file: string, source: ResolvedBinary["source"]): string {
  if (!statSync(file).isFile()) {
    throw new SidecarError("binary_not_executable", `${file} is not a file. ${adviceFor(source)}`);
  }
  if (statSync(file).size === 0) {
    throw new SidecarError("binary_not_executable", `${file} is empty: the disk may have been full when it was written. ${howToReplace(source)}`);
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
    case "EFTYPE":
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
  const arch = lookup.arch ?? process.arch;
  const old = oldKernel(arch, lookup.release ?? release());
  if (old) return new SidecarError("platform_unsupported", old);
  const machines: Record<string, number> = { x64: 0x3e, arm64: 0xb7, arm: 0x28, riscv64: 0xf3, ia32: 0x03 };
  const expected = machines[arch];
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
  return elf && (expected === undefined || head.readUInt16LE(18) === expected) ? undefined : foreignProgram(binary, lookup);
}

function oldKernel(arch: string, version: string): string | undefined {
  const needed = KERNELS[arch];
  const [major = 0, minor = 0] = version.split(".").map((part) => Number.parseInt(part, 10));
  if (!needed || Number.isNaN(major) || major > needed[0] || (major === needed[0] && minor >= needed[1])) return undefined;
  return `This kernel is ${version}, and ${NAME} needs Linux ${needed.join(".")} or newer. Update the system, or run the plugin on another machine.`;
}

/** This package, as it runs. */
function ownRoot(): string {
  return path.dirname(path.dirname(fileURLToPath(import.meta.url)));
}

function quote(file: string): string {
  return /^[\w@%+=:,./-]+$/.test(file) ? file : `'${file.replaceAll("'", `'\\''`)}'`;
}

