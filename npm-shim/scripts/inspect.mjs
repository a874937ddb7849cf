// Looks into a binary before it is released: for which machine it is, what it asks of that machine, how large it is, and whether it names
// the machine that built it.
import { readFileSync } from "node:fs";
import os from "node:os";

import { REPOSITORY } from "./platforms.mjs";

/** The most that a binary and a platform's package may have, in bytes: people fetch them on slow lines. */
export const LARGEST_BINARY = 10 * 1024 * 1024;
export const LARGEST_PACKAGE = 5 * 1024 * 1024;

/** That something is larger than it may be. */
export const tooLarge = (size, most) => (size > most ? [`it has ${(size / 1024 / 1024).toFixed(2)} MiB, more than ${most / 1024 / 1024}`] : []);

export const ELF = { x64: 0x3e, arm64: 0xb7 };
export const PE = { x64: 0x8664, arm64: 0xaa64 };
export const MACH_O = { x64: 0x01000007, arm64: 0x0100000c };

/** What speaks against releasing the file `binary` for `platform`, in words; nothing: an empty list. */
export function inspect(platform, binary) {
  const bytes = readFileSync(binary);
  const wrong = notFor(platform, bytes);
  if (wrong.length > 0) return wrong;
  return [...(platform.os === "linux" ? notStaticPie(bytes) : librariesOfOthers(platform, bytes)), ...tooLarge(bytes.length, LARGEST_BINARY), ...namesOfThisMachine(bytes)];
}

/** What speaks against a binary's running on `platform`. */
export function notFor({ os: system, cpu }, bytes) {
  const wrong = (found) => [`it is ${found}, not a program for ${system} on ${cpu}`];
  if (bytes.length < 0x48) return wrong("no program");
  if (system === "linux") {
    if (bytes.readUInt32BE(0) !== 0x7f454c46) return wrong("no ELF file");
    return bytes.readUInt16LE(0x12) === ELF[cpu] ? [] : wrong(`for ELF machine ${bytes.readUInt16LE(0x12)}`);
  }
  if (system === "win32") {
    const header = bytes.readUInt32LE(0x3c);
    if (bytes.toString("latin1", 0, 2) !== "MZ" || bytes.toString("latin1", header, header + 4) !== "PE\0\0") return wrong("no PE file");
    const machine = bytes.readUInt16LE(header + 4);
    return machine === PE[cpu] ? [] : wrong(`for PE machine ${machine}`);
  }
  if (bytes.readUInt32LE(0) !== 0xfeedfacf) return wrong("no Mach-O file");
  return bytes.readUInt32LE(4) === MACH_O[cpu] ? [] : wrong(`for Mach-O machine ${bytes.readUInt32LE(4)}`);
}

/** What speaks against an ELF file's running on every distribution: it asks for a loader (PT_INTERP), or lies at a fixed place (not ET_DYN). 64 bits, little-endian. */
export function notStaticPie(elf) {
  const [start, size, count] = [Number(elf.readBigUInt64LE(0x20)), elf.readUInt16LE(0x36), elf.readUInt16LE(0x38)];
  const kinds = Array.from({ length: count }, (_, n) => elf.readUInt32LE(start + n * size));
  return [...(kinds.includes(3) ? ["it is dynamically linked"] : []), ...(elf.readUInt16LE(0x10) === 3 ? [] : ["it is not position-independent"])];
}

/** The libraries that a program for Windows or macOS asks for, and that people do not have: a compiler's own, and Homebrew's. */
function librariesOfOthers({ os: system }, bytes) {
  const text = bytes.toString("latin1").toLowerCase();
  const names = system === "win32" ? ["vcruntime", "msvcp1", "libgcc_s", "libwinpthread", "libstdc++-"] : ["/opt/homebrew/", "/usr/local/"];
  return names.filter((name) => text.includes(name)).map((name) => `it asks for ${name}…, which comes with a compiler`);
}

/** The folders and the name of this machine that stand in what was made here. */
export function namesOfThisMachine(bytes) {
  const folder = REPOSITORY.replace(/[/\\]$/, "");
  // Names like `debian` and `server` stand anywhere.
  const host = /[\d.-]/.test(os.hostname()) ? os.hostname() : undefined;
  const own = [folder, os.homedir(), process.env.CARGO_HOME, host, "/home/", "/Users/", "C:\\Users\\", "/.cargo/", "\\.cargo\\"];
  // A name of three letters, or a home at the root, stands anywhere by chance.
  const telling = [...new Set(own)].filter((name) => name && name.length > 4);
  return telling.filter((name) => bytes.includes(name)).map((name) => `it names ${name}, of the machine that built it`);
}
