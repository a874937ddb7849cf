/** Log lines: those of the sidecar, on their way into the host's log. */

export type LogLevel = "trace" | "debug" | "info" | "warn" | "error";
export type Log = (level: LogLevel, message: string) => void;

const LEVELS: readonly string[] = ["trace", "debug", "info", "warn", "error"] satisfies LogLevel[];

/** A line of the sidecar's logger; `undefined` for anything else, such as a panic or the system's loader. */
export function parseLogLine(line: string): { level: LogLevel; text: string } | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    const { level, msg, ts: _ts, target: _target, ...fields } = JSON.parse(line) as Record<string, unknown>;
    if (typeof msg !== "string" || typeof level !== "string") return undefined;
    const lower = level.toLowerCase();
    const details = Object.entries(fields).map(([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`);
    return { level: LEVELS.includes(lower) ? (lower as LogLevel) : "info", text: [msg, ...details].join(" ") };
  } catch {
    return undefined;
  }
}
