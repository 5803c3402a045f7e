import { retainedUntil9, retentionView } from "./0009-retention.ts";
import type { Migration } from "./render-migrations.ts";

const since = "DateTime64(3, 'UTC')";

/** What is written of audiences is on the disk when it is acknowledged: what a destination was told is told once. */
const synced = "fsync_after_insert = 1, fsync_part_directory = 1";

const loadedSoFar = ["{local ledger_progress}", "{db}.ledger_progress"]
  .map(
    (table) =>
      `ALTER TABLE ${table} {on_cluster} COMMENT COLUMN next_offset 'Everything before this record is loaded, into every table; of polder.ledger also some after it. 0: not said';`,
  )
  .join("\n");

export const audiences: Migration = {
  number: 13,
  name: "audiences",
  sql: `
-- Consent is worked out of what arrived, and a position of a row that is in some tables only is no arrival.
${loadedSoFar}

-- The same rows on every node: each resolves people for itself.
CREATE TABLE IF NOT EXISTS {db}.audience {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  audience LowCardinality(String) COMMENT 'Id of the audience within the site',
  revision UInt32 COMMENT 'Number of the change, from 1: the greatest holds',
  version UInt32 COMMENT 'Number of the definition, from 1: other changes leave it as it was',
  name String COMMENT 'Name for people',
  definition String COMMENT 'The definition, as JSON' CODEC(ZSTD(3)),
  is_anonymous UInt8 COMMENT '1: nobody is named, only a size from the floor on is told',
  purpose LowCardinality(String) COMMENT 'What it is for: only who may be used for it is in it',
  state LowCardinality(String) COMMENT 'active; paused: as it was, but for who is merged, erased or withdraws; archived: nobody is in it',
  every_seconds UInt32 COMMENT 'How often it is worked out, at most',
  size_floor UInt32 COMMENT 'Of an anonymous one: below this many no size is told',
  expires_at ${since} COMMENT 'Of an anonymous one: when it is archived and its sizes are removed; 1970-01-01 when never',
  at ${since} COMMENT 'When it was changed',
  actor String COMMENT 'Who changed it, as stated',
  reason String COMMENT 'Why, as stated'
)
ENGINE = {engine_everywhere MergeTree()}
ORDER BY (site, audience, revision)
SETTINGS {dedup}, ${synced}
COMMENT 'Definitions of audiences, every version of them: append-only';

-- The truth of who is in an audience: audience_member is what it comes to. In the order of telling.
CREATE TABLE IF NOT EXISTS {db}.audience_log {on_cluster} (
  seq UInt64 COMMENT 'Number of the change, ascending over all audiences of all sites',
  site LowCardinality(String) COMMENT 'Id of the site',
  audience LowCardinality(String) COMMENT 'Id of the audience',
  person UInt32 COMMENT 'Number of the person then; person(person) is who that is now',
  change LowCardinality(String) COMMENT 'enter or exit',
  reason LowCardinality(String) COMMENT 'enter, exit; merged: became part of survivor, or took in somebody who was in it; split: was part of survivor, or lost a part; consent: may not be used for the purpose any more; erased; definition: another version, or archived',
  survivor UInt32 COMMENT 'merged, on exit: the person that goes on; split, on enter: who they had been part of; else 0',
  at ${since} COMMENT 'Moment for which it was worked out' CODEC(Delta, ZSTD),
  version UInt32 COMMENT 'Number of the definition',
  INDEX audiences audience TYPE set(100) GRANULARITY 1,
  INDEX people person TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = {engine_everywhere MergeTree()}
PARTITION BY toYYYYMM(at)
ORDER BY seq
SETTINGS {dedup}, ${synced}, default_compression_codec = 'ZSTD(1)', index_granularity = 4096
COMMENT 'Who came into an audience or left it, when and why: append-only';

CREATE TABLE IF NOT EXISTS {db}.audience_member {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  audience LowCardinality(String) COMMENT 'Id of the audience',
  person UInt32 COMMENT 'Number of the person when it was worked out; person(person) is who that is now',
  since ${since} COMMENT 'When they came in or left' CODEC(Delta, ZSTD),
  version UInt32 COMMENT 'Number of the definition then',
  seq UInt64 COMMENT 'The change in audience_log: the greatest of a person holds' CODEC(Delta, ZSTD),
  has_left UInt8 COMMENT '1: not in it any more',
  INDEX people person TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = {engine_everywhere ReplacingMergeTree(seq, has_left)}
ORDER BY (site, audience, person)
SETTINGS {dedup}, ${synced}, default_compression_codec = 'ZSTD(1)', index_granularity = 4096
COMMENT 'Who is in an audience, as audience_log says: read it with FINAL';

CREATE TABLE IF NOT EXISTS {db}.audience_size {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  audience LowCardinality(String) COMMENT 'Id of the audience',
  hour DateTime('UTC') COMMENT 'The hour in UTC: one row each, of when it changed last in it',
  at ${since} COMMENT 'When it was counted',
  version UInt32 COMMENT 'Number of the definition',
  people UInt64 COMMENT 'People in it, as seen then; of an anonymous one below its floor: 0',
  is_below_floor UInt8 COMMENT '1: an anonymous one with fewer people than may be told',
  atoms AggregateFunction(groupBitmap, UInt32) COMMENT 'Identities of those in it; of an anonymous one: none'
)
ENGINE = {engine_everywhere ReplacingMergeTree(at)}
ORDER BY (site, audience, hour)
SETTINGS {dedup}, ${synced}, default_compression_codec = 'ZSTD(1)'
COMMENT 'Size of an audience by hour, as it was seen: read it with FINAL';

-- Whose atoms were when audiences were worked out last: what somebody who was split had been part of.
CREATE TABLE IF NOT EXISTS {db}.audience_identity {on_cluster} (
  atom UInt32 COMMENT 'Number of the identity',
  person UInt32 COMMENT 'The person it belonged to',
  version UInt64 COMMENT 'Version of the row in identity',
  n UInt64 COMMENT 'The tick: the greatest of an atom holds',
  is_pending Bool COMMENT 'As the tick saw it at its beginning; it counts when the tick is through'
)
ENGINE = {engine_everywhere ReplacingMergeTree(n)}
ORDER BY (is_pending, atom)
SETTINGS {dedup}
COMMENT 'The table identity as audiences saw it last: read it with FINAL, where is_pending is false';

CREATE TABLE IF NOT EXISTS {db}.audience_permit {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  purpose LowCardinality(String) COMMENT 'Purpose',
  n UInt64 COMMENT 'The turn: the greatest holds',
  people AggregateFunction(groupBitmap, UInt32) COMMENT 'Numbers of the people who may be used for it'
)
ENGINE = {engine_everywhere ReplacingMergeTree(n)}
ORDER BY (site, purpose)
SETTINGS {dedup}
COMMENT 'Who may be used for what, as audiences saw it last';

-- Whose turn it is to work audiences out: who adds the next number, by its token, and nobody before.
CREATE TABLE IF NOT EXISTS {db}.audience_tick {on_cluster} (
  what LowCardinality(String) COMMENT 'audiences',
  n UInt64 COMMENT 'Number of the turn: the greatest holds',
  worker String COMMENT 'Which run of which worker has it',
  at ${since} COMMENT 'When it was taken',
  seq UInt64 COMMENT 'The greatest number that audience_log had by then'
)
ENGINE = {engine_everywhere ReplacingMergeTree(n)}
ORDER BY what
SETTINGS {dedup}, ${synced}
COMMENT 'Which worker works audiences out';

CREATE TABLE IF NOT EXISTS {db}.audience_told {on_cluster} (
  log String COMMENT 'Which topic of which log',
  partition UInt16 COMMENT 'Its partition',
  seq SimpleAggregateFunction(max, UInt64) COMMENT 'All changes up to this number that belong into the partition are in it'
)
ENGINE = {engine_everywhere AggregatingMergeTree()}
ORDER BY (log, partition)
SETTINGS {dedup}
COMMENT 'How far audience_log has been appended to the topic polder.audience';

CREATE TABLE IF NOT EXISTS {db}.audience_export {on_cluster} (
  id String COMMENT 'Id of the export',
  site LowCardinality(String) COMMENT 'Id of the site',
  audience LowCardinality(String) COMMENT 'Id of the audience',
  version UInt32 COMMENT 'Number of its definition',
  at ${since} COMMENT 'Moment for which it was decided who may be in it',
  purpose LowCardinality(String) COMMENT 'What it was for',
  recipient String COMMENT 'Who got it, as stated',
  actor String COMMENT 'Who asked for it, as stated',
  reason String COMMENT 'Why, as stated',
  format LowCardinality(String) COMMENT 'csv or parquet',
  identifiers Array(LowCardinality(String)) COMMENT 'Which identifiers were asked for',
  members UInt64 COMMENT 'People in the audience',
  exported UInt64 COMMENT 'People in the file',
  left_out Map(LowCardinality(String), UInt64) COMMENT 'People who are not, by why'
)
ENGINE = {engine_everywhere MergeTree()}
ORDER BY (site, at, id)
SETTINGS {dedup}
COMMENT 'What was exported, when, by whom and for what, without whom it was about: append-only';

-- What the gate decided, from the question to the last byte of the file.
CREATE TABLE IF NOT EXISTS {db}.audience_export_person {on_cluster} (
  export_id String COMMENT 'Id of the export',
  person UInt32 COMMENT 'Number of the person',
  verdict LowCardinality(String) COMMENT 'What the send gate said: permitted, or why not; and exported for those of the permitted with an identifier',
  mask UInt8 COMMENT 'What the person may be used for, as in consent_mask',
  at DateTime('UTC') DEFAULT now() COMMENT 'When it was decided: the row goes after an hour at most'
)
ENGINE = {engine_everywhere MergeTree()}
PARTITION BY export_id
ORDER BY person
TTL at + INTERVAL 1 HOUR
SETTINGS {dedup}
COMMENT 'Who may be in an export that is under way';

DROP VIEW IF EXISTS {db}.audiences {on_cluster};

CREATE OR REPLACE VIEW {db}.audience_days {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  day Date COMMENT 'Day in the time zone of the site',
  dimension LowCardinality(String) COMMENT 'all, country, device, channel, campaign, page_group or event',
  value String COMMENT 'Value of the dimension',
  events UInt64 COMMENT 'Events, those without identity included',
  people UInt64 COMMENT 'Different people, as known now'
)
AS SELECT
  a.site AS site,
  a.day AS day,
  a.dimension AS dimension,
  a.value AS value,
  sum(a.events) AS events,
  arrayUniq(arrayFilter(p -> p != 0, arrayMap(atom -> person(atom), bitmapToArray(groupBitmapMergeState(a.atoms))))) AS people
FROM {db}.audience_day AS a
GROUP BY a.site, a.day, a.dimension, a.value
COMMENT 'How many people were seen on a day with a value of a dimension, without bots';

CREATE OR REPLACE VIEW {db}.audience_members {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  audience LowCardinality(String) COMMENT 'Id of the audience',
  person_id UInt32 COMMENT 'The person, as known now',
  since DateTime64(3, 'UTC') COMMENT 'When they came in'
)
AS SELECT m.site AS site, m.audience AS audience, person(m.person) AS person_id, min(m.since) AS since
FROM {db}.audience_member AS m FINAL
WHERE person(m.person) != 0
GROUP BY site, audience, person_id
COMMENT 'One row a person and audience that they are in; of anonymous audiences none';

CREATE OR REPLACE VIEW {db}.audiences {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  audience LowCardinality(String) COMMENT 'Id of the audience',
  name String COMMENT 'Name for people',
  state LowCardinality(String) COMMENT 'active, paused or archived',
  version UInt32 COMMENT 'Number of the definition',
  definition String COMMENT 'The definition, as JSON',
  purpose LowCardinality(String) COMMENT 'What it is for',
  is_anonymous UInt8 COMMENT '1: only a size is told, and only from its floor on',
  people UInt64 COMMENT 'People in it, as known now; of an anonymous one as counted last, 0 below its floor',
  is_below_floor UInt8 COMMENT '1: an anonymous one with fewer people than may be told',
  changed_at DateTime64(3, 'UTC') COMMENT 'When it was changed last'
)
AS SELECT
  a.site AS site,
  a.audience AS audience,
  a.name AS name,
  a.state AS state,
  a.version AS version,
  a.definition AS definition,
  a.purpose AS purpose,
  a.is_anonymous AS is_anonymous,
  if(a.is_anonymous = 1, s.people, m.people) AS people,
  s.is_below_floor AS is_below_floor,
  a.at AS changed_at
FROM (SELECT * FROM {db}.audience ORDER BY revision DESC LIMIT 1 BY site, audience) AS a
LEFT JOIN (
  SELECT site, audience, count() AS people FROM {db}.audience_members GROUP BY site, audience
) AS m ON m.site = a.site AND m.audience = a.audience
LEFT JOIN (
  SELECT site, audience, argMax(z.people, z.at) AS people, argMax(z.is_below_floor, z.at) AS is_below_floor
  FROM {db}.audience_size AS z GROUP BY site, audience
) AS s ON s.site = a.site AND s.audience = a.audience
COMMENT 'One row an audience, as it is now';

CREATE OR REPLACE VIEW {db}.audience_sizes {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  audience LowCardinality(String) COMMENT 'Id of the audience',
  hour DateTime('UTC') COMMENT 'The hour, in UTC; hours in which nothing changed have no row',
  at DateTime64(3, 'UTC') COMMENT 'When it was counted: the last change in the hour',
  version UInt32 COMMENT 'Number of the definition',
  people UInt64 COMMENT 'People in it, as it was seen then; of an anonymous one 0 below its floor',
  restated UInt64 COMMENT 'The same people, as known now: who has been merged since counts once, who was erased does not; of an anonymous one as people',
  is_below_floor UInt8 COMMENT '1: an anonymous one with fewer people than may be told'
)
AS SELECT
  z.site AS site,
  z.audience AS audience,
  z.hour AS hour,
  z.at AS at,
  z.version AS version,
  z.people AS people,
  if(a.is_anonymous = 1, z.people, arrayUniq(arrayFilter(p -> p != 0, arrayMap(atom -> person(atom), bitmapToArray(z.atoms))))) AS restated,
  z.is_below_floor AS is_below_floor
FROM {db}.audience_size AS z FINAL
LEFT JOIN (SELECT site, audience, max(is_anonymous) AS is_anonymous FROM {db}.audience GROUP BY site, audience) AS a
  ON a.site = z.site AND a.audience = z.audience
COMMENT 'Size of each audience over time: one row an hour in which it changed';

${retentionView([
  ...retainedUntil9,
  { table: "consent_state", week: "week", isKnown: "is_known" },
  { table: "audience_log", week: "toMonday(at)", isKnown: "1" },
  { table: "audience_size", week: "toMonday(hour)", isKnown: "1" },
])}
`,
};
