// The harnesses, proved on the simulator: each client, unchanged and with a token that it did not ask for, is written to, answers, types,
// receives and sends files, and goes on after a restart. Needs Python 3.11 or newer, and Cargo.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, test } from "node:test";

import { sidecarBinary } from "../../host/lib/lab.mjs";
import { Model } from "../../host/lib/model.mjs";
import { run, until } from "../../host/lib/processes.mjs";
import { Simulator } from "../../host/lib/simulator.mjs";
import { PNG } from "../../host/lib/talk.mjs";
import { CLIENTS, holds } from "./clients.mjs";

const person = "ann@im.wechat";
const botId = "foreign@im.bot";
const THEIRS = Buffer.from("a file with 中文 in it\n".repeat(2_000));
const OURS = Buffer.from("another one\n".repeat(3_000));
/** Another picture than the one that is received: a byte behind its end is no harm. */
const OUR_PNG = Buffer.concat([PNG, Buffer.from([0])]);

const version = await run("python3", ["-c", "import sys, venv; print(sys.version_info >= (3, 11))"], { env: process.env }).catch(() => ({ stdout: "" }));
const skip = version.stdout.trim() === "True" ? false : "there is no Python 3.11 or newer with venv";

describe("clients that nobody here wrote, with a token of somebody's login", { skip }, () => {
  for (const client of CLIENTS) {
    test(client.name, { timeout: 2_400_000 }, async () => {
      await client.prepare();
      const room = mkdtempSync(path.join(tmpdir(), "weixin-foreign-"));
      const folder = path.join(room, "home");
      mkdirSync(folder);
      const simulator = await Simulator.start(sidecarBinary(), { strict: false, autoLogin: false });
      const model = client.needsModel ? await Model.start() : undefined;
      let running;
      try {
        if (client.needsFullUrls) await giveFullUrls(simulator);
        const token = await login(simulator);
        const server = { url: simulator.url, cdnUrl: `${simulator.url}/c2c`, token, botId, userId: person, folder, modelUrl: model?.url };
        const seen = () => simulator.sent({ botId, to: person });
        const answersTo = async (text) => (await seen()).filter((sent) => client.answers(text).test(sent.text ?? ""));
        /** Waits for it; its output says why it does not come. */
        const eventually = (what, probe) =>
          until(what, async () => {
            if (!running.running) throw new Error("it has ended");
            return probe();
          }).catch((error) => assert.fail(`${error.message}\n${running.output}`));
        const answered = (text, times = 1) => eventually(`an answer to ${text}`, async () => (await answersTo(text)).length >= times);

        running = await client.start(server);
        await simulator.write(botId, person, "#hello 你好");
        await answered("#hello 你好");
        assert.equal((await simulator.state()).bots[0].typing.length > 0, client.showsTyping, "typing");

        if (client.keepsCursor) await eventually("its cursor in its folder", async () => mentions(folder, (await simulator.state()).bots[0].lastCursor));
        await running.stop();
        running = await client.start(server);
        // With the cursor of a first poll everything comes again.
        if (!client.keepsCursor) await answered("#hello 你好", 2);
        await simulator.write(botId, person, "#again");
        await answered("#again");
        assert.equal((await answersTo("#hello 你好")).length, client.keepsCursor ? 1 : 2);

        if (client.canReceiveFiles) {
          const address = client.needsFullUrls ? "full_url" : "param";
          const key = client.needsMediaKey ? "hex_base64" : undefined;
          await simulator.send(botId, person, { content: [{ type: "file", fileName: "报告.txt", media: { bytes: THEIRS.toString("base64"), address } }] });
          await eventually("the file in its folder", () => holds(folder, THEIRS));
          await simulator.send(botId, person, { content: [{ type: "image", media: { bytes: PNG.toString("base64"), address, key } }] });
          await eventually("the picture in its folder", () => holds(folder, PNG));
        }
        if (client.canSendFiles) {
          for (const [name, bytes, itemType] of [["ours.txt", OURS, 4], ["ours.png", OUR_PNG, 2]]) {
            const file = path.join(room, name);
            writeFileSync(file, bytes);
            await simulator.write(botId, person, client.wish(file));
            const sent = await eventually(name, async () => (await seen()).find((message) => message.media && message.itemType === itemType));
            assert.ok((await simulator.content(sent.n)).equals(bytes), `${name} is another one`);
          }
        }
        assert.deepEqual(await simulator.rejected(), [], "something of it was refused");
      } finally {
        await running?.stop();
        await model?.stop();
        await simulator.stop();
        rmSync(room, { recursive: true, force: true });
      }
    });
  }
});

/** What any client does first, so that none of these has to. */
async function login(simulator) {
  const headers = { "content-type": "application/json", "ilink-app-id": "bot", "ilink-app-clientversion": String(0x020409) };
  const call = async (place, init) => (await fetch(`${simulator.url}/ilink/bot/${place}`, { headers, ...init })).json();
  const { qrcode } = await call("get_bot_qrcode?bot_type=3", { method: "POST", body: JSON.stringify({ local_token_list: [] }) });
  await simulator.login(qrcode, "confirm", { userId: person, botId });
  const { bot_token: token } = await call(`get_qrcode_status?qrcode=${encodeURIComponent(qrcode)}`);
  assert.ok(token, "there is no token");
  return token;
}

async function giveFullUrls(simulator) {
  const init = { method: "PUT", headers: { "content-type": "application/json" }, body: JSON.stringify({ uploadFullUrl: true }) };
  const response = await fetch(`${simulator.url}/_sim/cdn`, init);
  assert.ok(response.ok, await response.text());
}

/** Whether some file in the folder has that text in it. */
function mentions(folder, text) {
  return Boolean(text) && readdirSync(folder, { recursive: true }).some((name) => {
    const file = path.join(folder, name);
    // Small ones: a cursor is in no database.
    const found = statSync(file, { throwIfNoEntry: false });
    return found?.isFile() && found.size < 100_000 && readFileSync(file, "utf8").includes(text);
  });
}
