// Fuzzes each target for a while, or those that are named:
//
//   FUZZ_SECONDS=600 node fuzz/run.mjs            all, ten minutes each
//   FUZZ_SECONDS=600 node fuzz/run.mjs wire login
//
// Coverage-guided with libFuzzer, on a stable toolchain: see rustc.sh. Inputs that found something new are kept in
// target/corpus/ and are where the next run begins; seeds/ and regressions/ are always run first. The last line counts targets.
//
// What is in seeds/ and regressions/ is replayed by tests/fuzz_inputs.rs too, on every test run, without instrumentation.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL(".", import.meta.url));
const seconds = Number(process.env.FUZZ_SECONDS || 600);
const all = readdirSync(`${root}fuzz_targets`).map((file) => file.replace(/\.rs$/, ""));
const unknown = process.argv.slice(2).find((name) => !all.includes(name));
if (unknown || !(seconds > 0)) {
  console.error(unknown ? `there is no target ${unknown}; there are ${all.join(", ")}` : "FUZZ_SECONDS must be more than 0");
  process.exit(2);
}
const targets = process.argv.length > 2 ? process.argv.slice(2) : all;
const host = spawnSync("rustc", ["-vV"], { encoding: "utf8" }).stdout?.match(/^host: (.+)$/m)?.[1];

const directory = `${root}target/guided`;

/** Into a directory of its own: Cargo does not see what the wrapper adds, and would mix what is instrumented with what is not. */
function build() {
  const env = { ...process.env, CARGO_TARGET_DIR: directory, RUSTC_WRAPPER: `${root}rustc.sh` };
  const args = ["build", "--locked", "--target", host, ...targets.flatMap((name) => ["--bin", name])];
  return spawnSync("cargo", args, { cwd: root, stdio: "inherit", env }).status === 0;
}

function run(command, args, name) {
  return new Promise((resolve) => {
    // libFuzzer ends an input that hangs by itself.
    const child = spawn(command, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"], timeout: (seconds + 120) * 1_000, killSignal: "SIGKILL" });
    let output = "";
    const take = (chunk) => (output += chunk);
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    child.on("error", (error) => resolve({ name, code: 1, output: String(error) }));
    child.on("close", (code) => resolve({ name, code: code ?? 1, output }));
  });
}

const inputs = (name) => ["seeds", "regressions"].map((kind) => `${root}${kind}/${name}`).filter(existsSync);
const binaries = `${directory}/${host}/debug`;

function fuzz(name) {
  const [corpus, findings] = ["corpus", "findings"].map((kind) => `${root}target/${kind}/${name}/`);
  for (const folder of [corpus, findings]) mkdirSync(folder, { recursive: true });
  const limits = [`-max_total_time=${seconds}`, "-timeout=10", "-rss_limit_mb=1024", "-max_len=4096"];
  const dictionary = `${root}dictionaries/${name}.dict`;
  const more = existsSync(dictionary) ? [`-dict=${dictionary}`] : [];
  return run(`${binaries}/${name}`, [...limits, ...more, `-artifact_prefix=${findings}`, corpus, ...inputs(name)], name);
}

/** Whether the target passed, said in a line. */
function judge({ name, code, output }) {
  const counters = output.match(/\((\d+) inline 8-bit counters\)/)?.[1];
  const runs = output.match(/^Done (\d+) runs in (\d+) second/m);
  if (code === 0 && counters > 0 && runs) {
    console.log(`ok   ${name}: ${runs[1]} runs in ${runs[2]} s, ${output.match(/.*cov: (\d+)/s)?.[1]} of ${counters} edges`);
    return true;
  }
  console.log(output.split("\n").slice(-60).join("\n"));
  if (code === 0) console.log(`${name} was built without coverage: nothing steered it`);
  const finding = output.match(/Test unit written to (\S+)/)?.[1];
  if (finding) {
    console.log(`To see it again: ${binaries}/${name} ${finding}`);
    console.log(`Once fixed, keep it: cp ${finding} fuzz/regressions/${name}/WHAT-IT-IS`);
  }
  console.log(`FAIL ${name}`);
  return false;
}

const results = [];
if (build()) {
  const waiting = [...targets];
  const worker = async () => {
    for (let name = waiting.shift(); name; name = waiting.shift()) {
      const done = await fuzz(name);
      mkdirSync(`${root}target/logs`, { recursive: true });
      writeFileSync(`${root}target/logs/${name}.log`, done.output);
      results.push(judge(done));
    }
  };
  await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, worker));
} else {
  console.log("\nThe targets could not be built with coverage (the compiler's words are above). It needs Linux or macOS, and a C++ compiler.");
  console.log("Seeds and regressions are replayed without: cargo test --test fuzz_inputs\n");
}
const passed = results.filter(Boolean).length;
console.log(`fuzz targets: ${passed} passed, ${targets.length - passed} failed`);
process.exitCode = passed === targets.length ? 0 : 1;
