// `make demo`: from a QR scan to a reply, through a real OpenClaw gateway. `demo.mjs packages` installs from packages in a registry on
// loopback, as a release is installed, `demo.mjs dist` those that `make dist` made; else from one package that has everything inside.
//
// Real: OpenClaw, its installer, its gateway, its command line, the packed plugin, the sidecar.
// Simulated: the phone and WeChat's server (the sidecar's own simulator), and the model (it answers with what it was asked).
import path from "node:path";
import { fileURLToPath } from "node:url";
import { statSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";

import { Lab } from "./lib/lab.mjs";
import { OPENCLAW_VERSION } from "./lib/openclaw.mjs";
import { CHANNEL } from "./lib/profile.mjs";
import { PNG } from "./lib/talk.mjs";

const repository = path.dirname(path.dirname(path.dirname(fileURLToPath(import.meta.url))));
const failures = [];
const [from = "package"] = process.argv.slice(2);
if (!["package", "packages", "dist"].includes(from)) {
  console.error(`FROM=${from}: the demo installs from one package; with FROM=packages, or FROM=dist for what make dist made, from a registry`);
  process.exit(2);
}

/** Does one step, and says how it went. */
async function step(title, work) {
  const began = Date.now();
  try {
    const detail = await work();
    console.log(`  ✓ ${title}${detail ? `: ${detail}` : ""} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
    return true;
  } catch (error) {
    failures.push(title);
    console.log(`  ✗ ${title}\n${indent(error.message)}`);
    if (gateway) console.log(indent(`the gateway's log ends with:\n${gateway.output.trim().split("\n").slice(-25).join("\n")}`));
    return false;
  }
}

const indent = (text) => text.split("\n").map((line) => `      ${line}`).join("\n");
const must = (condition, message) => {
  if (!condition) throw new Error(message);
};

let lab;
let gateway;
let simulator;
let profile;
const bots = async () => (await simulator.state()).bots;

/** A person writes, and is answered. */
const talk = (bot, text) => answered(bot, text, () => simulator.write(bot.botId, bot.userId, text));

/** A person sends something with `text` in it, and is answered. */
async function answered(bot, text, send) {
  const before = (await simulator.sent({ botId: bot.botId, to: bot.userId })).length;
  const at = Date.now();
  await send();
  const all = await simulator.sent({ botId: bot.botId, to: bot.userId, count: before + 1, waitMs: 60_000 });
  const answer = all[before];
  must(answer, `${bot.userId} wrote "${text}" and got no answer within a minute`);
  must(answer.text.includes(text), `${bot.userId} wrote "${text}" and was answered "${answer.text}"`);
  must(all.length === before + 1, `${bot.userId} got ${all.length - before} answers to "${text}"`);
  console.log(`      ${bot.userId}: ${text}\n      ${bot.botId}: ${answer.text}   (${answer.atMs - at} ms)`);
}

async function run() {
  console.log("\nWeChat on OpenClaw: from a QR scan to a reply\n");
  const opened = await step(`OpenClaw ${OPENCLAW_VERSION}, and the plugin packed`, async () => {
    lab = await Lab.open({ cache: path.join(repository, "target", "openclaw"), log: (text) => console.log(`    ${text}`), from });
    const size = (file) => `${(statSync(file).size / 1048576).toFixed(1)} MiB`;
    const packed = lab.packages ?? [lab.tarball];
    return `${packed.map((file) => `${path.basename(file)} ${size(file)}`).join(", ")}, the simulator's binary ${size(lab.binary)}`;
  });
  if (!opened) return;
  simulator = await lab.simulator({ autoLogin: true });

  const installed = await step("openclaw plugins install", async () => {
    profile = await lab.profile(simulator);
    return lab.installed.output.split("\n").find((line) => line.startsWith("Installed plugin"));
  });
  if (!installed) return;

  const loggedIn = await step(`openclaw channels login --channel ${CHANNEL}`, async () => {
    const { output } = await profile.must(["channels", "login", "--channel", CHANNEL]);
    const code = output.split("\n").filter((line) => /[█▀▄]/.test(line));
    must(code.length > 10, `there is no QR code in:\n${output}`);
    console.log(indent(code.join("\n")));
    const [bot] = await bots();
    must(bot, "the simulated phone saw no login");
    return `the simulated phone scanned it, ${bot.accountId} is connected`;
  });
  if (!loggedIn) return;

  const started = await step("openclaw gateway run", async () => {
    gateway = await lab.gateway(profile);
    const sidecars = process.platform === "linux" ? gateway.sidecars() : [];
    return `ready, pid ${gateway.service.pid}${sidecars.length === 1 ? `, its sidecar ${sidecars[0]}` : ""}`;
  });
  if (!started) return;

  await step("five messages are answered", async () => {
    const [bot] = await bots();
    for (const text of ["#1 hello", "#2 你好，在吗？", "#3 what is a sidecar?", "#4 **bold** and `code`", "#5 thank you"]) await talk(bot, text);
  });

  await step("a picture comes in, a file goes out", async () => {
    const [bot] = await bots();
    const content = [{ type: "text", text: "#picture" }, { type: "image", media: { bytes: PNG.toString("base64") } }];
    await answered(bot, "#picture", () => simulator.send(bot.botId, bot.userId, { content }));
    const asked = JSON.stringify(lab.model.askedAbout("#picture").at(-1).messages);
    const [file] = asked.match(/media[/\\]+inbound[/\\]+[^\s"'()\[\]|\\]+/) ?? [];
    must(file, `the agent was not told of a picture:\n${asked.slice(-1500)}`);
    console.log(`      the agent was given ${file}`);
    const report = path.join(profile.stateDir, "workspace", "report.txt");
    await mkdir(path.dirname(report), { recursive: true });
    await writeFile(report, "All is well.\n");
    await profile.must(["message", "send", "--channel", CHANNEL, "--target", bot.userId, "--message", "the report", "--media", report]);
    const sent = (await simulator.sent({ botId: bot.botId, to: bot.userId })).at(-1);
    must(sent.media?.fileName === "report.txt", `what came is ${JSON.stringify(sent)}`);
    must(String(await simulator.content(sent.n)) === "All is well.\n", "the file that came is another one");
    return "report.txt arrived byte for byte";
  });

  await step("a second account, while the gateway runs", async () => {
    await profile.must(["channels", "login", "--channel", CHANNEL]);
    const [first, second] = await bots();
    must(second && second.botId !== first.botId, "the simulated phone saw no second login");
    await talk(second, "#6 hello from the second account");
    await talk(first, "#7 and the first one still listens");
    return second.accountId;
  });

  await step("openclaw channels status --probe", async () => {
    const { output } = await profile.must(["channels", "status", "--probe"]);
    const lines = output.split("\n").filter((line) => line.startsWith("- WeChat"));
    console.log(indent(lines.join("\n")));
    must(lines.length === 2 && lines.every((line) => line.includes("works")), output);
  });

  await step("everything is stopped", async () => {
    const { code, signal } = await gateway.stop();
    must(code === 0, `the gateway ended with ${code ?? signal}:\n${gateway.output.slice(-1500)}`);
    const polling = (await bots()).filter((bot) => bot.activePolls > 0);
    must(polling.length === 0, `${polling.map((bot) => bot.botId).join(", ")} are still being polled`);
  });
}

try {
  await run();
} catch (error) {
  failures.push("the demo itself");
  console.log(`  ✗ ${error.stack}`);
} finally {
  const left = (await lab?.close()) ?? [];
  await step("nothing is left running", () => must(left.length === 0, left.map(({ pid, command }) => `${pid} ${command}`).join("\n")));
}
console.log(failures.length === 0 ? "\nAll as promised.\n" : `\nNot as promised: ${failures.join("; ")}\n`);
process.exitCode = failures.length === 0 ? 0 : 1;
