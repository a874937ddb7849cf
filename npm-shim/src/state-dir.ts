/** Where OpenClaw keeps its state; the host's own rule, because a profile or a service may move it. */
import { resolveStateDir } from "openclaw/plugin-sdk/state-paths";

export function stateDir(): string {
  return resolveStateDir(process.env);
}
