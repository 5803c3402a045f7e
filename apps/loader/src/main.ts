import { serve } from "@hono/node-server";
import { createClickHouse, createEventStore, migrate } from "@polder/clickhouse";
import { createHealthHandler, createJsonLogger, createStuckGuard, type EventLog, type Logger } from "@polder/core";
import { createKafkaLog } from "@polder/kafka";
import { createLmdbLog } from "@polder/lmdb";
import { Registry, collectDefaultMetrics } from "prom-client";
import { readProcessSettings, usage, type ProcessSettings } from "./config.ts";
import { createLoader } from "./create-loader.ts";

if (process.argv.includes("--help")) {
  process.stdout.write(usage);
  process.exit(0);
}

const logger = createJsonLogger({ name: "loader", write: (line) => process.stdout.write(line), now: () => new Date() });
try {
  await start(readProcessSettings(process.env));
} catch (error) {
  logger.error(error instanceof Error ? error.message : String(error));
  process.exit(1);
}

async function start(settings: ProcessSettings): Promise<void> {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const clickhouse = createClickHouse({ ...settings.clickhouse, logger });
  await migrate(clickhouse, {
    onProgress: (slice) => logger.info("a table is made anew from the events", { ...slice }),
  });
  const store = createEventStore({ clickhouse });
  const log = openLog(settings, logger);
  const loader = createLoader({ log, store, logger, registry });
  const missing = async (): Promise<string | undefined> => {
    const [hasLog, hasStore] = await Promise.all([log.isReachable(), store.isReachable()]);
    if (!hasLog) return "the log cannot be reached";
    return hasStore ? undefined : "ClickHouse does not answer";
  };
  const health = createHealthHandler({
    live: loader.problem,
    ready: async () => (await missing()) ?? loader.status().blocked[0]?.reason,
    metrics: () => registry.metrics(),
  });
  const server = serve({ fetch: health, hostname: settings.host, port: settings.port });
  logger.info("the loader runs", { port: settings.port });

  const stop = async (): Promise<void> => {
    await loader.stop();
    server.close();
    await log.close();
    await clickhouse.close();
    process.exit(0);
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void stop());
  const guard = createStuckGuard({
    problem: loader.problem,
    missing,
    clock: () => performance.now(),
    withinMs: 60_000,
    end(reason) {
      logger.error("the loader is stuck and ends itself, to be started again", { reason });
      process.exit(1);
    },
  });
  setInterval(() => void guard.look(), 10_000).unref();
  await loader.run();
}

function openLog(settings: ProcessSettings, log: Logger): EventLog {
  if (!settings.kafka) return createLmdbLog({ path: settings.logPath, logger: log });
  return createKafkaLog({ ...settings.kafka, clientId: "polder-loader", createTopics: true, logger: log });
}
