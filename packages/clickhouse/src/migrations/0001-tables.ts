import type { Migration } from "./render-migrations.ts";

/**
 * One row an accepted event. The columns of an `EventRow`, then the row's place in the log and its atom.
 * Kept apart so that the view over it states the same columns with the same comments.
 */
export const eventColumns: readonly (readonly [name: string, type: string, codec: string, comment: string])[] = [
  ["site", "LowCardinality(String)", "", "Id of the site"],
  ["day", "Date", "", "Day of `time` in the time zone of the site"],
  ["type", "LowCardinality(String)", "", "track, page, screen, identify, group, alias or consent"],
  ["name", "LowCardinality(String)", "", "track: the name of the event; others: their type"],
  ["time", "DateTime64(3, 'UTC')", "Delta, ZSTD", "When it happened, corrected for the clock of the client"],
  ["received_at", "DateTime64(3, 'UTC')", "Delta, ZSTD", "When the collector received it"],
  [
    "client_time",
    "DateTime64(3, 'UTC')",
    "Delta, ZSTD",
    "What the client claimed, uncorrected; 1970-01-01 when it said nothing",
  ],
  ["message_id", "String", "", "Id chosen by the client, the same on every retry"],
  ["anonymous_id", "String", "", "Random id of the device; empty without consent for a profile"],
  ["user_id", "String", "", "Id the site gave to its customer; empty when not logged in"],
  ["session_id", "String", "", "Id of the visit; empty when none"],
  ["session_start", "DateTime64(3, 'UTC')", "Delta, ZSTD", "Start of the visit by the client; 1970-01-01 when none"],
  ["session_seq", "UInt32", "", "Number of the event within its visit, from 0"],
  ["origin", "LowCardinality(String)", "", "observed, declared (zero-party), partner (second-party) or third_party"],
  ["partner", "LowCardinality(String)", "", "With origin partner: who"],
  [
    "consent_mask",
    "UInt8",
    "",
    "What it may be used for: necessary 1, measurement 2, profile 4, personalisation 8, prediction 16, ads 32",
  ],
  ["consent_id", "String", "", "Id of the recorded choice it was collected under"],
  ["regime", "LowCardinality(String)", "", "opt_in, opt_out or notice"],
  ["basis", "LowCardinality(String)", "", "Why it was allowed: consent, or the basis of the key"],
  ["url_host", "LowCardinality(String)", "", "Host of the page"],
  ["url_path", "String", "", "Path of the page"],
  ["url_query", "String", "", "Query of the page without secrets and click ids"],
  ["page_title", "String", "", "Title of the page"],
  ["page_group", "LowCardinality(String)", "", "Name given to the page, else the first segment of its path"],
  ["referrer_host", "LowCardinality(String)", "", "Host of the page before"],
  ["referrer_path", "String", "", "Path of the page before"],
  [
    "channel",
    "LowCardinality(String)",
    "",
    "direct, search, social, mail, paid, referral or internal; empty when not on a page",
  ],
  ["utm_source", "LowCardinality(String)", "", "Campaign source"],
  ["utm_medium", "LowCardinality(String)", "", "Campaign medium"],
  ["utm_campaign", "LowCardinality(String)", "", "Campaign name"],
  ["utm_term", "String", "", "Campaign term"],
  ["utm_content", "String", "", "Campaign content"],
  ["click_id_kind", "LowCardinality(String)", "", "gclid, fbclid, …; with consent for ads only"],
  ["click_id", "String", "", "Click id; with consent for ads only"],
  ["country", "LowCardinality(String)", "", "ISO 3166 code of two letters; empty when unknown"],
  ["ip", "String", "", "Address cut to /24 or /48"],
  ["device", "LowCardinality(String)", "", "desktop, mobile, tablet, tv, bot, server or empty"],
  ["browser", "LowCardinality(String)", "", "Browser"],
  ["os", "LowCardinality(String)", "", "Operating system"],
  ["bot", "LowCardinality(String)", "", "Name of the bot; empty for people"],
  ["bot_score", "UInt8", "", "How sure we are that it is a bot, 0 to 100"],
  ["locale", "LowCardinality(String)", "", "Language and region of the browser"],
  ["timezone", "LowCardinality(String)", "", "Time zone of the browser"],
  ["library", "LowCardinality(String)", "", "Client library and its version"],
  ["group_id", "String", "", "group: id of the group"],
  ["previous_id", "String", "", "alias: the id that joins user_id"],
  ["order_id", "String", "", "Id of the order"],
  ["amount", "Decimal(18, 4)", "", "Money, with its currency; refunds are negative"],
  ["currency", "LowCardinality(String)", "", "ISO 4217 code of three letters; empty when there is no amount"],
  ["properties", "JSON(max_dynamic_paths = 32)", "", "Properties of the event, as sent"],
  ["traits.name", "Array(LowCardinality(String))", "", "Traits stated by this event: names"],
  ["traits.value", "Array(String)", "", "Traits: values as text; what was not text is JSON"],
  ["traits.class", "Array(LowCardinality(String))", "", "Traits: identity, descriptive, behavioural or qualitative"],
  ["traits.purpose", "Array(LowCardinality(String))", "", "Traits: the purpose they may be used for"],
  ["traits.personal", "Array(UInt8)", "", "Traits: 1 when personal"],
  ["choice.purpose", "Array(LowCardinality(String))", "", "consent: the purposes asked for"],
  ["choice.state", "Array(LowCardinality(String))", "", "consent: the choice for each"],
  ["notice", "LowCardinality(String)", "", "consent: version and hash of the text shown"],
  ["_partition", "UInt16", "", "Partition of the log"],
  ["_offset", "UInt64", "Delta, ZSTD", "Offset in the partition"],
  [
    "atom",
    "UInt32",
    "",
    "Number of the identity (site, anonymous_id, user_id); 0 when it has none. person(atom) is whose it is",
  ],
];

