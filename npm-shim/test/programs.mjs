// Files that look like programs of a platform, as far as anybody looks into them.

import { ELF, MACH_O, PE } from "../scripts/inspect.mjs";

/** The least of a program for `platform` that may be released: its headers. */
export function programFor({ os, cpu }) {
  const bytes = Buffer.alloc(0x80);
  if (os === "linux") {
    bytes.writeUInt32BE(0x7f454c46, 0);
    bytes.writeUInt16LE(3, 0x10);
    bytes.writeUInt16LE(ELF[cpu], 0x12);
  } else if (os === "win32") {
    bytes.write("MZ");
    bytes.writeUInt32LE(0x40, 0x3c);
    bytes.write("PE\0\0", 0x40, "latin1");
    bytes.writeUInt16LE(PE[cpu], 0x44);
  } else {
    bytes.writeUInt32LE(0xfeedfacf, 0);
    bytes.writeUInt32LE(MACH_O[cpu], 4);
  }
  return bytes;
}
