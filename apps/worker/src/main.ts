import { serve } from "@hono/node-server";
import {
  createClickHouse,
  createConsentRecordStore,
  createErasureStore,
  createIdentityStore,
  createRetentionStore,
  createStatusQueries,
  createWithdrawalStore,
  migrate,
} from "@polder/clickhouse";
import { createHealthHandler, createJsonLogger, createStuckGuard, identityRulesOf } from "@polder/core";
import { createKafkaLog } from "@polder/kafka";
import { Registry, collectDefaultMetrics } from "prom-client";
import { readProcessSettings, usage, type ProcessSettings } from "./config.ts";
import { createAudiences, leavingAudiencesFirst } from "./create-audiences.ts";
import { createConsentRecorder } from "./create-consent-recorder.ts";
import { createEraser } from "./create-eraser.ts";
import { createRetainer } from "./create-retainer.ts";
import { createWithdrawer } from "./create-withdrawer.ts";
import { watchSettling } from "./watch-settling.ts";
import { createWorker } from "./create-worker.ts";
import { createSitesOfFile } from "./sites-of-file.ts";

if (process.argv.includes("--help")) {
  process.stdout.write(usage);
  process.exit(0);
}

const logger = createJsonLogger({ name: "worker", write: (line) => process.stdout.write(line), now: () => new Date() });
try {
  await start(readProcessSettings(process.env));
} catch (error) {
  logger.error(error instanceof Error ? error.message : String(error));
  process.exit(1);
}

async function start(settings: ProcessSettings): Promise<void> {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const sites = settings.configPath === undefined ? undefined : createSitesOfFile(settings.configPath, logger);
  const clickhouse = createClickHouse({ ...settings.clickhouse, logger });
  await migrate(clickhouse, {
    onProgress: (slice) => logger.info("a table is made anew from the events", { ...slice }),
  });
  // Its own log has what is to be told: one that does not answer is asked again.
  const log =
    settings.kafka &&
    createKafkaLog({
      ...settings.kafka,
      clientId: "polder-worker",
      createTopics: true,
      appendTimeoutMs: 30_000,
      logger,
    });
  const audiences = createAudiences({
    clickhouse,
    sites: () => sites?.() ?? [],
    ...(log && { log }),
    now: () => new Date(),
    everyMs: settings.audienceEveryMs,
    logger,
  });
  const worker = createWorker({
    store: createIdentityStore(clickhouse),
    consent: createConsentRecorder({
      store: createConsentRecordStore(clickhouse),
      now: () => new Date(),
      ...(sites && { sites }),
    }),
    withdrawer: createWithdrawer({
      store: createWithdrawalStore({ clickhouse }),
      onWithdrawn: audiences.onWithdrawn,
      settling: () => watchSettling(createIdentityStore(clickhouse)),
      now: () => new Date(),
    }),
    audiences,
    eraser: createEraser({
      store: leavingAudiencesFirst(
        createErasureStore({ clickhouse, ...(sites && { rules: () => identityRulesOf(sites()) }) }),
        audiences,
      ),
      now: () => new Date(),
    }),
    status: createStatusQueries(clickhouse),
    retainer: createRetainer({
      store: createRetentionStore({ clickhouse }),
      now: () => new Date(),
      logger,
      ...(sites && { sites }),
    }),
    ...(sites && { identityRules: () => identityRulesOf(sites()) }),
    logger,
    registry,
  });
  const missing = async (): Promise<string | undefined> =>
    (await clickhouse.isReachable()) ? undefined : "ClickHouse does not answer";
  const health = createHealthHandler({
    live: worker.problem,
    ready: missing,
    metrics: () => registry.metrics(),
  });
  const server = serve({ fetch: health, hostname: settings.host, port: settings.port });
  logger.info("the worker runs", { port: settings.port });

  const stop = async (): Promise<void> => {
    await worker.stop();
    server.close();
    await log?.close();
    await clickhouse.close();
    process.exit(0);
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void stop());
  const guard = createStuckGuard({
    problem: worker.problem,
    missing,
    clock: () => performance.now(),
    withinMs: 60_000,
    end(reason) {
      logger.error("the worker is stuck and ends itself, to be started again", { reason });
      process.exit(1);
    },
  });
  setInterval(() => void guard.look(), 10_000).unref();
  await worker.run();
}
