// Where the executable is looked for, and what is said where there is none.
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";

import { explainEarlyExit, explainSpawnError, resolveBinary } from "../dist/binary.js";
import { BINARY_ENV, SUPPORTED_PLATFORMS, platformKey, platformPackage } from "../dist/platform-packages.js";
import { PLATFORMS, packageOf } from "../scripts/platforms.mjs";

const root = mkdtempSync(path.join(tmpdir(), "openclaw-weixin-binary-"));
after(() => rmSync(root, { recursive: true, force: true }));

let made = 0;
/** A package folder with these files. */
function packageWith(files = {}) {
  const folder = path.join(root, `package-${(made += 1)}`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, "package.json"), "{}");
  for (const [name, mode] of Object.entries(files)) {
    const file = path.join(folder, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, name.endsWith(".json") ? "{}" : "#!/bin/sh\n");
    chmodSync(file, mode);
  }
  return folder;
}

const linux = { env: {}, platform: "linux", arch: "x64" };
const posix = { skip: process.platform === "win32" };
const fails = (lookup, kind, ...texts) =>
  assert.throws(
    () => resolveBinary(lookup),
    (error) => {
      assert.equal(error.kind, kind, error.message);
      for (const text of texts) assert.match(error.message, text);
      return true;
    },
  );

test("a platform is a system and a processor, and those that are looked for are those that releases are built for", () => {
  assert.equal(platformKey(linux), "linux-x64");
  assert.equal(platformKey({ platform: "darwin", arch: "arm64" }), "darwin-arm64");
  assert.equal(platformPackage("linux-arm64"), "openclaw-weixin-sidecar-linux-arm64");
  assert.deepEqual([...SUPPORTED_PLATFORMS], PLATFORMS.map(({ key }) => key));
  for (const platform of PLATFORMS) {
    assert.equal(platformKey({ platform: platform.os, arch: platform.cpu }), platform.key);
    assert.equal(platformPackage(platform.key), packageOf(platform));
  }
});

test("the environment comes first", posix, () => {
  const folder = packageWith({ "bin/linux-x64/openclaw-weixin-sidecar": 0o755, "my-build": 0o755 });
  const file = path.join(folder, "my-build");
  assert.deepEqual(resolveBinary({ ...linux, env: { [BINARY_ENV]: file }, packageRoots: [folder] }), { path: file, source: "environment" });
});

test("the binary of the same package comes before a platform's package, and that is one of the same version or none", posix, () => {
  const inModules = "node_modules/openclaw-weixin-sidecar-linux-x64";
  const folder = packageWith({ [`${inModules}/package.json`]: 0o644, [`${inModules}/bin/openclaw-weixin-sidecar`]: 0o755 });
  const versions = (own, theirs) => {
    writeFileSync(path.join(folder, "package.json"), JSON.stringify({ version: own }));
    writeFileSync(path.join(folder, inModules, "package.json"), JSON.stringify({ version: theirs }));
  };
  versions("0.2.0", "0.2.0");
  assert.equal(resolveBinary({ ...linux, packageRoots: [folder] }).source, "platform package");
  versions("0.2.0", "0.1.0");
  fails({ ...linux, packageRoots: [folder] }, "binary_missing", /sidecar 0\.2\.0 for linux-x64 is not installed/, /is version 0\.1\.0, of another installation/);
  const carried = path.join(folder, "bin", "linux-x64");
  mkdirSync(carried, { recursive: true });
  writeFileSync(path.join(carried, "openclaw-weixin-sidecar"), "#!/bin/sh\n", { mode: 0o755 });
  assert.equal(resolveBinary({ ...linux, packageRoots: [folder] }).source, "plugin package");
  versions("0.2.0", "0.2.0");
  assert.equal(resolveBinary({ ...linux, packageRoots: [folder] }).source, "plugin package");
});

test("a program that a virus scanner took, and one that was cut to nothing", posix, () => {
  const inModules = "node_modules/openclaw-weixin-sidecar-linux-x64";
  const folder = packageWith({ [`${inModules}/package.json`]: 0o644 });
  fails({ ...linux, packageRoots: [folder] }, "binary_missing", /is installed, and its program is gone/, /Virus scanners/);
  mkdirSync(path.join(folder, inModules, "bin"));
  writeFileSync(path.join(folder, inModules, "bin", "openclaw-weixin-sidecar"), "", { mode: 0o755 });
  fails({ ...linux, packageRoots: [folder] }, "binary_not_executable", /is empty/, /disk may have been full/);
});

