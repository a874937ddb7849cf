// Where the executable is looked for, and what is said where there is none.
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";

import { BINARY_ENV, explainSpawnError, platformKey, platformPackage, resolveBinary } from "../dist/binary.js";

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

const linux = { env: {}, platform: "linux", arch: "x64", isMusl: () => false };
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

test("the platform's name includes the C library", () => {
  assert.equal(platformKey(linux), "linux-x64");
  assert.equal(platformKey({ ...linux, isMusl: () => true }), "linux-x64-musl");
  assert.equal(platformKey({ platform: "darwin", arch: "arm64" }), "darwin-arm64");
  assert.equal(platformPackage("linux-x64-musl"), "openclaw-weixin-sidecar-linux-x64-musl");
});

test("the environment comes first", posix, () => {
  const folder = packageWith({ "bin/linux-x64/openclaw-weixin-sidecar": 0o755, "my-build": 0o755 });
  const file = path.join(folder, "my-build");
  assert.deepEqual(resolveBinary({ ...linux, env: { [BINARY_ENV]: file }, packageRoots: [folder] }), { path: file, source: "environment" });
});

test("the platform package comes before the carried binary", posix, () => {
  const folder = packageWith({
    "bin/linux-x64/openclaw-weixin-sidecar": 0o755,
    "node_modules/openclaw-weixin-sidecar-linux-x64/package.json": 0o644,
    "node_modules/openclaw-weixin-sidecar-linux-x64/bin/openclaw-weixin-sidecar": 0o755,
  });
  const found = resolveBinary({ ...linux, packageRoots: [folder] });
  assert.equal(found.source, "platform package");
  assert.match(found.path, /node_modules/);
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

test("a platform without releases is told so", () => {
  fails({ env: {}, platform: "freebsd", arch: "x64", packageRoots: [packageWith()] }, "platform_unsupported", /freebsd-x64/, /cargo/);
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
