import type { Migration } from "./render-migrations.ts";

/** Every table that an insert of the loader reaches. */
const loaded = [
  "events",
  "rejected",
  "atom",
  "profile_state",
  "trait_state",
  "audience_day",
  "session_state",
  "identity_edge",
  "log_position",
  "ledger",
] as const;

// An insert that was acknowledged is then on the disk in every table, and a view never has rows that its table has lost.
const synced = loaded
  .map(
    (table) =>
      `ALTER TABLE {local ${table}} {on_cluster} MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;`,
  )
  .join("\n");

/** Those whose question migration 9 changes. */
const changedViews = ["atom", "profile_state", "trait_state", "session_state", "audience_day"] as const;

// A view whose question was changed knows its inserts by other tokens after a restart than before: one that is retried over a crash would be in
// its table twice. Attached again it knows them as it will after a restart.
const attachedAgain = changedViews
  .map(
    (table) => `DETACH TABLE IF EXISTS {db}.${table}_mv {on_cluster};
ATTACH TABLE IF NOT EXISTS {db}.${table}_mv {on_cluster};`,
  )
  .join("\n");

export const loading: Migration = {
  number: 10,
  name: "loading",
  sql: `
${attachedAgain}

-- Filled by views of the same inserts, and by nothing else: rows that are removed later take nothing from it.
CREATE TABLE IF NOT EXISTS {local log_position} {on_cluster} (
  table_name LowCardinality(String) COMMENT 'events or rejected',
  _partition UInt16 COMMENT 'Partition of the log',
  _offset SimpleAggregateFunction(max, UInt64) COMMENT 'Greatest offset that was ever stored',
  atom SimpleAggregateFunction(max, UInt32) COMMENT 'Greatest atom that this partition gave out; 0 when none'
)
ENGINE = {engine AggregatingMergeTree()}
ORDER BY (table_name, _partition)
SETTINGS {dedup}, default_compression_codec = 'ZSTD(1)'
COMMENT 'How far the log has been loaded';
{distributed log_position by _partition}

CREATE MATERIALIZED VIEW IF NOT EXISTS {db}.log_position_events_mv {on_cluster} TO {local log_position} AS
SELECT 'events' AS table_name, _partition, max(events._offset) AS _offset, max(if(events.atom % 64 = events._partition, events.atom, 0)) AS atom
FROM {local events} AS events
GROUP BY _partition;

CREATE MATERIALIZED VIEW IF NOT EXISTS {db}.log_position_rejected_mv {on_cluster} TO {local log_position} AS
SELECT 'rejected' AS table_name, _partition, max(rejected._offset) AS _offset, toUInt32(0) AS atom
FROM {local rejected} AS rejected
WHERE reason != 'refused_by_store'
GROUP BY _partition;

CREATE TABLE IF NOT EXISTS {db}.log_source {on_cluster} (
  table_name LowCardinality(String) COMMENT 'events or rejected',
  log String COMMENT 'The log that it is loaded from: offsets of another one mean other records',
  since DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When a loader wrote that down'
)
ENGINE = {engine_everywhere MergeTree()}
ORDER BY table_name
SETTINGS {dedup}
COMMENT 'Which log these tables are loaded from: the first row of a table holds';

CREATE TABLE IF NOT EXISTS {db}.log_gap {on_cluster} (
  topic LowCardinality(String) COMMENT 'Topic of the log',
  _partition UInt16 COMMENT 'Its partition',
  first_offset UInt64 COMMENT 'The first record that is lost',
  last_offset UInt64 COMMENT 'The last one',
  state LowCardinality(String) COMMENT 'found: loading stands still before it; accepted: somebody has taken the loss, and loading went on after it',
  at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When'
)
ENGINE = {engine_everywhere MergeTree()}
ORDER BY (topic, _partition, first_offset, last_offset)
SETTINGS {dedup}
COMMENT 'Records that left the log before they were loaded: append-only';

CREATE TABLE IF NOT EXISTS {db}.replayed {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  source LowCardinality(String) COMMENT 'rejected or log: where it was read again',
  _partition UInt16 COMMENT 'Its place there',
  _offset UInt64 COMMENT 'Its place there' CODEC(Delta, ZSTD),
  reason LowCardinality(String) COMMENT 'Why it had been refused; empty for the log',
  message_id String COMMENT 'Id under which it is in events',
  outcome LowCardinality(String) COMMENT 'stored: appended to the log for the loader; known: events had it already',
  at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When' CODEC(Delta, ZSTD),
  INDEX offset_range _offset TYPE minmax GRANULARITY 1
)
ENGINE = {engine_everywhere MergeTree()}
ORDER BY (site, source, _partition, _offset)
SETTINGS {dedup}, default_compression_codec = 'ZSTD(1)'
COMMENT 'What polder replay has brought into events: append-only';

${synced}
`,
  // The greatest number of a partition may be of an identity that has no events any more.
  fill: `
INSERT INTO {db}.log_position (table_name, _partition, _offset, atom)
SELECT table_name, part, max(offset), max(number)
FROM (
  SELECT 'events' AS table_name, _partition AS part, max(_offset) AS offset, max(if(atom % 64 = _partition, atom, 0)) AS number
  FROM {db}.events GROUP BY _partition
  UNION ALL
  SELECT 'events', toUInt16(a.atom % 64), 0, max(a.atom)
  FROM {db}.atom AS a WHERE a.atom % 64 IN (SELECT _partition FROM {db}.events) GROUP BY a.atom % 64
  UNION ALL
  SELECT 'rejected', _partition, max(_offset), 0
  FROM {db}.rejected WHERE reason != 'refused_by_store' GROUP BY _partition
)
GROUP BY table_name, part
SETTINGS insert_deduplicate = 0, distributed_foreground_insert = 1;
`,
};
