// What the scripts of a release share: running commands, and saying what went wrong without a stack.
import { spawnSync } from "node:child_process";
import { realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Runs a command to its end; anything but success is an error. */
export function must([command, ...args], options = {}) {
  const done = spawnSync(command, args, { stdio: ["ignore", "inherit", "inherit"], ...options });
  if (done.status !== 0) throw new Error(`${command} ${args.join(" ")} failed${done.error ? `: ${done.error.message}` : ` (${done.status ?? done.signal})`}`);
}

/** Does a script's work, where it was started and not imported (`url`: its `import.meta.url`); an error is its message, and exit code 1. */
export async function main(url, work) {
  if (!process.argv[1] || realpathSync(process.argv[1]) !== realpathSync(fileURLToPath(url))) return;
  try {
    await work(process.argv.slice(2));
  } catch (error) {
    console.error(`error: ${error.message}`);
    process.exitCode = 1;
  }
}
