// @ts-check
import "./node-version.mjs";
import { pathToFileURL } from "node:url";
import process from "node:process";
import { findChromium } from "./find-chromium.mjs";
import { installDependencies } from "./install-dependencies.mjs";
import { print, red } from "./terminal.mjs";

/** Dependencies, or the end of the process with one sentence. Quiet when there is nothing to do. */
export async function setUp() {
  const installed = await installDependencies();
  if (installed.ok) return;
  process.stderr.write(`${red(installed.message)}\n`);
  process.exit(1);
}

/**
 * A broker for tests: the one of `KAFKA_BROKERS`, else one of our own that `stop` ends.
 * @returns {Promise<{ brokers: string, stop: () => Promise<void> } | { skipped: string }>}
 */
export async function setUpKafka() {
  try {
    const { ensureKafka } = await import("./kafka-broker.mjs");
    return await ensureKafka();
  } catch (error) {
    return { skipped: `the broker could not be started: ${error instanceof Error ? error.message : String(error)}` };
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  await setUp();
  print("dependencies: installed");
  const chromium = await findChromium();
  print(
    "skipped" in chromium
      ? `Chromium: skipped, ${chromium.skipped}`
      : `Chromium: ${chromium.path} (${chromium.version})`,
  );
  const kafka = await setUpKafka();
  print("skipped" in kafka ? `Kafka: skipped, ${kafka.skipped}` : `Kafka: ${kafka.brokers}`);
  if ("stop" in kafka) await kafka.stop();
}
