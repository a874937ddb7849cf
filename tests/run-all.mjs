// Runs every test, one runner after the other, and sums them up in the last line: `N passed, N failed`.
//
//   node tests/run-all.mjs            everything
//   node tests/run-all.mjs rust shim  only these groups
//   node tests/run-all.mjs long       what takes too long for every day, and runs only when it is named
//
// A runner that fails does not stop the others; a step that is not a test runner (formatting, lints, a build) counts as one.
// It ends in time, whatever hangs: a step that is not over by then is ended and has failed, and so have those after it.
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { countCargo, countFuzz, countNode, sum } from "./counting.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));

const wanted = process.argv.slice(2);

/** The test files of a folder. */
const testsIn = (folder) => readdirSync(path.join(root, folder)).filter((name) => name.endsWith(".test.mjs")).sort().map((name) => path.join(folder, name));
const hubTests = testsIn("tests/hub");
const foreignTests = testsIn("tests/clients/foreign");

/** Twice what everything takes. */
const LIMIT_MS = Number(process.env.TEST_MINUTES || (wanted.includes("long") ? 240 : 80)) * 60_000;

/**
 * What is run, in this order. `count` reads a runner's output; a step without it is one that passes or fails as a whole. What
 * an earlier step has made (`madeBy`) is not made again: Cargo would, with the features of this package instead of all the workspace's.
 */
const steps = [
  { group: "spelling", name: "spelling", run: ["node", "tests/spelling.mjs"] },
  { group: "spelling", name: "workflows", run: ["node", "tests/workflows.mjs"] },
  { group: "rust", name: "formatting", run: ["cargo", "fmt", "--all", "--check"] },
  { group: "rust", name: "lints", run: ["cargo", "clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"] },
  { group: "rust", name: "Rust documentation", run: ["cargo", "doc", "--locked", "--workspace", "--no-deps"], env: { RUSTDOCFLAGS: "-D warnings" } },
  { group: "rust", name: "Rust tests", run: ["cargo", "test", "--locked", "--workspace", "--no-fail-fast"], count: countCargo },
  { group: "shim", name: "shim: install", run: ["npm", "ci", "--no-audit", "--no-fund"], cwd: "npm-shim" },
  { group: "shim", name: "shim: types", run: ["npm", "run", "typecheck"], cwd: "npm-shim" },
  { group: "shim", name: "shim tests", run: ["npm", "test"], cwd: "npm-shim", count: countNode },
  { group: "clients", name: "sidecar for foreign clients", run: ["cargo", "build", "--locked"], madeBy: "Rust tests" },
  { group: "clients", name: "foreign clients", run: ["node", "--test", "--test-reporter=spec", "tests/clients/clients.test.mjs"], count: countNode },
  { group: "hub", name: "sidecar for the hub", run: ["cargo", "build", "--locked"], madeBy: "Rust tests" },
  { group: "hub", name: "the hub from outside", run: ["node", "--test", "--test-force-exit", "--test-concurrency=1", "--test-reporter=spec", ...hubTests], count: countNode },
  { group: "host", name: "sidecar for the host tests", run: ["cargo", "build", "--locked"], madeBy: "Rust tests" },
  { group: "host", name: "host tests", run: ["node", "tests/host/run.mjs"], count: countNode },
  { group: "long", name: "fuzzing", run: ["node", "fuzz/run.mjs"], env: { FUZZ_SECONDS: "60" }, count: countFuzz },
  { group: "long", name: "sidecar for the host tests", run: ["cargo", "build", "--locked"] },
  { group: "long", name: "hub and clients killed two hundred times", run: ["cargo", "test", "--locked", "--test", "hub_kills"], env: { WEIXIN_TEST_ROUNDS: "200" }, count: countCargo },
  { group: "long", name: "six foreign clients, alone and through the hub", run: ["node", "--test", "--test-force-exit", "--test-concurrency=1", "--test-reporter=spec", ...foreignTests], count: countNode },
  {
    group: "long",
    name: "a hundred kills, ten minutes of supervision",
    run: ["node", "tests/host/run.mjs", "kills|supervisor"],
    env: { WEIXIN_KILLS: "100", WEIXIN_SUPERVISED_S: "600" },
    count: countNode,
  },
  { group: "long", name: "a gibibyte both ways", run: ["cargo", "test", "--locked", "--release", "--test", "media", "--", "--ignored"], count: countCargo },
  { group: "long", name: "soak", run: ["cargo", "test", "--locked", "--release", "--test", "soak", "--", "--ignored", "--nocapture"], count: countCargo },
];

