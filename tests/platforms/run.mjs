// Runs the tests of the whole binary against the release binaries: those of this machine as they are, others on an emulator.
//
//   node tests/platforms/run.mjs                       every binary in target/binaries that can run here
//   node tests/platforms/run.mjs linux-arm64           only this platform's
//   node tests/platforms/run.mjs linux-x64 send login  only these files of tests/
//   node tests/platforms/run.mjs --binaries <dir> …    binaries of another folder, as <key>/openclaw-weixin-sidecar[.exe]
//
// On Debian 12 for x86-64: Linux for arm64 under qemu, Windows under Wine. There the tests themselves are Windows programs, too. What an
// emulator does not allow is left out by name, and said. The last line sums all up: `N passed, N failed`.
import { spawn, spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { MINGW, windowsTests } from "../../npm-shim/scripts/binaries.mjs";
import { main, must } from "../../npm-shim/scripts/commands.mjs";
import { ensureDebian } from "../../npm-shim/scripts/debian.mjs";
import { PLATFORMS, REPOSITORY, fileOf, platformOf, thisPlatform } from "../../npm-shim/scripts/platforms.mjs";
import { countCargo, sum } from "../counting.mjs";
import { roots } from "./roots.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const emulators = path.join(REPOSITORY, "target", "emulators");
const { values, positionals: asked } = parseArgs({ options: { binaries: { type: "string", default: path.join(REPOSITORY, "target", "binaries") } }, allowPositionals: true });
const binaryOf = (platform) => path.join(path.resolve(values.binaries), platform.key, fileOf(platform));

/** Tests of this repository's texts and of Cargo's own build, which know no other binary. */
const NOT_OF_THE_BINARY = ["contract_documents", "fuzz_inputs", "rooms", "translations"];

/**
 * What the emulators do not do: `{ tests: ["takeover::", "its_program_is_known"], why: "…" }`. Of tests a part of the name is enough, in whatever file; `file::`
 * is all of a file.
 */
const NOT_POSSIBLE = {
  qemu: [
    { tests: ["takeover::", "bystanders::"], why: "of itself /proc tells a process another executable and start time than of others, so that nobody is taken for who they are" },
    {
      tests: [
        "a_gateway_above_the_parent_is_watched_when_it_says_who_it_is",
        "where_the_gateway_is_pid_1_it_survives_and_a_stale_sidecar_is_ended",
        "with_hidepid_whoever_cannot_be_seen_counts_as_an_ancestor",
        "two_processes_keep_the_quota_together",
      ],
      why: "for the same reason",
    },
    { tests: ["nobody_hears_of_the_end_of_a_held_message_before_they_hear_that_it_is_held"], why: "the emulator is slower than the moment that it is about" },
  ],
  wine: [
    { tests: ["what_is_sealed_is_opened_with_the_same_passphrase_only"], why: "the texts of `age` are read from the building machine's disk by a debug build; with the release binary the command line shows the same" },
  ],
};

/** The test files of the binary. */
const files = readdirSync(path.join(REPOSITORY, "tests")).flatMap((name) => name.match(/^(.+)\.rs$/)?.[1] ?? []).filter((name) => !NOT_OF_THE_BINARY.includes(name));

/** How a platform's tests are run here: Cargo's command, what runs a single binary, and what cannot be tested. `undefined`: not at all. */
function plan(platform) {
  const binary = binaryOf(platform);
  const native = { command: "cargo", args: ["test", "--locked"], left: [], start: [binary] };
  if (platform.key === thisPlatform().key) return { ...native, env: { OPENCLAW_WEIXIN_TEST_BINARY: binary } };
  if (thisPlatform().key !== "linux-x64") return undefined;
  if (platform.key === "linux-arm64") {
    ensureDebian("qemu-user-static");
    const qemu = "/usr/bin/qemu-aarch64-static";
    return { ...native, left: NOT_POSSIBLE.qemu, env: { OPENCLAW_WEIXIN_TEST_BINARY: script(platform, `exec ${qemu} '${binary}' "$@"`) }, start: [qemu, binary] };
  }
  if (platform.key === "win32-x64") {
    const { wine, env } = ensureWine();
    const tests = windowsTests(platform, wine);
    return { ...tests, left: NOT_POSSIBLE.wine, args: [...tests.args, "--lib"], env: { ...tests.env, ...env, OPENCLAW_WEIXIN_TEST_BINARY: `Z:${binary.replaceAll("/", "\\")}` }, start: [wine, binary] };
  }
  return undefined;
}

/** A command of one line, in a file. */
function script(platform, line) {
  mkdirSync(emulators, { recursive: true });
  const file = path.join(emulators, platform.key);
  writeFileSync(file, `#!/bin/sh\n${line}\n`);
  chmodSync(file, 0o755);
  return file;
}

/** Wine with a folder of its own, as Windows 10, with the library that Debian's lacks. */
function ensureWine() {
  ensureDebian("wine64", MINGW);
  const wine = "/usr/lib/wine/wine64";
  const version = spawnSync(wine, ["--version"], { encoding: "utf8" }).stdout.match(/wine-[\d.]+/)[0];
  const prefix = path.join(emulators, version);
  const env = { WINEPREFIX: prefix, WINEDEBUG: "-all" };
  const library = path.join(prefix, "drive_c", "windows", "system32", "bcryptprimitives.dll");
  mkdirSync(prefix, { recursive: true });
  must([wine, "wineboot", "--init"], { env: { ...process.env, ...env, DISPLAY: "" }, stdio: "ignore" });
  if (!existsSync(library)) {
    const half = path.join(emulators, "bcryptprimitives.dll");
    must(["x86_64-w64-mingw32-gcc", "-shared", "-s", "-o", half, path.join(here, "bcryptprimitives.c"), "-ladvapi32"]);
    copyFileSync(half, library);
  }
  return { wine, env };
}

/** Runs a command, shows what it says, and returns that too. */
function run(command, args, env) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: REPOSITORY, stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
    let output = "";
    for (const [stream, to] of [[child.stdout, process.stdout], [child.stderr, process.stderr]]) {
      stream.on("data", (chunk) => {
        to.write(chunk);
        output += chunk;
      });
    }
    child.on("error", (error) => resolve({ code: 1, output: `${output}\n${error.message}` }));
    child.on("close", (code) => resolve({ code: code ?? 1, output }));
  });
}

