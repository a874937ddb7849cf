// "Run setup" in the Control UI and `openclaw channels add`: from nothing to an account with a name, an owner, and an agent that answers.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { before, describe, test } from "node:test";

import { fromNpm } from "../tools.mjs";
import { until } from "./lib/processes.mjs";
import { CHANNEL } from "./lib/profile.mjs";
import { useLab } from "./lib/setup.mjs";
import { ask, note, unhurried } from "./lib/talk.mjs";

const lab = useLab();

/** What a phone reads in a code drawn with blocks, a module two characters wide. `inverted`: light on dark, as on a dark page. */
function scan(text, inverted = false) {
  const decode = createRequire(import.meta.url)(fromNpm("jsqr", "1.4.0", "dist/jsQR.js"));
  const lines = text.split("\n");
  const from = lines.findIndex((line) => line.includes("██"));
  const to = lines.findLastIndex((line) => line.includes("██"));
  const rows = lines.slice(from, to + 1);
  const modules = Math.max(...rows.map((row) => row.length)) / 2;
  const [scale, quiet] = [6, 4];
  const width = (modules + 2 * quiet) * scale;
  const height = (rows.length + 2 * quiet) * scale;
  const pixels = new Uint8ClampedArray(width * height * 4).fill(inverted ? 0 : 255);
  for (let y = 0; y < rows.length * scale; y += 1) {
    for (let x = 0; x < modules * scale; x += 1) {
      if (rows[Math.floor(y / scale)][Math.floor(x / scale) * 2] !== "█") continue;
      const at = ((y + quiet * scale) * width + x + quiet * scale) * 4;
      pixels.fill(inverted ? 255 : 0, at, at + 3);
    }
  }
  for (let at = 3; at < pixels.length; at += 4) pixels[at] = 255;
  return (decode.default ?? decode)(pixels, width, height)?.data;
}

describe("setup", () => {
  let simulator;
  let profile;
  let gateway;
  before(async () => {
    simulator = await lab.simulator();
    profile = await lab.profile(simulator);
    unhurried(profile);
    await simulator.limit({ quotaPerToken: null, burst: null });
    gateway = await lab.gateway(profile);
  }, { timeout: 300_000 });

  /** Goes through a wizard; `answer` gets each step and says what is chosen. Returns what was shown. */
  async function walk(answer) {
    const shown = [];
    let { sessionId, step, done, ...rest } = await profile.rpc("wizard.start", { flow: "channels", channel: CHANNEL });
    while (!done && step) {
      shown.push(`${step.type}: ${step.title ?? ""} ${step.message ?? ""}`);
      const value = step.type === "progress" ? undefined : await answer(step);
      const answered = step.type === "progress" ? {} : { answer: { stepId: step.id, ...(value === undefined ? {} : { value }) } };
      ({ step, done, ...rest } = await profile.rpc("wizard.next", { sessionId, ...answered }));
    }
    assert.equal(rest.status ?? "done", "done", `${JSON.stringify(rest)}\n${shown.join("\n")}`);
    return shown;
  }

  test("the wizard shows a code that a phone can read, asks for the number, a name and the owner, and the account answers", async () => {
    const person = { userId: "ann@im.wechat", botId: "first@im.bot" };
    let codes = 0;
    const shown = await walk(async (step) => {
      const text = step.message ?? "";
      if (step.type === "note" && text.includes("██")) {
        const { qrUrl } = (await simulator.state()).logins.at(-1);
        const link = /https?:\/\/\S+/.exec(text.slice(text.lastIndexOf("██")))[0];
        assert.equal(scan(text), link, "the code on the page is the link");
        assert.equal(scan(text, true), link, "on a dark page too");
        if (qrUrl) assert.equal(link, qrUrl);
        codes += 1;
        if (codes === 1) {
          await simulator.login("latest", "expire");
          return undefined;
        }
        await simulator.login("latest", "scan");
        await simulator.login("latest", "need-code", { code: "4711" });
        return undefined;
      }
      if (step.type === "text" && /Number shown/.test(text)) {
        setTimeout(() => until("the code", async () => (await simulator.state()).logins.at(-1).status !== "need_verifycode").then(() => simulator.login("latest", "confirm", person)), 0);
        return "4711";
      }
      if (step.type === "text" && /name for this account/i.test(text)) return "work";
      if (step.type === "confirm" && text.includes(person.userId)) return true;
      return defaultOf(step);
    });
    assert.equal(codes, 2, "a code that ran out is replaced");
    note(shown.map((line) => line.split("\n")[0].slice(0, 100)).join("\n# "));
    const { channels, commands } = profile.config;
    assert.equal(channels[CHANNEL].accounts["first-im-bot"].name, "work");
    assert.ok(commands.ownerAllowFrom.includes(`${CHANNEL}:${person.userId}`), JSON.stringify(commands));
    const bot = (await simulator.state()).bots.find(({ botId }) => botId === person.botId);
    await ask(simulator, { ...bot, botId: person.botId }, person.userId, "#set-up");
  });

  /** What somebody takes who just goes on. */
  function defaultOf(step) {
    switch (step.type) {
      case "confirm":
        return step.initialValue ?? false;
      case "select":
        return step.initialValue ?? step.options.find(({ value }) => /skip|finish|done|__/.test(String(value)))?.value ?? step.options[0].value;
      case "multiselect":
        return step.initialValue ?? [];
      case "text":
        return step.initialValue ?? "";
      default:
        return undefined;
    }
  }
});