function run({ run: [command, ...args], cwd, env }) {
  return new Promise((resolve) => {
    // A group of its own: with it everything ends that it started.
    // On Windows npm is a script.
    const shell = process.platform === "win32" && command === "npm";
    const options = { shell, cwd: cwd ? `${root}${cwd}` : root, stdio: ["ignore", "pipe", "pipe"], detached: process.platform !== "win32", env: { ...process.env, ...env } };
    const child = spawn(command, args, options);
    running = child;
    const limit = setTimeout(() => end(child, "SIGKILL"), Math.max(0, deadline - Date.now()));
    let output = "";
    const take = (to) => (chunk) => {
      to.write(chunk);
      output += chunk;
    };
    child.stdout.on("data", take(process.stdout));
    child.stderr.on("data", take(process.stderr));
    const over = (code) => {
      clearTimeout(limit);
      // What it left running goes with it: it would hold our output open, and be in the way of the next step.
      end(child, "SIGKILL");
      for (const stream of [child.stdout, child.stderr]) stream.destroy();
      running = undefined;
      resolve({ code: code ?? 1, output });
    };
    child.on("error", (error) => {
      take(process.stderr)(`${error.message}\n`);
      over(1);
    });
    child.on("close", over);
    // What it left running may hold its output open for ever.
    child.on("exit", (code) => setTimeout(over, 10_000, code).unref());
  });
}

/** Ends a step, and what it started. */
function end(child, signal) {
  try {
    if (process.platform === "win32") child.kill(signal);
    else process.kill(-child.pid, signal);
  } catch {
    // It ended meanwhile.
  }
}

const deadline = Date.now() + LIMIT_MS;
let running;
process.on("exit", () => running && end(running, "SIGKILL"));
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.once(signal, () => {
    if (running) end(running, signal);
    setTimeout(() => process.exit(1), running ? 5_000 : 0);
    running?.once("exit", () => process.exit(1));
  });
}

const groups = [...new Set(steps.map(({ group }) => group))];
const unknown = wanted.find((name) => !groups.includes(name));
if (unknown) {
  console.error(`there is no group ${unknown}; there are ${groups.join(", ")}`);
  process.exit(2);
}
const report = [];
const chosen = steps.filter(({ group }) => (wanted.length === 0 ? group !== "long" : wanted.includes(group)));
for (const step of chosen) {
  if (report.some(({ name, failed }) => name === step.madeBy && failed === 0)) continue;
  console.log(`\n== ${step.name}`);
  const began = Date.now();
  const inTime = Date.now() < deadline;
  const { code, output } = inTime ? await run(step) : { code: 1, output: "" };
  if (Date.now() >= deadline) console.log(`${step.name}: ${inTime ? "ended" : "not begun"}, after ${LIMIT_MS / 60_000} minutes in all`);
  const counted = step.count?.(output) || { passed: 0, failed: 0 };
  // A runner that fails without naming a failed test (it did not build, it was killed) is one failure.
  if (code !== 0 && counted.failed === 0) counted.failed = 1;
  if (code === 0 && !step.count) counted.passed = 1;
  if (code === 0 && step.count && counted.passed === 0) counted.failed = 1;
  report.push({ name: step.name, seconds: Math.round((Date.now() - began) / 1000), ...counted });
}

console.log();
for (const { name, seconds, passed, failed } of report) {
  console.log(`${failed === 0 ? "ok  " : "FAIL"} ${name}: ${passed} passed, ${failed} failed (${seconds} s)`);
}
const total = sum(report.map(({ passed, failed }) => [, passed, failed]));
console.log(`${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed === 0 ? 0 : 1;
