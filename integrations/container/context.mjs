// Puts what the image is made of into target/container: `node integrations/container/context.mjs`, then
// `docker buildx build --platform linux/amd64,linux/arm64 target/container`. The binaries are those of target/binaries.
import { copyFileSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { NAME, REPOSITORY, platformOf } from "../../npm-shim/scripts/platforms.mjs";

const out = path.join(REPOSITORY, "target", "container");
rmSync(out, { recursive: true, force: true });
// As Docker names a processor.
for (const [architecture, key] of [["amd64", "linux-x64"], ["arm64", "linux-arm64"]]) {
  const binary = path.join(REPOSITORY, "target", "binaries", platformOf(key).key, NAME);
  if (!existsSync(binary)) {
    console.error(`there is no ${binary}. Build it: make binaries PLATFORM=${key}`);
    process.exit(1);
  }
  mkdirSync(path.join(out, architecture), { recursive: true });
  copyFileSync(binary, path.join(out, architecture, NAME));
}
mkdirSync(path.join(out, "state"));
// Folders without files, and files with a dot before their names, are lost on the way through a workflow.
writeFileSync(path.join(out, "state", "README"), "Credentials and conversations: mount a volume here, or they are gone with the container.\n");
copyFileSync(fileURLToPath(new URL("Dockerfile", import.meta.url)), path.join(out, "Dockerfile"));
copyFileSync(path.join(REPOSITORY, "LICENSE"), path.join(out, "LICENSE"));
copyFileSync(path.join(REPOSITORY, "crates", "silk-decoder", "LICENSE-SILK"), path.join(out, "LICENSE-SILK"));
console.log(out);
