// @ts-check

/**
 * @typedef {object} Counts
 * @property {number} passed
 * @property {number} failed
 * @property {{ title: string, reason: string }[]} skipped
 * @property {{ title: string, message: string }[]} failures what failed, and what it said
 */

/** @typedef {{ testResults: { status: string, name?: string, message?: string, assertionResults: { status: string, fullName: string, failureMessages?: string[] }[] }[] }} VitestReport */

/**
 * Counts Vitest's JSON report. A file that failed before its tests were known counts as one failure.
 * @param {VitestReport} report
 * @returns {Counts}
 */
export function countVitest(report) {
  /** @type {Counts} */
  const counts = { passed: 0, failed: 0, skipped: [], failures: [] };
  for (const file of report.testResults) {
    const failedBefore = counts.failed;
    for (const test of file.assertionResults) {
      if (test.status === "passed") counts.passed += 1;
      else if (test.status === "failed") {
        counts.failed += 1;
        counts.failures.push({ title: test.fullName, message: test.failureMessages?.join("\n") ?? "" });
      } else
        counts.skipped.push({
          title: test.fullName,
          reason: test.status === "todo" ? "not written yet" : "skipped by the test itself",
        });
    }
    if (file.status === "failed" && counts.failed === failedBefore) {
      counts.failed += 1;
      counts.failures.push({ title: file.name ?? "a file", message: file.message ?? "" });
    }
  }
  return counts;
}

/** @typedef {{ message?: string, stack?: string }} PlaywrightError */

/**
 * @typedef {object} PlaywrightTest
 * @property {string} status
 * @property {{ type: string, description?: string }[]} [annotations]
 * @property {{ errors?: PlaywrightError[] }[]} [results]
 */

/**
 * @typedef {object} PlaywrightSuite
 * @property {string} title
 * @property {PlaywrightSuite[]} [suites]
 * @property {{ title: string, tests: PlaywrightTest[] }[]} [specs]
 */

/** @typedef {{ suites: PlaywrightSuite[], errors?: PlaywrightError[] }} PlaywrightReport */

/**
 * Counts Playwright's JSON report. A test that passed only when it was tried again failed; so did whatever broke outside a test.
 * @param {PlaywrightReport} report
 * @returns {Counts}
 */
export function countPlaywright(report) {
  /** @type {Counts} */
  const counts = { passed: 0, failed: report.errors?.length ?? 0, skipped: [], failures: [] };
  /** @param {PlaywrightError} error */
  const messageOf = (error) => error.stack ?? error.message ?? "";
  for (const error of report.errors ?? []) counts.failures.push({ title: "outside a test", message: messageOf(error) });
  /** @param {PlaywrightSuite} suite @param {string} path */
  const visit = (suite, path) => {
    for (const spec of suite.specs ?? []) {
      for (const test of spec.tests) {
        if (test.status === "expected") counts.passed += 1;
        else if (test.status !== "skipped") {
          counts.failed += 1;
          const errors = (test.results ?? []).flatMap((result) => result.errors ?? []);
          counts.failures.push({ title: `${path}${spec.title}`, message: errors.map(messageOf).join("\n") });
        } else {
          const reason = test.annotations?.find(({ type }) => type === "skip" || type === "fixme")?.description;
          counts.skipped.push({ title: `${path}${spec.title}`, reason: reason ?? "skipped by the test itself" });
        }
      }
    }
    for (const inner of suite.suites ?? []) visit(inner, `${path}${inner.title} › `);
  };
  for (const suite of report.suites) visit(suite, `${suite.title} › `);
  return counts;
}
