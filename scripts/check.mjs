// @ts-check
// `npm run check`: everything that needs no broker, no browser and no database engine.
import "./node-version.mjs";
import process from "node:process";
import { build, buildStep } from "./build.mjs";
import { onlyOption } from "./only-option.mjs";
import { runStaticCheck } from "./run-static-check.mjs";
import { runVitestProject } from "./run-test-suites.mjs";
import { setUp } from "./setup.mjs";
import { staticChecks } from "./static-checks.mjs";
import { createStepReport } from "./step-report.mjs";

const names = [...staticChecks.map(({ name }) => name), "unit", "isolated"];
const { only, filters } = onlyOption(process.argv.slice(2), { command: "npm run check", names });

await setUp();
const report = createStepReport({ filters });
const built = await build();
report.add(buildStep(built));
for (const check of staticChecks) {
  if (only.has(check.name) && (built.ok || !check.needsBuild)) report.add(await runStaticCheck(check));
}
for (const project of ["unit", "isolated"]) {
  if (only.has(project)) report.add(await runVitestProject(project, { env: {}, filters }));
}
process.exitCode = report.end();
