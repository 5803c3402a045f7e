import type { Migration } from "./render-migrations.ts";

const arrivalsOf = (outcomes: string): string => `groupBitmapMergeStateIf(arrivals, outcome IN (${outcomes}))`;
const named = (pairs: string): string => `mapSort(sumMap(mapFromArrays(${pairs}.1, ${pairs}.2)::Map(String, UInt64)))`;

/** Numbers run from 0 within a visit, so what is missing before one is its distance from the one before it. */
const gapsOf = (where: string): string => `SELECT site, hour, uniqExact(session_id) AS sessions, sum(gap) AS missing
FROM (
  SELECT
    site,
    session_id,
    arraySort(groupUniqArray((session_seq, toStartOfHour(events.received_at)::DateTime('UTC')))) AS numbers,
    arrayJoin(arrayMap(
      (number, previous) -> (toInt64(number.1) - previous - 1, number.2),
      numbers, arrayPushFront(arrayPopBack(arrayMap(number -> toInt64(number.1), numbers)), toInt64(-1)))) AS found,
    found.1 AS gap,
    found.2 AS hour
  FROM {db}.events AS events
  WHERE session_id != ''${where}
  GROUP BY site, session_id
)
WHERE gap > 0
GROUP BY site, hour`;

/** The columns of `loss_balance`, which are those of `loss_ledger` but for the gaps. */
const balanceColumns = `  site LowCardinality(String) COMMENT 'Id of the site',
  hour DateTime('UTC') COMMENT 'Hour in UTC in which the events were received',
  received UInt64 COMMENT 'Events that came to collectors and were answered 200 or 202, or were found in the log although their sender heard nothing. A retry is received again',
  stored UInt64 COMMENT 'Rows in events, as ClickHouse counted them while it stored them. Erasure and retention take nothing away here',
  rejected UInt64 COMMENT 'In the table rejected, with a reason',
  duplicate UInt64 COMMENT 'Retries of a message that was stored already, dropped by the loader',
  dropped UInt64 COMMENT 'Of which nothing was kept, for want of consent',
  in_flight UInt64 COMMENT 'Answered and not loaded yet, in the log or in the spool of a collector',
  difference Int64 COMMENT 'received less stored, rejected, duplicate, dropped and in_flight, which is lost less doubled. 0, or something is wrong',
  lost UInt64 COMMENT 'Answered for and nowhere, or settled without a row',
  doubled UInt64 COMMENT 'Rows in events beyond those that were settled: the same event is there twice',
  is_closed UInt8 COMMENT '1: all that the log took in this hour is loaded. 0: the figures still move, and may disagree for a moment',
  rejected_by_reason Map(String, UInt64) COMMENT 'Rejected events by reason; refused_by_store is what ClickHouse refused',
  dropped_by_reason Map(String, UInt64) COMMENT 'Dropped events by reason',
  spooled UInt64 COMMENT 'Of the received ones: kept by a collector for a while, because the log was away',
  unanswered UInt64 COMMENT 'Of the received ones: in the log, but no collector says that it answered for them. Their sender heard 503 or nothing, and sends them again',
  client_queued UInt64 COMMENT 'What browsers say: events that the page made',
  client_sent UInt64 COMMENT 'What browsers say: events in requests, retries included',
  client_retried UInt64 COMMENT 'What browsers say: events that were sent again',
  client_dropped UInt64 COMMENT 'What browsers say: events that the page gave up',
  client_dropped_by_reason Map(String, UInt64) COMMENT 'The same by reason'`;

/**
 * The books hold sets of arrivals, so that whoever states one again changes nothing: a retried append, a record that was forwarded twice, a range
 * that is loaded again after a crash. The one sum is what ClickHouse itself counted while it stored: it hangs on the insert of the events.
 */
