import { createCollector, createMessageId, readBrowserBundle, readCountryTable } from "@polder/collector";
import { createSiteDirectory, parseConfig } from "@polder/core";
import { createKafkaLog } from "@polder/kafka";
import { createLmdbConsentLedger, createLmdbLog } from "@polder/lmdb";
import { Registry } from "prom-client";
import { benchConfig } from "./bench-config.mjs";
import { quiet } from "./temporary-folder.mjs";

// The collector as it is in production, with its log (a folder; brokers after "kafka:", and what appends to them; "nowhere") and the folder of its ledger.
const [where, ledgerPath, producer] = process.argv.slice(2);
const log = await openLog();
const ledger = createLmdbConsentLedger({ path: ledgerPath, now: () => Date.now(), logger: quiet });
const collector = createCollector({
  log,
  ledger,
  sites: createSiteDirectory(parseConfig(JSON.stringify(benchConfig)).config),
  countryOf: readCountryTable(),
  now: () => Date.now(),
  clock: () => performance.now(),
  newId: createMessageId,
  logger: quiet,
  registry: new Registry(),
  browserBundle: readBrowserBundle(),
});
process.send(await collector.listen({ host: "127.0.0.1", port: 0 }));
process.on("SIGTERM", () => {
  void collector
    .close()
    .then(() => ledger.close())
    .then(() => log.close())
    .then(() => process.exit(0));
});

async function openLog() {
  if (where === "nowhere") return { append: async () => {}, isReachable: async () => true, close: async () => {} };
  if (!where.startsWith("kafka:")) return createLmdbLog({ path: where, logger: quiet });
  const kafka = createKafkaLog({
    brokers: where.slice("kafka:".length).split(","),
    clientId: "bench",
    partitions: 24,
    replicationFactor: 1,
    createTopics: true,
    topicPrefix: `bench-${process.pid}.`,
    producer,
    logger: quiet,
  });
  await kafka.prepareTopics();
  return kafka;
}
