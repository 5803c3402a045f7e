import { eventColumns } from "./0001-tables.ts";
import type { ViewSource } from "./0003-materialized-views.ts";
import { retentionView, type KeptTable } from "./0009-retention.ts";
import { retainedUntil11 } from "./0011-identity.ts";
import type { Migration } from "./render-migrations.ts";

/** What a profile shows of an event, and what a computed trait may look at. In this order the ids of an identity take no room. */
const shown = [
  "site",
  "day",
  "type",
  "name",
  "time",
  "message_id",
  "anonymous_id",
  "user_id",
  "session_id",
  "origin",
  "partner",
  "consent_mask",
  "consent_id",
  "regime",
  "basis",
  "url_host",
  "url_path",
  "url_query",
  "page_title",
  "page_group",
  "referrer_host",
  "referrer_path",
  "channel",
  "utm_source",
  "utm_medium",
  "utm_campaign",
  "utm_term",
  "utm_content",
  "country",
  "device",
  "browser",
  "os",
  "locale",
  "timezone",
  "library",
  "order_id",
  "amount",
  "currency",
  "properties",
  "choice.purpose",
  "choice.state",
  "notice",
  "_partition",
  "_offset",
  "atom",
];

// An id of 22 random letters is an eighth of an event's size; it is asked for where an order has no id of its own.
const orderMessage = "if(name = 'Order Completed' AND order_id = '', message_id, '')";
const comments = new Map([
  [
    "message_id",
    "Of an order without an id of its own: the id chosen by the client. Of all others empty; events has it",
  ],
]);

const columns = eventColumns
  .filter(([name]) => shown.includes(name))
  .map(
    ([name, type, codec, comment]) =>
      `  \`${name}\` ${type} COMMENT '${comments.get(name) ?? comment}'${codec === "" ? "" : ` CODEC(${codec})`}`,
  )
  .join(",\n");

/** The columns of `atom_event`, as {@link atomEventSelect} gives them. */
export const atomEventColumns = [...shown.map((name) => `\`${name}\``), "week", "is_known"].join(", ");

export const atomEventSelect = (source: ViewSource = { from: "{local events}", and: "" }): string => `SELECT
  ${shown.map((name) => (name === "message_id" ? `${orderMessage} AS message_id` : `events.\`${name}\` AS \`${name}\``)).join(", ")},
  toMonday(events.received_at) AS week, events.is_known AS is_known
FROM ${source.from} AS events
WHERE events.atom != 0 AND bot = ''${source.and}`;

/** As it stands here it never changes; what holds now is in `retained-tables.ts`. */
export const retainedUntil15: readonly KeptTable[] = [
  ...retainedUntil11,
  { table: "consent_state", week: "week", isKnown: "is_known" },
  { table: "audience_log", week: "toMonday(at)", isKnown: "1" },
  { table: "audience_size", week: "toMonday(hour)", isKnown: "1" },
  { table: "atom_event", week: "week", isKnown: "is_known" },
];

export const profiles: Migration = {
  number: 15,
  name: "profiles",
  sql: `
CREATE TABLE IF NOT EXISTS {local atom_event} {on_cluster} (
${columns},
  week Date COMMENT 'Monday of the week in which it arrived, in UTC',
  is_known UInt8 COMMENT '1: it came with a user id, also when a withdrawal has emptied it since; 0: anonymous'
)
ENGINE = {engine ReplacingMergeTree()}
ORDER BY (site, atom, time, _partition, _offset)
SETTINGS {dedup}, default_compression_codec = 'ZSTD(1)', index_granularity = 1024, min_compress_block_size = 8192, max_compress_block_size = 16384, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'The events of people in the order of the person, for profiles: a copy of what a profile shows, without bots. Ask events for everything else';
{distributed atom_event by cityHash64(site, atom)}

CREATE MATERIALIZED VIEW IF NOT EXISTS {db}.atom_event_mv {on_cluster} TO {local atom_event} AS
${atomEventSelect()};

-- Who ever belonged to a person; whether one still does, person(atom) says. Fed where identity is written, the same on every node.
CREATE TABLE IF NOT EXISTS {db}.person_atom {on_cluster} (
  person UInt32 COMMENT 'A person',
  atom UInt32 COMMENT 'An identity that belongs or belonged to them'
)
ENGINE = {engine_everywhere ReplacingMergeTree()}
ORDER BY (person, atom)
SETTINGS {dedup}, index_granularity = 1024
COMMENT 'The table identity by person: it holds where person(atom) = person';

CREATE MATERIALIZED VIEW IF NOT EXISTS {db}.person_atom_mv {on_cluster} TO {db}.person_atom AS
SELECT person, atom FROM {db}.identity WHERE person != 0 AND person != atom;

ALTER TABLE {local atom} {on_cluster} ADD INDEX IF NOT EXISTS by_atom atom TYPE bloom_filter(0.01) GRANULARITY 4;
ALTER TABLE {local identity_edge} {on_cluster} ADD INDEX IF NOT EXISTS by_atom atom TYPE bloom_filter(0.0001) GRANULARITY 1;

CREATE TABLE IF NOT EXISTS {db}.computed_trait {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  name LowCardinality(String) COMMENT 'Name of the computed trait, within the site',
  version UInt32 COMMENT 'Number of the change, from 1: the greatest holds',
  definition String COMMENT 'The definition, as JSON; empty: it was removed' CODEC(ZSTD(3)),
  at DateTime64(3, 'UTC') COMMENT 'When it was changed',
  actor String COMMENT 'Who changed it, as stated',
  reason String COMMENT 'Why, as stated'
)
ENGINE = {engine_everywhere MergeTree()}
ORDER BY (site, name, version)
SETTINGS {dedup}, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Definitions of computed traits, every version of them: append-only. Values are worked out when they are asked for';

${retentionView(retainedUntil15)}
`,
  fill: `
INSERT INTO {db}.person_atom SELECT person, atom FROM {db}.identity WHERE person != 0 AND person != atom;
`,
  refill: {
    table: "atom_event",
    isMade: "1",
    week: "week",
    // Of an identity whose profile was withdrawn the events go on counting, and its profile stays away.
    insert: ({ from, and }) =>
      `(${atomEventColumns}) ${atomEventSelect({ from, and: `${and} AND events.atom NOT IN (SELECT atom FROM {db}.atom WHERE anonymous_id = '' AND user_id = '')` })}`,
    after: `
ALTER TABLE {local atom} {on_cluster} MATERIALIZE INDEX by_atom SETTINGS mutations_sync = 2;
ALTER TABLE {local identity_edge} {on_cluster} MATERIALIZE INDEX by_atom SETTINGS mutations_sync = 2;
`,
  },
};
