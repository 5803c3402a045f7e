import { retentionView } from "./0009-retention.ts";
import { retainedUntil15 } from "./0015-profiles.ts";
import type { Migration } from "./render-migrations.ts";

/** Only a server key without a browser is a server: nobody else can say what was imported. */
const isImported = "startsWith(library, 'polder-import/') AND device = 'server'";
const time = "DateTime64(3, 'UTC')";

export const imports: Migration = {
  number: 16,
  name: "imports",
  sql: `
-- Found by the hash of what a row is of, so small granules: a batch looks up a thousand places.
CREATE TABLE IF NOT EXISTS {local import_row} {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  key String COMMENT 'Hash of what it is of: the order, the ticket, the person',
  subject LowCardinality(String) COMMENT 'contact, order, return, ticket, ticket-closed or call',
  number UInt32 COMMENT 'Number of the version, from 0',
  fixed String COMMENT 'Hash of what no correction can change: time, person, currency',
  content String COMMENT 'Hash of all that it says',
  time ${time} COMMENT 'Of the event' CODEC(Delta, ZSTD),
  amount Decimal(18, 4) COMMENT 'Money that it counted for; of refunds positive',
  import_id String COMMENT 'The import that brought it',
  atom UInt32 COMMENT 'Number of the identity; 0 when it has none',
  received_at ${time} COMMENT 'When the collector received it' CODEC(Delta, ZSTD),
  is_known UInt8 COMMENT '1: it came with a user id; 0: anonymous'
)
ENGINE = {engine MergeTree()}
ORDER BY (site, key, subject, number)
SETTINGS {dedup}, default_compression_codec = 'ZSTD(1)', index_granularity = 256, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'What imports have stated, by hashes: by it a file that is imported again changes nothing';
{distributed import_row by cityHash64(site, key)}

CREATE MATERIALIZED VIEW IF NOT EXISTS {db}.import_row_mv {on_cluster} TO {local import_row} AS
SELECT
  site,
  splitByChar(':', message_id)[3] AS key,
  splitByChar(':', message_id)[2] AS subject,
  toUInt32OrZero(splitByChar(':', message_id)[4]) AS number,
  splitByChar(':', message_id)[5] AS fixed,
  splitByChar(':', message_id)[6] AS content,
  events.time AS time,
  abs(events.amount) AS amount,
  ifNull(events.properties.import_id::Nullable(String), '') AS import_id,
  events.atom AS atom,
  events.received_at AS received_at,
  events.is_known AS is_known
FROM {local events} AS events
WHERE startsWith(message_id, 'import:') AND ${isImported};

CREATE OR REPLACE VIEW {db}.imports {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  import_id String COMMENT 'Id of the import: import_id in the properties of its events',
  kind LowCardinality(String) COMMENT 'contacts, orders, returns, tickets or calls',
  started_at ${time} COMMENT 'When its first events were sent',
  finished_at Nullable(${time}) COMMENT 'When all had been sent; NULL when it was cut off, or goes on',
  actor String COMMENT 'Who imported, as stated',
  file_name String COMMENT 'Name of the file',
  origin LowCardinality(String) COMMENT 'observed, declared, partner or third_party',
  partner LowCardinality(String) COMMENT 'With origin partner: who',
  basis LowCardinality(String) COMMENT 'Lawful basis of the key that it came with',
  rows UInt64 COMMENT 'Rows of the file',
  refused UInt64 COMMENT 'Rows of which something was refused',
  known UInt64 COMMENT 'Events that an import had stated before: they were not sent',
  sent UInt64 COMMENT 'Events that the collector accepted',
  stored UInt64 COMMENT 'Events of it that are in the tables now'
)
AS SELECT
  m.site AS site,
  m.import_id AS import_id,
  m.kind AS kind,
  m.started_at AS started_at,
  m.finished_at AS finished_at,
  m.actor AS actor,
  m.file_name AS file_name,
  m.origin AS origin,
  m.partner AS partner,
  m.basis AS basis,
  m.rows AS rows,
  m.refused AS refused,
  m.known AS known,
  m.sent AS sent,
  r.stored AS stored
FROM (
  SELECT
    site,
    ifNull(properties.import_id::Nullable(String), '') AS import_id,
    any(ifNull(properties.kind::Nullable(String), '')) AS kind,
    min(events.time) AS started_at,
    if(countIf(name = 'Import Finished') = 0, NULL, maxIf(events.time, name = 'Import Finished')) AS finished_at,
    any(ifNull(properties.actor::Nullable(String), '')) AS actor,
    any(ifNull(properties.file_name::Nullable(String), '')) AS file_name,
    any(events.origin) AS origin,
    any(events.partner) AS partner,
    any(events.basis) AS basis,
    max(ifNull(properties.rows::Nullable(UInt64), 0)) AS rows,
    max(ifNull(properties.refused::Nullable(UInt64), 0)) AS refused,
    max(ifNull(properties.known::Nullable(UInt64), 0)) AS known,
    max(ifNull(properties.sent::Nullable(UInt64), 0)) AS sent
  FROM {db}.events AS events
  WHERE name IN ('Import Started', 'Import Finished') AND ${isImported}
  GROUP BY site, import_id
) AS m
LEFT JOIN (
  SELECT site, import_id, count() AS stored FROM {db}.import_row GROUP BY site, import_id
) AS r ON r.site = m.site AND r.import_id = m.import_id
COMMENT 'One row an import: who imported what, when, on which basis, and how much of it is stored';

${retentionView([...retainedUntil15, { table: "import_row", week: "toMonday(received_at)", isKnown: "is_known" }])}
`,
};
