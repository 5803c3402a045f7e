import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createEventStore, type ClickHouse } from "@polder/clickhouse";
import type { ConsentLedger, EventLog, Logger, PolderConfig } from "@polder/core";
import { createKafkaLog } from "@polder/kafka";
import { forwardWithinMs } from "@polder/lmdb";
import { createLoader } from "@polder/loader";
import { Registry } from "prom-client";
import { takeDataFolder } from "../data-folder.ts";
import { createEndings } from "../endings.ts";
import { openLogFile } from "../log-file.ts";
import { openLog } from "../open-log.ts";
import { openStore } from "../open-store.ts";
import type { Settings } from "../settings.ts";
import { CommandError, messageOf } from "./exit-code.ts";
import type { CommandContext } from "./command.ts";
import { createProgress, type Progress } from "./progress.ts";
import { openLedgerOfToday } from "./replay-ledger.ts";
import { createLoadWait, type LoadWait } from "./replay-loaded.ts";

export interface Stage {
  clickhouse: ClickHouse;
  progress: Progress;
  /** The log, the choices of visitors, and a loader of our own: the only one. */
  openPipeline(config: PolderConfig, options: { isDryRun: boolean }): Promise<Pipeline>;
  close(): Promise<void>;
}

export interface Pipeline extends LoadWait {
  log: EventLog;
  ledger: ConsentLedger;
}

/** What a replay works on: the parts of a stopped Polder, or the log and the server of an installation whose collectors run. */
export async function openStage(settings: Settings, { terminal, now }: CommandContext): Promise<Stage> {
  const isShared = settings.kafka !== undefined && settings.clickhouse !== undefined;
  const progress = createProgress(terminal, now);
  const endings = createEndings({
    info() {},
    warn: (message) => terminal.err(message),
    error: (message) => terminal.err(message),
  });
  try {
    // A cluster has nothing of ours here; its choices are read from the log into a folder that goes again.
    const dataPath = isShared ? await mkdtemp(join(tmpdir(), "polder-replay-")) : settings.dataPath;
    if (isShared) endings.add(() => rm(dataPath, { recursive: true, force: true }));
    else {
      const folder = await takeDataFolder(dataPath);
      endings.add(folder.release);
    }
    const logFile = openLogFile(dataPath, { now, onTrouble: (_level, text) => terminal.err(text) });
    endings.add(logFile.close);
    const { loggerOf } = logFile;
    const { clickhouse, close } = await openStore({ settings: { ...settings, dataPath }, progress, loggerOf });
    endings.add(close);

    return {
      clickhouse,
      progress,
      async openPipeline(config, { isDryRun }) {
        const log = await openPlainLog({ ...settings, dataPath }, config, loggerOf("log"));
        endings.add(() => log.close());
        const ledger = await openLedgerOfToday({
          dataPath,
          sharedBy: settings.kafka && log,
          now,
          logger: loggerOf("consent"),
        });
        endings.add(() => ledger.close());
        // Who only looks disturbs nobody's loaders.
        if (isShared && isDryRun) return { log, ledger, ...nothingToWaitFor };
        const { stop, ...wait } = startLoader(log, clickhouse, loggerOf("loader"));
        endings.add(stop);
        return { log, ledger, ...wait };
      },
      close: endings.run,
    };
  } catch (error) {
    await endings.run();
    throw error;
  }
}

const nothingToWaitFor: LoadWait = { allLoaded: async () => new Map(), whileNothingIsLoaded: async () => {} };

/** Without a spool: what is appended is in the log when that is said, and nothing of it is left behind here. */
async function openPlainLog(settings: Settings, config: PolderConfig, logger: Logger): Promise<EventLog> {
  if (settings.kafka === undefined) return openLog({ settings, config, logger });
  const log = createKafkaLog({
    ...settings.kafka,
    clientId: "polder",
    createTopics: true,
    appendTimeoutMs: forwardWithinMs,
    logger,
  });
  try {
    await log.prepareTopics();
    return log;
  } catch (error) {
    await log.close();
    throw new CommandError(messageOf(error));
  }
}

/** What is replayed is loaded here. Where others load as well, nobody could say when all is loaded, or find a moment at which nothing is. */
function startLoader(log: EventLog, clickhouse: ClickHouse, logger: Logger): LoadWait & { stop(): Promise<void> } {
  const loader = createLoader({ log, store: createEventStore({ clickhouse }), logger, registry: new Registry() });
  let failure: string | undefined;
  loader.run().catch((error: unknown) => (failure = messageOf(error)));
  return {
    stop: loader.stop,
    ...createLoadWait({ log, loader, failure: () => failure, clock: () => performance.now() }),
  };
}
