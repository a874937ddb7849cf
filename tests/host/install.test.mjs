// From a registry, as a release is published: by OpenClaw, npm, npx and pnpm; with a package missing; to another version and back.
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { packPlatform, packRelease } from "../../npm-shim/scripts/packages.mjs";
import { NAME, PLATFORMS, fileOf, packageOf } from "../../npm-shim/scripts/platforms.mjs";
import { run, until } from "./lib/processes.mjs";
import { CHANNEL } from "./lib/profile.mjs";
import { Registry } from "./lib/registry.mjs";
import { openGateway, useLab } from "./lib/setup.mjs";
import { Traffic } from "./lib/traffic.mjs";

const lab = useLab();
const platform = PLATFORMS.find(({ os, cpu }) => os === process.platform && cpu === process.arch);

/** The version in package.json, and one that came later. */
const VERSION = "0.1.0";
const NEWER = "0.1.1";
/** One whose platform package cannot be fetched, and one whose platform packages nobody published. */
const WITHHELD = "0.1.2";
const INCOMPLETE = "0.1.3";

describe("from a registry", { skip: !platform }, () => {
  let registry;
  let env;
  before(async () => {
    registry = await Registry.start(lab.host, path.join(lab.folder, "registry"), { log: lab.log, env: { ...process.env, ...Object.fromEntries([lab.mark]) } });
    env = { ...lab.host.withNode(process.env), ...registry.env, OPENCLAW_STATE_DIR: path.join(lab.folder, "state-of-the-cli") };
    const out = path.join(lab.folder, "release");
    for (const version of [VERSION, NEWER, WITHHELD]) {
      await registry.publish(packPlatform({ platform, binary: lab.binary, out, version }));
      await registry.publish(await packRelease({ out, version }));
    }
    registry.withhold(packageOf(platform), WITHHELD);
    await registry.publish(await packRelease({ out, version: INCOMPLETE }));
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
  const version = (text) => assert.match(text, new RegExp(`^${NAME} ${VERSION.replaceAll(".", "\\.")}`, "m"));
  const installed = (dir) => path.join(dir, "node_modules", ".bin", NAME);

  test("npm install, npx and pnpm add end with a command that runs", async () => {
    const npm = folder();
    await must("npm", ["install", "--ignore-scripts", `${NAME}@${VERSION}`], npm);
    version((await must(installed(npm), ["--version"], npm)).stdout);
    assert.match((await must(installed(npm), ["accounts"], npm)).output, /no accounts/i);

    const npx = folder();
    version((await must("npx", ["--yes", `${NAME}@${VERSION}`, "--version"], npx)).stdout);

    // pnpm asks its own settings for the registry, not npm's.
    const pnpm = folder();
    writeFileSync(path.join(pnpm, ".npmrc"), `registry=${registry.url}\n`);
    await must(lab.host.node, [registry.pnpm, "add", "--ignore-scripts", `${NAME}@${VERSION}`], pnpm);
    version((await must(installed(pnpm), ["--version"], pnpm)).stdout);
  });

  test("without the platform's package the command says how that comes about, and what to do", async () => {
    const dir = folder();
    await must("npm", ["install", "--ignore-scripts", "--omit=optional", `${NAME}@${VERSION}`], dir);
    const bare = await run(installed(dir), ["--version"], { cwd: dir, env });
    assert.equal(bare.code, 1);
    assert.match(bare.stderr, new RegExp(`${packageOf(platform)} is missing.*--omit=optional.*npm install ${NAME}`, "s"));
    assert.doesNotMatch(bare.stderr, /\n\s+at /);
  });

  test("a copy that lost its run bit gets it back", { skip: process.platform === "win32" }, async () => {
    const dir = folder();
    await must("npm", ["install", "--ignore-scripts", `${NAME}@${VERSION}`], dir);
    const binary = path.join(dir, "node_modules", packageOf(platform), "bin", fileOf(platform));
    chmodSync(binary, 0o644);
    version((await must(installed(dir), ["--version"], dir)).stdout);
    assert.ok(statSync(binary).mode & 0o100);
  });

  const install = (profile, which) => profile.cli(["plugins", "install", `${NAME}@${which}`, "--force", "--accept-capabilities"]);

  test("OpenClaw refuses a release whose platform package cannot be fetched, and leaves nothing behind", async () => {
    const profile = await lab.bareProfile({ env: registry.env });
    const refused = await install(profile, WITHHELD);
    assert.notEqual(refused.code, 0, refused.output);
    assert.match(refused.output, new RegExp(packageOf(platform)));
    assert.equal(profile.config.plugins?.entries?.[CHANNEL], undefined);
    // The registry knows of no such package: OpenClaw has nothing to compare with, and the plugin says it.
    const installed = await install(profile, INCOMPLETE);
    assert.equal(installed.code, 0, installed.output);
    const login = await profile.cli(["channels", "login", "--channel", CHANNEL]);
    assert.notEqual(login.code, 0);
    assert.match(login.output, new RegExp(`${packageOf(platform)} is missing.*a registry mirror does not have it yet`, "s"));
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
          const before = here.gateway.sidecars();
          // OpenClaw refuses while turns run, and says so: whoever upgrades waits for a quiet moment, which the traffic has.
          await until(`${which} to be installed`, async () => {
            const done = await install(here.profile, which);
            if (done.code !== 0) assert.match(done.output, /retry after the work finishes/);
            return done.code === 0;
          });
          await until("the new sidecar", () => here.gateway.sidecars().some((pid) => !before.includes(pid)));
          const soFar = traffic.written;
          await until("people who write afterwards", () => traffic.written > soFar + 3);
          await traffic.settle({ sidecarsAtOnce: 2 });
        });
        assert.match((await here.profile.must(["plugins", "list"])).output, new RegExp(which.replaceAll(".", "\\.")));
      }
    } finally {
      await here.stop();
    }
  });
});
