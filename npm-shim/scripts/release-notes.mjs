// What the changelog says of a version: `node scripts/release-notes.mjs v1.2.3`. An error where the tag is not this version's, or the
// changelog does not know it yet.
import { readFileSync } from "node:fs";
import path from "node:path";

import { main } from "./commands.mjs";
import { REPOSITORY } from "./platforms.mjs";

/** The section of `version` in a changelog, without its heading. */
export function notesOf(version, changelog) {
  const sections = changelog.split(/^## /m).slice(1);
  const section = sections.find((text) => text.startsWith(`[${version}] - `));
  if (!section) throw new Error(`CHANGELOG.md has no section "## [${version}] - <day>"; give [Unreleased] that name`);
  const notes = section.slice(section.indexOf("\n")).trim();
  if (!/\S/.test(notes.replace(/^#.*$/gm, ""))) throw new Error(`CHANGELOG.md says nothing of ${version}`);
  return `${notes}\n`;
}

await main(import.meta.url, ([tag = "(none)"]) => {
  const { version } = JSON.parse(readFileSync(path.join(REPOSITORY, "npm-shim", "package.json"), "utf8"));
  if (tag !== `v${version}`) throw new Error(`the tag ${tag} is not v${version}, which package.json has`);
  process.stdout.write(notesOf(version, readFileSync(path.join(REPOSITORY, "CHANGELOG.md"), "utf8")));
});
