import type { Migration } from "./render-migrations.ts";

/** The same rows on every node: a chain is one, and a token keeps a second writer out of it only where both insert into the same table. */
export const consentRecord: Migration = {
  number: 5,
  name: "consent-record",
  sql: `
CREATE TABLE IF NOT EXISTS {db}.consent_notice {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  hash String COMMENT 'SHA-256 of purpose, language, title and text, in hex',
  purpose LowCardinality(String) COMMENT 'measurement, profile, personalisation, prediction or ads',
  language LowCardinality(String) COMMENT 'BCP 47 tag',
  title String COMMENT 'Title shown for the purpose',
  text String COMMENT 'Text shown for the purpose',
  first_seen DateTime64(3, 'UTC') COMMENT 'When it was first found in the configuration'
)
ENGINE = {engine_everywhere MergeTree()}
ORDER BY (site, hash)
SETTINGS {dedup}, default_compression_codec = 'ZSTD(1)'
COMMENT 'Every text that was ever configured for a purpose: append-only';

CREATE TABLE IF NOT EXISTS {db}.consent_log {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  n UInt64 COMMENT 'Place in the chain of the site, from 1 without a gap',
  previous_hash String COMMENT 'Hash of the row before; empty for the first',
  hash String COMMENT 'SHA-256 of all other columns, in hex',
  message_id String COMMENT 'Id of the event that recorded the choice',
  _partition UInt16 COMMENT 'Partition of that event in the log',
  _offset UInt64 COMMENT 'Its offset' CODEC(Delta, ZSTD),
  at DateTime64(3, 'UTC') COMMENT 'When the choice was made, corrected for the clock of the client' CODEC(Delta, ZSTD),
  received_at DateTime64(3, 'UTC') COMMENT 'When the collector received it' CODEC(Delta, ZSTD),
  atom UInt32 COMMENT 'Number of the identity; 0 when the choice leaves none. person(atom) is whose it is',
  consent_id String COMMENT 'Id of the choice, the same on every event collected under it',
  \`choice.purpose\` Array(LowCardinality(String)) COMMENT 'The purposes asked for',
  \`choice.state\` Array(LowCardinality(String)) COMMENT 'The choice for each',
  \`text.purpose\` Array(LowCardinality(String)) COMMENT 'The purposes whose text was shown',
  \`text.hash\` Array(LowCardinality(String)) COMMENT 'Hash of the text shown for each: the rows of consent_notice',
  notice_version LowCardinality(String) COMMENT 'Version of the notice, as the page states it',
  notice_hash LowCardinality(String) COMMENT 'Hash of the notice as a whole, as the page states it',
  language LowCardinality(String) COMMENT 'Language it was shown in',
  variant LowCardinality(String) COMMENT 'Variant of the banner',
  regime LowCardinality(String) COMMENT 'opt_in, opt_out or notice',
  gpc UInt8 COMMENT '1: Global Privacy Control was on',
  country LowCardinality(String) COMMENT 'ISO 3166 code of two letters; empty when unknown',
  properties String COMMENT 'JSON: what the event said besides, as the raw strings of a banner' CODEC(ZSTD(3)),
  INDEX places _offset TYPE minmax GRANULARITY 1,
  INDEX moments received_at TYPE minmax GRANULARITY 1,
  INDEX atoms atom TYPE bloom_filter(0.01) GRANULARITY 1,
  INDEX consent_ids consent_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = {engine_everywhere MergeTree()}
ORDER BY (site, n)
SETTINGS {dedup}, default_compression_codec = 'ZSTD(1)', index_granularity = 1024
COMMENT 'One row a recorded choice, chained by hash per site: append-only';

-- Two workers that carry out the same write the same, in any order: what was there is the most that was seen, what is left the least.
CREATE TABLE IF NOT EXISTS {db}.consent_receipt {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  n UInt64 COMMENT 'Place of the withdrawal in the chain of the site: consent_log',
  round UInt16 COMMENT '1; one more each time that rows received before the withdrawal were loaded after it had been carried out',
  table_name LowCardinality(String) COMMENT 'Table that it was removed from; empty for the withdrawal as a whole',
  consent_id SimpleAggregateFunction(any, String) COMMENT 'Id of the withdrawal',
  outcome SimpleAggregateFunction(any, String) COMMENT 'removed; or why nothing was: granted_again, other_basis, nothing_found',
  rows SimpleAggregateFunction(max, UInt64) COMMENT 'Rows of this visitor that were there; as a whole: identities',
  remaining SimpleAggregateFunction(min, UInt64) COMMENT 'Of these, how many still said who the visitor is when it was over; as a whole: in all tables',
  is_done SimpleAggregateFunction(max, UInt8) COMMENT '1: carried out to the end; 0: begun',
  at SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'When',
  atoms SimpleAggregateFunction(groupUniqArrayArray, Array(UInt32)) COMMENT 'As a whole: numbers of the identities that were made nameless; of a table: none',
  kept SimpleAggregateFunction(groupUniqArrayArray, Array(UInt32)) COMMENT 'As a whole: identities of the same browser that stand on another basis',
  emptied SimpleAggregateFunction(groupUniqArrayArray, Array(UInt32)) COMMENT 'As a whole: identities that go on and were emptied in part',
  purposes SimpleAggregateFunction(groupUniqArrayArray, Array(String)) COMMENT 'What of these was emptied: click ids and traits for these purposes; none: all that was received until the withdrawal',
  keys SimpleAggregateFunction(groupUniqArrayArray, Array(UInt64)) COMMENT 'As a whole: hash of the id that withdrew, to find rows that are loaded late; empty from 8 days on' TTL toDateTime(at) + INTERVAL 8 DAY,
  INDEX consent_ids consent_id TYPE bloom_filter(0.01) GRANULARITY 1,
  INDEX moments at TYPE minmax GRANULARITY 1
)
ENGINE = {engine_everywhere AggregatingMergeTree()}
ORDER BY (site, n, round, table_name)
SETTINGS {dedup}, default_compression_codec = 'ZSTD(1)', index_granularity = 1024
COMMENT 'What each withdrawal removed, where and when';

-- A visitor asks by the id in the cookie alone, which is no key of the table.
ALTER TABLE {local atom} {on_cluster} ADD INDEX IF NOT EXISTS devices anonymous_id TYPE bloom_filter(0.01) GRANULARITY 1;

-- What is loaded after a withdrawal is found by the keys in its receipt.
ALTER TABLE {local atom} {on_cluster} ADD INDEX IF NOT EXISTS device_keys cityHash64(anonymous_id, if(anonymous_id = '', user_id, '')) TYPE bloom_filter(0.01) GRANULARITY 1;

-- What was chosen days ago and came today is looked for by its arrival.
ALTER TABLE {local events} {on_cluster} ADD INDEX IF NOT EXISTS arrivals received_at TYPE minmax GRANULARITY 1;
`,
};
