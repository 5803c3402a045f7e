// @ts-check
import { dim, formatDuration, green, print, red, yellow } from "./terminal.mjs";

const mostFailures = 20;
const mostLines = 25;

/**
 * @typedef {object} StepResult
 * @property {string} name
 * @property {number} passed
 * @property {number} failed
 * @property {{ title: string, reason: string }[]} skipped
 * @property {{ title: string, message: string }[]} [failures] tests that failed, named again at the end
 * @property {boolean} [isSuite] whether file filters narrow it
 * @property {string} fault what is wrong in a few words; empty when nothing is
 * @property {string} output printed in full when something failed
 * @property {number} durationMs
 */

/**
 * Prints steps as they end, and at the end what was skipped, what failed and the totals.
 * @param {{ filters: string[] }} options
 */
export function createStepReport({ filters }) {
  /** @type {StepResult[]} */
  const steps = [];
  const startedAt = performance.now();

  /** @param {StepResult} step */
  function add(step) {
    steps.push(step);
    const hasFailed = step.failed > 0;
    const mark = hasFailed ? red("✗") : step.passed === 0 && step.skipped.length > 0 ? yellow("-") : green("✓");
    const parts = [`${step.passed} passed`];
    if (hasFailed) parts.push(red(`${step.failed} failed`));
    if (step.skipped.length > 0) parts.push(yellow(`${step.skipped.length} skipped`));
    print(`${mark} ${step.name.padEnd(14)} ${formatDuration(step.durationMs).padStart(12)}  ${parts.join(", ")}`);
    if (!hasFailed) return;
    const output = step.output.trimEnd();
    if (output) print(output);
    if (step.fault) print(red(`✗ ${step.name}: ${step.fault}`));
  }

  return {
    add,
    /** @returns {number} the exit code */
    end() {
      const suites = steps.filter(({ isSuite }) => isSuite);
      const found = suites.reduce((sum, { passed, failed, skipped }) => sum + passed + failed + skipped.length, 0);
      if (filters.length > 0 && found === 0) add(noMatch(filters));
      const skipped = steps.flatMap((step) => step.skipped.map((test) => ({ step: step.name, ...test })));
      const failed = steps.filter((step) => step.failed > 0);
      print("");
      if (skipped.length > 0) print("Skipped:");
      for (const [key, tests] of groupByReason(skipped)) {
        print(`${yellow("-")} ${key}${tests.length > 1 ? ` (${tests.length} tests)` : ""}`);
        for (const { title } of tests) print(dim(`    ${title}`));
      }
      // Named again, because the output of the suites is long and may be cut.
      for (const { name, failures = [] } of failed) {
        for (const { title, message } of failures.slice(0, mostFailures)) {
          print(`${red("✗")} ${name}: ${title}`);
          print(dim(message.split("\n").slice(0, mostLines).join("\n")));
        }
      }
      if (failed.length > 0) print(`${red("Failed:")} ${failed.map(({ name }) => name).join(", ")}`);
      print(dim(`in ${formatDuration(performance.now() - startedAt)}`));
      const total = (/** @type {(step: StepResult) => number} */ of) => steps.reduce((sum, step) => sum + of(step), 0);
      const failures = total((step) => step.failed);
      print(`${total((step) => step.passed)} passed, ${failures} failed, ${skipped.length} skipped`);
      return failures > 0 ? 1 : 0;
    },
  };
}

/** @param {{ step: string, title: string, reason: string }[]} skipped */
function groupByReason(skipped) {
  /** @type {Map<string, { title: string }[]>} */
  const groups = new Map();
  for (const test of skipped) {
    const key = `${test.step}: ${test.reason}`;
    const group = groups.get(key) ?? [];
    group.push(test);
    groups.set(key, group);
  }
  return groups;
}

// A typing error in a filter must not pass as a run.
/** @param {string[]} filters @returns {StepResult} */
function noMatch(filters) {
  const fault = `no test file matches ${filters.join(" ")}`;
  return { name: "filter", passed: 0, failed: 1, skipped: [], fault, output: "", durationMs: 0 };
}
