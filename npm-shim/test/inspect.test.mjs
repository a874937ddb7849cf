// What keeps a binary from being released.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os, { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";

import { LARGEST_BINARY, inspect } from "../scripts/inspect.mjs";
import { PLATFORMS, REPOSITORY, platformOf } from "../scripts/platforms.mjs";
import { programFor } from "./programs.mjs";

const folder = mkdtempSync(path.join(tmpdir(), "openclaw-weixin-inspect-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const of = (platform, bytes) => {
  const file = path.join(folder, "binary");
  writeFileSync(file, bytes);
  return inspect(platform, file);
};

test("a program is for its own platform and no other", () => {
  for (const built of PLATFORMS) {
    for (const platform of PLATFORMS) {
      const problems = of(platform, programFor(built));
      if (built === platform) assert.deepEqual(problems, []);
      else assert.match(problems.join(), new RegExp(`not a program for ${platform.os} on ${platform.cpu}`), `${built.key} as ${platform.key}`);
    }
    assert.match(of(built, "#!/bin/sh\n").join(), /not a program/);
    assert.match(of(built, Buffer.alloc(4096)).join(), /not a program/);
  }
});

test("a Linux program that needs a loader, or lies at a fixed place, is said", () => {
  const platform = platformOf("linux-x64");
  const fixed = programFor(platform);
  fixed.writeUInt16LE(2, 0x10);
  assert.deepEqual(of(platform, fixed), ["it is not position-independent"]);
  const dynamic = Buffer.concat([programFor(platform), Buffer.alloc(64)]);
  dynamic.writeBigUInt64LE(0x80n, 0x20);
  dynamic.writeUInt16LE(0x38, 0x36);
  dynamic.writeUInt16LE(1, 0x38);
  dynamic.writeUInt32LE(3, 0x80);
  assert.deepEqual(of(platform, dynamic), ["it is dynamically linked"]);
  // This program itself, which no one built for release.
  if (process.platform === "linux") assert.notDeepEqual(inspect(platformOf(`linux-${process.arch}`), process.execPath), []);
});

test("a program that needs a compiler's libraries is said", () => {
  const with_ = (key, text) => of(platformOf(key), Buffer.concat([programFor(platformOf(key)), Buffer.from(`\0${text}\0`)])).join();
  assert.match(with_("win32-arm64", "VCRUNTIME140.dll"), /it asks for vcruntime/);
  assert.match(with_("win32-x64", "libgcc_s.dll"), /it asks for libgcc_s/);
  assert.match(with_("darwin-arm64", "/opt/homebrew/lib/libz.dylib"), /it asks for \/opt\/homebrew/);
  assert.equal(with_("win32-x64", "KERNEL32.dll"), "");
});

test("one that names where it was built, or is too large, is said", () => {
  const platform = platformOf("darwin-arm64");
  const naming = (text) => of(platform, Buffer.concat([programFor(platform), Buffer.from(`\0${text}\0`)]));
  assert.match(naming(path.join(REPOSITORY, "src", "main.rs")).join(), /of the machine that built it/);
  assert.match(naming("/home/somebody/project/src/main.rs").join(), /it names \/home\//);
  assert.match(naming("C:\\Users\\somebody\\.cargo\\registry").join(), /C:\\Users\\/);
  if (os.hostname().length > 4 && /[\d.-]/.test(os.hostname())) assert.match(naming(os.hostname()).join(), new RegExp(os.hostname()));
  assert.deepEqual(naming("./src/main.rs"), []);
  const large = Buffer.concat([programFor(platform), Buffer.alloc(LARGEST_BINARY)]);
  assert.match(of(platform, large).join(), new RegExp(`MiB, more than ${LARGEST_BINARY / 1024 / 1024}`));
});
