import cluster from "node:cluster";
import { createJsonLogger, createReloadableDirectory, createStuckGuard } from "@polder/core";
import { collectDefaultMetrics, Registry } from "prom-client";
import { readBrowserBundle } from "./browser-bundle.ts";
import { readConfigFile, watchConfigFile } from "./config-file.ts";
import { readProcessSettings, usage, type ProcessSettings } from "./config.ts";
import { readCountryTable } from "./country-table.ts";
import { createCollector } from "./create-collector.ts";
import { createMessageId } from "./message-id.ts";
import { openConsentLedger } from "./open-consent-ledger.ts";
import { openLog } from "./open-log.ts";
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
  const { log, misconfigured } = await openLog({ ...settings, retainBytes: config.retention.logBytes, logger });
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
  const guard = createStuckGuard({
    problem: collector.problem,
    clock: () => performance.now(),
    withinMs: 60_000,
    end(reason) {
      logger.error("the collector is stuck and ends itself, to be started again", { reason });
      process.exit(1);
    },
  });
  setInterval(() => void guard.look(), 10_000).unref();
  const { url } = await collector.listen(settings);
  logger.info("listening", { url, log: settings.kafka ? "kafka" : "lmdb" });

  const problem = await Promise.race([stopSignal(), misconfigured]);
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
  if (problem) throw problem;
}

const stopSignal = (): Promise<void> =>
  new Promise((resolve) => {
    process.once("SIGTERM", () => resolve());
    process.once("SIGINT", () => resolve());
  });

try {
  await main();
} catch (error) {
  logger.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
  // Its channel to the primary would keep a worker alive that could not start.
  if (cluster.isWorker && process.connected) process.disconnect();
}
