import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createApi } from "@polder/api";
import { createCollector, openConsentLedger } from "@polder/collector";
import { createReloadableDirectory, parseConfig, type EventStore, type IdentityStore } from "@polder/core";
import { createLmdbLog, createSpooledLog } from "@polder/lmdb";
import { createLoader } from "@polder/loader";
import { createWorker } from "@polder/worker";
import { Registry } from "prom-client";
import { watchLag } from "./lag.ts";
import { addProcessMetrics } from "./process-metrics.ts";

export interface Metric {
  name: string;
  type: string;
  help: string;
  labels: readonly string[];
}

interface Described {
  name: string;
  help: string;
  type: string;
  labelNames?: readonly string[];
}

const silent = { info() {}, warn() {}, error() {} };
const nothing = (): never => {
  throw new Error("nothing is asked here");
};

/** Every metric that a process of ours can export, those of Kafka's log and of the embedded engine included. */
export async function allMetrics(): Promise<Metric[]> {
  const folder = await mkdtemp(join(tmpdir(), "polder-metrics-"));
  const registry = new Registry();
  const key = "pk_metrics_page";
  const parsed = parseConfig(
    JSON.stringify({
      sites: [{ id: "shop", name: "Shop", timezone: "UTC", origins: ["https://shop.example"], writeKeys: [{ key }] }],
    }),
  );
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  const sites = createReloadableDirectory(parsed.config);
  // As Kafka is used: a log with a spool before it.
  const log = createSpooledLog({
    log: createLmdbLog({ path: join(folder, "log"), logger: silent }),
    path: join(folder, "spool"),
    logger: silent,
  });
  const ledger = await openConsentLedger({
    dataPath: folder,
    sharedBy: log,
    now: () => Date.now(),
    logger: silent,
    registry,
  });
  const lag = watchLag({ log, registry, clock: () => performance.now() });
  createCollector({
    log,
    ledger,
    sites,
    countryOf: () => "",
    now: () => Date.now(),
    clock: () => performance.now(),
    newId: () => "id",
    logger: silent,
    registry,
    browserBundle: [],
  });
  createLoader({ log, store: {} as EventStore, logger: silent, registry });
  createWorker({
    store: {} as IdentityStore,
    status: { newestReceivedAt: nothing, losses: nothing },
    logger: silent,
    registry,
  });
  createApi({
    queries: {} as Parameters<typeof createApi>[0]["queries"],
    sites: () => [],
    logger: silent,
    registry,
    isStoreReachable: async () => true,
  });
  addProcessMetrics({ registry, dataPath: folder, engine: { pid: () => 1, onRestart() {} } });
  const metrics = (registry.getMetricsAsArray() as unknown as Described[]).map(
    ({ name, help, type, labelNames = [] }) => ({ name, help, type, labels: labelNames }),
  );
  lag.stop();
  await ledger.close();
  await log.close();
  await rm(folder, { recursive: true });
  return metrics.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}
