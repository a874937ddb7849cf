// Builds the release binaries, so that they do not know where they were built.
//
//   node scripts/binaries.mjs linux-arm64 win32-x64     builds these, into target/binaries/<key>/; prints the paths
//
// Of another machine: on Debian 12 for x86-64, as root or with sudo; docs/releasing.md says why there. The standard library is built
// from source with Debian's compiler, which needs nothing that is installed per target. zig is the linker and the C compiler for
// Linux, MinGW for Windows. What is installed is pinned. macOS, and Windows for arm64: on a machine of that kind, with its own Rust.
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";

import { main, must } from "./commands.mjs";
import { ensureDebian } from "./debian.mjs";
import { inspect } from "./inspect.mjs";
import { NAME, REPOSITORY, fileOf, platformOf, stageBinary, thisPlatform } from "./platforms.mjs";

const COMPILER = "1.96.0";
/** Packages of Debian. */
const RUST = ["rustc-web", "cargo-web", "rust-web-src", "libstd-rust-web-dev"].map((name) => `${name}=${COMPILER}`);
const FOR_ZIG = [...RUST, "python3-venv"];
export const MINGW = "gcc-mingw-w64-x86-64=12.2.0";
const FOR_MINGW = [...RUST, MINGW];
/** Packages of PyPI. */
const ZIG = ["ziglang==0.17.1", "cargo-zigbuild==0.24.0"];

const target = path.join(REPOSITORY, "target");
// A pin that is raised is another folder.
const tools = path.join(target, "tools", ZIG.join("-").replaceAll("==", "-"));
const sources = `/usr/src/rustc-${COMPILER}`;
/** Of these tools' own: another compiler's artifacts would be built anew each time, and Cargo does not see that the one for C changed. */
const cross = path.join(target, "cross", [COMPILER, ...ZIG, MINGW].map((pin) => pin.replace(/^.*=/, "")).join("-"));

