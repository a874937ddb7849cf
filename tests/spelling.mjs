// Looks for misspelt words, with `typos`: `node tests/spelling.mjs`. What is no mistake here stands in _typos.toml. Where there is no Python
// to install it with, it says so and finds nothing.
import { fromPyPI, run } from "./tools.mjs";

const typos = fromPyPI("typos", "1.52.0");
if (!typos) console.log("spelling: not looked at, there is no python3 with venv");
else if (!run(typos, ["--format", "brief", "."])) process.exitCode = 1;
