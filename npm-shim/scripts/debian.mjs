// Packages of Debian, in a pinned version where it matters: what builds and tests the binaries of other machines is installed from there.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";

import { must } from "./commands.mjs";

/** Installs what is missing of these packages, or is another version: each is `name` or `name=version`, of which the beginning counts. */
export function ensureDebian(...packages) {
  const wanted = packages.map((one) => one.split("="));
  const installed = (name) => spawnSync("dpkg-query", ["-W", "-f", "${db:Status-Status} ${Version}", name], { encoding: "utf8" }).stdout ?? "";
  const missing = wanted.filter(([name, version = ""]) => !installed(name).startsWith(`installed ${version}`));
  if (missing.length === 0) return;
  const release = existsSync("/etc/os-release") ? readFileSync("/etc/os-release", "utf8") : "";
  const names = missing.map(([name]) => name).join(", ");
  if (!/^ID=debian$/m.test(release) || !/^VERSION_ID="12"$/m.test(release)) throw new Error(`this needs Debian 12, for its packages ${names}`);
  const apt = [...(process.getuid() === 0 ? [] : ["sudo"]), "apt-get"];
  const quiet = { stdio: ["ignore", "ignore", "inherit"], env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } };
  must([...apt, "update"], quiet);
  must([...apt, "install", "-y", "--no-install-recommends", "--no-remove", ...missing.map(([name, version]) => (version ? `${name}=${version}*` : name))], quiet);
}
