import {
  analystAccess,
  createClickHouse,
  migrate,
  reloadIdentities,
  type ClickHouse,
  type MigrationProgress,
} from "@polder/clickhouse";
import { startEngine, type Engine } from "@polder/engine";
import type { Logger } from "@polder/core";
import { join } from "node:path";
import type { Progress } from "./cli/progress.ts";
import { CommandError, codeOf, messageOf } from "./cli/exit-code.ts";
import type { Settings } from "./settings.ts";

export interface OpenStore {
  clickhouse: ClickHouse;
  /** Undefined: ClickHouse is somebody else's server. */
  engine: Engine | undefined;
  close(): Promise<void>;
}

const connectionFaults: ReadonlySet<string | undefined> = new Set(["ECONNREFUSED", "ECONNRESET", "EPIPE"]);

/** The embedded engine, or the server in CLICKHOUSE_URL, with all migrations applied. */
export async function openStore(options: {
  settings: Settings;
  progress: Progress;
  loggerOf: (name: string) => Logger;
}): Promise<OpenStore> {
  const { settings, progress, loggerOf } = options;
  const logger = loggerOf("clickhouse");
  const engine =
    settings.clickhouse === undefined
      ? await progress.step("Database engine", () => startEmbedded(settings, loggerOf("engine")))
      : undefined;
  const server = engine === undefined ? settings.clickhouse! : { url: engine.url, ...engine.admin };
  const clickhouse = createClickHouse({ ...server, database: settings.database, logger });
  const close = async (): Promise<void> => {
    await clickhouse.close();
    await engine?.stop();
  };
  try {
    if (engine === undefined) await progress.step(`ClickHouse at ${server.url}`, () => assertReachable(clickhouse));
    await progress.step("Tables and views", async (say) => {
      const onProgress = (slice: MigrationProgress): void => {
        say(inWords(slice));
        logger.info("a table is made anew from the events", { ...slice });
      };
      const applied = await migrate(clickhouse, { onProgress }).catch((error: unknown) => {
        const code = codeOf(error);
        if (code === "migration_failed") throw new CommandError(messageOf(error));
        if (!connectionFaults.has(code)) throw error;
        throw new CommandError(
          `ClickHouse went away while its tables and views were looked at (${messageOf(error)}). Start again: it goes on where it was.`,
        );
      });
      say(applied.length > 0 ? `${applied.length} made` : "");
    });
    // What a dictionary holds is in the engine's memory.
    engine?.onRestart(() => {
      reloadIdentities(clickhouse).catch((error: unknown) =>
        logger.warn("people were not loaded again", { reason: messageOf(error) }),
      );
    });
    return { clickhouse, engine, close };
  } catch (error) {
    await close().catch((closing: unknown) => logger.warn("closing failed", { error: messageOf(closing) }));
    throw error;
  }
}

const inWords = ({ migration, table, slice, slices }: MigrationProgress): string =>
  `migration ${migration} makes ${table} anew: slice ${slice} of ${slices}`;

async function startEmbedded({ dataPath, database }: Settings, logger: Logger): Promise<Engine> {
  try {
    return await startEngine({
      dataPath: join(dataPath, "clickhouse"),
      logger,
      analyst: { databases: [analystAccess(database)] },
    });
  } catch (error) {
    throw codeOf(error) === undefined ? error : new CommandError(messageOf(error));
  }
}

async function assertReachable(clickhouse: ClickHouse): Promise<void> {
  if (await clickhouse.isReachable(30_000)) return;
  throw new CommandError(
    `ClickHouse does not answer at ${clickhouse.url} as user ${clickhouse.username}. See whether it runs and whether CLICKHOUSE_URL, CLICKHOUSE_USER and CLICKHOUSE_PASSWORD are right.`,
  );
}
