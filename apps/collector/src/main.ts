import cluster from "node:cluster";
import { mkdirSync } from "node:fs";
import {
  createJsonLogger,
  createReloadableDirectory,
  LogUnavailableError,
  type EventLog,
  type Logger,
  type PolderConfig,
} from "@polder/core";
import { createKafkaLog } from "@polder/kafka";
import { createLmdbLog, createSpooledLog, forwardWithinMs, spoolAfterMs } from "@polder/lmdb";
import { collectDefaultMetrics, Registry } from "prom-client";
import { readBrowserBundle } from "./browser-bundle.ts";
import { readConfigFile, watchConfigFile } from "./config-file.ts";
import { logFolder, readProcessSettings, spoolFolder, usage, type ProcessSettings } from "./config.ts";
import { readCountryTable } from "./country-table.ts";
import { createCollector } from "./create-collector.ts";
import { createMessageId } from "./message-id.ts";
import { openConsentLedger } from "./open-consent-ledger.ts";
import { createSharedMetrics, runWorkers } from "./workers.ts";

const logger = createJsonLogger({
  name: "collector",
  write: (line) => process.stderr.write(line),
  now: () => new Date(),
});

async function main(): Promise<void> {
  const args = process.argv.slice(2);
  if (args.includes("--help")) {
    process.stdout.write(usage);
    return;
  }
  const settings = readProcessSettings(process.env, args);
  if (cluster.isPrimary && settings.workers > 1) {
    // Found out here once, instead of by every worker again and again.
    readConfigFile(settings.configPath);
    readBrowserBundle();
    await runWorkers(settings.workers, logger);
  } else {
    await serve(settings);
  }
}

/** One collector process, from its start to its end by SIGTERM or SIGINT. */
async function serve(settings: ProcessSettings): Promise<void> {
  let config = readConfigFile(settings.configPath);
  const sites = createReloadableDirectory(config);
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const log = await openLog(settings, config, logger);
  const ledger = await openConsentLedger({
    dataPath: settings.dataPath,
    sharedBy: settings.kafka && log,
    now: () => Date.now(),
    logger,
    registry,
  });
  const collector = createCollector({
    log,
    ledger,
    notReady: ledger.notReady,
    sites,
    countryOf: readCountryTable(),
    now: () => Date.now(),
    clock: () => performance.now(),
    newId: createMessageId,
    logger,
    registry,
    browserBundle: readBrowserBundle(),
    edge: () => config,
    linkSecret: settings.linkSecret,
    ...(cluster.isWorker && { renderMetrics: createSharedMetrics(registry) }),
    options: { maxInFlightBytes: config.limits.maxInFlightBytes, rateShare: 1 / settings.workers },
  });
  const watch = watchConfigFile({
    path: settings.configPath,
    logger,
    onChange(changed) {
      config = changed;
      sites.replace(changed);
    },
  });
  const { url } = await collector.listen(settings);
  logger.info("listening", { url, log: settings.kafka ? "kafka" : "lmdb" });

  await stopSignal();
  logger.info("stopping: answering what is on its way");
  watch.stop();
  await collector.close();
  await ledger.close();
  await log.close();
  logger.info("stopped");
  // A request that a slow broker is still asked would keep the process alive; what it is about is in the spool.
  setTimeout(() => process.exit(), 500).unref();
  // The channel to the primary would keep a worker alive.
  if (cluster.isWorker) process.disconnect();
}

async function openLog(settings: ProcessSettings, config: PolderConfig, logTo: Logger): Promise<EventLog> {
  if (settings.kafka) {
    const open = (appendTimeoutMs: number) =>
      createKafkaLog({
        ...settings.kafka!,
        clientId: "polder-collector",
        createTopics: true,
        appendTimeoutMs,
        logger: logTo,
      });
    const log = open(spoolAfterMs);
    const patientLog = open(forwardWithinMs);
    // A cluster that is away comes back, and the spool takes what comes until it does; topics that are wrong stay wrong.
    await log.prepareTopics().catch((error: unknown) => {
      if (!(error instanceof LogUnavailableError)) throw error;
      logTo.warn("Kafka is away: events are kept here until it is back", { error: error.message });
    });
    const spoolPath = spoolFolder(settings.dataPath);
    mkdirSync(spoolPath, { recursive: true });
    return createSpooledLog({ log, patientLog, path: spoolPath, logger: logTo });
  }
  const path = logFolder(settings.dataPath);
  mkdirSync(path, { recursive: true });
  return createLmdbLog({ path, retainBytes: config.retention.logBytes, logger: logTo });
}

const stopSignal = (): Promise<void> =>
  new Promise((resolve) => {
    process.once("SIGTERM", () => resolve());
    process.once("SIGINT", () => resolve());
  });

try {
  await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
