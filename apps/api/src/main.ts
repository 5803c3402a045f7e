import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import {
  computedTraitsOfSite,
  createAudienceExportStore,
  createAudiencePreviews,
  createAudienceQueries,
  createAudienceStore,
  createClickHouse,
  createComputedTraitStore,
  createConsentQueries,
  createDecisionStore,
  createDuplicateQueries,
  createErasureStore,
  createIdentityStore,
  createImportStore,
  createPersonExport,
  createPersonFlagStore,
  createReadQueries,
} from "@polder/clickhouse";
import { createIdentityDesk, createJsonLogger, identityRulesOf, readyMadeAudiences } from "@polder/core";
import { Registry, collectDefaultMetrics } from "prom-client";
import { readProcessSettings, usage, type ProcessSettings } from "./config.ts";
import { createApi } from "./create-api.ts";
import { createDirectoryOfFile } from "./directory-of-file.ts";

if (process.argv.includes("--help")) {
  process.stdout.write(usage);
  process.exit(0);
}

const logger = createJsonLogger({ name: "api", write: (line) => process.stdout.write(line), now: () => new Date() });
try {
  await start(readProcessSettings(process.env));
} catch (error) {
  logger.error(error instanceof Error ? error.message : String(error));
  process.exit(1);
}

async function start(settings: ProcessSettings): Promise<void> {
  const { adminToken, shopUrl, sqlUrl, collectorUrl } = settings;
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const directory = createDirectoryOfFile(settings.configPath, logger);
  const clickhouse = createClickHouse({ ...settings.clickhouse, logger });
  const blockedAt = (site: string): readonly string[] =>
    directory.sites().find(({ id }) => id === site)?.identity.blocked ?? [];
  const api = createApi({
    queries: createReadQueries(clickhouse, () => identityRulesOf(directory.sites())),
    sites: directory.sites,
    logger,
    registry,
    isStoreReachable: clickhouse.isReachable,
    audiences: {
      store: createAudienceStore(clickhouse),
      queries: createAudienceQueries(clickhouse),
      exports: createAudienceExportStore(clickhouse),
      readyMade: readyMadeAudiences,
      computedTraits: computedTraitsOfSite(clickhouse),
    },
    previews: {
      previews: createAudiencePreviews(clickhouse),
      store: createAudienceStore(clickhouse),
      computedTraits: computedTraitsOfSite(clickhouse),
    },
    identity: {
      desk: createIdentityDesk({
        identities: createIdentityStore(clickhouse),
        decisions: createDecisionStore(clickhouse),
        rules: () => identityRulesOf(directory.sites()),
        now: Date.now,
        newId: randomUUID,
      }),
      pause,
    },
    computedTraits: { store: createComputedTraitStore(clickhouse) },
    duplicates: createDuplicateQueries(clickhouse, blockedAt),
    flags: {
      store: createPersonFlagStore({
        clickhouse,
        blockedAt,
      }),
    },
    rights: {
      erasures: createErasureStore({ clickhouse, rules: () => identityRulesOf(directory.sites()) }),
      exports: createPersonExport(clickhouse, () => identityRulesOf(directory.sites())),
    },
    ...(adminToken !== undefined && { adminToken }),
    ...(shopUrl !== undefined && { shopUrl }),
    ...(sqlUrl !== undefined && { sqlUrl }),
    ...(collectorUrl !== undefined && {
      imports: { store: createImportStore(clickhouse), directory, collectorUrl: () => collectorUrl },
      visitor: {
        directory,
        queries: createConsentQueries(clickhouse),
        collectorUrl: () => collectorUrl,
        edge: directory.edge,
      },
    }),
  });
  const { port } = await api.listen(settings);
  logger.info("the api answers", { host: settings.host, port });

  const stop = async (): Promise<void> => {
    await api.close();
    await clickhouse.close();
    process.exit(0);
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void stop());
}
