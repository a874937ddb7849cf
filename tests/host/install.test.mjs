// From a registry, as a release is published: by OpenClaw, npm, npx and pnpm; with a package missing; to another version and back.
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { VERSION, packForRegistry, packOffline, packPlatform } from "../../npm-shim/scripts/packages.mjs";
import { NAME, PLATFORMS, fileOf, packageOf } from "../../npm-shim/scripts/platforms.mjs";
import { run, until } from "./lib/processes.mjs";
import { CHANNEL, personsEnv } from "./lib/profile.mjs";
import { Registry } from "./lib/registry.mjs";
import { openGateway, useLab } from "./lib/setup.mjs";
import { Traffic } from "./lib/traffic.mjs";

const lab = useLab();
const platform = PLATFORMS.find(({ os, cpu }) => os === process.platform && cpu === process.arch);

/** Versions that come after this one: the `n`th. */
const later = (n) => VERSION.replace(/\d+$/, (patch) => Number(patch) + n);
const NEWER = later(1);
/** One whose platform package cannot be fetched, and one whose platform packages nobody published. */
const WITHHELD = later(2);
const INCOMPLETE = later(3);

describe("from a registry", { skip: !platform }, () => {
  let registry;
  let env;
  before(async () => {
    registry = await Registry.start(lab.host, path.join(lab.folder, "registry"), { log: lab.log, env: { ...process.env, ...lab.markEnv } });
    env = { ...lab.host.withNode(personsEnv()), ...registry.env, OPENCLAW_STATE_DIR: path.join(lab.folder, "state-of-the-cli") };
    const out = path.join(lab.folder, "release");
    for (const version of [VERSION, NEWER, WITHHELD]) {
      await registry.publish(packPlatform({ platform, binary: lab.binary, out, version }));
      await registry.publish(packForRegistry({ out, version }));
    }
    registry.withhold(packageOf(platform), WITHHELD);
    await registry.publish(packForRegistry({ out, version: INCOMPLETE }));
  }, { timeout: 600_000 });
  after(() => registry?.stop());

  let made = 0;
  /** An empty folder, in which `command` is run. */
  const folder = () => {
    const dir = path.join(lab.folder, `user-${(made += 1)}`);
    mkdirSync(dir);
    return dir;
  };
  const must = async (command, args, cwd) => {
    const done = await run(command, args, { cwd, env });
    assert.equal(done.code, 0, `${command} ${args.join(" ")}:\n${done.output}`);
    return done;
  };
  const saysVersion = (text) => assert.match(text, new RegExp(`^${NAME} ${VERSION.replaceAll(".", "\\.")}`, "m"));
  const commandIn = (dir) => path.join(dir, "node_modules", ".bin", NAME);

  test("npm install, npx and pnpm add end with a command that runs", async () => {
    const npm = folder();
    await must("npm", ["install", "--ignore-scripts", `${NAME}@${VERSION}`], npm);
    saysVersion((await must(commandIn(npm), ["--version"], npm)).stdout);
    assert.match((await must(commandIn(npm), ["accounts"], npm)).output, /no accounts/i);

    const npx = folder();
    saysVersion((await must("npx", ["--yes", `${NAME}@${VERSION}`, "--version"], npx)).stdout);

    // pnpm asks its own settings for the registry, not npm's.
    const pnpm = folder();
    writeFileSync(path.join(pnpm, ".npmrc"), `registry=${registry.url}\n`);
    await must(lab.host.node, [registry.pnpm, "add", "--ignore-scripts", `${NAME}@${VERSION}`], pnpm);
    saysVersion((await must(commandIn(pnpm), ["--version"], pnpm)).stdout);
  });

  test("without the platform's package the command says how that comes about, and what to do", async () => {
    const dir = folder();
    await must("npm", ["install", "--ignore-scripts", "--omit=optional", `${NAME}@${VERSION}`], dir);
    const bare = await run(commandIn(dir), ["--version"], { cwd: dir, env });
    assert.equal(bare.code, 1);
    assert.match(bare.stderr, new RegExp(`${packageOf(platform)} is missing.*--omit=optional.*npm install ${NAME}`, "s"));
    assert.doesNotMatch(bare.stderr, /\n\s+at /);
  });

  test("a copy that lost its run bit gets it back", { skip: process.platform === "win32" }, async () => {
    const dir = folder();
    await must("npm", ["install", "--ignore-scripts", `${NAME}@${VERSION}`], dir);
    const binary = path.join(dir, "node_modules", packageOf(platform), "bin", fileOf(platform));
    chmodSync(binary, 0o644);
    saysVersion((await must(commandIn(dir), ["--version"], dir)).stdout);
    assert.ok(statSync(binary).mode & 0o100);
  });

  const install = (profile, which) => profile.cli(["plugins", "install", `${NAME}@${which}`, "--force", "--accept-capabilities"]);

  test("OpenClaw refuses a release whose platform package cannot be fetched, and leaves nothing behind", async () => {
    const profile = await lab.bareProfile({ env: registry.env });
    const refused = await install(profile, WITHHELD);
    assert.notEqual(refused.code, 0, refused.output);
    assert.match(refused.output, new RegExp(packageOf(platform)));
    assert.equal(profile.config.plugins?.entries?.[CHANNEL], undefined);
  });

  test("where the registry knows no such package OpenClaw has nothing to miss, and the plugin says it", async () => {
    const profile = await lab.bareProfile({ env: registry.env });
    const done = await install(profile, INCOMPLETE);
    assert.equal(done.code, 0, done.output);
    const login = await profile.cli(["channels", "login", "--channel", CHANNEL]);
    assert.notEqual(login.code, 0);
    assert.match(login.output, new RegExp(`${packageOf(platform)}.*(does|did) not have it yet`, "s"));
  });

  test("OpenClaw installs it by its name; another version and back, while people write: nothing is lost", async () => {
    const here = await openGateway(lab, {
      profile: async (simulator) => {
        const profile = await lab.bareProfile({ env: { ...registry.env, ...simulator.env } });
        const { code, output } = await install(profile, VERSION);
        assert.equal(code, 0, output);
        return profile;
      },
    });
    try {
      for (const which of [NEWER, VERSION]) {
        await Traffic.during(here, async (traffic) => {
          await until("the first people", () => traffic.written > 3);
          const earlier = here.gateway.sidecars();
          // OpenClaw refuses while turns run, and says so: whoever upgrades waits for a quiet moment, which the traffic has.
          await until(`${which} to be installed`, async () => {
            const done = await install(here.profile, which);
            if (done.code === 0) return true;
            assert.match(done.output, /retry after the work finishes/);
            traffic.restLonger();
            return false;
          });
          await until("the new sidecar", () => here.gateway.sidecars().some((pid) => !earlier.includes(pid)));
          const soFar = traffic.written;
          await until("people who write afterwards", () => traffic.written > soFar + 3);
          await traffic.settle({ sidecarsAtOnce: 2 });
        });
        assert.match((await here.profile.must(["plugins", "list"])).output, new RegExp(which.replaceAll(".", "\\.")));
      }
    } finally {
      await here.stop();
    }
    // Uninstalling leaves the logins.
    await here.profile.must(["plugins", "uninstall", CHANNEL, "--force"]);
    assert.deepEqual(JSON.parse(readFileSync(path.join(here.profile.stateDir, CHANNEL, "accounts.json"), "utf8")), here.bots.map((bot) => bot.accountId));
  });

  test("OpenClaw updates what it installed by its bare name", async () => {
    const profile = await lab.bareProfile({ env: registry.env });
    await registry.tag(NAME, VERSION);
    await profile.must(["plugins", "install", NAME, "--force", "--accept-capabilities"]);
    await registry.tag(NAME, NEWER);
    const { output } = await profile.must(["plugins", "update", CHANNEL]);
    assert.ok(output.includes(`${VERSION} -> ${NEWER}`), output);
  });

  test("where no registry answers, OpenClaw installs the package that brings the binary", async () => {
    const nowhere = { ...registry.env, npm_config_registry: "http://127.0.0.1:9/", npm_config_fetch_retries: "0" };
    const profile = await lab.bareProfile({ env: nowhere });
    const tarball = packOffline({ platform, binary: lab.binary, out: path.join(lab.folder, "release") });
    await profile.installPlugin(`npm-pack:${tarball}`);
    const installed = path.join(profile.stateDir, "npm", "projects", NAME, "node_modules", NAME, "bin", platform.key, fileOf(platform));
    saysVersion((await must(installed, ["--version"], lab.folder)).stdout);
  });
});
