/** A terminal's QR code as plain text. */

const ESCAPES = /\u001b\[[0-9;]*m/g;

/** Each module as two full blocks or two spaces: where lines are far apart, halves of a character would leave stripes between them. */
export function asBlocks(qrText: string): string {
  const rows = qrText.replace(ESCAPES, "").split("\n").filter((row) => row.trim() !== "" || row.length > 0);
  const half = (row: string, dark: string) => [...row].map((sign) => (sign === "█" || sign === dark ? "██" : "  ")).join("");
  return rows.flatMap((row) => [half(row, "▀"), half(row, "▄")]).join("\n");
}