test("the environment names npm's command, which would start itself", posix, () => {
  const folder = packageWith({ "dist/cli.js": 0o755 });
  writeFileSync(path.join(folder, "package.json"), JSON.stringify({ name: "openclaw-weixin-sidecar", version: "0.1.0" }));
  const command = path.join(folder, "openclaw-weixin-sidecar");
  symlinkSync(path.join(folder, "dist", "cli.js"), command);
  fails({ ...linux, env: { [BINARY_ENV]: command } }, "binary_not_executable", /npm's command/, /Unset the variable/);
});

test("a carried binary is found, and made executable where it is not", posix, () => {
  const folder = packageWith({ "bin/linux-x64/openclaw-weixin-sidecar": 0o644 });
  const found = resolveBinary({ ...linux, packageRoots: [folder] });
  assert.equal(found.source, "plugin package");
  assert.ok(statSync(found.path).mode & 0o100);
});

test("the first root that has it wins", posix, () => {
  const without = packageWith();
  const first = packageWith({ "bin/linux-x64/openclaw-weixin-sidecar": 0o755 });
  const second = packageWith({ "bin/linux-x64/openclaw-weixin-sidecar": 0o755 });
  assert.ok(resolveBinary({ ...linux, packageRoots: [undefined, without, first, second] }).path.startsWith(first));
});

test("a missing binary names the package that is missing, and what to do", () => {
  fails({ ...linux, packageRoots: [packageWith()] }, "binary_missing", /openclaw-weixin-sidecar-linux-x64/, /plugins install/);
});

test("a binary for another machine is recognised", () => {
  const folder = packageWith({ "bin/darwin-arm64/openclaw-weixin-sidecar": 0o755 });
  fails({ ...linux, packageRoots: [folder] }, "binary_wrong_platform", /darwin-arm64/, /this machine is linux-x64/);
});

test("another platform's package, where this one's should be: the folder came from another machine", () => {
  const folder = packageWith();
  const inside = path.join(folder, "node_modules", "openclaw-weixin-sidecar");
  for (const name of ["openclaw-weixin-sidecar", "openclaw-weixin-sidecar-darwin-arm64"]) {
    mkdirSync(path.join(folder, "node_modules", name), { recursive: true });
    writeFileSync(path.join(folder, "node_modules", name, "package.json"), "{}");
  }
  fails({ ...linux, packageRoots: [inside] }, "binary_wrong_platform", /installed for darwin-arm64/, /this machine is linux-x64/, /copied or mounted/);
});

test("Node for Intel on a Mac with an Apple processor", () => {
  const folder = packageWith({ "node_modules/openclaw-weixin-sidecar-darwin-arm64/package.json": 0o644 });
  const mac = { env: {}, platform: "darwin", arch: "x64", packageRoots: [folder] };
  fails({ ...mac, cpu: () => "Apple M4" }, "binary_wrong_platform", /Rosetta/, /Node for arm64/);
  fails({ ...mac, cpu: () => "Intel(R) Core(TM) i7" }, "binary_wrong_platform", /installed for darwin-arm64/);
});

test("a lock file that was written without this platform's package: the folder's own, and nobody else's", () => {
  const folder = packageWith();
  const inside = path.join(folder, "node_modules", "openclaw-weixin-sidecar");
  mkdirSync(inside, { recursive: true });
  writeFileSync(path.join(inside, "package.json"), "{}");
  const lock = (names) => writeFileSync(path.join(folder, "package-lock.json"), JSON.stringify({ packages: Object.fromEntries(names.map((name) => [`node_modules/${name}`, {}])) }));
  lock(["openclaw-weixin-sidecar", "openclaw-weixin-sidecar-darwin-arm64"]);
  fails({ ...linux, packageRoots: [inside] }, "binary_missing", /package-lock\.json was written without openclaw-weixin-sidecar-linux-x64/, /another kind of machine, or when the registry/);
  // It names the package, and npm left it out all the same.
  lock(["openclaw-weixin-sidecar", "openclaw-weixin-sidecar-linux-x64"]);
  fails({ ...linux, packageRoots: [inside] }, "binary_missing", /--omit=optional/);
  const below = path.join(folder, "elsewhere", "node_modules", "openclaw-weixin-sidecar");
  mkdirSync(below, { recursive: true });
  writeFileSync(path.join(below, "package.json"), "{}");
  lock(["openclaw-weixin-sidecar"]);
  fails({ ...linux, packageRoots: [below] }, "binary_missing", /--omit=optional/);
  writeFileSync(path.join(folder, "package-lock.json"), "{");
  fails({ ...linux, packageRoots: [inside] }, "binary_missing", /--omit=optional/);
});

test("a platform without releases is told so, and a 32-bit Node that it is one", () => {
  fails({ env: {}, platform: "freebsd", arch: "x64", packageRoots: [packageWith()] }, "platform_unsupported", /freebsd-x64/, /cargo/);
  for (const [platform, arch] of [["win32", "ia32"], ["linux", "arm"]]) {
    fails({ env: {}, platform, arch, packageRoots: [packageWith()] }, "platform_unsupported", /32-bit program/, /64-bit Node/);
  }
});

test("a kernel that is too old is named", { skip: process.platform !== "linux" }, () => {
  const program = { path: process.execPath, source: "environment" };
  const said = (arch, release) => explainEarlyExit(program, { arch, release })?.message ?? "";
  assert.match(said("x64", "2.6.32-754.el6"), /kernel is 2\.6\.32-754\.el6/);
  for (const { cpu, kernel } of PLATFORMS.filter(({ os }) => os === "linux")) {
    assert.ok(said(cpu, "2.6.32").includes(`needs Linux ${kernel} or newer`), cpu);
    for (const release of [`${kernel}.0`, "6.1.0", "unheard-of"]) assert.doesNotMatch(said(cpu, release), /kernel/);
  }
});

test("a wrong environment variable is named", () => {
  fails({ ...linux, env: { [BINARY_ENV]: path.join(root, "nowhere") } }, "binary_missing", /OPENCLAW_WEIXIN_SIDECAR_BIN/, /nowhere/);
});

test("a folder is no binary", posix, () => {
  fails({ ...linux, env: { [BINARY_ENV]: packageWith() } }, "binary_not_executable", /is not a file/);
});

test("what cannot be started says how to replace it, by where it was found", () => {
  const said = (source, code) => explainSpawnError(Object.assign(new Error(code), { code }), { path: path.join(root, "gone"), source }).message;
  for (const code of ["ENOENT", "ENOEXEC"]) {
    assert.match(said("environment", code), /OPENCLAW_WEIXIN_SIDECAR_BIN names it: point that variable/);
    assert.doesNotMatch(said("environment", code), /plugins install/);
    assert.match(said("plugin package", code), /plugins install openclaw-weixin-sidecar --force/);
  }
});
