import { createHash, randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";

import { ClickHouseQueryError, quoteName, quoteText, type ClickHouse } from "./clickhouse.ts";
import { identityDictionary } from "./migrations/0002-people.ts";
import { migrations, renderMigrations, renderSql } from "./migrations/render-migrations.ts";

export interface MigrateOptions {
  /** Name of the cluster whose every node is migrated. */
  cluster?: string;
}

/** The tables are not what this version of the program can work with. The message says what to do. */
export class MigrationError extends Error {
  readonly code = "migration_failed";
}

/** A holder that has not said anything for this long (server's clock) is dead. It speaks up before every statement. */
const lockExpiresSeconds = 60;
const lockPollMs = 200;
const codeTableExists = 57;
const codeUnknownTable = 60;

/**
 * Brings the database to this version: makes it, applies what is missing, in order, each once. Safe to call from many processes at once:
 * one works, the others wait. Returns the numbers applied. Rejects with a {@link MigrationError} when the database is newer than this program
 * or was made by another one.
 */
export async function migrate(clickhouse: ClickHouse, options: MigrateOptions = {}): Promise<number[]> {
  const { cluster } = options;
  const db = quoteName(clickhouse.database);
  const onCluster = cluster === undefined ? "" : `ON CLUSTER ${quoteName(cluster)}`;
  const target = { database: clickhouse.database, cluster, dictionaryCredentials: clickhouse.dictionaryCredentials() };
  const server = clickhouse.withoutDatabase();

  await server.command(`CREATE DATABASE IF NOT EXISTS ${db} ${onCluster}`);
  for (const statement of renderSql(migrationTable, target)) await server.command(statement);

  return withLock(server, clickhouse.database, async (stillHere) => {
    const applied = await server.query<{ number: number; checksum: string }>(
      `SELECT number, any(checksum) AS checksum FROM ${db}.migration GROUP BY number ORDER BY number`,
    );
    checkHistory(applied, clickhouse.database);
    const known = new Set(applied.map(({ number }) => number));
    const missing = renderMigrations(target).filter(({ number }) => !known.has(number));
    for (const { number, name, statements } of missing) {
      for (const statement of statements) {
        await stillHere();
        await server.command(statement).catch((error: unknown) => {
          const words = error instanceof Error ? error.message : String(error);
          throw new MigrationError(`Migration ${number} (${name}) failed at "${statement.slice(0, 80)}…": ${words}`, {
            cause: error,
          });
        });
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
    return missing.map(({ number }) => number);
  });
}

const migrationTable = `
CREATE TABLE IF NOT EXISTS {db}.migration {on_cluster} (
  number UInt32 COMMENT 'Number of the migration',
  name String COMMENT 'Its name',
  checksum String COMMENT 'SHA-256 of its text when it was applied',
  applied_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When'
)
ENGINE = {engine_everywhere MergeTree()}
ORDER BY number
COMMENT 'Which changes to these tables have been made';
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
    .update(migration?.sql ?? "")
    .digest("hex");
}

/**
 * CREATE TABLE fails for all but one: that is the lock, since an embedded engine has no Keeper. Its comment says who holds it, and every change of the
 * comment moves the table's modification time, which shows that the holder lives.
 */
async function withLock<T>(
  server: ClickHouse,
  database: string,
  work: (stillHere: () => Promise<void>) => Promise<T>,
): Promise<T> {
  const lock = `${quoteName(database)}.migration_lock`;
  const owner = randomUUID();
  const create = `CREATE TABLE ${lock} (owner String) ENGINE = Memory COMMENT ${quoteText(owner)}`;
  while (!(await succeeds(server.command(create), codeTableExists))) {
    const [holder] = await server.query<{ owner: string; silentSeconds: number }>(
      `SELECT comment AS owner, dateDiff('second', metadata_modification_time, now()) AS silentSeconds
       FROM system.tables WHERE database = {database: String} AND name = 'migration_lock'`,
      { params: { database } },
    );
    if (holder !== undefined && holder.silentSeconds > lockExpiresSeconds) await release(server, lock);
    else await pause(lockPollMs);
  }
  try {
    return await work(() =>
      server.command(`ALTER TABLE ${lock} MODIFY COMMENT ${quoteText(`${owner} ${Date.now()}`)}`),
    );
  } finally {
    await release(server, lock);
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
