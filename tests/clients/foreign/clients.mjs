// Clients that nobody here wrote, as they are published, for any server that speaks iLink: each is given an address and a token, and
// logs in nowhere. `simulator.test.mjs` shows how they are used, and that they work.
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { Service, until } from "../../host/lib/processes.mjs";
import { hermes } from "./hermes.mjs";
import { cargo, python } from "./install.mjs";
import { nanobot } from "./nanobot.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));

/**
 * - `prepare()` installs it into the cache.
 * - `start({url, cdnUrl, token, botId, userId, folder, modelUrl?})` resolves when it is about to poll. `folder` is its home: a client that
 *   is started in the same one again has what it kept there. Gives `{stop(), running, output}`.
 * - `answers(text)`: what it answers to `text`, which begins with `#` and a word; the stand-in model takes nothing else for a question.
 * - `wish(file)`: what somebody writes to get that file, a `.txt` or a `.png`. Its path has no spaces, and is outside of `folder`.
 * - What it received is somewhere in its folder: `holds(folder, bytes)`.
 * - `needsModel`: it is an agent, and wants a `modelUrl` (`tests/host/lib/model.mjs`).
 * - `needsFullUrls`: its CDN is a constant; the server has to give `upload_full_url` and `full_url`.
 * - `needsMediaKey`: the `media` of every item has to have its `aes_key`, those of pictures too; it cannot read the whole poll otherwise, and
 *   asks for the same one for ever.
 * - `keepsCursor`: started again with this configuration, it goes on where it was. The others begin with an empty `get_updates_buf`.
 */
const client = ({ program, needsModel = false, needsFullUrls = false, needsMediaKey = false, keepsCursor = false, ...more }) => ({
  answers: (text) => new RegExp(`^echo: ${text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")}$`),
  wish: (file) => `#send ${file}`,
  canSendFiles: true,
  canReceiveFiles: true,
  showsTyping: true,
  needsModel,
  needsFullUrls,
  needsMediaKey,
  keepsCursor,
  start: async (server) => begin(await program(server), server.folder),
  ...more,
});

/** The libraries of PyPI: a script on each. */
const libraries = () => python(path.join(here, "..", "requirements.txt"), "weixin_ilink, wechatbot", "foreign-libraries");

/** The crates: a program on each. Neither can read a poll with an item of a type that it does not know (above 5): it asks for it for ever. */
const crate = (project, program) => () => cargo(path.join(here, project), program);
const wechatIlink = crate("wechat-ilink", "foreign-wechat-ilink");
const wechatbot = crate("wechatbot-rs", "foreign-wechatbot");

export const CLIENTS = [
  client({ ...hermes, needsModel: true, keepsCursor: true }),
  // With a token in its configuration it goes by that, and does not read the state that it keeps.
  client({ ...nanobot, needsModel: true }),
  client({
    name: "weixin-ilink (PyPI)",
    prepare: async () => void (await libraries()),
    program: async (server) => {
      credentials(server);
      return { command: path.join(await libraries(), "python"), args: [path.join(here, "weixin_ilink_bot.py"), server.cdnUrl, server.folder], ready: "polling" };
    },
    keepsCursor: true,
  }),
  client({
    name: "wechatbot-sdk (PyPI)",
    prepare: async () => void (await libraries()),
    program: async (server) => {
      credentials(server);
      const args = [path.join(here, "wechatbot_sdk_bot.py"), server.url, server.cdnUrl, server.folder];
      return { command: path.join(await libraries(), "python"), args, ready: "polling" };
    },
  }),
  client({
    name: "wechat-ilink (crates.io)",
    prepare: async () => void (await wechatIlink()),
    program: async (server) => {
      credentials(server);
      return { command: await wechatIlink(), args: [server.folder], ready: "polling" };
    },
    needsFullUrls: true,
    keepsCursor: true,
  }),
  client({
    name: "wechatbot (crates.io)",
    prepare: async () => void (await wechatbot()),
    program: async (server) => {
      credentials(server);
      return { command: await wechatbot(), args: [server.cdnUrl, server.folder], ready: "polling" };
    },
    needsMediaKey: true,
  }),
];

/** What four of them take for the outcome of a login; they differ in the name of the token. */
function credentials({ url, token, botId, userId, folder }) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, "credentials.json"), JSON.stringify({ token, botToken: token, baseUrl: url, accountId: botId, userId }));
}

async function begin({ command, args, env = {}, ready }, folder) {
  // Nothing of ours, above all no other WeChat of a developer's. Where one takes a proxy it reaches nothing but this machine.
  const nowhere = "http://127.0.0.1:9";
  const clean = { PATH: process.env.PATH, HOME: folder, LANG: "C.UTF-8", PYTHONUNBUFFERED: "1" };
  const closed = { HTTP_PROXY: nowhere, HTTPS_PROXY: nowhere, NO_PROXY: "127.0.0.1,localhost", http_proxy: nowhere, https_proxy: nowhere, no_proxy: "127.0.0.1,localhost" };
  const service = new Service(command, args, { env: { ...clean, ...closed, ...env }, cwd: folder });
  try {
    await until(`"${ready}"`, () => {
      if (!service.running) throw new Error(`it ended: ${service.output}`);
      return service.output.includes(ready);
    });
  } catch (error) {
    await service.kill();
    throw new Error(`${command}: ${error.message}\n${service.output}`);
  }
  return {
    // Some would wait for the end of a poll.
    stop: () => service.stop(3_000),
    get running() {
      return service.running;
    },
    get output() {
      return service.output;
    },
  };
}

/** Whether there is a file with just these bytes, somewhere in the folder. */
export function holds(folder, bytes) {
  return readdirSync(folder, { recursive: true }).some((name) => {
    const file = path.join(folder, name);
    try {
      const found = statSync(file);
      return found.isFile() && found.size === bytes.length && readFileSync(file).equals(bytes);
    } catch {
      // It is gone meanwhile.
      return false;
    }
  });
}
