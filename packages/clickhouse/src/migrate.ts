import { createHash, randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";

import { ClickHouseQueryError, quoteName, quoteText, type ClickHouse, type QueryOptions } from "./clickhouse.ts";
import { sliceEvents, sliceSettings } from "./event-slices.ts";
import { identityDictionary } from "./migrations/0002-people.ts";
import {
  migrations,
  renderMigrations,
  renderSql,
  type Refill,
  type RenderedMigration,
  type RenderedRefill,
} from "./migrations/render-migrations.ts";

export interface MigrateOptions {
  /** Name of the cluster whose every node is migrated. */
  cluster?: string;
  /** How often the holder of the lock says that it lives. In milliseconds; far below the minute after which it counts as dead. */
  renewEveryMs?: number;
  /** How long nothing may be stored before rows are brought to a new shape. In milliseconds. */
  quietForMs?: number;
  /** Told before each slice of the events from which a table is made anew: that may take minutes to hours. */
  onProgress?: (progress: MigrationProgress) => void;
  /** Events of a slice, about. */
  maxEventsOfSlice?: number;
  /** Number of the last migration that is applied. Default: the newest. For what an upgrade finds. */
  upTo?: number;
}

export interface MigrationProgress {
  /** Number of the migration. */
  migration: number;
  /** The table that is made anew. */
  table: string;
  /** From 1. A slice that was done before a crash is counted and not done again. */
  slice: number;
  slices: number;
}

/** The tables are not what this version of the program can work with. The message says what to do. */
export class MigrationError extends Error {
  readonly code = "migration_failed";
}

/** A holder that has not said anything for this long (server's clock) is dead. It speaks up all the time, however long a statement takes. */
const lockExpiresSeconds = 60;
const lockPollMs = 200;
const codeTableExists = 57;
const codeUnknownTable = 60;
const codeMemoryLimit = 241;
/** Of a week that the server has no memory for. */
const maxTries = 5;

/**
 * Brings the database to this version: makes it, applies what is missing, in order, each once. Safe to call from many processes at once:
 * one works, the others wait. Returns the numbers applied. Rejects with a {@link MigrationError} when the database is newer than this program,
 * was made by another one, or is being loaded while its rows have to be brought to a new shape. Cut off anywhere, it can be called again.
 */
export async function migrate(clickhouse: ClickHouse, options: MigrateOptions = {}): Promise<number[]> {
  const { cluster, renewEveryMs = 15_000, quietForMs = 3_000, upTo = Infinity } = options;
  const { database } = clickhouse;
  const db = quoteName(database);
  const onCluster = cluster === undefined ? "" : `ON CLUSTER ${quoteName(cluster)}`;
  const target = { database, cluster, dictionaryCredentials: clickhouse.dictionaryCredentials() };
  const server = clickhouse.withoutDatabase();

  await server.command(`CREATE DATABASE IF NOT EXISTS ${db} ${onCluster}`);
  for (const statement of renderSql(migrationTables, target)) await server.command(statement);

  return withLock({ server, database, renewEveryMs }, async (stillHeld) => {
    const applied = await server.query<{ number: number; checksum: string }>(
      `SELECT number, any(checksum) AS checksum FROM ${db}.migration GROUP BY number ORDER BY number`,
    );
    checkHistory(applied, database);
    const known = new Set(applied.map(({ number }) => number));
    const missing = renderMigrations(target).filter(({ number }) => !known.has(number) && number <= upTo);
    const move = missing.find(movesRows);
    // Only a database of an earlier version has rows: a new one waits for nothing.
    const isFilled = move !== undefined && known.has(1) && (await countArrived(server, db)) > 0;
    const stillQuiet = isFilled ? await waitUntilAlone({ server, database, onCluster, quietForMs }, move) : undefined;
    for (const migration of missing) {
      const { number, name, statements, fill, refill } = migration;
      const isMove = isFilled && movesRows(migration);
      const run = async (statement: string, given?: QueryOptions): Promise<void> => {
        await stillHeld();
        if (isMove) await stillQuiet?.();
        const settings = { ...given?.settings, log_comment: commentOf(database) };
        await server.command(statement, { ...given, settings, isLong: true }).catch((error: unknown) => {
          const words = error instanceof Error ? error.message : String(error);
          throw new MigrationError(
            `Migration ${number} (${name}) failed at "${statement.slice(0, 80)}…": ${words}. Once the cause is gone, start again: it begins anew where it was.`,
            { cause: error },
          );
        });
      };
      for (const statement of isMove ? [...statements, ...fill] : statements) await run(statement);
      if (isMove && refill !== undefined) {
        const onSlice = (slice: number, slices: number): void =>
          options.onProgress?.({ migration: number, table: refill.table, slice, slices });
        const maxEvents = options.maxEventsOfSlice;
        await makeAnew({ server, db, run, stillQuiet, onSlice, maxEvents, quietForMs }, number, refill);
      }
      await server.command(
        `INSERT INTO ${db}.migration (number, name, checksum) VALUES ({number: UInt32}, {name: String}, {checksum: String})`,
        {
          params: { number, name, checksum: checksumOf(number) },
        },
      );
    }
    if (missing.length === 0) {
      for (const statement of renderSql(identityDictionary, target)) await server.command(statement);
    }
    await letViewsRead({ server, database, onCluster });
    return missing.map(({ number }) => number);
  });
}

/**
 * A view answers as the user of this connection: whoever may ask it needs no right to the tables below it. Set anew when that user is another one
 * than at the start before, or when a migration has made the view again.
 */
async function letViewsRead({
  server,
  database,
  onCluster,
}: Pick<AloneOptions, "server" | "database" | "onCluster">): Promise<void> {
  const definer = `DEFINER = ${quoteName(server.username)} SQL SECURITY DEFINER`;
  const views = await server.query<{ name: string; sql: string }>(
    "SELECT name, create_table_query AS sql FROM system.tables WHERE database = {database: String} AND engine = 'View' ORDER BY name",
    { params: { database } },
  );
  for (const { name, sql } of views) {
    if (sql.replaceAll("`", "").includes(definer.replaceAll("`", ""))) continue;
    const view = `${quoteName(database)}.${quoteName(name)}`;
    await server.command(
      `ALTER TABLE ${view} ${onCluster} MODIFY SQL SECURITY DEFINER DEFINER = ${quoteName(server.username)}`,
    );
  }
}

const movesRows = ({ fill, refill }: RenderedMigration): boolean => fill.length > 0 || refill !== undefined;

interface RefillOptions {
  server: ClickHouse;
  db: string;
  run: (statement: string, options?: QueryOptions) => Promise<void>;
  stillQuiet: (() => Promise<void>) | undefined;
  onSlice: (slice: number, slices: number) => void;
  maxEvents: number | undefined;
  quietForMs: number;
}

/**
 * Week by week. One that is written down as done is: nothing was stored while it was made, and what is stored later its view counts. Of all
 * others what is there, begun or stored meanwhile, is removed first, and made of the events again.
 */
async function makeAnew(
  { server, db, run, stillQuiet, onSlice, maxEvents, quietForMs }: RefillOptions,
  number: number,
  { countUndone, removeUndone, insert, after }: RenderedRefill,
): Promise<void> {
  const slices = await sliceEvents({ clickhouse: server, events: `${db}.events`, ...(maxEvents && { maxEvents }) });
  const weeks = await server.query<{ week: string }>(
    `SELECT DISTINCT toString(week) AS week FROM ${db}.migration_week WHERE number = {number: UInt32}`,
    { params: { number } },
  );
  const done = new Set(weeks.map(({ week }) => week));
  const makeUndone = async (): Promise<void> => {
    const params = { done: [...done] };
    const [undone] = await server.query<{ count: number }>(countUndone, { params });
    if (undone!.count > 0) await run(removeUndone, { params });
    for (const [index, slice] of slices.entries()) {
      if (done.has(slice.week)) continue;
      onSlice(index + 1, slices.length);
      await run(insert, { params: slice.params, settings: sliceSettings });
      if (slices[index + 1]?.week === slice.week) continue;
      await stillQuiet?.();
      await server.command(`INSERT INTO ${db}.migration_week (number, week) VALUES ({number: UInt32}, {week: Date})`, {
        params: { number, week: slice.week },
      });
      done.add(slice.week);
    }
  };
  for (let failures = 0; ;) {
    const doneBefore = done.size;
    try {
      await makeUndone();
      break;
    } catch (error) {
      failures = done.size > doneBefore ? 1 : failures + 1;
      // Merges of the server may hold what a slice needs, for a moment: the week is begun again.
      if (!isOutOfMemory(error) || failures === maxTries) throw error;
      await pause(quietForMs);
    }
  }
  for (const statement of after) await run(statement);
}

const isOutOfMemory = (error: unknown): boolean =>
  error instanceof MigrationError &&
  error.cause instanceof ClickHouseQueryError &&
  error.cause.code === codeMemoryLimit;

/** By which the server's list of queries tells the statements of a migration. */
const commentOf = (database: string): string => `polder migrates ${database}`;

/** Rows that loaders have stored. It grows with every insert; ClickHouse knows it without reading. */
async function countArrived(server: ClickHouse, db: string): Promise<number> {
  const [row] = await server.query<{ n: number }>(
    `SELECT (SELECT count() FROM ${db}.events) + (SELECT count() FROM ${db}.rejected) AS n`,
  );
  return row!.n;
}

/**
 * Ends what a migration that was cut off left running on the server, since it would do its part beside this one, and looks for loaders. What they
 * store while views and rows change would be counted twice or not at all. Returns what has to be asked before each step.
 */
async function waitUntilAlone(
  { server, database, onCluster, quietForMs }: AloneOptions,
  { number, name }: RenderedMigration,
): Promise<() => Promise<void>> {
  const db = quoteName(database);
  const ownQueries = `Settings['log_comment'] = ${quoteText(commentOf(database))}`;
  await server.command(`KILL QUERY ${onCluster} WHERE ${ownQueries} SYNC`, { isLong: true });
  // Of withdrawals nothing: they name atoms, never weeks.
  const ownMutations = `database = ${quoteText(database)} AND NOT is_done AND position(command, 'week') > 0`;
  await server.command(`KILL MUTATION ${onCluster} WHERE ${ownMutations} SYNC`, { isLong: true });
  const before = await countArrived(server, db);
  const stillQuiet = async (): Promise<void> => {
    const more = (await countArrived(server, db)) - before;
    if (more > 0)
      throw new MigrationError(
        `Migration ${number} (${name}) cannot run while something loads: the database ${database} got ${more} rows meanwhile. Stop every loader and worker of the version before, then start this one again.`,
      );
  };
  await pause(quietForMs);
  await stillQuiet();
  return stillQuiet;
}

interface AloneOptions {
  server: ClickHouse;
  database: string;
  onCluster: string;
  quietForMs: number;
}

const migrationTables = `
CREATE TABLE IF NOT EXISTS {db}.migration {on_cluster} (
  number UInt32 COMMENT 'Number of the migration',
  name String COMMENT 'Its name',
  checksum String COMMENT 'SHA-256 of its text when it was applied',
  applied_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When'
)
ENGINE = {engine_everywhere MergeTree()}
ORDER BY number
COMMENT 'Which changes to these tables have been made';

CREATE TABLE IF NOT EXISTS {db}.migration_week {on_cluster} (
  number UInt32 COMMENT 'Number of the migration',
  week Date COMMENT 'Monday of the week in which the events arrived, in UTC',
  done_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When they were all in the table that the migration makes anew'
)
ENGINE = {engine_everywhere MergeTree()}
ORDER BY (number, week)
COMMENT 'How far a migration has made a table anew from the events';
`;

function checkHistory(applied: readonly { number: number; checksum: string }[], database: string): void {
  for (const { number, checksum } of applied) {
    if (!migrations.some((migration) => migration.number === number)) {
      throw new MigrationError(
        `The database ${database} has migration ${number}, which this version does not know: it was made by a newer one. Start that version, or name another database.`,
      );
    }
    if (checksumOf(number) !== checksum) {
      throw new MigrationError(
        `Migration ${number} of the database ${database} was applied with another text. Its tables may differ from what this version expects: restore a backup, or start on an empty database.`,
      );
    }
  }
}

function checksumOf(number: number): string {
  const migration = migrations.find((candidate) => candidate.number === number);
  return createHash("sha256")
    .update(`${migration?.sql ?? ""}${migration?.fill ?? ""}${textOf(migration?.refill)}`)
    .digest("hex");
}

const textOf = (refill: Refill | undefined): string =>
  refill === undefined
    ? ""
    : [refill.table, refill.isMade, refill.week, refill.insert({ from: "", and: "" }), refill.after ?? ""].join("\n");

interface LockOptions {
  server: ClickHouse;
  database: string;
  renewEveryMs: number;
}

/**
 * CREATE TABLE fails for all but one: that is the lock, since an embedded engine has no Keeper. Its comment says who holds it, and every change of the
 * comment moves the table's modification time, which shows that the holder lives.
 */
async function withLock<T>(
  { server, database, renewEveryMs }: LockOptions,
  work: (stillHeld: () => Promise<void>) => Promise<T>,
): Promise<T> {
  const lock = `${quoteName(database)}.migration_lock`;
  const owner = randomUUID();
  const create = `CREATE TABLE ${lock} (owner String) ENGINE = Memory COMMENT ${quoteText(owner)}`;
  const readHolder = async (): Promise<{ owner: string; silentSeconds: number } | undefined> => {
    const [holder] = await server.query<{ owner: string; silentSeconds: number }>(
      `SELECT comment AS owner, dateDiff('second', metadata_modification_time, now()) AS silentSeconds
       FROM system.tables WHERE database = {database: String} AND name = 'migration_lock'`,
      { params: { database } },
    );
    return holder;
  };
  while (!(await succeeds(server.command(create), codeTableExists))) {
    const holder = await readHolder();
    if (holder !== undefined && holder.silentSeconds > lockExpiresSeconds) await release(server, lock);
    else await pause(lockPollMs);
  }

  let renewedAt = performance.now();
  let isLost = false;
  const renew = async (): Promise<void> => {
    const startedAt = performance.now();
    const holder = await readHolder();
    isLost ||= holder?.owner.startsWith(owner) !== true;
    if (isLost) return;
    await server.command(`ALTER TABLE ${lock} MODIFY COMMENT ${quoteText(`${owner} ${Date.now()}`)}`);
    renewedAt = startedAt;
  };
  // A server that is away for a moment is asked again; before the next statement it has to answer.
  let renewing: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    renewing = renewing.then(renew).catch(() => undefined);
  }, renewEveryMs);
  try {
    return await work(async () => {
      // After a pause of this process another one may have taken it for dead.
      if (performance.now() - renewedAt >= 2 * renewEveryMs) await renew();
      if (isLost)
        throw new MigrationError(
          `Another process migrates the database ${database}: this one said nothing for longer than ${lockExpiresSeconds} s. Start again: it waits for the other.`,
        );
    });
  } finally {
    clearInterval(timer);
    await renewing;
    if (!isLost) await release(server, lock);
  }
}

const release = async (server: ClickHouse, lock: string): Promise<void> => {
  await succeeds(server.command(`DROP TABLE ${lock}`), codeUnknownTable);
};

/** False when it fails with that code alone. */
async function succeeds(work: Promise<void>, unless: number): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (error) {
    if (error instanceof ClickHouseQueryError && error.code === unless) return false;
    throw error;
  }
}
