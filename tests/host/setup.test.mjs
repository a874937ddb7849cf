// "Run setup" in the Control UI and `openclaw channels add`: from nothing to an account with a name, an owner, and an agent that answers.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { hasBrowser, openBrowser, readCode, readDrawn } from "./lib/browser.mjs";
import { PATIENCE_MS, until } from "./lib/processes.mjs";
import { CHANNEL } from "./lib/profile.mjs";
import { useLab } from "./lib/setup.mjs";
import { ask, note, pause, unhurried } from "./lib/talk.mjs";
import { Terminal, hasTerminal } from "./lib/terminal.mjs";

const lab = useLab();

describe("setup", () => {
  let simulator;
  let profile;
  let gateway;
  before(async () => {
    simulator = await lab.simulator();
    profile = await lab.profile(simulator);
    unhurried(profile);
    await simulator.limit({ quotaPerToken: null, burst: null });
    profile.configure((config) => {
      const [echo] = config.models.providers.lab.models;
      config.models.providers.lab.models.push({ ...echo, id: "work", name: "work" });
      config.agents.entries = { main: {}, work: { model: { primary: "lab/work" } } };
    });
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

  test("the wizard has a page with a code that a phone can read, asks for the number, a name and the owner, and the account answers", async () => {
    const person = { userId: "ann@im.wechat", botId: "first@im.bot" };
    let address;
    const page = async () => await fetch(`http://127.0.0.1:${gateway.port}${address}`);
    const shown = await walk(async (step) => {
      const text = step.message ?? "";
      if (step.type === "note" && step.externalUrl && !address) {
        address = step.externalUrl;
        const { headers } = await page();
        assert.equal(headers.get("cache-control"), "no-store");
        assert.match(headers.get("content-security-policy"), /default-src 'none'/);
        const image = async () => {
          const [, base64] = /<img src="data:image\/png;base64,([^"]+)"/.exec(await (await page()).text()) ?? [];
          return base64 && Buffer.from(base64, "base64");
        };
        await code(image);
        await simulator.login("latest", "expire");
        await code(image);
        await simulator.login("latest", "scan");
        await says(page, "Confirm the login there");
        await simulator.login("latest", "need-code", { code: "4711" });
        await says(page, "The phone shows a number");
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
    await says(page, "This login is over");
    assert.ok(!/<img|http-equiv/.test(await (await page()).text()), "a code is left on the page");
    const guess = await fetch(`http://127.0.0.1:${gateway.port}${address.replace(/.{4}$/, "0000")}`);
    assert.ok(!/<img/.test(await guess.text()), "another address shows a code");
    note(shown.map((line) => line.split("\n")[0].slice(0, 100)).join("\n# "));
    const { channels, commands } = profile.config;
    assert.equal(channels[CHANNEL].accounts["first-im-bot"].name, "work");
    assert.ok(commands.ownerAllowFrom.includes(`${CHANNEL}:${person.userId}`), JSON.stringify(commands));
    const bot = (await simulator.state()).bots.find(({ botId }) => botId === person.botId);
    await ask(simulator, { ...bot, botId: person.botId }, person.userId, "#set-up");
  });

  describe("in a browser", { skip: hasBrowser ? false : "there is no browser for this machine" }, () => {
    let browser;
    before(async () => {
      browser = await openBrowser();
    }, { timeout: 300_000 });
    after(() => browser?.close());

    test("Run setup in the Control UI leads to a second account, with the code on a page that stays up to date", async () => {
      const person = { userId: "ben@im.wechat", botId: "second@im.bot" };
      const context = await browser.newContext({ viewport: { width: 1280, height: 1000 } });
      const ui = await context.newPage();
      ui.setDefaultTimeout(PATIENCE_MS);
      await ui.goto(`http://127.0.0.1:${gateway.port}/channels#token=${profile.config.gateway.auth.token}`);
      await ui.getByRole("button", { name: /WeChat/ }).first().click();
      await ui.getByRole("button", { name: "Run setup" }).click();
      const dialog = ui.locator(".channels-wizard");
      const asks = (text) => dialog.getByText(text).first().waitFor();
      const goOn = async (text, button = "Continue") => {
        await asks(text);
        await dialog.getByRole("button", { name: button, exact: true }).click();
      };
      const choose = async (text, option) => {
        await asks(text);
        await dialog.locator("openclaw-select-picker").getByRole("button").click();
        await dialog.getByRole("option", { name: option, exact: true }).click();
      };
      const type = async (text, value) => {
        await asks(text);
        await dialog.locator("input").fill(value);
        await dialog.getByRole("button", { name: "Continue", exact: true }).click();
      };

      await goOn("Channel setup");
      await goOn("How channels work");
      await choose("What do you want to do?", "Modify settings");
      await choose("Which WeChat account?", "Log in with another one");
      await asks("The link below opens a page with the QR code");
      const [tab] = await Promise.all([context.waitForEvent("page"), dialog.getByRole("link", { name: "Open link" }).click()]);
      const screen = () => tab.screenshot();
      await code(screen);
      await simulator.login("latest", "expire");
      await code(screen);
      await simulator.login("latest", "scan");
      await simulator.login("latest", "need-code", { code: "0815" });
      await tab.getByText("The phone shows a number").waitFor();
      await goOn("The link below opens a page with the QR code");
      await type("Number shown on the phone", "0815");
      await until("the number", async () => (await simulator.state()).logins.at(-1).status !== "need_verifycode");
      await simulator.login("latest", "confirm", person);
      await tab.getByText("This login is over").waitFor();
      await goOn("WeChat account second-im-bot is connected.");
      await type("A name for this account", "Second phone");
      await goOn("Whoever scanned the code (ben@im.wechat)", "Yes");
      await goOn("Selected channels");
      await goOn("Configure DM access policies now?", "No");
      await choose("Send openclaw-weixin/second-im-bot messages to agent", "work");
      await goOn("Routing bindings");
      await goOn("Channels updated.");
      await dialog.getByRole("button", { name: "Finish" }).click();
      await context.close();

      const { channels, commands, bindings } = profile.config;
      assert.equal(channels[CHANNEL].accounts["second-im-bot"].name, "Second phone");
      assert.deepEqual(commands.ownerAllowFrom, [`${CHANNEL}:ann@im.wechat`, `${CHANNEL}:${person.userId}`]);
      assert.deepEqual(
        bindings.map(({ agentId, match }) => [agentId, match.accountId]),
        [["main", "first-im-bot"], ["work", "second-im-bot"]],
      );
      await ask(simulator, { botId: person.botId }, person.userId, "#set-up-in-a-browser");
      assert.equal(lab.model.askedAbout("#set-up-in-a-browser")[0].model, "work");
      await ask(simulator, { botId: "first@im.bot" }, "ann@im.wechat", "#still-there");
    });
  });

  test("channels add leads through the same in a terminal, where it draws the code", { skip: hasTerminal ? false : "there is no terminal for tests on this system" }, async () => {
    const known = (await simulator.state()).logins.length;
    const terminal = new Terminal([profile.host.node, profile.host.openclaw, "channels", "add", CHANNEL], { env: profile.env, cwd: profile.home });
    const answers = async (question, keys = "\r") => {
      await terminal.shows(question);
      await pause(500);
      terminal.type(keys);
    };
    try {
      await answers(/What do you want to do\?/);
      await answers(/Which WeChat account\?/);
      await terminal.shows(/Scan this QR code with WeChat/);
      const drawn = () => terminal.shown.split("Scan this QR code with WeChat").at(-1);
      await until("the code", async () => readDrawn(drawn())?.includes(`/q/${(await simulator.state()).logins.at(-1).qrcode}?`));
      assert.equal((await simulator.state()).logins.length, known + 1);
      await simulator.login("latest", "scan");
      await simulator.login("latest", "confirm", { userId: "cleo@im.wechat", botId: "third@im.bot" });
      await terminal.shows(/WeChat account third-im-bot is connected/);
      await answers(/A name for this account/, "at home\r");
      await answers(/Whoever scanned the code \(cleo@im.wechat\)/);
      await answers(/Configure DM access policies now/);
      await answers(/messages to agent/);
      const { code } = await terminal.ended;
      assert.equal(code, 0, terminal.shown.slice(-3_000));
    } finally {
      await terminal.stop();
    }
    const { channels, commands } = profile.config;
    assert.equal(channels[CHANNEL].accounts["third-im-bot"].name, "at home");
    assert.ok(!commands.ownerAllowFrom.includes(`${CHANNEL}:cleo@im.wechat`), "somebody became an owner who was not asked for");
    await ask(simulator, { botId: "third@im.bot" }, "cleo@im.wechat", "#set-up-in-a-terminal");
  });

  /** Waits until a picture holds the code for which the server waits now. */
  const code = (picture) =>
    until("the code of this login", async () => {
      const png = await picture();
      return png && readCode(png)?.includes(`/q/${(await simulator.state()).logins.at(-1).qrcode}?`);
    });
  const says = (page, text) => until(`the page to say "${text}"`, async () => (await (await page()).text()).includes(text));

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
