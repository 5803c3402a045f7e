import { eventColumns } from "./0001-tables.ts";
import { viewSelects, type MoreKeys } from "./0003-materialized-views.ts";
import { weekAndClass } from "./0009-retention.ts";
import type { Migration } from "./render-migrations.ts";

const arrivalsOf = (outcomes: string): string => `groupBitmapMergeStateIf(arrivals, outcome IN (${outcomes}))`;
const named = (pairs: string): string => `mapSort(sumMap(mapFromArrays(${pairs}.1, ${pairs}.2)::Map(String, UInt64)))`;

/** A visit with a log-in in it has rows of two identities, so that what one of them did can be taken out. */
export const visitKeys: MoreKeys = {
  columns: [...weekAndClass.columns, "events.atom AS of_atom"],
  names: [...weekAndClass.names, "of_atom"],
};

/** True of what no erased person has done. Nobody (atom 0) is not erased. */
const notErased = (atom: string): string => `(${atom} = 0 OR person(${atom}) != 0)`;

const eventViewColumns = eventColumns
  .map(([name, type, , comment]) => `  \`${name}\` ${type} COMMENT '${comment}'`)
  .join(",\n");
const eventNames = eventColumns.map(([name]) => `\`${name}\``).join(", ");

const ofAtom =
  "of_atom UInt32 COMMENT 'Number of the identity whose events these are: a visit with a log-in in it has two'";
const visitKey = "site, start_date, session_id";

