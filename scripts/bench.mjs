// @ts-check
// `npm run bench -- <name>`: builds, runs bench/src/<name>.mjs; the last line is its result as JSON.
import "./node-version.mjs";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { buildOrExit } from "./build.mjs";
import { onInterrupt, root } from "./run-command.mjs";
import { setUp, setUpKafka } from "./setup.mjs";
import { print } from "./terminal.mjs";

const folder = join(root, "bench", "src");
const usage = `Usage: npm run bench -- <name> [<argument>…]

Runs a benchmark; prints a table and, last, its result as one line of JSON. Without a name: what there is.`;

/** @typedef {{ description: string, needs: string, run: (context: { args: string[], kafka: () => Promise<string> }) => Promise<void> }} Bench */

/** A benchmark is a file that says what it measures; the others beside it are its parts. @returns {Promise<Map<string, Bench>>} */
async function loadAll() {
  /** @type {Map<string, Bench>} */
  const benches = new Map();
  for (const file of readdirSync(folder)
    .filter((name) => /^[a-z-]+\.mjs$/.test(name))
    .sort()) {
    const module = await import(pathToFileURL(join(folder, file)).href);
    if (typeof module.run === "function" && typeof module.description === "string")
      benches.set(file.slice(0, -".mjs".length), module);
  }
  return benches;
}

const [name, ...args] = process.argv.slice(2);
if (name === "--help" || name === "-h") {
  print(usage);
  process.exit(0);
}

await setUp();
await buildOrExit();
const benches = await loadAll();
const bench = name === undefined ? undefined : benches.get(name);
if (!bench) {
  if (name !== undefined) process.stderr.write(`There is no benchmark "${name}".\n`);
  const width = Math.max(...[...benches.keys()].map((key) => key.length));
  for (const [key, { description, needs }] of benches)
    print(`${key.padEnd(width)}  ${description}\n${" ".repeat(width)}  needs: ${needs}`);
  process.exit(name === undefined ? 0 : 2);
}

/** @type {{ brokers: string, stop: () => Promise<void> } | undefined} */
let broker;
// Started only by a benchmark that asks for it.
async function kafka() {
  if (broker) return broker.brokers;
  const started = await setUpKafka();
  if ("skipped" in started) throw new Error(`This benchmark needs Kafka: ${started.skipped}`);
  broker = started;
  onInterrupt(started.stop);
  return started.brokers;
}

try {
  await bench.run({ args, kafka });
} finally {
  await broker?.stop();
}
