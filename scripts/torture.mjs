// @ts-check
// `npm run torture -- --minutes N`: a long run of what test-e2e/flows/torture.spec.ts does in short.
import "./node-version.mjs";
import { spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { buildOrExit } from "./build.mjs";
import { onNpmGone } from "./npm-gone.mjs";
import { root, tool } from "./run-command.mjs";
import { setUp } from "./setup.mjs";
import { print } from "./terminal.mjs";

const usage = `Usage: npm run torture -- [--minutes n] [--seed n] [--log lmdb|kafka] [--nodes 1|3]

Puts Polder under load, kills, freezes and cuts off its parts by a schedule, and proves what is stored.

  --minutes n    of faults, 5 when not given. Memory is judged over time from 10 on
  --seed n       of traffic and schedule, to run a failure again; random when not given, and printed
  --log          lmdb, when not given: one process with everything. kafka: collectors, loaders, a worker
  --nodes        of Kafka: 1 or 3, 3 when not given`;

/** @returns {{ minutes: number, seed: number, on: string } | undefined} undefined when it was asked for help, or for nonsense */
function readOptions() {
  const text = /** @type {const} */ ({ type: "string" });
  try {
    const { values } = parseArgs({
      options: { minutes: text, seed: text, log: text, nodes: text, help: { type: "boolean", short: "h" } },
    });
    const { log = "lmdb", nodes = "3" } = values;
    const minutes = Number(values.minutes ?? 5);
    const seed = Number(values.seed ?? randomInt(1, 2 ** 31));
    const isRight =
      minutes > 0 && Number.isSafeInteger(seed) && ["lmdb", "kafka"].includes(log) && ["1", "3"].includes(nodes);
    if (values.help || !isRight) return undefined;
    return { minutes, seed, on: log === "lmdb" ? "lmdb" : `kafka-${nodes}` };
  } catch {
    return undefined;
  }
}

const options = readOptions();
if (!options) {
  print(usage);
  process.exit(process.argv.includes("--help") || process.argv.includes("-h") ? 0 : 2);
}
await setUp();
await buildOrExit();

const { minutes, seed, on } = options;
print(
  `Again: npm run torture -- --minutes ${minutes} --seed ${seed} ${on === "lmdb" ? "--log lmdb" : `--log kafka --nodes ${on.at(-1)}`}`,
);
const [node = "", ...args] = tool("@playwright/test/cli.js");
const child = spawn(
  node,
  [
    ...args,
    "test",
    "-c",
    "test-e2e/playwright.config.ts",
    join("flows", "torture"),
    "--grep",
    `@${on}$`,
    "--reporter=line",
  ],
  {
    cwd: root,
    stdio: "inherit",
    env: {
      ...process.env,
      POLDER_TORTURE_MINUTES: String(minutes),
      POLDER_TORTURE_SEED: String(seed),
    },
  },
);
// The terminal tells the child as well, which then ends what it has started.
for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"]))
  process.on(signal, () => signal !== "SIGINT" && child.kill("SIGINT"));
onNpmGone(() => child.kill("SIGINT"));
child.on("exit", (code) => (process.exitCode = code ?? 1));
