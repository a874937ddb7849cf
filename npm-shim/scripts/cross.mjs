// Builds the sidecar for machines other than this one: on Debian 12 for x86-64, as root or with sudo. docs/releasing.md says why so.
//
//   node scripts/cross.mjs linux-arm64 win32-x64     builds these; prints the binaries
//
// The standard library is built from source with Debian's compiler, which needs nothing that is installed per target. zig is the
// linker and the C compiler for Linux, MinGW for Windows. Everything is pinned, and no binary knows where it was built.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { NAME, PLATFORMS, fileOf } from "./platforms.mjs";

const repository = path.dirname(path.dirname(path.dirname(fileURLToPath(import.meta.url))));
const target = path.join(repository, "target");
const tools = path.join(target, "tools", "zig");

/** Debian's compiler: the first three numbers of its version, which its packages for all of Debian 12 share. */
const RUST = "1.96.0";
const DEBIAN = ["rustc-web", "cargo-web", "rust-web-src", "libstd-rust-web-dev"];
const PYPI = ["ziglang==0.17.1", "cargo-zigbuild==0.24.0"];
const MINGW = ["gcc-mingw-w64-x86-64"];

function must(command, args, options = {}) {
  const done = spawnSync(command, args, { stdio: ["ignore", "inherit", "inherit"], ...options });
  if (done.status !== 0) throw new Error(`${command} ${args.join(" ")} failed${done.error ? `: ${done.error.message}` : ` (${done.status ?? done.signal})`}`);
  return done.stdout;
}

const has = (packageName) => spawnSync("dpkg", ["-s", packageName], { stdio: "ignore" }).status === 0;

/** Installs Debian packages where they are missing. `pinned` is how their version must begin. */
export function ensureDebian(packages, pinned) {
  const missing = packages.filter((name) => !has(name));
  if (missing.length === 0) return;
  if (process.platform !== "linux" || !existsSync("/etc/debian_version")) throw new Error(`this needs Debian 12, and its packages ${missing.join(" ")}`);
  const sudo = process.getuid() === 0 ? [] : ["sudo"];
  const apt = (...args) => must([...sudo, "apt-get"][0], [...sudo, "apt-get", ...args].slice(1), { stdio: ["ignore", "ignore", "inherit"], env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } });
  apt("update");
  const exact = missing.map((name) => (pinned ? `${name}=${pinned}*` : name));
  apt("install", "-y", "--no-install-recommends", ...exact);
}

function ensureZig() {
  if (existsSync(path.join(tools, "bin", "cargo-zigbuild"))) return;
  must("python3", ["-m", "venv", tools]);
  must(path.join(tools, "bin", "pip"), ["install", "--quiet", "--disable-pip-version-check", ...PYPI]);
}

/** Builds the binary of a platform, in a target folder of the toolchain's own. Returns its path. */
export function build({ platform, profile = "release" }) {
  const { target: triple, os: system } = platform;
  ensureDebian(DEBIAN, RUST);
  if (system === "win32") ensureDebian(MINGW);
  else ensureZig();
  const folder = path.join(target, "cross");
  mkdirSync(folder, { recursive: true });
  const sources = `/usr/src/rustc-${RUST}`;
  const registry = path.join(process.env.CARGO_HOME || path.join(os.homedir(), ".cargo"), "registry", "src");
  const remapped = [[repository, "."], [registry, "crates"], [sources, "rust"], ["/usr/lib/rustlib/src/rust", "rust"], [tools, "zig"]];
  const env = {
    ...process.env,
    PATH: [path.join(tools, "bin"), "/usr/bin", "/bin"].join(path.delimiter),
    CARGO: "/usr/bin/cargo",
    RUSTC: "/usr/bin/rustc",
    // The standard library's build is behind a flag that only this lets pass.
    RUSTC_BOOTSTRAP: "1",
    CARGO_TARGET_DIR: folder,
    CARGO_ENCODED_RUSTFLAGS: remapped.map(([from, to]) => `--remap-path-prefix=${from}=${to}`).join("\x1f"),
    CFLAGS: remapped.map(([from, to]) => `-ffile-prefix-map=${from}=${to}`).join(" "),
    SOURCE_DATE_EPOCH: "0",
    ZERO_AR_DATE: "1",
  };
  // Without what names the functions of a backtrace: a stripped binary has no names.
  const std = ["-Zbuild-std=std,panic_abort", "-Zbuild-std-features=panic-unwind", "--target", triple, "--bin", NAME];
  const args = ["rustc", "--locked", "--profile", profile === "debug" ? "dev" : profile, ...std];
  const options = { cwd: repository, env, stdio: ["ignore", "inherit", "inherit"] };
  if (system === "win32") {
    const objects = path.join(folder, "rtstartup");
    mkdirSync(objects, { recursive: true });
    for (const name of ["rsbegin", "rsend"]) {
      const source = path.join(sources, "library", "rtstartup", `${name}.rs`);
      must(env.RUSTC, ["--target", triple, "--crate-type=lib", "--emit=obj", "-o", path.join(objects, `${name}.o`), source], options);
    }
    must(env.CARGO, [...args, "--", "-L", `native=${objects}`, "-C", "link-arg=-Wl,--no-insert-timestamp"], options);
  } else {
    // The C library is zig's; and zig makes a position-independent executable only where it is told in its own words.
    must("cargo-zigbuild", [...args, "--", "-C", "link-self-contained=no", "-C", "link-arg=-pie"], options);
  }
  return path.join(folder, triple, profile, fileOf(platform));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const key of process.argv.slice(2)) {
    const platform = PLATFORMS.find((one) => one.key === key);
    if (!platform) throw new Error(`there is no platform ${key}; there are ${PLATFORMS.map((one) => one.key).join(", ")}`);
    console.log(build({ platform, profile: process.env.PROFILE || "release" }));
  }
}
