// @ts-check
// `npm run torture -- --minutes N`: a long run of what test-e2e/flows/torture.spec.ts does in short; `-- people` of apps/polder/src/proof.
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
       npm run torture -- people [--minutes n] [--seed n] [--operations json]

Puts Polder under load, kills, freezes and cuts off its parts by a schedule, and proves what is stored.
people: does to people at random whatever can happen to them, and compares each answer with a recompute from all events.

  --minutes n    of faults, 5 when not given. Memory is judged over time from 10 on
  --seed n       of traffic and schedule, to run a failure again; random when not given, and printed
  --log          lmdb, when not given: one process with everything. kafka: collectors, loaders, a worker
  --nodes        of Kafka: 1 or 3, 3 when not given
  --operations   people: these and no others, as a failure printed them`;

/** @returns {{ minutes: number, seed: number, on: string, operations?: string | undefined } | undefined} undefined when it was asked for help, or for nonsense */
function readOptions() {
  const text = /** @type {const} */ ({ type: "string" });
  try {
    const { values, positionals } = parseArgs({
      options: {
        minutes: text,
        seed: text,
        log: text,
        nodes: text,
        operations: text,
        help: { type: "boolean", short: "h" },
      },
      allowPositionals: true,
    });
    const { log = "lmdb", nodes = "3", operations } = values;
    const isPeople = positionals.length === 1 && positionals[0] === "people";
    const minutes = Number(values.minutes ?? 5);
    const seed = Number(values.seed ?? randomInt(1, 2 ** 31));
    const isRight =
      minutes > 0 &&
      Number.isSafeInteger(seed) &&
      ["lmdb", "kafka"].includes(log) &&
      ["1", "3"].includes(nodes) &&
      (isPeople ? values.log === undefined && values.nodes === undefined : positionals.length === 0 && !operations);
    if (values.help || !isRight) return undefined;
    if (isPeople) return { minutes, seed, on: "people", operations };
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

const { minutes, seed, on, operations } = options;
const onWhat = on === "lmdb" ? "--log lmdb" : `--log kafka --nodes ${on.at(-1)}`;
print(
  `Again: npm run torture -- ${on === "people" ? "people " : ""}--minutes ${minutes} --seed ${seed}${on === "people" ? "" : ` ${onWhat}`}`,
);
const [node = "", ...args] =
  on === "people"
    ? [...tool("vitest/vitest.mjs"), "run", "--project", "engine", join("apps", "polder", "src", "proof")]
    : [
        ...tool("@playwright/test/cli.js"),
        "test",
        "-c",
        "test-e2e/playwright.config.ts",
        join("flows", "torture"),
        "--grep",
        `@${on}$`,
        "--reporter=line",
      ];
const child = spawn(node, args, {
  cwd: root,
  stdio: "inherit",
  env: {
    ...process.env,
    POLDER_TORTURE_MINUTES: String(minutes),
    POLDER_TORTURE_SEED: String(seed),
    ...(operations !== undefined && { POLDER_TORTURE_OPERATIONS: operations }),
  },
});
// The terminal tells the child as well, which then ends what it has started.
for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"]))
  process.on(signal, () => signal !== "SIGINT" && child.kill("SIGINT"));
onNpmGone(() => child.kill("SIGINT"));
child.on("exit", (code) => (process.exitCode = code ?? 1));
