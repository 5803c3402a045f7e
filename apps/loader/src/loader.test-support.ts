import { randomUUID } from "node:crypto";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClickHouse, migrate, type ClickHouse } from "@polder/clickhouse";
import { loadedTopics, type EventLog, type EventStore, type Logger, type LogRecord } from "@polder/core";
import { startEngine, type Engine } from "@polder/engine";
import { createLmdbLog } from "@polder/lmdb";
import { Registry } from "prom-client";
import { createLoader, type Loader, type LoaderOptions } from "./create-loader.ts";

export const silent: Logger = { info() {}, warn() {}, error() {} };

export interface SaidLine {
  level: keyof Logger;
  message: string;
  fields: { readonly [name: string]: unknown };
}

export interface ListeningLogger extends Logger {
  said: SaidLine[];
  /** Resolves with the first line, said or to be said, that `matches`. */
  hears(matches: (line: SaidLine) => boolean): Promise<SaidLine>;
}

export function createListeningLogger(): ListeningLogger {
  const said: SaidLine[] = [];
  const waiting = new Set<() => void>();
  const write =
    (level: keyof Logger): Logger["info"] =>
    (message, fields = {}) => {
      said.push({ level, message, fields });
      for (const look of waiting) look();
    };
  return {
    said,
    info: write("info"),
    warn: write("warn"),
    error: write("error"),
    hears: (matches) =>
      new Promise((resolve) => {
        const look = (): void => {
          const found = said.find(matches);
          if (found === undefined) return;
          waiting.delete(look);
          resolve(found);
        };
        waiting.add(look);
        look();
      }),
  };
}

/** Why a partition is not loaded until somebody decides, once that is said. That the store did not answer for a moment is only warned of. */
export async function whyBlocked(logger: ListeningLogger, topic = "polder.events"): Promise<string> {
  const { fields } = await logger.hears(
    ({ level, message, fields: of }) =>
      level === "error" && message === "a partition cannot be loaded" && of["topic"] === topic,
  );
  return String(fields["reason"]);
}

/** A real engine, and logs, in a folder of their own. */
export interface Bed {
  folder: string;
  engine(): Engine;
  /** A database with all tables. */
  createDatabase(): Promise<ClickHouse>;
  openLog(partitions?: number, path?: string): { log: EventLog; path: string };
  /** Stops the engine, does something to its files, and starts it again. Clients have to be made anew. */
  whileStopped(work: (dataPath: string) => void): Promise<void>;
  connect(database: string, url?: string): ClickHouse;
  remove(): Promise<void>;
}

export async function createBed(): Promise<Bed> {
  const folder = mkdtempSync(join(tmpdir(), "polder-loader-"));
  const dataPath = join(folder, "clickhouse");
  let engine = await startEngine({ dataPath, logger: silent });
  const bed: Bed = {
    folder,
    engine: () => engine,
    connect: (database, url = engine.url) => createClickHouse({ ...engine.admin, url, database, logger: silent }),
    async createDatabase() {
      const clickhouse = bed.connect(`loader_${randomUUID().replaceAll("-", "")}`);
      await migrate(clickhouse);
      return clickhouse;
    },
    openLog(partitions = 2, path = mkdtempSync(join(folder, "log-"))) {
      return { path, log: createLmdbLog({ path, partitions, pollMs: 5, retryAfterMs: 5, logger: silent }) };
    },
    async whileStopped(work) {
      await engine.stop();
      work(dataPath);
      engine = await startEngine({ dataPath, logger: silent });
    },
    async remove() {
      await engine.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return bed;
}

/** Puts a copy in the place of a folder. */
export function replaceFolder(path: string, copy: string): void {
  rmSync(path, { recursive: true, force: true });
  cpSync(copy, path, { recursive: true });
}

let counter = 0;

export function record(over: { id?: string; anonymousId?: string; userId?: string; row?: object } = {}): LogRecord {
  const { id = `m${counter++}`, anonymousId = `v${counter % 9}`, userId = "" } = over;
  const time = "2026-11-22 12:00:00.000";
  const row = {
    site: "shop",
    day: "2026-11-22",
    type: "track",
    name: "Product Viewed",
    time,
    received_at: time,
    client_time: time,
    message_id: id,
    anonymous_id: anonymousId,
    user_id: userId,
    origin: "observed",
    basis: "consent",
    regime: "opt_in",
    amount: "0",
    properties: { price: 3 },
    ...over.row,
  };
  return {
    key: `shop:${anonymousId || id}`,
    value: Buffer.from(JSON.stringify(row)),
    headers: { id, site: "shop", anonymousId, userId },
  };
}

export const records = (count: number, over: Parameters<typeof record>[0] = {}): LogRecord[] =>
  Array.from({ length: count }, () => record(over));

export function startLoader(
  log: EventLog,
  store: EventStore,
  options: Partial<LoaderOptions> = {},
): { loader: Loader; running: Promise<void>; stop(): Promise<void> } {
  const loader = createLoader({ log, store, logger: silent, registry: new Registry(), lingerMs: 1, ...options });
  const running = loader.run();
  return {
    loader,
    running,
    async stop() {
      await loader.stop();
      await running;
    },
  };
}

/** Runs a loader until everything in the log is loaded, then stops it. */
export async function loadAll(log: EventLog, store: EventStore, options: Partial<LoaderOptions> = {}): Promise<Loader> {
  const { loader, stop } = startLoader(log, store, options);
  await caughtUp(log, loader);
  await stop();
  return loader;
}

/** Until every partition is at its end, also where what was committed before is loaded again. */
export async function caughtUp(log: EventLog, loader: Loader): Promise<void> {
  const partitions = await log.partitionCount("polder.events");
  for (;;) {
    const { positions } = loader.status();
    const isThere = positions.length === loadedTopics.length * partitions;
    if (isThere && !positions.some(({ isReadingAgain }) => isReadingAgain) && (await isAllCommitted(log))) return;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

async function isAllCommitted(log: EventLog): Promise<boolean> {
  const lags = await Promise.all(loadedTopics.map((topic) => log.lag(topic, "polder.loader")));
  return lags.every((lag) => [...lag.values()].every((count) => count === 0));
}

export interface Totals {
  events: number;
  ids: number;
  inProfiles: number;
  inAudiences: number;
  atoms: number;
  keys: number;
  known: number;
}

export async function readTotals(clickhouse: ClickHouse): Promise<Totals> {
  const [row] = await clickhouse.query<Totals>(`
    SELECT (SELECT count() FROM events) AS events, (SELECT uniqExact(message_id) FROM events) AS ids,
      (SELECT sum(events) FROM profile_state) AS inProfiles,
      (SELECT sum(events) FROM audience_day WHERE dimension = 'event') AS inAudiences,
      (SELECT uniqExact(atom) FROM events WHERE atom != 0) AS atoms,
      (SELECT uniqExact(anonymous_id, user_id) FROM events WHERE atom != 0) AS keys,
      (SELECT uniqExact(atom) FROM atom) AS known`);
  if (row === undefined) throw new Error("the totals have no row");
  return row;
}

export const exactly = (n: number, keys: number): Totals => ({
  events: n,
  ids: n,
  inProfiles: n,
  inAudiences: n,
  atoms: keys,
  keys,
  known: keys,
});

export const visitorsOf = (sent: readonly LogRecord[]): number =>
  new Set(sent.map(({ headers }) => headers.anonymousId)).size;
