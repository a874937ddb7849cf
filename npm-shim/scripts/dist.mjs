// Everything of a release that can be made and tested on this machine, from nothing: `make dist`.
//
//   node scripts/dist.mjs [--only linux-x64,win32-x64] [--binaries <dir>] [--no-tests] [--sbom]
//
// Builds the binaries that Debian can build, or takes those of all platforms from --binaries, as <key>/openclaw-weixin-sidecar[.exe]; tests
// them, packs, looks into the packages, adds what they are made of, and writes checksums. What is published is in target/dist then.
import { createHash } from "node:crypto";
import { copyFileSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { gunzipSync } from "node:zlib";

import { build } from "./binaries.mjs";
import { main, must } from "./commands.mjs";
import { LARGEST_PACKAGE, namesOfThisMachine, tooLarge } from "./inspect.mjs";
import { VERSION, packAll } from "./packages.mjs";
import { NAME, PLATFORMS, REPOSITORY, packageOf, platformOf } from "./platforms.mjs";

const step = (title) => console.log(`\n== ${title}`);

await main(import.meta.url, () => {
  const { values } = parseArgs({
    options: { only: { type: "string" }, binaries: { type: "string" }, "no-tests": { type: "boolean" }, sbom: { type: "boolean" } },
  });
  const platforms = values.only ? values.only.split(",").map(platformOf) : PLATFORMS.filter(({ builder }) => values.binaries || builder !== "native");
  const binaries = path.resolve(values.binaries ?? path.join(REPOSITORY, "target", "binaries"));
  const done = path.join(REPOSITORY, "target", "dist");
  // What is refused, or not finished, is no release.
  const out = `${done}.half`;
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
    must([process.execPath, path.join(REPOSITORY, "tests", "platforms", "run.mjs"), "--binaries", binaries, ...platforms.map(({ key }) => key)]);
  }
  step("the packages");
  npm("ci", "--no-audit", "--no-fund", "--ignore-scripts");
  npm("run", "--silent", "typecheck");
  npm("run", "--silent", "build");
  for (const folder of [done, out]) rmSync(folder, { recursive: true, force: true });
  const packed = packAll({ platforms, binaries, out });

  const problems = packed.flatMap((file) => {
    const content = gunzipSync(readFileSync(file));
    const isPlatforms = platforms.some((platform) => path.basename(file).startsWith(`${packageOf(platform)}-`));
    const large = isPlatforms ? tooLarge(statSync(file).size, LARGEST_PACKAGE) : [];
    return [...large, ...namesOfThisMachine(content)].map((problem) => `${file}: ${problem}`);
  });
  if (problems.length > 0) throw new Error(`not to be released:\n  ${problems.join("\n  ")}`);

  const published = [...packed];
  if (values.sbom) {
    step("what they are made of");
    must(["make", "sbom"], { cwd: REPOSITORY });
    const file = path.join(out, `${NAME}-${VERSION}.cdx.json`);
    copyFileSync(path.join(REPOSITORY, "target", "sbom", `${NAME}.cdx.json`), file);
    const named = namesOfThisMachine(readFileSync(file));
    if (named.length > 0) throw new Error(`not to be released:\n  ${file}: ${named.join(", ")}`);
    published.push(file);
  }
  // By their names alone: where they are fetched from they all lie in one place.
  const sums = published.map((file) => `${createHash("sha256").update(readFileSync(file)).digest("hex")}  ${path.basename(file)}`);
  writeFileSync(path.join(out, "SHA256SUMS"), `${sums.join("\n")}\n`);
  renameSync(out, done);
  for (const file of published.map((one) => path.join(done, path.relative(out, one)))) console.log(`${(statSync(file).size / 1024 / 1024).toFixed(2).padStart(6)} MiB  ${file}`);
  console.log(`        and ${path.join(done, "SHA256SUMS")}`);
});