function ensureZig() {
  if (existsSync(path.join(tools, "installed"))) return;
  rmSync(tools, { recursive: true, force: true });
  must(["python3", "-m", "venv", tools]);
  must([path.join(tools, "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", ...ZIG]);
  mkdirSync(path.join(tools, "installed"));
}

/** What of the caller's environment a build may see: where things are and how they are fetched, and nothing that changes them. */
const HARMLESS = /^(HOME|USER|LOGNAME|LANG|TERM|TMPDIR|CARGO_HOME|CARGO_(HTTP|NET|REGISTRY|REGISTRIES|TERM)\w*|https?_proxy|all_proxy|no_proxy|SSL_CERT\w*|CURL_CA\w*)$/i;
/** On a machine of the platform's own kind its compilers have settings of their own; these are ours to set. */
const OURS = /^(RUSTFLAGS|CARGO_(BUILD|TARGET|PROFILE|ENCODED|INCREMENTAL)\w*|.*CFLAGS\w*|LIBSQLITE3_FLAGS)$/;

const allowed = (isAllowed) => Object.fromEntries(Object.entries(process.env).filter(([name]) => isAllowed(name)));

/** Paths of this machine, and what stands for them in a binary. The last that fits counts. The crates must have been fetched. */
function names() {
  const registry = path.join(process.env.CARGO_HOME || path.join(os.homedir(), ".cargo"), "registry", "src");
  // Named after where they came from, which may be a mirror.
  const origins = existsSync(registry) ? readdirSync(registry).map((origin) => [path.join(registry, origin), "crates"]) : [];
  return [...origins, [REPOSITORY.replace(/[/\\]$/, ""), "."], [sources, "rust"], ["/usr/lib/rustlib/src/rust", "rust"], [tools, "zig"]];
}

const remapped = () => names().map(([from, to]) => `--remap-path-prefix=${from}=${to}`);
const rustFlags = (flags) => ({ CARGO_ENCODED_RUSTFLAGS: flags.join("\x1f") });

/** The environment of a build for another machine. */
function environment(...flags) {
  must(["/usr/bin/cargo", "fetch", "--locked"], { cwd: REPOSITORY, env: { ...allowed((name) => HARMLESS.test(name)), PATH: "/usr/bin:/bin" } });
  return {
    ...allowed((name) => HARMLESS.test(name)),
    PATH: [path.join(tools, "bin"), "/usr/bin", "/bin"].join(path.delimiter),
    CARGO: "/usr/bin/cargo",
    RUSTC: "/usr/bin/rustc",
    // The standard library's build is behind a flag that only this lets pass.
    RUSTC_BOOTSTRAP: "1",
    CARGO_TARGET_DIR: cross,
    ...rustFlags([...remapped(), ...flags]),
    CFLAGS: names().map(([from, to]) => `'-ffile-prefix-map=${from}=${to}'`).join(" "),
    // Folders may have spaces in their names.
    CC_SHELL_ESCAPED_FLAGS: "1",
    SOURCE_DATE_EPOCH: "0",
    ZERO_AR_DATE: "1",
  };
}

/** The start-up objects of Windows programs, which Debian's compiler comes without. Returns their folder. */
function startupObjects(triple) {
  const objects = path.join(cross, "rtstartup");
  mkdirSync(objects, { recursive: true });
  for (const name of ["rsbegin", "rsend"]) {
    const source = path.join(sources, "library", "rtstartup", `${name}.rs`);
    must(["/usr/bin/rustc", "--target", triple, "--crate-type=lib", "--emit=obj", "-o", path.join(objects, `${name}.o`), source], {
      env: { ...process.env, RUSTC_BOOTSTRAP: "1" },
    });
  }
  return objects;
}

/** What a build for Windows needs; `run` is Cargo's runner of what it built. */
function forWindows(triple, run) {
  ensureDebian(...FOR_MINGW);
  const env = environment("-L", `native=${startupObjects(triple)}`, "-C", "link-arg=-Wl,--no-insert-timestamp");
  return run ? { ...env, [`CARGO_TARGET_${triple.toUpperCase().replaceAll("-", "_")}_RUNNER`]: run } : env;
}

/** Builds the release binary of a platform. Returns its path. */
export function build(platform) {
  const { target: triple, builder } = platform;
  if (builder === "native" && thisPlatform().key !== platform.key) throw new Error(`${platform.key} is built on a machine of its kind`);
  // Without what names the functions of a backtrace: a stripped binary has no names.
  const std = ["-Zbuild-std=std,panic_abort", "-Zbuild-std-features=panic-unwind"];
  const binary = ["--locked", "--release", "--target", triple, "--bin", NAME];
  let folder = cross;
  if (builder === "native") {
    folder = path.join(target, "native");
    // Else Microsoft's C library has to be there.
    const flags = triple.endsWith("-msvc") ? ["-C", "target-feature=+crt-static"] : [];
    must(["cargo", "fetch", "--locked"], { cwd: REPOSITORY });
    const env = { ...allowed((name) => !OURS.test(name)), CARGO_TARGET_DIR: folder, ...rustFlags([...remapped(), ...flags]) };
    must(["cargo", "build", ...binary], { cwd: REPOSITORY, env });
  } else if (builder === "mingw") {
    must(["/usr/bin/cargo", "build", ...binary, ...std], { cwd: REPOSITORY, env: forWindows(triple) });
  } else {
    ensureDebian(...FOR_ZIG);
    ensureZig();
    // The C library is zig's; and zig makes a position-independent executable only where it is told in its own words.
    const linked = ["-C", "target-feature=+crt-static", "-C", "link-self-contained=no", "-C", "link-arg=-pie"];
    must(["cargo-zigbuild", "rustc", ...binary, ...std, "--", ...linked], { cwd: REPOSITORY, env: environment() });
  }
  const made = path.join(folder, triple, "release", fileOf(platform));
  const problems = inspect(platform, made);
  if (problems.length > 0) throw new Error(`${made} cannot be released:\n  ${problems.join("\n  ")}`);
  return stageBinary(path.join(target, "binaries", platform.key), platform, made);
}

/** The command that runs the tests of this repository as Windows programs, each started by `run`; `env` comes on top. */
export function windowsTests(platform, run) {
  const args = ["test", "--locked", "-Zbuild-std=std,panic_abort,test", "--target", platform.target];
  return { command: "/usr/bin/cargo", args, env: forWindows(platform.target, run) };
}

await main(import.meta.url, (keys) => keys.map(platformOf).forEach((platform) => console.log(build(platform))));