export const rights: Migration = {
  number: 14,
  name: "rights",
  sql: `
-- The same rows on every node, and few. Whoever works out who belongs to whom leaves out the atoms of kind person.
CREATE TABLE IF NOT EXISTS {db}.erasure {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  id String COMMENT 'Id of the erasure, which its receipt has too',
  round UInt16 COMMENT '1: as it was asked for; one more each time that something of the person came to light afterwards',
  kind LowCardinality(String) COMMENT 'person: everything; traits: the named traits, the person goes on',
  person UInt32 COMMENT 'Number of the person when it was asked',
  atoms Array(UInt32) COMMENT 'Numbers of the identities: of kind person those that are not in kept_atoms are nobody any more',
  kept_atoms Array(UInt32) COMMENT 'Of these, those that somebody new has begun to use since: they lose what happened before the erasure, and go on',
  keys Array(UInt64) COMMENT 'Keyed hashes (SipHash, the key is in erasure_key) of the ids: what happened before requested_at under one of them is refused',
  traits Array(String) COMMENT 'With kind traits: names of the traits',
  requested_at DateTime64(3, 'UTC') COMMENT 'When it was asked for: what happens later is of somebody new',
  at DateTime64(3, 'UTC') COMMENT 'When this round was written down',
  actor String COMMENT 'Who asked for it, as stated',
  reason String COMMENT 'Why, as stated'
)
ENGINE = {engine_everywhere MergeTree()}
ORDER BY (site, id, round)
SETTINGS {dedup}, default_compression_codec = 'ZSTD(1)'
COMMENT 'Who asked when and why for whose erasure, without an id of that person: append-only';

CREATE TABLE IF NOT EXISTS {db}.erasure_key {on_cluster} (
  k0 UInt64 COMMENT 'First half of the key',
  k1 UInt64 COMMENT 'Second half',
  since DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'The first row holds'
)
ENGINE = {engine_everywhere MergeTree()}
ORDER BY since
SETTINGS {dedup}
COMMENT 'The key under which ids of erased people are hashed';

-- Who adds the next number, by its token, and nobody before.
CREATE TABLE IF NOT EXISTS {db}.erasure_turn {on_cluster} (
  what LowCardinality(String) COMMENT 'erasures',
  n UInt64 COMMENT 'Number of the turn: the greatest holds',
  worker String COMMENT 'Which run of which worker has it; empty when it was given back',
  at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When it was taken, or kept last'
)
ENGINE = {engine_everywhere ReplacingMergeTree(n)}
ORDER BY what
SETTINGS {dedup}, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Which worker carries erasures out';

-- Two workers that carry out the same write the same, in any order: what was there is the most that was seen, what is left the least.
CREATE TABLE IF NOT EXISTS {db}.erasure_receipt {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  id String COMMENT 'Id of the erasure',
  round UInt16 COMMENT 'As in erasure',
  table_name LowCardinality(String) COMMENT 'Table that it was removed from; empty for the erasure as a whole',
  rows SimpleAggregateFunction(max, UInt64) COMMENT 'Rows of this person that were there; as a whole: identities',
  remaining SimpleAggregateFunction(min, UInt64) COMMENT 'Of these, how many are left; as a whole: in all tables',
  is_done SimpleAggregateFunction(max, UInt8) COMMENT '1: carried out to the end; 0: begun',
  at SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'When',
  bounds SimpleAggregateFunction(maxMap, Map(UInt16, UInt64)) COMMENT 'As a whole: by partition of the log the last event of this person that was stored when counts were corrected; what comes after is of a later round',
  is_corrected SimpleAggregateFunction(max, UInt8) COMMENT 'As a whole, 1: counts by day are without these events, so the events may go'
)
ENGINE = {engine_everywhere AggregatingMergeTree()}
ORDER BY (site, id, round, table_name)
SETTINGS {dedup}, default_compression_codec = 'ZSTD(1)', index_granularity = 1024
COMMENT 'What each erasure removed, where and when';

ALTER TABLE {local session_state} {on_cluster} ADD COLUMN IF NOT EXISTS ${ofAtom}, MODIFY ORDER BY (${visitKey}, week, is_known, of_atom);
ALTER TABLE {db}.session_state {on_cluster} ADD COLUMN IF NOT EXISTS ${ofAtom};
ALTER TABLE {db}.session_state_mv {on_cluster} MODIFY QUERY ${viewSelects.session_state(visitKeys)};
-- A view whose question was changed knows its inserts by other tokens after a restart, unless it is attached again.
DETACH TABLE IF EXISTS {db}.session_state_mv {on_cluster};
ATTACH TABLE IF NOT EXISTS {db}.session_state_mv {on_cluster};

CREATE OR REPLACE VIEW {db}.events_v {on_cluster} (
${eventViewColumns},
  person_id UInt32 COMMENT 'The person, as known now; 0 when the event has no identity'
)
AS SELECT ${eventNames}, person(atom) AS person_id
FROM {db}.events
WHERE ${notErased("atom")}
COMMENT 'Every event with its person. Bots have their name in bot';

CREATE OR REPLACE VIEW {db}.people {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  person_id UInt32 COMMENT 'The person, as known now',
  user_ids Array(String) COMMENT 'Ids the site gave to this customer; empty for a visitor who never logged in',
  devices UInt64 COMMENT 'Number of different anonymous ids',
  first_seen DateTime64(3, 'UTC') COMMENT 'Time of the first event on any device',
  last_seen DateTime64(3, 'UTC') COMMENT 'Time of the last event on any device',
  events UInt64 COMMENT 'Events of all types',
  page_views UInt64 COMMENT 'Events of type page or screen',
  clicks UInt64 COMMENT 'Events named Clicked',
  sessions UInt64 COMMENT 'Different visits',
  orders UInt64 COMMENT 'Different orders; one sent twice counts once',
  revenue Map(String, Decimal(38, 4)) COMMENT 'By currency: amounts of the orders less refunds',
  first_channel String COMMENT 'Channel of the first visit that came from outside',
  first_source String COMMENT 'Its utm_source',
  first_medium String COMMENT 'Its utm_medium',
  first_campaign String COMMENT 'Its utm_campaign',
  first_referrer String COMMENT 'Its referrer host',
  first_landing_page String COMMENT 'Host and path where it landed',
  last_channel String COMMENT 'Channel of the last visit that came from outside',
  last_source String COMMENT 'Its utm_source',
  last_medium String COMMENT 'Its utm_medium',
  last_campaign String COMMENT 'Its utm_campaign',
  last_referrer String COMMENT 'Its referrer host',
  last_landing_page String COMMENT 'Host and path where it landed',
  device String COMMENT 'Device class last seen',
  country String COMMENT 'Country last seen',
  traits Map(String, String) COMMENT 'Last value of each trait, as text'
)
AS SELECT
  state.site AS site,
  state.person_id AS person_id,
  ids.user_ids AS user_ids,
  ids.devices AS devices,
  state.first_seen AS first_seen,
  state.last_seen AS last_seen,
  state.events AS events,
  state.page_views AS page_views,
  state.clicks AS clicks,
  state.sessions AS sessions,
  state.orders AS orders,
  state.revenue AS revenue,
  state.first.1 AS first_channel,
  state.first.2 AS first_source,
  state.first.3 AS first_medium,
  state.first.4 AS first_campaign,
  state.first.5 AS first_referrer,
  state.first.6 AS first_landing_page,
  state.last.1 AS last_channel,
  state.last.2 AS last_source,
  state.last.3 AS last_medium,
  state.last.4 AS last_campaign,
  state.last.5 AS last_referrer,
  state.last.6 AS last_landing_page,
  state.device AS device,
  state.country AS country,
  stated.traits AS traits
FROM (
  SELECT
    p.site AS site,
    person(p.atom) AS person_id,
    min(p.first_seen) AS first_seen,
    max(p.last_seen) AS last_seen,
    sum(p.events) AS events,
    sum(p.page_views) AS page_views,
    sum(p.clicks) AS clicks,
    uniqExactMerge(p.sessions) AS sessions,
    maxMap(p.orders) AS amounts,
    length(amounts) AS orders,
    mapSort(mapAdd(
      arrayFold(
        (total, currency, amount) -> mapAdd(total, map(currency, amount)),
        arrayMap(key -> splitByChar(' ', key)[1], mapKeys(amounts)),
        arrayMap(amount -> amount::Decimal(38, 4), mapValues(amounts)),
        map()::Map(String, Decimal(38, 4))),
      sumMap(p.refunds))) AS revenue,
    argMinMerge(p.first_touch) AS first,
    argMaxMerge(p.last_touch) AS last,
    argMaxMerge(p.device) AS device,
    argMaxMerge(p.country) AS country
  FROM {db}.profile_state AS p
  WHERE person(p.atom) != 0
  GROUP BY site, person_id
) AS state
LEFT JOIN (
  SELECT
    site,
    person(atom) AS person_id,
    arraySort(groupUniqArrayIf(user_id, user_id != '')) AS user_ids,
    uniqExactIf(anonymous_id, anonymous_id != '') AS devices
  FROM {db}.atom
  WHERE person(atom) != 0
  GROUP BY site, person_id
) AS ids ON ids.site = state.site AND ids.person_id = state.person_id
LEFT JOIN (
  SELECT site, person_id, mapSort(mapFromArrays(groupArray(trait), groupArray(value))) AS traits
  FROM (
    SELECT site, person(atom) AS person_id, name::String AS trait, argMaxMerge(last).1 AS value
    FROM {db}.trait_state
    WHERE person(atom) != 0
    GROUP BY site, person_id, trait
  )
  GROUP BY site, person_id
) AS stated ON stated.site = state.site AND stated.person_id = state.person_id
COMMENT 'One row a person, without bots';

CREATE OR REPLACE VIEW {db}.sessions {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  day Date COMMENT 'Day of its first event in the time zone of the site',
  session_id String COMMENT 'Id of the visit',
  person_id UInt32 COMMENT 'The person, as known now',
  started_at DateTime64(3, 'UTC') COMMENT 'Time of the first event',
  ended_at DateTime64(3, 'UTC') COMMENT 'Time of the last event',
  seconds Decimal(18, 3) COMMENT 'From the first event to the last',
  events UInt64 COMMENT 'Events of all types',
  page_views UInt64 COMMENT 'Events of type page or screen',
  clicks UInt64 COMMENT 'Events named Clicked',
  orders UInt64 COMMENT 'Different orders',
  entry_page String COMMENT 'Path of the first page viewed',
  exit_page String COMMENT 'Path of the last page viewed',
  channel String COMMENT 'Where the visit came from: direct, search, social, mail, paid or referral',
  source String COMMENT 'utm_source',
  medium String COMMENT 'utm_medium',
  campaign String COMMENT 'utm_campaign',
  referrer String COMMENT 'Referrer host',
  device String COMMENT 'Device class',
  country String COMMENT 'Country'
)
AS SELECT
  s.site AS site,
  min(s.day) AS day,
  s.session_id AS session_id,
  person(argMaxMerge(s.atom)) AS person_id,
  min(s.started_at) AS started_at,
  max(s.ended_at) AS ended_at,
  (max(s.ended_at)::Decimal(18, 3) - min(s.started_at)::Decimal(18, 3))::Decimal(18, 3) AS seconds,
  sum(s.events) AS events,
  sum(s.page_views) AS page_views,
  sum(s.clicks) AS clicks,
  length(maxMap(s.orders)) AS orders,
  argMinMerge(s.entry_page) AS entry_page,
  argMaxMerge(s.exit_page) AS exit_page,
  (argMinMerge(s.touch) AS first).1 AS channel,
  first.2 AS source,
  first.3 AS medium,
  first.4 AS campaign,
  first.5 AS referrer,
  argMinMerge(s.device) AS device,
  argMinMerge(s.country) AS country
FROM {db}.session_state AS s
WHERE person(s.of_atom) != 0
GROUP BY s.site, s.start_date, s.session_id
COMMENT 'One row a visit, without bots';

CREATE OR REPLACE VIEW {db}.page_views {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  day Date COMMENT 'Day in the time zone of the site',
  time DateTime64(3, 'UTC') COMMENT 'When it was viewed',
  person_id UInt32 COMMENT 'The person, as known now; 0 when the view has no identity',
  session_id String COMMENT 'Id of the visit',
  message_id String COMMENT 'Id of the event',
  url_host LowCardinality(String) COMMENT 'Host of the page',
  url_path String COMMENT 'Path of the page',
  page_title String COMMENT 'Title of the page',
  page_group LowCardinality(String) COMMENT 'Name given to the page, else the first segment of its path',
  referrer_host LowCardinality(String) COMMENT 'Host of the page before',
  channel LowCardinality(String) COMMENT 'direct, search, social, mail, paid, referral or internal',
  campaign LowCardinality(String) COMMENT 'utm_campaign',
  country LowCardinality(String) COMMENT 'ISO 3166 code of two letters; empty when unknown',
  device LowCardinality(String) COMMENT 'desktop, mobile, tablet or tv'
)
AS SELECT
  site, day, time, person(atom) AS person_id, session_id, message_id, url_host, url_path, page_title, page_group,
  referrer_host, channel, utm_campaign AS campaign, country, device
FROM {db}.events
WHERE type IN ('page', 'screen') AND bot = '' AND ${notErased("atom")}
COMMENT 'One row a page view, without bots';

CREATE OR REPLACE VIEW {db}.orders {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  day Date COMMENT 'Day of the order in the time zone of the site',
  time DateTime64(3, 'UTC') COMMENT 'When it was completed',
  order_id String COMMENT 'Id of the order; of the event when it gave none',
  person_id UInt32 COMMENT 'The person, as known now; 0 when the order has no identity',
  session_id String COMMENT 'Visit in which it was completed; empty for orders from a server',
  currency LowCardinality(String) COMMENT 'ISO 4217 code of three letters',
  amount Decimal(18, 4) COMMENT 'Amount; of an order sent more than once the greatest',
  refunded Decimal(38, 4) COMMENT 'Sum of its refunds, negative',
  times_sent UInt64 COMMENT 'How often it was sent'
)
AS SELECT
  e.site AS site,
  minIf(e.day, is_order) AS day,
  minIf(e.time, is_order) AS time,
  if(e.order_id = '', e.message_id, e.order_id) AS order_id,
  person(argMinIf(e.atom, (e.time, e._offset), is_order)) AS person_id,
  argMinIf(e.session_id, (e.time, e._offset), is_order) AS session_id,
  e.currency AS currency,
  maxIf(e.amount, e.name = 'Order Completed' AS is_order) AS amount,
  sumIf(e.amount, NOT is_order) AS refunded,
  countIf(is_order) AS times_sent
FROM {db}.events AS e
WHERE e.name IN ('Order Completed', 'Order Refunded') AND e.bot = '' AND ${notErased("e.atom")}
GROUP BY e.site, e.currency, order_id
HAVING times_sent > 0
COMMENT 'One row an order, with what was refunded of it';

CREATE OR REPLACE VIEW {db}.consent_choices {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  day Date COMMENT 'Day in the time zone of the site',
  time DateTime64(3, 'UTC') COMMENT 'When the choice was made',
  person_id UInt32 COMMENT 'The person, as known now; 0 where the choice leaves no identity',
  consent_id String COMMENT 'Id of the choice, the same on every event collected under it',
  purpose LowCardinality(String) COMMENT 'necessary, measurement, profile, personalisation, prediction or ads',
  state LowCardinality(String) COMMENT 'granted, denied, withdrawn, expired, opted_out, not_required or unset',
  regime LowCardinality(String) COMMENT 'opt_in, opt_out or notice',
  notice LowCardinality(String) COMMENT 'JSON: all that was said of what was shown, as sent',
  notice_version LowCardinality(String) COMMENT 'Version of the texts of the banner together; empty when it stated none',
  language LowCardinality(String) COMMENT 'Language it was shown in; empty when the banner stated none',
  variant LowCardinality(String) COMMENT 'Which of several banners it was; empty when it stated none',
  title String COMMENT 'Title of the purpose, as it was shown; empty when its hash was not stated, or is not on file',
  text String COMMENT 'Text of the purpose, as it was shown; empty as the title',
  country LowCardinality(String) COMMENT 'ISO 3166 code of two letters; empty when unknown',
  message_id String COMMENT 'Id of the event that recorded it'
)
AS SELECT
  c.site AS site, c.day AS day, c.time AS time, person(c.atom) AS person_id, c.consent_id AS consent_id,
  c.purpose AS purpose, c.state AS state, c.regime AS regime, c.notice AS notice,
  JSONExtractString(c.notice, 'version') AS notice_version,
  JSONExtractString(c.notice, 'language') AS language,
  JSONExtractString(c.notice, 'variant') AS variant,
  filed.title AS title,
  filed.text AS text,
  c.country AS country, c.message_id AS message_id
FROM (
  SELECT
    site, day, time, atom, consent_id, purpose, state, regime, notice, country, message_id,
    JSONExtractString(notice, 'texts', purpose) AS hash
  FROM {db}.events
  ARRAY JOIN \`choice.purpose\` AS purpose, \`choice.state\` AS state
  WHERE type = 'consent' AND name = 'consent' AND ${notErased("atom")}
) AS c
LEFT ANY JOIN {db}.consent_notice AS filed ON filed.site = c.site AND filed.hash = c.hash
COMMENT 'One row a purpose of every recorded choice. The first no of a visitor is not among them: nothing is sent of it';

CREATE OR REPLACE VIEW {db}.audience_days {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  day Date COMMENT 'Day in the time zone of the site',
  dimension LowCardinality(String) COMMENT 'all, country, device, channel, campaign, page_group or event',
  value String COMMENT 'Value of the dimension',
  events UInt64 COMMENT 'Events, those without identity included. Those of an erased person go within a minute',
  people UInt64 COMMENT 'Different people, as known now'
)
AS SELECT
  a.site AS site,
  a.day AS day,
  a.dimension AS dimension,
  a.value AS value,
  sum(a.events) AS events,
  arrayUniq(arrayFilter(who -> who != 0, arrayMap(atom -> person(atom), bitmapToArray(groupBitmapMergeState(a.atoms))))) AS people
FROM {db}.audience_day AS a
GROUP BY a.site, a.day, a.dimension, a.value
HAVING events > 0
COMMENT 'How many people were seen on a day with a value of a dimension, without bots';

-- What loaders drop, because it is of an erased person, was answered before: settled without a row, and no loss.
CREATE OR REPLACE VIEW {db}.loss_balance {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  hour DateTime('UTC') COMMENT 'Hour in UTC in which the events were received',
  received UInt64 COMMENT 'Events that came to collectors and were answered 200 or 202, or were found in the log although their sender heard nothing. A retry is received again',
  stored UInt64 COMMENT 'Rows in events, as ClickHouse counted them while it stored them. Erasure and retention take nothing away here',
  rejected UInt64 COMMENT 'In the table rejected, with a reason',
  duplicate UInt64 COMMENT 'Retries of a message that was stored already, dropped by the loader',
  dropped UInt64 COMMENT 'Of which nothing was kept: by collectors for want of consent, by loaders because the person was erased',
  in_flight UInt64 COMMENT 'Answered and not loaded yet, in the log or in the spool of a collector',
  difference Int64 COMMENT 'received less stored, rejected, duplicate, dropped and in_flight, which is lost less doubled. 0, or something is wrong',
  lost UInt64 COMMENT 'Answered for and nowhere, or settled without a row',
  doubled UInt64 COMMENT 'Rows in events beyond those that were settled: the same event is there twice',
  is_closed UInt8 COMMENT '1: all that the log took in this hour is loaded. 0: the figures still move, and may disagree for a moment',
  rejected_by_reason Map(String, UInt64) COMMENT 'Rejected events by reason; refused_by_store is what ClickHouse refused',
  dropped_by_reason Map(String, UInt64) COMMENT 'Dropped events by reason; erased is what came of a person after the erasure and happened before it',
  spooled UInt64 COMMENT 'Of the received ones: kept by a collector for a while, because the log was away',
  unanswered UInt64 COMMENT 'Of the received ones: in the log, but no collector says that it answered for them. Their sender heard 503 or nothing, and sends them again',
  client_queued UInt64 COMMENT 'What browsers say: events that the page made',
  client_sent UInt64 COMMENT 'What browsers say: events in requests, retries included',
  client_retried UInt64 COMMENT 'What browsers say: events that were sent again',
  client_dropped UInt64 COMMENT 'What browsers say: events that the page gave up',
  client_dropped_by_reason Map(String, UInt64) COMMENT 'The same by reason'
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
    -- Loaded again after a crash, a range may have been stored at first and be dropped now: what was settled first holds.
    bitmapAndnotCardinality(dropped, settled) AS dropped_here,
    bitmapAndnotCardinality(bitmapAndnot(answered, settled), dropped) AS away,
    bitmapAndnotCardinality(bitmapAndnot(spooled, settled), dropped) AS spooled_away,
    bitmapCardinality(spooled) AS spooled_here,
    bitmapAndnotCardinality(settled, answered) AS unanswered_here,
    arrayMap(one -> (one.1, bitmapAndnotCardinality(one.2, stored)), rejected) AS rejections,
    arrayMap(one -> (one.1, bitmapAndnotCardinality(one.2, settled)), dropped_for) AS drops,
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
      groupArrayIf((reason::String, arrivals), outcome = 'dropped') AS dropped_for,
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
`,
  // Visits from before go first: else the server would merge them with the new ones meanwhile, for nothing.
  refill: {
    table: "session_state",
    isMade: "1",
    week: "week",
    insert: (source) =>
      `(site, start_date, session_id, day, started_at, ended_at, events, page_views, clicks, orders, atom, entry_page, exit_page, touch, device, country, week, is_known, of_atom) ${viewSelects.session_state(visitKeys, source)}`,
  },
};
