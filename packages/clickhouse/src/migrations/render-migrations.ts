import { quoteName, quoteText } from "../clickhouse.ts";
import { inSlice } from "../event-slices.ts";
import { tables } from "./0001-tables.ts";
import { people } from "./0002-people.ts";
import { materializedViews, type ViewSource } from "./0003-materialized-views.ts";
import { views } from "./0004-views.ts";
import { consentRecord } from "./0005-consent-record.ts";
import { consentSetting } from "./0006-consent-setting.ts";
import { consentChoices } from "./0007-consent-choices.ts";
import { lossLedger } from "./0008-loss-ledger.ts";
import { retention } from "./0009-retention.ts";
import { loading } from "./0010-loading.ts";
import { identity } from "./0011-identity.ts";
import { peopleConsent } from "./0012-people-consent.ts";
import { audiences } from "./0013-audiences.ts";
import { rights } from "./0014-rights.ts";
import { profiles } from "./0015-profiles.ts";
import { imports } from "./0016-imports.ts";

/** SQL as written in this folder: statements that each end with a semicolon at the end of a line, with the places below to fill in. */
export interface Migration {
  number: number;
  name: string;
  sql: string;
  /** Carried out after it where rows are there: what brings them to the new shape. Nothing may insert meanwhile. */
  fill?: string;
  /** After that, where rows are there: one table is made anew from the events. */
  refill?: Refill;
}

/**
 * How a table is made anew from the events, some of them at a time, so that it takes no more memory the more there are. Cut off, it goes on
 * with the week in which it was.
 */
export interface Refill {
  table: string;
  /** True of its rows that are made anew, and of none from before. */
  isMade: string;
  /** Monday of the week in which the event of a row arrived. */
  week: string;
  /** Columns and question for these events: what follows `INSERT INTO <table>`. */
  insert: (source: ViewSource) => string;
  /** Carried out when all are there. */
  after?: string;
}

export interface RenderOptions {
  database: string;
  /** Name of a cluster: tables become replicated and are sharded under a Distributed table. */
  cluster?: string | undefined;
  /** `USER '…' PASSWORD '…'` with which the server's dictionary reads the server's own table. */
  dictionaryCredentials: string;
}

export interface RenderedMigration {
  number: number;
  name: string;
  statements: string[];
  /** Statements that follow them where rows are there. */
  fill: string[];
  refill?: RenderedRefill;
}

export interface RenderedRefill {
  table: string;
  /** How many rows it has of weeks that are not among `{done: Array(Date)}`. */
  countUndone: string;
  /** Removes these: what was begun, or stored meanwhile. */
  removeUndone: string;
  /** For the events of one slice: its parameters are an `EventSlice`'s. */
  insert: string;
  after: string[];
}

/** In order, never renumbered, never changed once released. */
export const migrations: readonly Migration[] = [
  tables,
  people,
  materializedViews,
  views,
  consentRecord,
  consentSetting,
  consentChoices,
  lossLedger,
  retention,
  loading,
  identity,
  peopleConsent,
  audiences,
  rights,
  profiles,
  imports,
];

export const renderMigrations = (options: RenderOptions): RenderedMigration[] =>
  migrations.map((migration) => ({
    number: migration.number,
    name: migration.name,
    statements: renderSql(migration.sql, options),
    fill: renderSql(migration.fill ?? "", options),
    ...(migration.refill && { refill: renderRefill(migration.refill, options) }),
  }));

function renderRefill({ table, isMade, week, insert, after = "" }: Refill, options: RenderOptions): RenderedRefill {
  const render = (sql: string): string => renderSql(`${sql};`, options).join();
  const isUndone = `${isMade} AND ${week} NOT IN {done: Array(Date)}`;
  return {
    table,
    countUndone: render(`SELECT count() AS count FROM {db}.${table} WHERE ${isUndone}`),
    removeUndone: render(
      `ALTER TABLE {local ${table}} {on_cluster} DELETE WHERE ${isUndone} SETTINGS mutations_sync = 2`,
    ),
    insert: render(`INSERT INTO {db}.${table} ${insert({ from: "{db}.events", and: inSlice })}`),
    after: renderSql(after, options),
  };
}

/** Rows of a sharded table are on the shard that its loader writes to, so this is the table for inserts and for views that hang on inserts. */
export const localTable = (table: string, cluster: string | undefined): string =>
  cluster === undefined ? table : `${table}_local`;

/**
 * The places in the SQL:
 * `{db}`, `{db_name}` (inside a text); `{on_cluster}` after the name in DDL; `{local events}` the table that holds rows (`events` is the Distributed one on a cluster);
 * `{engine X(…)}` replicated within a shard; `{engine_everywhere X(…)}` the same rows on every node;
 * `{dedup}` the deduplication window; `{credentials}`; `{distributed events by <expression>}` nothing without a cluster.
 */
export function renderSql(sql: string, { database, cluster, dictionaryCredentials }: RenderOptions): string[] {
  const db = quoteName(database);
  const onCluster = cluster === undefined ? "" : `ON CLUSTER ${quoteName(cluster)}`;
  const replicated = (path: string) => (_: string, family: string, args: string) =>
    cluster === undefined
      ? `${family}(${args})`
      : `Replicated${family}('/clickhouse/tables/${path}/{database}/{table}', '{replica}'${args === "" ? "" : `, ${args}`})`;
  const rendered = sql
    .replaceAll(/\{distributed (\w+) by (.+)\}/g, (_, table: string, key: string) =>
      cluster === undefined
        ? ""
        : `CREATE TABLE IF NOT EXISTS ${db}.${table} ${onCluster} AS ${db}.${localTable(table, cluster)}\n` +
          `ENGINE = Distributed(${quoteName(cluster)}, ${db}, ${localTable(table, cluster)}, ${key});`,
    )
    .replaceAll(/\{local (\w+)\}/g, (_, table: string) => `${db}.${localTable(table, cluster)}`)
    .replaceAll(/\{engine (\w+)\((.*?)\)\}/g, replicated("{shard}"))
    .replaceAll(/\{engine_everywhere (\w+)\((.*?)\)\}/g, replicated("all"))
    .replaceAll(
      "{dedup}",
      cluster === undefined
        ? "non_replicated_deduplication_window = 10000"
        : "replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800",
    )
    .replaceAll("{db}", () => db)
    .replaceAll("{db_name}", () => quoteText(database).slice(1, -1))
    .replaceAll("{on_cluster}", () => onCluster)
    .replaceAll("{credentials}", () => dictionaryCredentials);
  return rendered
    .split(/;[ \t]*$/m)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== "");
}
