// Builds the sidecar for other machines, on Debian 12 for x86-64, as root or with sudo; docs/releasing.md says why there.
//
//   node scripts/cross.mjs linux-arm64 win32-x64     builds these, into target/binaries/<key>/; prints the paths
//
// The standard library is built from source with Debian's compiler, which needs nothing that is installed per target. zig is the
// linker and the C compiler for Linux, MinGW for Windows. What is installed is pinned, and no binary knows where it was built.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { NAME, REPOSITORY, fileOf, platformOf, stageBinary } from "./platforms.mjs";

/** Packages of Debian, and how their version begins. */
const COMPILER = { packages: ["rustc-web", "cargo-web", "rust-web-src", "libstd-rust-web-dev"], version: "1.96.0" };
const MINGW = { packages: ["gcc-mingw-w64-x86-64"], version: "12.2.0" };
/** Packages of PyPI. */
const ZIG = ["ziglang==0.17.1", "cargo-zigbuild==0.24.0"];

const target = path.join(REPOSITORY, "target");
// A pin that is raised is another folder.
const tools = path.join(target, "tools", ZIG.join("-").replaceAll("==", "-"));
const sources = `/usr/src/rustc-${COMPILER.version}`;

function must([command, ...args], options = {}) {
  const done = spawnSync(command, args, { stdio: ["ignore", "inherit", "inherit"], ...options });
  if (done.status !== 0) throw new Error(`${command} ${args.join(" ")} failed${done.error ? `: ${done.error.message}` : ` (${done.status ?? done.signal})`}`);
}

/** Installs what is missing of these packages, or is another version. */
function ensureDebian({ packages, version }) {
  const installed = (name) => spawnSync("dpkg-query", ["-W", "-f", "${Version}", name], { encoding: "utf8" }).stdout ?? "";
  const missing = packages.filter((name) => !installed(name).startsWith(version));
  if (missing.length === 0) return;
  const release = existsSync("/etc/os-release") ? readFileSync("/etc/os-release", "utf8") : "";
  if (!/^ID=debian$/m.test(release) || !/^VERSION_ID="12"$/m.test(release)) throw new Error(`this needs Debian 12, for its ${missing.join(" and ")} ${version}`);
  const apt = [...(process.getuid() === 0 ? [] : ["sudo"]), "apt-get"];
  must([...apt, "update"], { stdio: ["ignore", "ignore", "inherit"] });
  must([...apt, "install", "-y", "--no-install-recommends", "--no-remove", ...missing.map((name) => `${name}=${version}*`)], { stdio: ["ignore", "ignore", "inherit"] });
}

function ensureZig() {
  if (existsSync(path.join(tools, "installed"))) return;
  rmSync(tools, { recursive: true, force: true });
  must(["python3", "-m", "venv", tools]);
  must([path.join(tools, "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", ...ZIG]);
  mkdirSync(path.join(tools, "installed"));
}

/** What Cargo sees: nothing of the caller's own settings for builds, and paths that are the same everywhere. */
function environment(folder) {
  const own = Object.entries(process.env).filter(([name]) => !/^(RUST|CARGO_(BUILD|TARGET|PROFILE|ENCODED)|CARGO_INCREMENTAL|.*CFLAGS|CC|CXX|AR)/.test(name));
  const registry = path.join(process.env.CARGO_HOME || path.join(os.homedir(), ".cargo"), "registry", "src");
  // The last that fits counts.
  const names = [[registry, "crates"], [REPOSITORY.replace(/\/$/, ""), "."], [sources, "rust"], ["/usr/lib/rustlib/src/rust", "rust"], [tools, "zig"]];
  return {
    ...Object.fromEntries(own),
    PATH: [path.join(tools, "bin"), "/usr/bin", "/bin"].join(path.delimiter),
    CARGO: "/usr/bin/cargo",
    RUSTC: "/usr/bin/rustc",
    // The standard library's build is behind a flag that only this lets pass.
    RUSTC_BOOTSTRAP: "1",
    CARGO_TARGET_DIR: folder,
    CARGO_ENCODED_RUSTFLAGS: names.map(([from, to]) => `--remap-path-prefix=${from}=${to}`).join("\x1f"),
    CFLAGS: names.map(([from, to]) => `-ffile-prefix-map=${from}=${to}`).join(" "),
    SOURCE_DATE_EPOCH: "0",
    ZERO_AR_DATE: "1",
  };
}

/** The start-up objects of Windows programs, which Debian's compiler comes without. Returns their folder. */
function startupObjects(triple, folder, env) {
  const objects = path.join(folder, "rtstartup");
  mkdirSync(objects, { recursive: true });
  for (const name of ["rsbegin", "rsend"]) {
    const source = path.join(sources, "library", "rtstartup", `${name}.rs`);
    must([env.RUSTC, "--target", triple, "--crate-type=lib", "--emit=obj", "-o", path.join(objects, `${name}.o`), source], { env });
  }
  return objects;
}

/** Builds the release binary of a platform. Returns its path. */
export function build(platform) {
  const { target: triple, builder } = platform;
  if (builder === "native") throw new Error(`${platform.key} is built on a machine of its kind: cargo build --release --target ${triple}`);
  ensureDebian(COMPILER);
  if (builder === "mingw") ensureDebian(MINGW);
  else ensureZig();
  // Of this toolchain's own: another one's artifacts would be built anew each time.
  const folder = path.join(target, "cross");
  mkdirSync(folder, { recursive: true });
  const env = environment(folder);
  const options = { cwd: REPOSITORY, env };
  // Without what names the functions of a backtrace: a stripped binary has no names.
  const std = ["-Zbuild-std=std,panic_abort", "-Zbuild-std-features=panic-unwind"];
  const args = ["rustc", "--locked", "--release", ...std, "--target", triple, "--bin", NAME, "--"];
  if (builder === "mingw") {
    must([env.CARGO, ...args, "-L", `native=${startupObjects(triple, folder, env)}`, "-C", "link-arg=-Wl,--no-insert-timestamp"], options);
  } else {
    // The C library is zig's; and zig makes a position-independent executable only where it is told in its own words.
    must(["cargo-zigbuild", ...args, "-C", "target-feature=+crt-static", "-C", "link-self-contained=no", "-C", "link-arg=-pie"], options);
  }
  const made = path.join(folder, triple, "release", fileOf(platform));
  if (builder === "zig") assertStaticPie(made);
  return stageBinary(path.join(target, "binaries", platform.key), platform, made);
}

/** That an ELF file is position-independent (ET_DYN) and asks for no loader (PT_INTERP). 64 bits, little-endian, as all of ours. */
function assertStaticPie(file) {
  const elf = readFileSync(file);
  const [start, size, count] = [Number(elf.readBigUInt64LE(0x20)), elf.readUInt16LE(0x36), elf.readUInt16LE(0x38)];
  const kinds = Array.from({ length: count }, (_, n) => elf.readUInt32LE(start + n * size));
  if (elf.readUInt16LE(0x10) !== 3 || kinds.includes(3)) throw new Error(`${file} is not static and position-independent`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const platform of process.argv.slice(2).map(platformOf)) console.log(build(platform));
}
