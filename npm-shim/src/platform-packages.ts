/** The packages that carry the binary, one for each platform: their names, and which of them is installed. */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

export const NAME = "openclaw-weixin-sidecar";
/** Overrides every other place; for development and for packagers. */
export const BINARY_ENV = "OPENCLAW_WEIXIN_SIDECAR_BIN";
/** Platforms that releases are built for: those of platforms.json, which a test compares. Linux binaries are static, for any C library. */
export const SUPPORTED_PLATFORMS = ["linux-x64", "linux-arm64", "win32-x64", "win32-arm64", "darwin-x64", "darwin-arm64"] as const;

/** What the search depends on; tests say something else than this machine does. */
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

/** What the executable is called on the platform `key`. */
export function executable(key: string): string {
  return key.startsWith("win32-") ? `${NAME}.exe` : NAME;
}

export type PlatformPackage = {
  /** Where its executable is, or was. */
  binary: string;
  version: string | undefined;
  /** The version that goes with the package that asks. */
  wanted: string | undefined;
};

/** The package of `key` as the package at `root` finds it: not always one that was installed with it. */
export function platformPackageOf(key: string, root: string): PlatformPackage | undefined {
  try {
    // package.json is always resolvable; the binary itself has no module extension.
    const manifest = createRequire(path.join(root, "package.json")).resolve(`${platformPackage(key)}/package.json`);
    return { binary: path.join(path.dirname(manifest), "bin", executable(key)), version: versionIn(manifest), wanted: versionIn(path.join(root, "package.json")) };
  } catch {
    return undefined;
  }
}

export function versionIn(manifest: string): string | undefined {
  return existsSync(manifest) ? (JSON.parse(readFileSync(manifest, "utf8")) as { version?: string }).version : undefined;
}