export const lossLedger: Migration = {
  number: 8,
  name: "loss-ledger",
  sql: `
CREATE TABLE IF NOT EXISTS {local ledger} {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  hour DateTime('UTC') COMMENT 'Hour in UTC in which the events were received, the same at every hop' CODEC(Delta, ZSTD),
  outcome LowCardinality(String) COMMENT 'By collectors: answered (durable in the log), spooled (durable in the collector), dropped. By loaders: stored, duplicate, rejected. By ClickHouse: row. By clients: client_queued, client_sent, client_retried, client_dropped',
  reason LowCardinality(String) COMMENT 'Why, for dropped and rejected ones; empty otherwise',
  process LowCardinality(String) COMMENT 'Run of the collector that numbered the arrivals; topic, partition and range of offsets for records that no collector received; empty for rows',
  arrivals AggregateFunction(groupBitmap, UInt32) COMMENT 'Numbers of the arrivals, unique within process and hour',
  counted SimpleAggregateFunction(max, UInt64) COMMENT 'Of clients: their running total within process and hour',
  rows SimpleAggregateFunction(sum, UInt64) COMMENT 'Outcome row: rows that inserts brought into events'
)
ENGINE = {engine AggregatingMergeTree()}
ORDER BY (site, hour, outcome, reason, process)
SETTINGS {dedup}, default_compression_codec = 'ZSTD(1)', index_granularity = 1024
COMMENT 'What became of every event that was received';
{distributed ledger by rand()}

-- Keeps nothing: what is inserted here ends up in ledger.
CREATE TABLE IF NOT EXISTS {db}.ledger_entry {on_cluster} (
  site String COMMENT 'Id of the site',
  hour DateTime('UTC') COMMENT 'Hour in UTC in which the events were received',
  outcome String COMMENT 'As in ledger',
  reason String COMMENT 'As in ledger',
  process String COMMENT 'As in ledger',
  first Array(UInt32) COMMENT 'Numbers of arrivals as spans: where each begins',
  last Array(UInt32) COMMENT 'Where each ends, itself included',
  counted UInt64 COMMENT 'Of clients: their running total'
)
ENGINE = Null
COMMENT 'Where entries of the ledger are inserted; holds nothing itself';

CREATE MATERIALIZED VIEW IF NOT EXISTS {db}.ledger_entry_mv {on_cluster} TO {local ledger} AS
SELECT
  site,
  hour,
  outcome,
  reason,
  process,
  arrayReduce('groupBitmapState', arrayFlatten(arrayMap(
    (from, to) -> range(from, to + 1)::Array(UInt32), first, last))::Array(UInt32)) AS arrivals,
  counted
FROM {db}.ledger_entry;

CREATE MATERIALIZED VIEW IF NOT EXISTS {db}.ledger_row_mv {on_cluster} TO {local ledger} AS
SELECT site, toStartOfHour(events.received_at)::DateTime('UTC') AS hour, 'row' AS outcome, count() AS rows
FROM {local events} AS events
GROUP BY site, hour;

CREATE TABLE IF NOT EXISTS {local ledger_progress} {on_cluster} (
  topic LowCardinality(String) COMMENT 'Topic of the log',
  partition UInt16 COMMENT 'Its partition',
  loaded_until SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Everything that the partition took before this time is loaded; nothing is said of polder.ledger',
  next_offset SimpleAggregateFunction(max, UInt64) COMMENT 'Of polder.ledger alone: ledger holds all records before this one, and some after it'
)
ENGINE = {engine AggregatingMergeTree()}
ORDER BY (topic, partition)
SETTINGS {dedup}, default_compression_codec = 'ZSTD(1)'
COMMENT 'How far loaders are';
{distributed ledger_progress by rand()}

CREATE OR REPLACE VIEW {db}.session_gaps {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  hour DateTime('UTC') COMMENT 'Hour in UTC in which the event after the gap was received',
  sessions UInt64 COMMENT 'Visits with a gap that ends in this hour',
  missing UInt64 COMMENT 'Numbers that no event has: it is not here yet, was never stored, or was removed since'
)
AS ${gapsOf("")}
COMMENT 'Numbers of events that are missing in visits: the page counts its events, and these are not there';

CREATE OR REPLACE VIEW {db}.loss_balance {on_cluster} (
${balanceColumns}
)
AS WITH (
  SELECT min(until) FROM (
    SELECT topic, partition, max(loaded_until) AS until FROM {db}.ledger_progress
    WHERE topic != 'polder.ledger' GROUP BY topic, partition
  )
) AS loaded_until
SELECT
  site,
  hour,
  sum(book.received_here) AS received,
  sum(book.rows_here) AS stored,
  sum(book.rejected_here) AS rejected,
  sum(book.duplicate_here) AS duplicate,
  sum(book.dropped_here) AS dropped,
  if(is_closed, sum(book.spooled_away), sum(book.away)) AS in_flight,
  toInt64(received) - toInt64(stored + rejected + duplicate + dropped + in_flight) AS difference,
  sum(book.away) - in_flight + greatest(sum(book.settled_rows) - stored, 0) AS lost,
  greatest(stored - sum(book.settled_rows), 0) AS doubled,
  ifNull(loaded_until >= hour + INTERVAL 61 MINUTE, 0) AS is_closed,
  ${named("book.rejections")} AS rejected_by_reason,
  ${named("book.drops")} AS dropped_by_reason,
  sum(book.spooled_here) AS spooled,
  sum(book.unanswered_here) AS unanswered,
  sum(book.queued) AS client_queued,
  sum(book.sent) AS client_sent,
  sum(book.retried) AS client_retried,
  sum(arraySum(book.client_drops.2)) AS client_dropped,
  ${named("book.client_drops")} AS client_dropped_by_reason
FROM (
  SELECT
    site,
    hour,
    bitmapCardinality(known) AS received_here,
    rows_here,
    bitmapCardinality(stored) AS settled_rows,
    bitmapAndnotCardinality(kept, stored) AS rejected_here,
    bitmapAndnotCardinality(settled, kept) AS duplicate_here,
    bitmapCardinality(dropped) AS dropped_here,
    bitmapAndnotCardinality(answered, settled) AS away,
    bitmapAndnotCardinality(spooled, settled) AS spooled_away,
    bitmapCardinality(spooled) AS spooled_here,
    bitmapAndnotCardinality(settled, answered) AS unanswered_here,
    arrayMap(one -> (one.1, bitmapAndnotCardinality(one.2, stored)), rejected) AS rejections,
    drops,
    queued,
    sent,
    retried,
    client_drops
  FROM (
    SELECT
      site,
      hour,
      process,
      ${arrivalsOf("'answered', 'spooled'")} AS answered,
      ${arrivalsOf("'spooled'")} AS spooled,
      ${arrivalsOf("'dropped'")} AS dropped,
      ${arrivalsOf("'stored'")} AS stored,
      ${arrivalsOf("'stored', 'rejected'")} AS kept,
      ${arrivalsOf("'stored', 'rejected', 'duplicate'")} AS settled,
      ${arrivalsOf("'answered', 'spooled', 'dropped', 'stored', 'rejected', 'duplicate'")} AS known,
      sum(rows) AS rows_here,
      groupArrayIf((reason::String, arrivals), outcome = 'rejected') AS rejected,
      groupArrayIf((reason::String, bitmapCardinality(arrivals)), outcome = 'dropped') AS drops,
      sumIf(counted, outcome = 'client_queued') AS queued,
      sumIf(counted, outcome = 'client_sent') AS sent,
      sumIf(counted, outcome = 'client_retried') AS retried,
      groupArrayIf((reason::String, counted), outcome = 'client_dropped') AS client_drops
    FROM (
      SELECT site, hour, process, outcome, reason,
        groupBitmapMergeState(arrivals) AS arrivals, max(counted) AS counted, sum(rows) AS rows
      FROM {db}.ledger
      GROUP BY site, hour, process, outcome, reason
    )
    GROUP BY site, hour, process
  )
) AS book
GROUP BY site, hour
COMMENT 'loss_ledger without the gaps, for which all events of the last days are read: what alerts ask';

CREATE OR REPLACE VIEW {db}.loss_ledger {on_cluster} (
${balanceColumns},
  sessions_with_gaps UInt64 COMMENT 'Visits with missing numbers, of events received in the last 8 days',
  missing_in_sessions UInt64 COMMENT 'Numbers that are missing in them: see session_gaps'
)
AS SELECT balance.*, gaps.sessions AS sessions_with_gaps, gaps.missing AS missing_in_sessions
FROM {db}.loss_balance AS balance
LEFT JOIN (
  ${gapsOf(" AND received_at > now() - INTERVAL 8 DAY AND session_start > now() - INTERVAL 8 DAY")}
) AS gaps ON gaps.site = balance.site AND gaps.hour = balance.hour
COMMENT 'One row a site and hour: what was received, and what became of it. It balances when difference is 0';
`,
};
