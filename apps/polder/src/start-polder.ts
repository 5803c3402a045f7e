import { randomInt, randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { createApi, createSqlProxy, switchOnAudiences } from "@polder/api";
import {
  computedTraitsOfSite,
  createAudienceExportStore,
  createAudiencePreviews,
  createAudienceQueries,
  createAudienceStore,
  createComputedTraitStore,
  createConsentQueries,
  createConsentRecordStore,
  createDecisionStore,
  createDuplicateQueries,
  createErasureStore,
  createEventStore,
  createIdentityStore,
  createImportStore,
  createPersonExport,
  createPersonFlagStore,
  createReadQueries,
  createRetentionStore,
  createStatusQueries,
  createWithdrawalStore,
} from "@polder/clickhouse";
import {
  createCollector,
  createMessageId,
  openConsentLedger,
  readBrowserBundle,
  readCountryTable,
  watchConfigFile,
} from "@polder/collector";
import {
  createIdentityDesk,
  createReloadableDirectory,
  readyMadeAudiences,
  identityRulesOf,
  type Logger,
  type PolderConfig,
} from "@polder/core";
import { createLoader } from "@polder/loader";
import {
  leavingAudiencesFirst,
  createAudiences,
  createConsentRecorder,
  createEraser,
  createRetainer,
  createWithdrawer,
  watchSettling,
  createWorker,
} from "@polder/worker";
import { collectDefaultMetrics, Registry } from "prom-client";
import type { Progress } from "./cli/progress.ts";
import { readConfigFile } from "./config-file.ts";
import { makeBackup } from "./backup/make-backup.ts";
import { summaryOf } from "./backup/manifest.ts";
import { CommandError, messageOf } from "./cli/exit-code.ts";
import { serveControl } from "./control.ts";
import { originsOfPort, withOrigins, withTexts } from "./demo-config.ts";
import { drain } from "./drain.ts";
import { createEndings, type Endings } from "./endings.ts";
import { createErasureList, replayErasureList } from "./erasure-list-file.ts";
import { recordsBehind, watchLag } from "./lag.ts";
import { openLog, openUnspooledLog } from "./open-log.ts";
import { openStore } from "./open-store.ts";
import { portError } from "./ports.ts";
import { addProcessMetrics } from "./process-metrics.ts";
import type { Part, Settings } from "./settings.ts";
import { createShop } from "./shop/create-shop.ts";
import { readVersion } from "./version.ts";

export interface PolderOptions {
  settings: Settings;
  /** A file that {@link readConfigFile} takes; followed while it changes. */
  configPath: string;
  /** With the demo shop, for the first site of the configuration. */
  isDemo: boolean;
  progress: Progress;
  loggerOf: (name: string) => Logger;
  now: () => Date;
  /** How long {@link RunningPolder.stop} waits for the loader to catch up. */
  drainWithinMs?: number;
}

export interface RunningPolder {
  /** As a browser on this machine reaches them. */
  addresses: { shop?: string; api: string; collector: string; sql: string };
  /** Public key of the first site. */
  writeKey: string;
  /** Resolves with the reason when a part cannot go on by itself. */
  failed: Promise<unknown>;
  /**
   * Takes nothing new, loads what is in the log, and ends every part. Resolves with the number of records that are still in the log (they are
   * loaded after the next start), undefined when that could not be told.
   */
  stop(say: (behind: number) => void): Promise<number | undefined>;
}

const defaultDrainWithinMs = 10_000;

/** All of Polder in this process, but for the engine, which is a child of it. Rejects after having ended what had been started. */
export async function startPolder(options: PolderOptions): Promise<RunningPolder> {
  const endings = createEndings(options.loggerOf("polder"));
  try {
    return await start(options, endings);
  } catch (error) {
    await endings.run();
    throw error;
  }
}

async function start(options: PolderOptions, endings: Endings): Promise<RunningPolder> {
  const { settings, configPath, isDemo, progress, loggerOf, now } = options;
  const clock = (): number => performance.now();
  let config = readConfigFile(configPath);
  const site = config.sites[0]!;
  const writeKey = site.writeKeys[0]!.key;
  const sites = createReloadableDirectory(config);
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });

  const log = await progress.step(
    settings.kafka === undefined ? "Event log" : `Kafka at ${settings.kafka.brokers.join(", ")}`,
    () => openLog({ settings, config, logger: loggerOf("log") }),
  );
  endings.add(() => log.close());
  const lag = watchLag({ log, registry, clock });
  endings.add(lag.stop);

  const addresses: RunningPolder["addresses"] = { api: "", collector: "", sql: settings.clickhouse?.url ?? "" };
  const ledger = await openConsentLedger({
    dataPath: settings.dataPath,
    sharedBy: settings.kafka && log,
    now: () => now().getTime(),
    logger: loggerOf("consent"),
    registry,
  });
  endings.add(() => ledger.close());
  const collector = createCollector({
    log,
    ledger,
    notReady: ledger.notReady,
    sites,
    countryOf: readCountryTable(),
    now: () => now().getTime(),
    clock,
    newId: createMessageId,
    logger: loggerOf("collector"),
    registry,
    browserBundle: readBrowserBundle(),
    edge: () => config,
    linkSecret: settings.linkSecret,
    options: { maxInFlightBytes: config.limits.maxInFlightBytes },
  });
  const shop = createShop({
    writeKey,
    collectorUrl: () => addresses.collector,
    liveUrl: () => addresses.api,
    consent: () => withTexts((config.sites.find(({ id }) => id === site.id) ?? site).consent),
    newOrderId: () =>
      `SK-${now().toISOString().slice(2, 10).replaceAll("-", "")}-${String(randomInt(1e6)).padStart(6, "0")}`,
  });
  let intake: Promise<unknown> | undefined;
  const closeIntake = (): Promise<unknown> => (intake ??= Promise.all([shop.close(), collector.close()]));
  endings.add(async () => void (await closeIntake()));

  const applyConfig = (changed: PolderConfig): void => {
    // The shop may have another port today than the file says.
    config =
      addresses.shop === undefined
        ? changed
        : withOrigins(changed, site.id, originsOfPort(Number(new URL(addresses.shop).port)));
    sites.replace(config);
  };
  const watch = watchConfigFile({ path: configPath, logger: loggerOf("config"), onChange: applyConfig });
  endings.add(watch.stop);

  // Before the tables: to bring those of an earlier version to this one may take long, and visitors come meanwhile.
  const listen = listenOn(settings);
  await progress.step(isDemo ? "Shop, collector" : "Collector", async (say) => {
    if (isDemo) {
      addresses.shop = await listen("shop", shop.listen);
      applyConfig(config);
    }
    addresses.collector = await listen("collector", collector.listen);
    say(addresses.collector);
  });

  const { clickhouse, engine, close: closeStore } = await openStore({ settings, progress, loggerOf });
  endings.add(closeStore);
  addProcessMetrics({ registry, dataPath: settings.dataPath, engine });

  const audienceStore = createAudienceStore(clickhouse);
  // Once: what somebody archives later stays archived.
  if (isDemo && (await audienceStore.list(site.id)).audiences.length === 0)
    await switchOnAudiences(audienceStore, site.id, {
      chosen: readyMadeAudiences,
      actor: "polder",
      reason: "the demo shop",
      at: now().getTime(),
    });
  const audienceLog = settings.kafka === undefined ? log : openUnspooledLog(settings.kafka, loggerOf("audiences"));
  if (audienceLog !== log) endings.add(() => audienceLog.close());
  const audiences = createAudiences({
    clickhouse,
    sites: sites.sites,
    log: audienceLog,
    now,
    everyMs: settings.audienceEveryMs,
    logger: loggerOf("audiences"),
  });
  const erasureList = createErasureList(settings.dataPath, clickhouse);
  const erasures = createErasureStore({
    clickhouse,
    rules: () => identityRulesOf(sites.sites()),
    onRequested: () => erasureList.write(),
  });
  // Tables that were restored may have people in them who were erased since.
  const replayed = await replayErasureList(settings.dataPath, clickhouse, erasures, now);
  if (replayed > 0)
    loggerOf("rights").warn("the tables did not know of erasures: they are carried out again", { replayed });
  const worker = createWorker({
    store: createIdentityStore(clickhouse),
    consent: createConsentRecorder({ store: createConsentRecordStore(clickhouse), now, sites: sites.sites }),
    withdrawer: createWithdrawer({
      store: createWithdrawalStore({ clickhouse }),
      onWithdrawn: audiences.onWithdrawn,
      settling: () => watchSettling(createIdentityStore(clickhouse)),
      now,
    }),
    eraser: createEraser({ store: leavingAudiencesFirst(erasures, audiences), now }),
    audiences,
    status: createStatusQueries(clickhouse),
    retainer: createRetainer({
      store: createRetentionStore({ clickhouse }),
      now,
      logger: loggerOf("retention"),
      sites: sites.sites,
    }),
    identityRules: () => identityRulesOf(sites.sites()),
    logger: loggerOf("worker"),
    registry,
  });
  const loader = createLoader({ log, store: createEventStore({ clickhouse }), logger: loggerOf("loader"), registry });
  const failed = new Promise<unknown>((resolve) => {
    worker.run().catch(resolve);
    loader.run().catch(resolve);
  });
  endings.add(worker.stop);
  endings.add(loader.stop);

  await progress.step("Loader, worker, live page, SQL", async () => {
    if (engine !== undefined) {
      const { sqlPassword } = settings;
      const proxy = createSqlProxy({
        engineUrl: engine.url,
        admin: engine.admin,
        analyst: engine.analyst,
        logger: loggerOf("sql"),
        ...(sqlPassword !== undefined && { analystPassword: sqlPassword }),
      });
      endings.add(() => proxy.close());
      addresses.sql = await listen("sql", proxy.listen);
    }
    const blockedAt = (id: string): readonly string[] => sites.findSite(id)?.identity.blocked ?? [];
    const api = createApi({
      queries: createReadQueries(clickhouse, () => identityRulesOf(sites.sites())),
      sites: () => sites.sites(),
      logger: loggerOf("api"),
      registry,
      lag: lag.ageMs,
      isStoreReachable: clickhouse.isReachable,
      identity: {
        desk: createIdentityDesk({
          identities: createIdentityStore(clickhouse),
          decisions: createDecisionStore(clickhouse),
          rules: () => identityRulesOf(sites.sites()),
          now: () => now().getTime(),
          newId: randomUUID,
        }),
        pause,
      },
      flags: {
        store: createPersonFlagStore({
          clickhouse,
          blockedAt,
        }),
      },
      rights: { erasures, exports: createPersonExport(clickhouse, () => identityRulesOf(sites.sites())) },
      live: () => loader.problem() ?? worker.problem(),
      sqlUrl: addresses.sql,
      audiences: {
        store: audienceStore,
        queries: createAudienceQueries(clickhouse),
        exports: createAudienceExportStore(clickhouse),
        readyMade: readyMadeAudiences,
        computedTraits: computedTraitsOfSite(clickhouse),
      },
      previews: {
        previews: createAudiencePreviews(clickhouse),
        store: audienceStore,
        computedTraits: computedTraitsOfSite(clickhouse),
      },
      computedTraits: { store: createComputedTraitStore(clickhouse) },
      duplicates: createDuplicateQueries(clickhouse, blockedAt),
      imports: { store: createImportStore(clickhouse), directory: sites, collectorUrl: () => addresses.collector },
      visitor: {
        directory: sites,
        queries: createConsentQueries(clickhouse),
        collectorUrl: () => addresses.collector,
        edge: () => config,
      },
      ...(addresses.shop !== undefined && { shopUrl: addresses.shop }),
      ...(settings.adminToken !== undefined && { adminToken: settings.adminToken }),
    });
    endings.add(api.close);
    addresses.api = await listen("api", api.listen);
  });

  if (engine !== undefined) {
    const control = await serveControl(settings.dataPath, {
      async backup(given, say) {
        const { to } = given as { to?: unknown };
        if (typeof to !== "string") throw new CommandError("Say into which folder.");
        const { dataPath } = settings;
        const pausedWhile = <T>(work: () => Promise<T>): Promise<T> =>
          worker.pausedWhile(() => loader.pausedWhile(work));
        const version = readVersion();
        return summaryOf(await makeBackup({ dataPath, to, configPath, clickhouse, pausedWhile, version, now, say }));
      },
    }).catch((error: unknown) =>
      loggerOf("polder").warn("commands cannot reach this process", { reason: messageOf(error) }),
    );
    if (control !== undefined) endings.add(control.close);
  }

  return {
    addresses,
    writeKey,
    failed,
    async stop(say) {
      await closeIntake();
      const withinMs = options.drainWithinMs ?? defaultDrainWithinMs;
      const behind = await drain({ recordsBehind: () => recordsBehind(log), withinMs, clock, say });
      await endings.run();
      return behind;
    },
  };
}

/** The one who listens knows best which port it was. */
type Listening = { url: string } | { port: number };
type Listener = (address: { host: string; port: number }) => Promise<Listening>;

/** Resolves with the address for a browser on this machine. */
const listenOn =
  ({ host, ports }: Settings) =>
  async (part: Part, listener: Listener): Promise<string> => {
    const found = await listener({ host, port: ports[part] }).catch((error: unknown) => {
      throw portError(part, ports[part], host, error);
    });
    return localUrl("url" in found ? found.url : `http://${host.includes(":") ? `[${host}]` : host}:${found.port}`);
  };

/** What is open to all addresses or to the loopback is reached as localhost from here. */
function localUrl(url: string): string {
  const address = new URL(url);
  if (["127.0.0.1", "0.0.0.0", "[::]", "[::1]"].includes(address.hostname)) address.hostname = "localhost";
  return address.origin;
}
