/** Versions of the sidecar. */

/** Compares `x.y.z`; what follows a `-` counts as older, as in semver. */
export function compareVersions(a: string, b: string): number {
  const left = parse(a);
  const right = parse(b);
  for (let i = 0; i < 3; i += 1) {
    const difference = (left.numbers[i] ?? 0) - (right.numbers[i] ?? 0);
    if (difference !== 0) return Math.sign(difference);
  }
  if (left.pre === right.pre) return 0;
  if (left.pre === undefined) return 1;
  if (right.pre === undefined) return -1;
  return left.pre < right.pre ? -1 : 1;
}

function parse(version: string): { numbers: number[]; pre: string | undefined } {
  const [core = "", pre] = version.split("+", 1)[0]!.split("-", 2);
  return { numbers: core.split(".").map((part) => Number.parseInt(part, 10) || 0), pre };
}
