// The platforms that releases are built for, from platforms.json: `key`, npm's `os` and `cpu`, Rust's target.
import { readFileSync } from "node:fs";

export const NAME = "openclaw-weixin-sidecar";
export const PLATFORMS = JSON.parse(readFileSync(new URL("../platforms.json", import.meta.url), "utf8"));
export const packageOf = ({ key }) => `${NAME}-${key}`;
export const fileOf = ({ os }) => (os === "win32" ? `${NAME}.exe` : NAME);
