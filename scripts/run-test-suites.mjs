// @ts-check
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { countPlaywright, countVitest } from "./count-tests.mjs";
import { root, runCommand, tool } from "./run-command.mjs";

/** @typedef {import("./step-report.mjs").StepResult} StepResult */
/** @typedef {Record<string, string | undefined>} Environment */

/** A runner that hangs is stopped. The longest suite takes a fifth of it, on a machine with two cores of which others have one. */
const limitMs = 5_000_000;
const vitest = tool("vitest/vitest.mjs");
const playwright = [...tool("@playwright/test/cli.js"), "test", "-c", "test-e2e/playwright.config.ts"];

/** @param {string} name */
function freshReportPath(name) {
  const path = join(root, ".cache", "reports", `${name}.json`);
  mkdirSync(dirname(path), { recursive: true });
  // A runner that dies must not be judged by what the last one left.
  rmSync(path, { force: true });
  return path;
}

/**
 * @param {string} name
 * @param {import("./run-command.mjs").CommandResult} result
 * @param {{
 *   reportPath: string,
 *   count: (report: any) => import("./count-tests.mjs").Counts,
 *   filters: string[], // with them a suite may rightly be left with nothing
 * }} how
 * @returns {StepResult}
 */
function judge(name, result, { reportPath, count, filters }) {
  /** @type {import("./count-tests.mjs").Counts} */
  let counts = { passed: 0, failed: 0, skipped: [], failures: [] };
  let { fault } = result;
  try {
    counts = count(JSON.parse(readFileSync(reportPath, "utf8")));
  } catch {
    fault = `the runner died before it reported (${fault || "exit code 0"})`;
    counts.failed = 1;
  }
  const isEmpty = filters.length === 0 && counts.passed + counts.failed + counts.skipped.length === 0;
  // Errors outside any test: the runner knows, the counts do not. And a suite that finds no tests has proved nothing.
  if (counts.failed === 0 && (!result.ok || isEmpty)) counts.failed = 1;
  if (counts.failed === 0) fault = "";
  else if (result.ok && isEmpty) fault ||= "found no tests";
  return { name, ...counts, isSuite: true, fault, output: result.output, durationMs: result.durationMs };
}

/**
 * @param {string} project of vitest.config.ts
 * @param {{ env: Environment, filters: string[] }} options
 */
export async function runVitestProject(project, { env, filters }) {
  const reportPath = freshReportPath(project);
  const command = [
    ...vitest,
    "run",
    "--project",
    project,
    "--passWithNoTests",
    "--reporter=default",
    "--reporter=json",
  ];
  const result = await runCommand(project, [...command, `--outputFile.json=${reportPath}`, ...filters], {
    env,
    limitMs,
  });
  return judge(project, result, { reportPath, count: countVitest, filters });
}

/**
 * @param {string} project of test-e2e/playwright.config.ts
 * @param {{ env: Environment, filters: string[] }} options
 */
export async function runPlaywright(project, { env, filters }) {
  const reportPath = freshReportPath(project);
  const command = [...playwright, "--project", project, "--reporter=list,json", "--pass-with-no-tests"];
  const result = await runCommand(project, [...command, ...filters], {
    env: { ...env, PLAYWRIGHT_JSON_OUTPUT_FILE: reportPath },
    limitMs,
  });
  return judge(project, result, { reportPath, count: countPlaywright, filters });
}

/**
 * The tests that would have run, each skipped for the same reason.
 * @param {string} name
 * @param {string} reason
 * @param {{ env: Environment, filters: string[] }} options
 * @returns {Promise<StepResult>}
 */
export async function skipSuite(name, reason, { env, filters }) {
  const isBrowser = name === "e2e" || name === "pages";
  const reportPath = freshReportPath(name);
  const result = isBrowser
    ? await runCommand(name, [...playwright, "--project", name, "--list", "--reporter=json", ...filters], {
        env: { ...env, PLAYWRIGHT_JSON_OUTPUT_FILE: reportPath },
      })
    : await runCommand(name, [...vitest, "list", "--project", name, `--json=${reportPath}`, ...filters], { env });
  /** @param {any} report @returns {string[]} */
  const titlesIn = (report) =>
    isBrowser ? allSpecs(report) : report.map((/** @type {{ name: string }} */ test) => test.name);
  const count = (/** @type {any} */ report) => ({
    passed: 0,
    failed: 0,
    failures: [],
    skipped: titlesIn(report).map((title) => ({ title, reason })),
  });
  return judge(name, result, { reportPath, count, filters });
}

/** @param {import("./count-tests.mjs").PlaywrightReport} report @returns {string[]} */
function allSpecs(report) {
  /** @param {import("./count-tests.mjs").PlaywrightSuite} suite @returns {string[]} */
  const titles = (suite) => [
    ...(suite.specs ?? []).flatMap((spec) => spec.tests.map(() => spec.title)),
    ...(suite.suites ?? []).flatMap(titles),
  ];
  return report.suites.flatMap(titles);
}
