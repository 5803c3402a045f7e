// @ts-check
// `npm test`: prepares what tests need, runs all of them and closes with one line of totals.
import "./node-version.mjs";
import { cpus } from "node:os";
import process from "node:process";
import { build, buildStep } from "./build.mjs";
import { engineFault } from "./engine-fault.mjs";
import { findChromium } from "./find-chromium.mjs";
import { onlyOption } from "./only-option.mjs";
import { onInterrupt } from "./run-command.mjs";
import { runStaticCheck } from "./run-static-check.mjs";
import { runPlaywright, runVitestProject, skipSuite } from "./run-test-suites.mjs";
import { setUp, setUpKafka } from "./setup.mjs";
import { staticChecks } from "./static-checks.mjs";
import { createStepReport } from "./step-report.mjs";
import { print, yellow } from "./terminal.mjs";

const checkNames = staticChecks.map(({ name }) => name);
const suites = ["unit", "isolated", "engine", "kafka", "pages", "e2e"];
const browserSuites = suites.slice(-2);
const { only, filters } = onlyOption(process.argv.slice(2), {
  command: "npm test",
  names: [...checkNames, ...suites],
  groups: { checks: checkNames },
});

print(`Node ${process.versions.node}, ${process.platform} ${process.arch}, ${cpus().length} cores`);
await setUp();

/** @type {Record<string, string | undefined>} */
const env = {};
/** @type {Map<string, string>} why a suite cannot run */
const missing = new Map();

const engine = engineFault();
if (engine) for (const suite of ["engine", "e2e"]) missing.set(suite, engine);

if (browserSuites.some((suite) => only.has(suite))) {
  const chromium = await findChromium();
  if ("skipped" in chromium) for (const suite of browserSuites) missing.set(suite, chromium.skipped);
  else env.CHROMIUM = chromium.path;
  print(
    "skipped" in chromium
      ? yellow(`Chromium: ${chromium.skipped}`)
      : `Chromium: ${chromium.path} (${chromium.version})`,
  );
}

/** @type {() => Promise<void>} */
let stopKafka = async () => {};
if (only.has("kafka") || only.has("e2e")) {
  const kafka = await setUpKafka();
  if ("skipped" in kafka) {
    missing.set("kafka", kafka.skipped);
    env.KAFKA_BROKERS = undefined;
  } else {
    env.KAFKA_BROKERS = kafka.brokers;
    stopKafka = kafka.stop;
    onInterrupt(stopKafka);
  }
  print("skipped" in kafka ? yellow(`Kafka: ${kafka.skipped}`) : `Kafka: ${kafka.brokers}`);
}

const report = createStepReport({ filters });
/** @param {string} suite */
async function runSuite(suite) {
  if (!only.has(suite)) return;
  const reason = missing.get(suite);
  const options = { env, filters };
  if (suite === "kafka") report.add(withReason(await runVitestProject(suite, options), reason));
  else if (reason) report.add(await skipSuite(suite, reason, options));
  else report.add(await (browserSuites.includes(suite) ? runPlaywright : runVitestProject)(suite, options));
}

// Without a broker the Kafka tests skip themselves; only we know why there is none.
/** @param {import("./step-report.mjs").StepResult} step @param {string | undefined} reason */
function withReason(step, reason) {
  return reason ? { ...step, skipped: step.skipped.map(({ title }) => ({ title, reason })) } : step;
}

try {
  const built = await build();
  report.add(buildStep(built));
  const runChecks = async () => {
    for (const check of staticChecks) {
      if (only.has(check.name) && (built.ok || !check.needsBuild)) report.add(await runStaticCheck(check));
    }
  };
  const runUnits = async () => {
    await runSuite("unit");
    await runSuite("isolated");
  };
  // The longest first, so that neither lane waits for long at the end.
  const rest = ["engine", "e2e", "pages", "kafka"].filter((suite) => built.ok || !browserSuites.includes(suite));
  const runRest = async () => {
    for (let suite = rest.shift(); suite !== undefined; suite = rest.shift()) await runSuite(suite);
  };
  // Two at a time: each waits for disks, timers and other processes half of the time, and none takes a busy machine for a fault.
  await Promise.all([runChecks().then(runRest), runUnits().then(runRest)]);
} finally {
  await stopKafka();
}
process.exitCode = report.end();
