import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { createEventStore, type ClickHouse } from "@polder/clickhouse";
import { openConsentLedger } from "@polder/collector";
import { loadedTopics, type ConsentLedger, type EventLog, type Logger, type PolderConfig } from "@polder/core";
import { createLoader } from "@polder/loader";
import { Registry } from "prom-client";
import { takeDataFolder } from "../data-folder.ts";
import { createEndings } from "../endings.ts";
import { recordsBehind } from "../lag.ts";
import { openLogFile } from "../log-file.ts";
import { openLog } from "../open-log.ts";
import { openStore } from "../open-store.ts";
import type { Settings } from "../settings.ts";
import { CommandError, messageOf } from "./exit-code.ts";
import type { CommandContext } from "./command.ts";
import { createProgress, type Progress } from "./progress.ts";

export interface Stage {
  clickhouse: ClickHouse;
  progress: Progress;
  /** The log, the choices of visitors, and a wait until everything in the log is loaded. */
  openPipeline(config: PolderConfig): Promise<{
    log: EventLog;
    ledger: ConsentLedger;
    allLoaded: () => Promise<void>;
  }>;
  close(): Promise<void>;
}

const lookEveryMs = 50;
const noProgressMs = 60_000;

/** What a replay works on: the parts of a stopped Polder, or the log and the server of an installation whose loaders run. */
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
      async openPipeline(config) {
        const log = await openLog({ settings: { ...settings, dataPath }, config, logger: loggerOf("log") });
        endings.add(() => log.close());
        const ledger = await openLedger({
          dataPath,
          sharedBy: settings.kafka && log,
          now,
          logger: loggerOf("consent"),
        });
        endings.add(() => ledger.close());
        const loader = isShared ? undefined : startLoader(log, clickhouse, loggerOf("loader"));
        if (loader !== undefined) endings.add(loader.stop);
        return { log, ledger, allLoaded: () => allLoaded(log, loader) };
      },
      close: endings.run,
    };
  } catch (error) {
    await endings.run();
    throw error;
  }
}

/** Knows what visitors have said up to now, or nothing is replayed: the ledger beats the event. */
async function openLedger(options: {
  dataPath: string;
  sharedBy: EventLog | undefined;
  now: () => Date;
  logger: Logger;
}): Promise<ConsentLedger> {
  const { logger } = options;
  let complaint: string | undefined;
  const ledger = await openConsentLedger({
    ...options,
    now: () => options.now().getTime(),
    registry: new Registry(),
    logger: {
      ...logger,
      warn(message, fields) {
        complaint ??= message;
        logger.warn(message, fields);
      },
    },
  });
  if (complaint === undefined) return ledger;
  await ledger.close();
  throw new CommandError(
    `What visitors have chosen is not known yet (${complaint}), so nothing is replayed. Try again.`,
  );
}

interface OwnLoader {
  stop(): Promise<void>;
  /** Rejects with the reason when it cannot load. */
  isReady(): Promise<boolean>;
}

/** Nobody else loads what a stopped Polder has. */
function startLoader(log: EventLog, clickhouse: ClickHouse, logger: Logger): OwnLoader {
  const loader = createLoader({ log, store: createEventStore({ clickhouse }), logger, registry: new Registry() });
  let failure: unknown;
  loader.run().catch((error: unknown) => (failure = error));
  return {
    stop: loader.stop,
    async isReady() {
      const { positions, blocked } = loader.status();
      const [first] = blocked;
      if (failure !== undefined) throw new CommandError(`Loading stopped: ${messageOf(failure)}`);
      if (first !== undefined) throw new CommandError(first.reason);
      // What the tables have lost of what was loaded before comes back by itself.
      const partitions = loadedTopics.length * (await log.partitionCount("polder.events"));
      return positions.length === partitions && !positions.some(({ isReadingAgain }) => isReadingAgain);
    },
  };
}

async function allLoaded(log: EventLog, loader: OwnLoader | undefined): Promise<void> {
  let least = Infinity;
  let since = performance.now();
  for (;;) {
    const behind = await recordsBehind(log);
    const isReady = (await loader?.isReady()) ?? true;
    if (behind === 0 && isReady) return;
    if (behind < least) since = performance.now();
    least = Math.min(least, behind);
    if (performance.now() - since > noProgressMs && loader === undefined)
      throw new CommandError(
        `${behind} records wait in the log and no loader takes them: see whether loaders run, and run this again. Nothing is lost or done twice.`,
      );
    await pause(lookEveryMs);
  }
}
