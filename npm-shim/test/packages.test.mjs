// What a release publishes: one package for each platform, and the plugin that asks for them.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { NAME, PLATFORMS, REPOSITORY, fileOf, packageOf, platformOf } from "../scripts/platforms.mjs";
import { notesOf } from "../scripts/release-notes.mjs";
import { programFor } from "./programs.mjs";

const shim = fileURLToPath(new URL("..", import.meta.url));
const folder = mkdtempSync(path.join(tmpdir(), "openclaw-weixin-packages-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const read = (...parts) => readFileSync(path.join(...parts), "utf8");
const { version } = JSON.parse(read(shim, "package.json"));
const make = (...args) => execFileSync(process.execPath, [path.join(shim, "scripts", "packages.mjs"), ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
/** A tarball's files with their modes, and its manifest. */
function open(tarball) {
  const files = execFileSync("tar", ["-tvzf", tarball], { encoding: "utf8" }).trim().split("\n");
  const manifest = JSON.parse(execFileSync("tar", ["-xOzf", tarball, "package/package.json"], { encoding: "utf8" }));
  return { manifest, files: Object.fromEntries(files.map((line) => [line.replace(/^.* package\//, ""), line.slice(0, 10)])) };
}

let tarballs;
let offline;
before(() => {
  for (const platform of PLATFORMS) {
    mkdirSync(path.join(folder, "binaries", platform.key), { recursive: true });
    writeFileSync(path.join(folder, "binaries", platform.key, fileOf(platform)), programFor(platform), { mode: 0o644 });
  }
  const made = make("--binaries", path.join(folder, "binaries"), "--out", path.join(folder, "out")).trim().split("\n");
  offline = made.filter((file) => path.basename(path.dirname(file)) === "offline");
  tarballs = made.filter((file) => !offline.includes(file));
});

test("each platform has a package that installs nowhere else and brings a binary that can be run", () => {
  assert.deepEqual(tarballs.map((file) => path.basename(file)), [...PLATFORMS.map((platform) => `${packageOf(platform)}-${version}.tgz`), `${NAME}-${version}.tgz`]);
  for (const [n, platform] of PLATFORMS.entries()) {
    const { manifest, files } = open(tarballs[n]);
    assert.deepEqual([manifest.name, manifest.version, manifest.os, manifest.cpu], [packageOf(platform), version, [platform.os], [platform.cpu]]);
    assert.equal(manifest.scripts, undefined);
    const mode = files[`bin/${fileOf(platform)}`];
    // Windows has no such modes; a release is packed on Linux.
    if (process.platform === "win32") assert.ok(mode, JSON.stringify(files));
    else assert.equal(mode, "-rwxr-xr-x", JSON.stringify(files));
    assert.ok("LICENSE" in files && "bin/LICENSE-SILK" in files, JSON.stringify(files));
  }
});

test("the plugin asks for all of them, in its own version, and brings no binary itself", () => {
  const { manifest, files } = open(tarballs.at(-1));
  const names = PLATFORMS.map(packageOf);
  assert.deepEqual(manifest.optionalDependencies, Object.fromEntries(names.map((name) => [name, version])));
  assert.deepEqual(manifest.openclaw.install.requiredPlatformPackages, names);
  assert.ok(manifest.bin[NAME] in files, JSON.stringify(files));
  assert.deepEqual(Object.keys(files).filter((name) => name.startsWith("bin/")), []);
});

test("for a machine without a registry there is a plugin that brings its binary and asks for nothing", () => {
  assert.deepEqual(offline.map((file) => path.basename(file)), PLATFORMS.map(({ key }) => `${NAME}-offline-${key}-${version}.tgz`));
  for (const [n, platform] of PLATFORMS.entries()) {
    const { manifest, files } = open(offline[n]);
    assert.deepEqual([manifest.name, manifest.version, manifest.dependencies, manifest.optionalDependencies], [NAME, version, undefined, undefined]);
    assert.equal(manifest.openclaw.install.requiredPlatformPackages, undefined);
    assert.equal(files[`bin/${platform.key}/${fileOf(platform)}`], "-rwxr-xr-x", JSON.stringify(files));
    assert.ok(`bin/${platform.key}/LICENSE-SILK` in files, JSON.stringify(files));
  }
});

test("a release for some platforms asks for no others", () => {
  const out = path.join(folder, "some");
  const made = make("--binaries", path.join(folder, "binaries"), "--only", "linux-x64,win32-x64", "--out", out).trim().split("\n");
  assert.equal(made.length, 5);
  const { manifest } = open(made.at(-1));
  const names = ["linux-x64", "win32-x64"].map((key) => packageOf({ key }));
  assert.deepEqual([Object.keys(manifest.optionalDependencies), manifest.openclaw.install.requiredPlatformPackages], [names, names]);
});

test("a binary of another platform is not packed", () => {
  const binaries = path.join(folder, "swapped");
  mkdirSync(path.join(binaries, "linux-x64"), { recursive: true });
  writeFileSync(path.join(binaries, "linux-x64", NAME), programFor(platformOf("linux-arm64")));
  const out = path.join(folder, "swapped-out");
  assert.throws(() => make("--binaries", binaries, "--out", out, "--only", "linux-x64"), /linux-x64.*not a program for linux on x64/s);
  assert.equal(existsSync(out), false);
});

test("a release workflow's packages name its repository, which npm compares", () => {
  const binaries = path.join(folder, "binaries");
  const env = { ...process.env, GITHUB_SERVER_URL: "https://example.com", GITHUB_REPOSITORY: "somebody/something" };
  const args = ["--binaries", binaries, "--out", path.join(folder, "named"), "--only", "win32-x64"];
  const made = execFileSync(process.execPath, [path.join(shim, "scripts", "packages.mjs"), ...args], { encoding: "utf8", env }).trim().split("\n");
  for (const file of [made[0], made.at(-1)]) assert.equal(open(file).manifest.repository.url, "git+https://example.com/somebody/something.git");
});

test("what is missing is named before anything is published", () => {
  assert.throws(() => make("--out", folder), /--binaries <dir>/);
  assert.throws(() => make("--binaries", path.join(folder, "nothing"), "--out", folder), /there is no .*linux-x64/);
  assert.throws(() => make("--binaries", folder, "--only", "beos-x64", "--out", folder), /there is no platform beos-x64; there are linux-x64, /);
});

test("the release workflow builds and tries every platform", () => {
  const workflow = read(REPOSITORY, ".github", "workflows", "release.yml");
  const [, building, trying] = workflow.split(/^ {2}(?:cross|try):$/m);
  for (const { key, builder } of PLATFORMS) {
    const isNative = builder === "native";
    assert.match(building, new RegExp(isNative ? `\\{ key: ${key}, runner: ` : `key: \\[.*\\b${key}\\b.*\\]`), `${key} is built`);
    assert.match(trying, new RegExp(`\\{ key: ${key}, runner: `), `${key} is tried`);
  }
});

test("a release says what the changelog says of its version, and does not begin without", () => {
  const changelog = "# Changelog\n\n## [Unreleased]\n\n- Later.\n\n## [1.2.3] - 2026-11-22\n\n### Fixed\n\n- A thing.\n\n## [1.2.2] - 2026-11-01\n\n### Fixed\n";
  assert.equal(notesOf("1.2.3", changelog), "### Fixed\n\n- A thing.\n");
  assert.throws(() => notesOf("1.2.4", changelog), /no section "## \[1\.2\.4\] - <day>"/);
  assert.throws(() => notesOf("1.2", changelog), /no section/);
  assert.throws(() => notesOf("1.2.2", changelog), /says nothing of 1\.2\.2/);
});

test("one version everywhere", () => {
  const of = (text, pattern) => text.match(pattern)?.[1];
  const crate = /^version = "([^"]+)"/m;
  const known = {
    "Cargo.toml": of(read(REPOSITORY, "Cargo.toml"), crate),
    "crates/ilink/Cargo.toml": of(read(REPOSITORY, "crates", "ilink", "Cargo.toml"), crate),
    "crates/ilink-simulator/Cargo.toml": of(read(REPOSITORY, "crates", "ilink-simulator", "Cargo.toml"), crate),
    "crates/silk-decoder/Cargo.toml": of(read(REPOSITORY, "crates", "silk-decoder", "Cargo.toml"), crate),
    "fuzz/Cargo.lock": of(read(REPOSITORY, "fuzz", "Cargo.lock"), new RegExp(`name = "${NAME}"\\nversion = "([^"]+)"`)),
    "Cargo.toml, for ilink": of(read(REPOSITORY, "Cargo.toml"), /^ilink = \{ version = "([^"]+)"/m),
    "Cargo.toml, for ilink-simulator": of(read(REPOSITORY, "Cargo.toml"), /^ilink-simulator = \{ version = "([^"]+)"/m),
    "Cargo.toml, for silk-decoder": of(read(REPOSITORY, "Cargo.toml"), /^silk-decoder = \{ version = "([^"]+)"/m),
    "Cargo.lock": of(read(REPOSITORY, "Cargo.lock"), new RegExp(`name = "${NAME}"\nversion = "([^"]+)"`)),
    "package-lock.json": JSON.parse(read(shim, "package-lock.json")).version,
    "package-lock.json, of the package": JSON.parse(read(shim, "package-lock.json")).packages[""].version,
  };
  assert.deepEqual(known, Object.fromEntries(Object.keys(known).map((name) => [name, version])));
});
