import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import process from "node:process";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import { startChromium } from "../sdk-loss/chromium.mjs";
import { callsCost, evaluationCost, median } from "../sdk-loss/cost-scenarios.mjs";
import { createLanes, createTurns } from "../sdk-loss/lanes.mjs";
import { lossScenarios } from "../sdk-loss/loss-scenarios.mjs";
import { createCertificate } from "../sdk-loss/origin.mjs";
import { installOthers, scriptOf } from "../sdk-loss/scripts.mjs";
import { sdks } from "../sdk-loss/sdks.mjs";
import { withStage } from "../sdk-loss/stage.mjs";
import { costTable, lossTables, toMarkdown } from "../sdk-loss/tables.mjs";
import { formatTable, report } from "./report.mjs";
import { withTemporaryFolder } from "./support/temporary-folder.mjs";

export const description =
  "what the browser SDK loses when visitors leave and collectors fail, and what it costs the page, beside SDKs of others";
export const needs =
  "Chromium and openssl; the npm registry once, for the others. `--only polder`, `--scenarios click,leave-20,costs`, `--quick`, `--bfcache`";

const root = new URL("../../", import.meta.url);
const ours = "polder";
const lanes = 6;
const protocols = ["HTTP/1.1", "HTTP/2"];
// What the others are asked over HTTP/2 as well: where the number of connections matters.
const overBoth = new Set(["navigate-20", "leave-20"]);

const say = (line) => process.stderr.write(`${line}\n`);
const gzipped = (bytes) => gzipSync(bytes, { level: 9 }).length;

export async function run({ args }) {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: "string" },
      scenarios: { type: "string" },
      quick: { type: "boolean", default: false },
      bfcache: { type: "boolean", default: false },
    },
  });
  const scenarios = lossScenarios({ clicks: values.quick ? 5 : 20 });
  const names = listed(values.only, Object.keys(sdks), "SDK");
  const chosen = listed(values.scenarios, [...Object.keys(scenarios), "costs"], "scenario");
  const start = Date.now();
  if (names.some((name) => sdks[name].package)) installOthers(say);
  const measured = [];
  for (const name of names) measured.push({ name, ...sdks[name], ...(await scriptOf(name, sdks[name])) });

  await withTemporaryFolder(async (folder) => {
    const certificate = createCertificate(folder);
    const browser = await startChromium(folder, { keepsPages: values.bfcache });
    try {
      const losses = await measureLosses({ browser, certificate, measured, scenarios, chosen, isQuick: values.quick });
      const costs = chosen.includes("costs") ? await measureCosts({ browser, measured, isQuick: values.quick }) : [];
      const facts = {
        date: new Date().toISOString().slice(0, 10),
        browser: `Chromium ${browser.version}`,
        keepsPages: values.bfcache,
        cores: cpus().length,
        minutes: Math.round((Date.now() - start) / 60_000),
      };
      publish({ facts, losses, costs });
    } finally {
      await browser.stop();
    }
  });
}

/** @param text names with commas between them; all of them when absent. */
function listed(text, known, what) {
  const names = text?.split(",") ?? known;
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new Error(`There is no ${what} "${unknown}". There are: ${known.join(", ")}.`);
  return names;
}

async function measureLosses({ browser, certificate, measured, scenarios, chosen, isQuick }) {
  const jobs = protocols.flatMap((protocol) =>
    Object.keys(scenarios)
      .filter((scenario) => chosen.includes(scenario))
      .flatMap((scenario) =>
        measured
          .filter(({ name }) => name === ours || protocol === protocols[0] || (overBoth.has(scenario) && !isQuick))
          .map((sdk) => ({ protocol, scenario, sdk })),
      ),
  );
  // Scenarios are mostly waiting, so some share the machine; the moment that matters is for one at a time.
  const alone = createTurns();
  let done = 0;
  return createLanes(lanes)(jobs, async ({ protocol, scenario, sdk }) => {
    const stage = { browser, sdk, alone, certificate: protocol === protocols[0] ? undefined : certificate };
    const result = await withStage(stage, scenarios[scenario]).catch((error) => ({
      error: error.message,
    }));
    const { expected, arrived, duplicates } = result;
    const outcome = result.error ?? `${arrived} of ${expected}${duplicates ? `, ${duplicates} twice` : ""}`;
    say(`${++done}/${jobs.length}  ${sdk.name}, ${scenario}, ${protocol}: ${outcome}`);
    return { sdk: sdk.name, scenario, protocol, ...result };
  });
}

