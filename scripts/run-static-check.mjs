// @ts-check
import { runCommand } from "./run-command.mjs";

/**
 * One step, however many commands it takes: it passes when all of them do.
 * @param {import("./static-checks.mjs").StaticCheck} check
 * @returns {Promise<import("./step-report.mjs").StepResult>}
 */
export async function runStaticCheck(check) {
  const startedAt = performance.now();
  const faults = [];
  let output = "";
  for (const [index, command] of check.commands.entries()) {
    const result = await runCommand(check.commands.length > 1 ? `${check.name}-${index + 1}` : check.name, command);
    if (result.ok) continue;
    faults.push(result.fault);
    output += result.output;
  }
  const hasPassed = faults.length === 0;
  return {
    name: check.name,
    passed: hasPassed ? 1 : 0,
    failed: hasPassed ? 0 : 1,
    skipped: [],
    fault: [...faults, ...(hasPassed || !check.hint ? [] : [check.hint])].join("; "),
    output,
    durationMs: performance.now() - startedAt,
  };
}
