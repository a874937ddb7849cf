// Makes openclaw.plugin.json from manifest.base.json, ui-hints.json and the contract's Config.
//
//   node plugin-manifest/generate.mjs           writes it
//   node plugin-manifest/generate.mjs --check   fails where it is out of date
//
// The contract's JSON Schema is written for programs that read JSON as serde does. OpenClaw's manifest wants the
// schema of a settings form: everything in one piece, nothing nullable, unknown keys in the channel and its accounts only.
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const CHANNEL = "openclaw-weixin";
const target = path.join(here, "openclaw.plugin.json");
const read = (file) => JSON.parse(readFileSync(file, "utf8"));

export function generate(contract = read(path.join(here, "..", "docs", "contract.schema.json"))) {
  const definitions = contract.$defs ?? contract.definitions ?? {};
  const manifest = read(path.join(here, "manifest.base.json"));
  const hints = read(path.join(here, "ui-hints.json"));
  const schema = { $schema: "http://json-schema.org/draft-07/schema#", ...formOf(definitions.Config, definitions) };
  delete schema.description;
  // As with the official plugin: a configuration with a key that nobody reads is no reason not to start. `openclaw doctor` names it.
  schema.additionalProperties = true;
  schema.properties.accounts.additionalProperties.additionalProperties = true;
  for (const hint of Object.keys(hints)) {
    if (hint !== "" && !leads(schema, hint.split("."))) throw new Error(`ui-hints.json names ${hint}, which the configuration does not have`);
  }
  const config = manifest.channelConfigs[CHANNEL];
  manifest.channelConfigs[CHANNEL] = { schema, uiHints: hints, ...config };
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

/** A self-contained copy of `schema` without `null`. */
function formOf(schema, definitions) {
  if (schema === undefined) throw new Error("docs/contract.schema.json has no definition of Config");
  if (schema.$ref) {
    const { $ref, ...rest } = schema;
    return { ...formOf(definitions[$ref.split("/").at(-1)], definitions), ...formOf(rest, definitions) };
  }
  const { anyOf, oneOf, allOf, properties, additionalProperties, items, type, title: _title, default: fallback, format: _format, $schema: _schema, ...rest } = schema;
  const out = { ...rest };
  if (type !== undefined) {
    const types = [type].flat().filter((one) => one !== "null");
    out.type = types.length === 1 ? types[0] : types;
  }
  if (allOf?.length === 1) Object.assign(out, formOf(allOf[0], definitions));
  const choices = (anyOf ?? oneOf ?? []).filter((choice) => choice.type !== "null").map((choice) => formOf(choice, definitions));
  if (choices.length > 0 && choices.every((choice) => "const" in choice || choice.enum)) {
    // An enum whose values each had a description of their own.
    out.type = "string";
    out.enum = choices.flatMap((choice) => choice.enum ?? [choice.const]);
  } else if (choices.length === 1) {
    Object.assign(out, choices[0], rest);
  } else if (choices.length > 1) {
    out.anyOf = choices;
  }
  if (properties) {
    out.type = "object";
    out.properties = Object.fromEntries(Object.entries(properties).map(([key, value]) => [key, formOf(value, definitions)]));
    out.additionalProperties = false;
  } else if (typeof additionalProperties === "object") {
    out.additionalProperties = formOf(additionalProperties, definitions);
  }
  if (items) out.items = formOf(items, definitions);
  if (fallback !== undefined && fallback !== null) out.default = fallback;
  return out;
}

/** Whether `schema` has something at `path`; `*` is any key of a map. */
function leads(schema, [key, ...rest]) {
  if (key === undefined) return true;
  const next = key === "*" ? schema.additionalProperties : schema.properties?.[key];
  return Boolean(next) && leads(next, rest);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const made = generate();
  if (!process.argv.includes("--check")) {
    writeFileSync(target, made);
  } else if (readFileSync(target, "utf8") !== made) {
    console.error("plugin-manifest/openclaw.plugin.json is out of date. Run: node plugin-manifest/generate.mjs");
    process.exit(1);
  }
}
