// @ts-check
import process from "node:process";
import { isBuilt, rememberBuild } from "./build-stamp.mjs";
import { logPath, runCommand, tool } from "./run-command.mjs";
import { red, withProgress } from "./terminal.mjs";

/** Everything, through turbo, which runs only what changed. */
export function build() {
  return runCommand(
    "build",
    [
      ...tool("turbo/bin/turbo"),
      "run",
      "build",
      "--continue=dependencies-successful",
      "--output-logs=errors-only",
      "--log-order=grouped",
    ],
    {
      limitMs: 300_000,
    },
  );
}

/** For scripts that can do nothing without it: ends the process with what the compiler said. */
export async function buildOrExit() {
  if (isBuilt()) return;
  const result = await withProgress("building", build);
  if (result.ok) {
    rememberBuild();
    return;
  }
  process.stderr.write(
    `${result.output}\n${red(`The build failed (${result.fault}); see above, or ${logPath("build")}.`)}\n`,
  );
  process.exit(1);
}

/**
 * @param {import("./run-command.mjs").CommandResult} result
 * @returns {import("./step-report.mjs").StepResult}
 */
export function buildStep(result) {
  const { ok, output, durationMs } = result;
  const fault = ok ? "" : `${result.fault}; what needs the build did not run`;
  return { name: "build", passed: ok ? 1 : 0, failed: ok ? 0 : 1, skipped: [], fault, output, durationMs };
}