async function test(platform, only) {
  const how = plan(platform);
  if (!how) {
    console.log(`\n== ${platform.key}: cannot be run on ${thisPlatform().key}`);
    return undefined;
  }
  console.log(`\n== ${platform.key}: ${binaryOf(platform)}`);
  const chosen = files.filter((name) => only.length === 0 || only.includes(name));
  const skipped = how.left.flatMap(({ tests }) => tests);
  const wholly = chosen.filter((name) => !skipped.includes(`${name}::`));
  if (wholly.length === 0) throw new Error(`all of ${chosen.join(", ")} is left out for ${platform.key}`);
  const env = { ...how.env, RUST_BACKTRACE: "0" };
  const args = [...how.args, "--no-fail-fast", ...wholly.flatMap((name) => ["--test", name]), "--", ...skipped.filter((name) => !name.endsWith("::")).flatMap((name) => ["--skip", name])];
  const { code, output } = await run(how.command, args, env);
  const counts = [countCargo(output) || { passed: 0, failed: 1 }];
  if (code !== 0 && counts[0].failed === 0) counts[0].failed = 1;
  const left = [...how.left.map(({ tests, why }) => `${tests.join(", ")}: ${why}`), ...[...output.matchAll(/^skipped: (.+)$/gm)].map(([, what]) => what)];
  if (only.length === 0 && platform.os === "linux") {
    const { skipped: why, ...count } = await roots(platform, how.start);
    counts.push(count);
    if (why) left.push(why);
  }
  return { ...sum(counts.map(({ passed, failed }) => [, passed, failed])), left };
}

await main(import.meta.url, async () => {
  const keys = asked.filter((word) => PLATFORMS.some(({ key }) => key === word));
  const only = asked.filter((word) => !keys.includes(word));
  const unknown = only.find((name) => !files.includes(name));
  if (unknown) throw new Error(`there is no platform and no test file ${unknown}; there are ${PLATFORMS.map(({ key }) => key).join(", ")}; ${files.join(", ")}`);
  const platforms = keys.length > 0 ? keys.map(platformOf) : PLATFORMS.filter((platform) => existsSync(binaryOf(platform)));
  const missing = platforms.filter((platform) => !existsSync(binaryOf(platform)));
  if (platforms.length === 0 || missing.length > 0) {
    throw new Error(`there is no ${missing.map(binaryOf).join(", no ") || `binary in ${values.binaries}`}. Build it: make binaries PLATFORM=${missing[0]?.key ?? "linux-x64"}`);
  }

  const report = [];
  for (const platform of platforms) report.push({ platform, result: await test(platform, only) });
  console.log();
  for (const { platform, result } of report) {
    if (!result) {
      console.log(`${keys.length > 0 ? "FAIL" : "--  "} ${platform.key}: cannot be run here`);
      continue;
    }
    console.log(`${result.failed === 0 ? "ok  " : "FAIL"} ${platform.key}: ${result.passed} passed, ${result.failed} failed`);
    for (const what of result.left) console.log(`       not tested: ${what}`);
  }
  // What was asked for by name and not tested has failed.
  const total = sum(report.map(({ result }) => (result ? [, result.passed, result.failed] : [, 0, keys.length > 0 ? 1 : 0])));
  console.log(`${total.passed} passed, ${total.failed} failed`);
  process.exitCode = total.failed === 0 ? 0 : 1;
});