async function measureCosts({ browser, measured, isQuick }) {
  const costs = [];
  for (const sdk of measured) {
    const openStage = (act) => withStage({ browser, sdk }, act);
    const cost = { sdk: sdk.name, version: sdk.version, gzipBytes: gzipped(sdk.script), evaluation: {}, calls: {} };
    costs.push(cost);
    for (const cpu of isQuick ? [1] : [1, 4]) {
      cost.evaluation[cpu] = await evaluationCost(browser, openStage, cpu);
      for (const count of [50, 1000]) cost.calls[`${count}@${cpu}`] = await medianCallsCost(openStage, count, cpu);
    }
    const { loopMs, taskMs } = cost.calls["1000@1"];
    say(
      `${sdk.name}: evaluation ${cost.evaluation[1].ms.toFixed(1)} ms; 1,000 calls ${loopMs.toFixed(0)} ms, ${taskMs.toFixed(0)} in all`,
    );
  }
  return costs;
}

/** Of three runs, or of one where one takes long enough to be sure of. */
async function medianCallsCost(openStage, count, cpu) {
  const runs = [];
  while (runs.length < 3 && !(runs[0]?.taskMs > 500))
    runs.push(await openStage((stage) => callsCost(stage, count, cpu)));
  const of = (name) => median(runs.map((one) => one[name]));
  return { loopMs: of("loopMs"), taskMs: of("taskMs"), arrived: of("arrived") };
}

function publish({ facts, losses, costs }) {
  const tables = lossTables(losses);
  const folder = new URL(".cache/", root);
  mkdirSync(folder, { recursive: true });
  writeFileSync(new URL("sdk-loss.json", folder), `${JSON.stringify({ ...facts, losses, costs }, null, 2)}\n`);
  const all = costs.length > 0 ? [...tables, { title: "Cost", rows: costTable(costs) }] : tables;
  writeFileSync(new URL("sdk-loss.md", folder), toMarkdown(all));
  for (const { title, rows } of tables) process.stdout.write(`${title}\n\n${formatTable(rows).join("\n")}\n\n`);
  say(
    `${facts.minutes} minutes; everything is in .cache/sdk-loss.json, the tables for docs/benchmarks.md in .cache/sdk-loss.md`,
  );
  report({ bench: "sdk-loss", rows: costTable(costs), ...judge(losses, costs) });
}

/** Ours against what was promised. */
function judge(losses, costs) {
  const figures = {};
  const targets = {};
  const must = (name, figure, target) => {
    figures[name] = figure;
    targets[name] = target;
  };
  const mine = losses.filter(({ sdk }) => sdk === ours);
  for (const { scenario, protocol, expected, arrived, error } of mine) {
    if (error !== undefined) throw new Error(`${scenario}, ${protocol}: ${error}`);
    must(`lost_${scenario}_${protocol.toLowerCase().replace("/", "")}`.replaceAll("-", "_"), expected - arrived, {
      max: 0,
    });
  }
  if (mine.length > 0) {
    const sum = (name) => mine.reduce((total, loss) => total + (loss[name] ?? 0), 0);
    must("needless_duplicates", sum("needlessDuplicates"), { max: 0 });
    must("changed_ids", sum("changedIds"), { max: 0 });
    must("early_retries", sum("earlyRetries"), { max: 0 });
    figures.duplicates = sum("duplicates");
  }
  const cost = costs.find(({ sdk }) => sdk === ours);
  if (cost) {
    must("evaluation_ms", cost.evaluation[1].ms, { max: 3 });
    figures.evaluation_cpu_ms = cost.evaluation[1].cpuMs;
    must("calls_1000_loop_ms", cost.calls["1000@1"].loopMs, { max: 15 });
    must("calls_1000_task_ms", cost.calls["1000@1"].taskMs, { max: 150 });
    must("default_bytes", cost.gzipBytes, { max: 6 * 1024 });
    const bytesOf = (file) => gzipped(readFileSync(new URL(`packages/sdk-browser/dist/${file}`, root)));
    must("all_bytes", bytesOf("polder.all.js"), { max: 10 * 1024 });
    must("core_bytes", bytesOf("core.min.js"), { max: 4 * 1024 });
  }
  return { figures, targets };
}
