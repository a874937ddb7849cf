// How many tests a runner says that passed and failed, from what it printed; `false` where it says nothing of the kind.

/** `test result: ok. 12 passed; 0 failed; …`, once for each test binary. */
export function countCargo(output) {
  const results = [...output.matchAll(/^test result: \w+\. (\d+) passed; (\d+) failed/gm)];
  return results.length > 0 && sum(results);
}

/** node:test's closing lines, once for each run of it; their mark depends on the reporter. */
export function countNode(output) {
  const [passed, failed] = ["pass", "fail"].map((word) => [...output.matchAll(new RegExp(`^\\S+ ${word} (\\d+)$`, "gm"))].map(([, n]) => n));
  return passed.length > 0 && passed.length === failed.length && sum(passed.map((n, run) => [, n, failed[run]]));
}

/** `fuzz targets: 7 passed, 0 failed`. */
export function countFuzz(output) {
  const results = [...output.matchAll(/^fuzz targets: (\d+) passed, (\d+) failed/gm)];
  return results.length > 0 && sum(results);
}

/** `results` are matches: what was found, how many passed, how many failed. */
export function sum(results) {
  const total = { passed: 0, failed: 0 };
  for (const [, passed, failed] of results) {
    total.passed += Number(passed);
    total.failed += Number(failed);
  }
  return total;
}
