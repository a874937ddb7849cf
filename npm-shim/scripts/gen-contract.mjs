// Generates src/contract.gen.ts from docs/contract.schema.json and docs/openrpc.json, which the Rust types generate.
//
//   npm run gen            writes it
//   npm run gen:check      fails where it is out of date
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { compile } from "json-schema-to-typescript";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const docs = path.join(root, "..", "docs");
const target = path.join(root, "src", "contract.gen.ts");
const read = (name) => JSON.parse(readFileSync(path.join(docs, name), "utf8"));

const made = `${await types(read("contract.schema.json"))}\n${methods(read("openrpc.json"))}`;
if (!process.argv.includes("--check")) {
  writeFileSync(target, made);
} else if (readFileSync(target, "utf8") !== made) {
  console.error("npm-shim/src/contract.gen.ts is out of date. Run: npm run gen");
  process.exit(1);
}

async function types(schema) {
  const definitions = schema.$defs ?? schema.definitions;
  // The generator takes draft 7, where the same things are called `definitions`.
  const draft7 = JSON.parse(JSON.stringify({ definitions }).replaceAll("#/$defs/", "#/definitions/"));
  for (const definition of Object.values(draft7.definitions)) flattenEnum(definition);
  bareReferences(draft7);
  const made = await compile({ ...draft7, title: "Contract", type: "object", additionalProperties: false }, "Contract", {
    bannerComment:
      "/* eslint-disable */\n// Generated from docs/contract.schema.json and docs/openrpc.json by `npm run gen`. Do not edit.",
    additionalProperties: false,
    unreachableDefinitions: true,
    style: { printWidth: 140 },
  });
  return made.replace(/export interface Contract \{\}\n/, "").replace(/\n \*\n \* This interface was referenced by[^*]*(?:\* via the `definition`[^*]*)?/g, "\n ");
}

/** A reference with a description beside it would become a copy of the type. */
function bareReferences(schema) {
  if (typeof schema !== "object" || schema === null) return;
  if (typeof schema.$ref === "string") for (const key of Object.keys(schema)) if (key !== "$ref") delete schema[key];
  for (const value of Object.values(schema)) bareReferences(value);
}

/** Values with a description each are one union, not a type each. */
function flattenEnum(definition) {
  if (definition.oneOf?.every((choice) => typeof choice.const === "string")) {
    definition.enum = definition.oneOf.map((choice) => choice.const);
    definition.type = "string";
    delete definition.oneOf;
  }
}

/** What the gateway asks, and what the sidecar says by itself: in OpenRPC a method without a result. */
function methods(openrpc) {
  const nameOf = (schema) => (schema?.$ref ? schema.$ref.split("/").at(-1) : "Empty");
  const paramsOf = (method) => nameOf(method.params[0]?.schema);
  const requests = openrpc.methods.filter((method) => method.result);
  const notifications = openrpc.methods.filter((method) => !method.result);
  return [
    "/** Requests: the parameters and the result of each. */",
    "export interface Methods {",
    ...requests.flatMap((method) => [
      `  /** ${method.summary} */`,
      `  ${JSON.stringify(method.name)}: { params: ${paramsOf(method)}; result: ${nameOf(method.result.schema)} };`,
    ]),
    "}",
    "",
    "/** Notifications of the sidecar: what each says. */",
    "export interface Notifications {",
    ...notifications.flatMap((method) => [`  /** ${method.summary} */`, `  ${JSON.stringify(method.name)}: ${paramsOf(method)};`]),
    "}",
    "",
  ].join("\n");
}
