// Everything of a release that can be made and tested on this machine, from nothing: `make dist`.
//
//   node scripts/dist.mjs [--only linux-x64,win32-x64] [--binaries <dir>] [--no-tests] [--out <dir>]
//
// Builds the binaries (or takes those of --binaries, as <key>/openclaw-weixin-sidecar[.exe]), tests those that can run here, packs, looks
// into the packages, and writes their checksums. What is published is in the folder then: target/dist.
import { createHash } from "node:crypto";
import { readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { gunzipSync } from "node:zlib";

import { build } from "./binaries.mjs";
import { main, must } from "./commands.mjs";
import { namesOfThisMachine } from "./inspect.mjs";
import { packAll } from "./packages.mjs";
import { PLATFORMS, REPOSITORY, packageOf, platformOf } from "./platforms.mjs";

/** Of a platform's package, in bytes. */
const LARGEST = 5 * 1024 * 1024;

const step = (title) => console.log(`\n== ${title}`);

await main(() => {
  const { values } = parseArgs({
    options: { only: { type: "string" }, binaries: { type: "string" }, "no-tests": { type: "boolean" }, out: { type: "string", default: path.join(REPOSITORY, "target", "dist") } },
  });
  const platforms = values.only ? values.only.split(",").map(platformOf) : PLATFORMS.filter(({ builder }) => builder !== "native");
  const shim = path.join(REPOSITORY, "npm-shim");
  const npm = (...args) => must(["npm", ...args], { cwd: shim, shell: process.platform === "win32" });

  if (!values.binaries) {
    for (const platform of platforms) {
      step(`${platform.key}: the binary`);
      console.log(build(platform));
    }
  }
  if (!values["no-tests"]) {
    step("tests of the binaries");
    must([process.execPath, path.join(REPOSITORY, "tests", "platforms", "run.mjs"), ...platforms.map(({ key }) => key)]);
  }
  step("the packages");
  npm("ci", "--no-audit", "--no-fund", "--ignore-scripts");
  npm("run", "--silent", "typecheck");
  npm("run", "--silent", "build");
  rmSync(values.out, { recursive: true, force: true });
  const packed = packAll({ platforms, binaries: values.binaries ?? path.join(REPOSITORY, "target", "binaries"), out: values.out });

  const problems = packed.flatMap((file) => {
    const content = gunzipSync(readFileSync(file));
    const size = statSync(file).size;
    const isPlatforms = platforms.some((platform) => path.basename(file).startsWith(`${packageOf(platform)}-`));
    const large = isPlatforms && size > LARGEST ? [`it has ${(size / 1024 / 1024).toFixed(2)} MiB, more than ${LARGEST / 1024 / 1024}`] : [];
    return [...large, ...namesOfThisMachine(content)].map((problem) => `${file}: ${problem}`);
  });
  if (problems.length > 0) throw new Error(`not to be released:\n  ${problems.join("\n  ")}`);

  const sums = packed.map((file) => `${createHash("sha256").update(readFileSync(file)).digest("hex")}  ${path.relative(values.out, file).replaceAll(path.sep, "/")}`);
  writeFileSync(path.join(values.out, "SHA256SUMS"), `${sums.join("\n")}\n`);
  for (const file of packed) console.log(`${(statSync(file).size / 1024 / 1024).toFixed(2).padStart(6)} MiB  ${file}`);
  console.log(`        and ${path.join(values.out, "SHA256SUMS")}`);
});
