// A sidecar that is missing, foreign, too old, or no sidecar at all: what people read, and that it can be mended.
import assert from "node:assert/strict";
import { copyFileSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";

import { seedAccounts } from "./lib/lab.mjs";
import { until } from "./lib/processes.mjs";
import { CHANNEL } from "./lib/profile.mjs";
import { useLab } from "./lib/setup.mjs";
import { ask, note } from "./lib/talk.mjs";

const lab = useLab();

describe("an installation that is broken", () => {
  const script = (name, body) => {
    const file = path.join(lab.folder, name);
    writeFileSync(file, `#!/bin/sh\n${body}\n`, { mode: 0o755 });
    return file;
  };
  const handshake = (result) => `read line; echo '${JSON.stringify({ jsonrpc: "2.0", id: 1, result })}'; cat >/dev/null`;
  const cases = [
    ["no such file", () => path.join(lab.folder, "nowhere"), /OPENCLAW_WEIXIN_SIDECAR_BIN names .*nowhere, and there is no such file/s],
    ["a program that prints something else", () => script("chatty", "echo Welcome"), /not the protocol: "Welcome"/],
    [
      "a sidecar of another protocol",
      () => script("future", handshake({ protocolVersion: 9, sidecar: { name: "x", version: "9.0.0", pid: 1 } })),
      /do not speak the same protocol: it speaks protocol 9/,
    ],
  ];
  for (const [name, make, text] of cases) {
    test(`${name}: a login says what is wrong`, { skip: process.platform === "win32" }, async () => {
      const profile = await lab.profile(undefined, { env: { OPENCLAW_WEIXIN_SIDECAR_BIN: make() } });
      const login = await profile.cli(["channels", "login", "--channel", CHANNEL]);
      assert.notEqual(login.code, 0);
      assert.match(login.output, text);
    });
  }

  test("the gateway runs without the channel, and status says what is wrong", { skip: process.platform === "win32" }, async () => {
    const simulator = await lab.simulator();
    const profile = await lab.profile(simulator, { env: { OPENCLAW_WEIXIN_SIDECAR_BIN: script("crashing", "echo 'disk on fire' >&2; exit 9") } });
    const bot = await simulator.addBot({ botId: "broken@im.bot", userId: "owner@im.wechat" });
    seedAccounts(profile, simulator, [bot]);
    const gateway = await lab.gateway(profile);
    try {
      await gateway.says("disk on fire");
      // Between two tries it is running, for a moment, as far as the host knows.
      await until(
        "the status to say what is wrong",
        async () => {
          const { output } = await profile.must(["channels", "status"]);
          assert.match(output, /WeChat/);
          return /code 9|crash|not started again/.test(output);
        },
        { everyMs: 500 },
      );
    } finally {
      await gateway.stop();
      await simulator.stop();
    }
  });

  test("a program that is foreign, or too old, is named with what to do; mended, the account comes back by itself", { skip: process.platform !== "linux" }, async () => {
    const file = path.join(lab.folder, "openclaw-weixin-sidecar");
    // In one step, as an update does it.
    const put = (make) => {
      make(`${file}.new`);
      renameSync(`${file}.new`, file);
    };
    const real = (to) => copyFileSync(lab.binary, to);
    const macOs = (to) => writeFileSync(to, Buffer.from("cffaedfe0c000001", "hex"), { mode: 0o755 });
    const old = { protocolVersion: 1, sidecar: { name: "openclaw-weixin-sidecar", version: "0.0.9", pid: 1 } };
    const outdated = (to) => writeFileSync(to, `#!/bin/sh\n${handshake(old)}\n`, { mode: 0o755 });

    put(macOs);
    const simulator = await lab.simulator();
    const profile = await lab.profile(simulator, { env: { OPENCLAW_WEIXIN_SIDECAR_BIN: file } });
    const bot = await simulator.addBot({ botId: "mended@im.bot", userId: "owner@im.wechat" });
    seedAccounts(profile, simulator, [bot]);
    const gateway = await lab.gateway(profile);
    const { pid } = gateway.service;
    const status = (text) => until(`the status to say ${text}`, async () => text.test((await profile.must(["channels", "status"])).output));
    const mend = async (text) => {
      const startedAt = Date.now();
      put(real);
      // OpenClaw tries after 5 s, and each time after twice as long.
      await ask(simulator, bot, bot.userId, text);
      note(`answered ${Date.now() - startedAt} ms after the file was mended`);
    };
    try {
      await status(/is not a program for this machine \(linux-.*OPENCLAW_WEIXIN_SIDECAR_BIN names it: point that variable to a build for this machine/);
      await mend("#mended");
      put(outdated);
      const [sidecar] = gateway.sidecars();
      process.kill(sidecar, "SIGKILL");
      await status(/is version 0\.0\.9; this plugin needs 0\.1\.0 or newer/);
      await mend("#mended-again");
      assert.ok(gateway.service.running && gateway.service.pid === pid, "the gateway is another one");
      assert.equal(gateway.sidecars().length, 1);
    } finally {
      await gateway.stop();
      await simulator.stop();
    }
  });
});
