// Clients that were not written here, as published on PyPI, against the simulator: what the real server accepts from them, it
// accepts. Needs Python 3.10 or newer; they are installed into a cache.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { sidecarBinary } from "../host/lib/lab.mjs";
import { defaultCache } from "../host/lib/openclaw.mjs";
import { run, Service, until } from "../host/lib/processes.mjs";
import { Simulator } from "../host/lib/simulator.mjs";
import { PNG } from "../host/lib/talk.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const requirements = path.join(here, "requirements.txt");
const FILE = Buffer.from("a file with 中文 in it\n".repeat(2_000));

/** The Python of an environment that has the clients; made once, beside its place, and moved there when it is whole. */
async function python() {
  const key = createHash("sha256").update(readFileSync(requirements)).digest("hex").slice(0, 12);
  const folder = path.join(defaultCache(), `python-clients-${key}`);
  const binary = path.join(folder, "bin", "python");
  const works = async () => existsSync(binary) && (await run(binary, ["-c", "import weixin_ilink, wechatbot"], { env: process.env })).code === 0;
  if (await works()) return binary;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(defaultCache(), { recursive: true });
  // An environment knows its own place, so it is made there, and a half-made one is made anew.
  const made = await run("python3", ["-m", "venv", folder], { env: process.env });
  assert.equal(made.code, 0, made.output);
  const installed = await run(binary, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements], { env: process.env });
  assert.equal(installed.code, 0, installed.output);
  assert.ok(await works(), "the clients were installed and cannot be imported");
  return binary;
}

const version = await run("python3", ["-c", "import sys, venv; print(sys.version_info >= (3, 10))"], { env: process.env }).catch(() => ({ stdout: "" }));
const skip = version.stdout.trim() === "True" ? false : "there is no Python 3.10 or newer with venv";

describe("clients from PyPI log in, receive, answer, and move files both ways", { skip }, () => {
  for (const name of ["weixin_ilink", "wechatbot"]) {
    test(name, { timeout: 300_000 }, async () => {
      const interpreter = await python();
      const folder = mkdtempSync(path.join(tmpdir(), "weixin-client-"));
      const simulator = await Simulator.start(sidecarBinary(), { strict: false });
      const environment = { ...process.env, NO_PROXY: "127.0.0.1", no_proxy: "127.0.0.1", HOME: folder };
      const client = new Service(interpreter, [path.join(here, `${name}_echo.py`), simulator.url, `${simulator.url}/c2c`, folder], { env: environment });
      const person = "ann@im.wechat";
      const botId = "foreign@im.bot";
      const sent = (count) => simulator.sent({ botId, to: person, count, waitMs: 20_000 });
      try {
        await until("its QR code", () => client.output.includes("qr http"));
        await simulator.login("latest", "scan");
        await simulator.login("latest", "confirm", { userId: person, botId });
        await until("its login", () => client.output.includes(`in ${botId}`));
        await simulator.write(botId, person, "hello 你好");
        assert.equal((await sent(1))[0]?.text, "echo: hello 你好", client.output);
        assert.ok((await simulator.state()).bots[0].typing.length > 0, "it showed no typing");

        await simulator.send(botId, person, { content: [{ type: "file", fileName: "报告.txt", media: { bytes: FILE.toString("base64") } }] });
        const [, caption, file] = await sent(3);
        assert.deepEqual([caption?.text, file?.itemType], ["back", 4], client.output);
        assert.ok((await simulator.content(file.n)).equals(FILE), "the file is another one");
        await simulator.send(botId, person, { content: [{ type: "image", media: { bytes: PNG.toString("base64") } }] });
        // One of them sends the caption as an item of the same message.
        const picture = await until("the picture", async () => (await sent(0)).find(({ itemType }) => itemType === 2)).catch(() => assert.fail(client.output));
        assert.ok((await simulator.content(picture.n)).equals(PNG), "the picture is another one");
        assert.deepEqual(await simulator.rejected(), [], "something of it was refused");
      } finally {
        await client.stop(1_000);
        await simulator.stop();
        rmSync(folder, { recursive: true, force: true });
      }
    });
  }

  test("what the official plugin says and they do not is asked for with --strict only", { timeout: 120_000 }, async () => {
    const interpreter = await python();
    const folder = mkdtempSync(path.join(tmpdir(), "weixin-client-"));
    const simulator = await Simulator.start(sidecarBinary(), { autoLogin: true });
    const client = new Service(interpreter, [path.join(here, "weixin_ilink_echo.py"), simulator.url, `${simulator.url}/c2c`, folder], { env: process.env });
    try {
      const refused = await until("a refusal", async () => (await simulator.rejected())[0]);
      assert.match(refused.reason, /base_info has no bot_agent/);
    } finally {
      await client.stop(1_000);
      await simulator.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