const eventColumnsSql = eventColumns
  .map(
    ([name, type, codec, comment]) =>
      `  \`${name}\` ${type} COMMENT '${comment}'${codec === "" ? "" : ` CODEC(${codec})`}`,
  )
  .join(",\n");

export const tables: Migration = {
  number: 1,
  name: "tables",
  sql: `
-- By month of arrival, never of the client's clock: an insert must touch few partitions to be one deduplicated part.
CREATE TABLE IF NOT EXISTS {local events} {on_cluster} (
${eventColumnsSql},
  INDEX offset_range _offset TYPE minmax GRANULARITY 1,
  INDEX atoms atom TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = {engine MergeTree()}
PARTITION BY toYYYYMM(received_at)
ORDER BY (site, day, name, atom, time)
SETTINGS {dedup}, default_compression_codec = 'ZSTD(1)'
COMMENT 'One row an accepted event';
{distributed events by cityHash64(site, atom)}

CREATE TABLE IF NOT EXISTS {local rejected} {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  received_at DateTime64(3, 'UTC') COMMENT 'When the collector received it' CODEC(Delta, ZSTD),
  message_id String COMMENT 'Id chosen by the client; empty when it gave none',
  type LowCardinality(String) COMMENT 'Type of the event as claimed',
  name LowCardinality(String) COMMENT 'Name of the event as claimed',
  reason LowCardinality(String) COMMENT 'Why it was refused, from a closed list',
  detail String COMMENT 'What was wrong, in a sentence',
  body String COMMENT 'What was sent, cut at 2 KiB' CODEC(ZSTD(3)),
  rule_version UInt16 COMMENT 'Version of the rules that refused it',
  _partition UInt16 COMMENT 'Partition of the log',
  _offset UInt64 COMMENT 'Offset in the partition' CODEC(Delta, ZSTD),
  INDEX offset_range _offset TYPE minmax GRANULARITY 1
)
ENGINE = {engine MergeTree()}
PARTITION BY toYYYYMM(received_at)
ORDER BY (site, received_at)
SETTINGS {dedup}, default_compression_codec = 'ZSTD(1)'
COMMENT 'What was refused, and why';
{distributed rejected by rand()}

-- A key with two atoms (partitions were added) keeps both rows: they are one person. Small granules: the loader looks up single keys.
CREATE TABLE IF NOT EXISTS {local atom} {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  key UInt64 COMMENT 'cityHash64(anonymous_id, user_id)',
  atom UInt32 COMMENT 'Number of the identity, unique across sites',
  anonymous_id SimpleAggregateFunction(any, String) COMMENT 'Random id of the device; empty when none',
  user_id SimpleAggregateFunction(any, String) COMMENT 'Id the site gave to its customer; empty when none',
  first_seen SimpleAggregateFunction(min, DateTime64(3, 'UTC')) COMMENT 'When its first event was received'
)
ENGINE = {engine AggregatingMergeTree()}
ORDER BY (site, key, atom)
SETTINGS {dedup}, default_compression_codec = 'ZSTD(1)', index_granularity = 512
COMMENT 'Which identity an atom stands for';
{distributed atom by cityHash64(site, key)}

CREATE TABLE IF NOT EXISTS {local profile_state} {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  atom UInt32 COMMENT 'Number of the identity',
  first_seen SimpleAggregateFunction(min, DateTime64(3, 'UTC')) COMMENT 'Time of the first event',
  last_seen SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Time of the last event',
  events SimpleAggregateFunction(sum, UInt64) COMMENT 'Events of all types',
  page_views SimpleAggregateFunction(sum, UInt64) COMMENT 'Events of type page or screen',
  clicks SimpleAggregateFunction(sum, UInt64) COMMENT 'Events named Clicked',
  sessions AggregateFunction(uniqExact, UInt64) COMMENT 'Visits: a visit with a log-in in it has two atoms and counts once',
  orders SimpleAggregateFunction(maxMap, Map(String, Decimal(18, 4))) COMMENT 'Amount by currency, space, order id: an order sent twice counts once',
  refunds SimpleAggregateFunction(sumMap, Map(String, Decimal(38, 4))) COMMENT 'Sum of refunds by currency, negative',
  first_touch AggregateFunction(argMin, Tuple(channel String, source String, medium String, campaign String, referrer String, landing_page String), Tuple(DateTime64(3, 'UTC'), UInt64)) COMMENT 'Where the first visit came from',
  last_touch AggregateFunction(argMax, Tuple(channel String, source String, medium String, campaign String, referrer String, landing_page String), Tuple(DateTime64(3, 'UTC'), UInt64)) COMMENT 'Where the last visit came from',
  device AggregateFunction(argMax, String, Tuple(DateTime64(3, 'UTC'), UInt64)) COMMENT 'Device class last seen',
  country AggregateFunction(argMax, String, Tuple(DateTime64(3, 'UTC'), UInt64)) COMMENT 'Country last seen'
)
ENGINE = {engine AggregatingMergeTree()}
ORDER BY (site, atom)
SETTINGS {dedup}, default_compression_codec = 'ZSTD(1)', index_granularity = 1024
COMMENT 'What is known of an atom, without bots';
{distributed profile_state by cityHash64(site, atom)}

CREATE TABLE IF NOT EXISTS {local trait_state} {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  atom UInt32 COMMENT 'Number of the identity',
  name LowCardinality(String) COMMENT 'Name of the trait',
  last AggregateFunction(argMax, Tuple(value String, origin String, class String, purpose String, personal UInt8, time DateTime64(3, 'UTC')), Tuple(DateTime64(3, 'UTC'), UInt64)) COMMENT 'Value stated last, by the time of the event'
)
ENGINE = {engine AggregatingMergeTree()}
ORDER BY (site, atom, name)
SETTINGS {dedup}, default_compression_codec = 'ZSTD(1)', index_granularity = 1024
COMMENT 'Last value of each trait of an atom';
{distributed trait_state by cityHash64(site, atom)}

CREATE TABLE IF NOT EXISTS {local audience_day} {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  day Date COMMENT 'Day in the time zone of the site',
  dimension LowCardinality(String) COMMENT 'all, country, device, channel, campaign, page_group or event',
  value String COMMENT 'Value of the dimension',
  events SimpleAggregateFunction(sum, UInt64) COMMENT 'Events, those without identity included',
  atoms AggregateFunction(groupBitmap, UInt32) COMMENT 'Identities; resolve them with person() before counting people'
)
ENGINE = {engine AggregatingMergeTree()}
ORDER BY (site, day, dimension, value)
SETTINGS {dedup}, default_compression_codec = 'ZSTD(1)', index_granularity = 1024
COMMENT 'Who was seen on a day with a value of a dimension, without bots';
{distributed audience_day by cityHash64(site, day)}

CREATE TABLE IF NOT EXISTS {local session_state} {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  start_date Date COMMENT 'Date in UTC on which the client started the visit',
  session_id String COMMENT 'Id of the visit',
  day SimpleAggregateFunction(min, Date) COMMENT 'Day of the first event in the time zone of the site',
  started_at SimpleAggregateFunction(min, DateTime64(3, 'UTC')) COMMENT 'Time of the first event',
  ended_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Time of the last event',
  events SimpleAggregateFunction(sum, UInt64) COMMENT 'Events of all types',
  page_views SimpleAggregateFunction(sum, UInt64) COMMENT 'Events of type page or screen',
  clicks SimpleAggregateFunction(sum, UInt64) COMMENT 'Events named Clicked',
  orders SimpleAggregateFunction(maxMap, Map(String, Decimal(18, 4))) COMMENT 'Amount by currency, space, order id',
  atom AggregateFunction(argMax, UInt32, Tuple(DateTime64(3, 'UTC'), UInt64)) COMMENT 'Identity of the last event',
  entry_page AggregateFunction(argMin, String, Tuple(DateTime64(3, 'UTC'), UInt64)) COMMENT 'Path of the first page viewed',
  exit_page AggregateFunction(argMax, String, Tuple(DateTime64(3, 'UTC'), UInt64)) COMMENT 'Path of the last page viewed',
  touch AggregateFunction(argMin, Tuple(channel String, source String, medium String, campaign String, referrer String, landing_page String), Tuple(DateTime64(3, 'UTC'), UInt64)) COMMENT 'Where the visit came from',
  device AggregateFunction(argMin, String, Tuple(DateTime64(3, 'UTC'), UInt64)) COMMENT 'Device class',
  country AggregateFunction(argMin, String, Tuple(DateTime64(3, 'UTC'), UInt64)) COMMENT 'Country'
)
ENGINE = {engine AggregatingMergeTree()}
ORDER BY (site, start_date, session_id)
SETTINGS {dedup}, default_compression_codec = 'ZSTD(1)', index_granularity = 1024
COMMENT 'One visit, without bots';
{distributed session_state by cityHash64(site, session_id)}

-- In the order of the log, so that whoever works out people can go on from where it was.
CREATE TABLE IF NOT EXISTS {local identity_edge} {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  anonymous_id String COMMENT 'Random id of the device',
  user_id String COMMENT 'Id the site gave to its customer',
  kind LowCardinality(String) COMMENT 'login: one event carried both ids',
  message_id String COMMENT 'First event of its insert that says so',
  time DateTime64(3, 'UTC') COMMENT 'When that happened' CODEC(Delta, ZSTD),
  received_at DateTime64(3, 'UTC') COMMENT 'When it was received' CODEC(Delta, ZSTD),
  _partition UInt16 COMMENT 'Partition of that event in the log',
  _offset UInt64 COMMENT 'Its offset' CODEC(Delta, ZSTD)
)
ENGINE = {engine MergeTree()}
ORDER BY (_partition, _offset)
SETTINGS {dedup}, default_compression_codec = 'ZSTD(1)'
COMMENT 'Why two ids are one person: append-only, at least one row a pair';
{distributed identity_edge by cityHash64(site, user_id)};
`,
};
