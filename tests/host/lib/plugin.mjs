// A plugin of the test's own in an OpenClaw profile: to see what the host tells its plugins, or to be what it has none of.
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";

/** Has the gateway load a plugin whose module is `source`. */
export function addPlugin(lab, profile, id, source) {
  const folder = path.join(lab.folder, id);
  mkdirSync(folder, { recursive: true });
  const write = (name, content) => writeFileSync(path.join(folder, name), typeof content === "string" ? content : JSON.stringify(content));
  write("package.json", { name: id, version: "1.0.0", type: "module", openclaw: { extensions: ["./index.js"] } });
  write("openclaw.plugin.json", { id, activation: { onStartup: true }, configSchema: { type: "object", additionalProperties: false, properties: {} } });
  write("index.js", source);
  profile.configure((config) => {
    config.plugins = { ...config.plugins, load: { paths: [...(config.plugins?.load?.paths ?? []), folder] }, entries: { ...config.plugins?.entries, [id]: { enabled: true } } };
    if (config.plugins.allow) config.plugins.allow.push(id);
  });
}
