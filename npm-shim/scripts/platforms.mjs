// The platforms that releases are built for, from platforms.json: npm's `os` and `cpu`, Rust's target, what builds it (`zig` and
// `mingw` on Debian, `native` on a machine of that kind), the oldest Linux kernel that Rust supports there.
import { chmodSync, copyFileSync, mkdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const NAME = "openclaw-weixin-sidecar";
export const REPOSITORY = fileURLToPath(new URL("../..", import.meta.url));

/** Each with its `key`, by which packages and folders are named, and the plugin looks for its binary. */
export const PLATFORMS = JSON.parse(readFileSync(new URL("../platforms.json", import.meta.url), "utf8")).map((row) => ({ key: `${row.os}-${row.cpu}`, ...row }));
export const packageOf = ({ key }) => `${NAME}-${key}`;
export const fileOf = ({ os }) => (os === "win32" ? `${NAME}.exe` : NAME);

export function platformOf(key) {
  const platform = PLATFORMS.find((one) => one.key === key);
  if (!platform) throw new Error(`there is no platform ${key}; there are ${PLATFORMS.map((one) => one.key).join(", ")}`);
  return platform;
}

/** This machine's, which may be one that no release is built for. */
export function thisPlatform() {
  const [key, os, cpu] = [`${process.platform}-${process.arch}`, process.platform, process.arch];
  return PLATFORMS.find((one) => one.key === key) ?? { key, os, cpu };
}

/** Puts a platform's binary into `folder`, so that it can be run, with the licence of its decoder: that goes where the binary goes. */
export function stageBinary(folder, platform, binary) {
  const file = path.join(folder, fileOf(platform));
  mkdirSync(folder, { recursive: true });
  copyFileSync(binary, file);
  chmodSync(file, 0o755);
  copyFileSync(path.join(REPOSITORY, "crates", "silk-decoder", "LICENSE-SILK"), path.join(folder, "LICENSE-SILK"));
  return file;
}
