import { viewSelects, type ViewTable } from "./0003-materialized-views.ts";
import type { Migration } from "./render-migrations.ts";

/** What a row of a state is made of by then has one week and one class, so that removing rows leaves right counts of the rest. */
export const weekAndClass = {
  columns: ["toMonday(events.received_at) AS week", "events.is_known AS is_known"],
  names: ["week", "is_known"],
};

const isKnownComment = "1: it came with a user id, also when a withdrawal has emptied it since; 0: anonymous";

const newColumns = (add: string): string =>
  [
    `${add} week Date COMMENT 'Monday of the week in which the events arrived, in UTC'`,
    `${add} is_known UInt8 COMMENT '1: events with a user id; 0: anonymous ones'`,
  ].join(", ");

/** By table: its key until now, and that key as columns of the question that fills it. */
const keys: readonly { table: Exclude<ViewTable, "identity_edge">; key: string; isFilled: string }[] = [
  { table: "atom", key: "site, key, atom", isFilled: "(site, key, atom)" },
  { table: "profile_state", key: "site, atom", isFilled: "(site, atom)" },
  { table: "trait_state", key: "site, atom, name", isFilled: "(site, atom, trait_name)" },
  { table: "session_state", key: "site, start_date, session_id", isFilled: "(site, start_date, session_id)" },
  { table: "audience_day", key: "site, day, dimension, value", isFilled: "(site, day, dimension, value)" },
];

const rekey = keys
  .map(
    ({ table, key }) => `
ALTER TABLE {local ${table}} {on_cluster} ${newColumns("ADD COLUMN IF NOT EXISTS")}, MODIFY ORDER BY (${key}, week, is_known);
ALTER TABLE {db}.${table} {on_cluster} ${newColumns("ADD COLUMN IF NOT EXISTS")};
ALTER TABLE {db}.${table}_mv {on_cluster} MODIFY QUERY ${viewSelects[table](weekAndClass)};
`,
  )
  .join("");

// Rows from before have no week. They are made anew from the events they came from, and only those: what a withdrawal removed stays away.
// Begun again after a crash it first removes what it made of rows that are still there. The tables stay the same ones, since with them would go their deduplication windows.
const fill = keys
  .map(
    ({ table, key, isFilled }) => `
ALTER TABLE {local ${table}} {on_cluster} DELETE WHERE week != toDate(0) AND (${key}) IN (SELECT ${key} FROM {db}.${table} WHERE week = toDate(0)) SETTINGS mutations_sync = 2, allow_nondeterministic_mutations = 1;
INSERT INTO {db}.${table}
${viewSelects[table](weekAndClass, { from: "{db}.events", and: ` AND ${isFilled} IN (SELECT ${key} FROM {db}.${table} WHERE week = toDate(0))` })}
SETTINGS insert_deduplicate = 0, distributed_foreground_insert = 1;
ALTER TABLE {local ${table}} {on_cluster} DELETE WHERE week = toDate(0)${table === "atom" ? " AND (anonymous_id != '' OR user_id != '')" : ""} SETTINGS mutations_sync = 2;
`,
  )
  .join("");

export interface KeptTable {
  table: string;
  week: string;
  isKnown: string;
}

/** As it stands here it never changes; what holds now is in `retained-tables.ts`. */
export const retainedUntil9: readonly KeptTable[] = [
  { table: "events", week: "toMonday(received_at)", isKnown: "is_known" },
  { table: "rejected", week: "toMonday(received_at)", isKnown: "0" },
  { table: "identity_edge", week: "toMonday(received_at)", isKnown: "1" },
  ...keys.map(({ table }) => ({ table, week: "week", isKnown: "is_known" })),
];

const policyDays =
  "transform(concat(site::String, ' ', is_known::String), policy.1, policy.2, policy.2[indexOf(policy.1, concat(' ', is_known::String))])";

const countedIn = (retained: readonly KeptTable[]): string =>
  retained
    .map(
      ({ table, week, isKnown }) =>
        `  SELECT '${table}' AS table_name, site, toUInt8(${isKnown}) AS is_known, ${week} AS arrived, count() AS count
  FROM {db}.${table}${table === "atom" ? " WHERE week != toDate(0)" : ""} GROUP BY site, is_known, arrived`,
    )
    .join("\n  UNION ALL\n");

/** The view over these tables: made anew by a later migration that adds one. */
export const retentionView = (
  retained: readonly KeptTable[],
): string => `CREATE OR REPLACE VIEW {db}.retention {on_cluster} (
  table_name String COMMENT 'Name of the table',
  site LowCardinality(String) COMMENT 'Id of the site',
  class String COMMENT 'anonymous or known: without or with a user id',
  days UInt16 COMMENT 'Days that these rows are kept, at most; 0 as long as the worker has not applied the configuration: nothing goes',
  rows UInt64 COMMENT 'Rows that are there; of a state not merged yet, more than there will be',
  oldest_week Date COMMENT 'Monday of the week in which the oldest arrived',
  oldest_goes_on Date COMMENT 'Day on which the oldest go; 1970-01-01 when days is 0',
  rows_next_week UInt64 COMMENT 'Rows that go within seven days',
  rows_overdue UInt64 COMMENT 'Rows whose day has come: the next merge takes them, within hours'
)
AS
WITH (
  SELECT (groupArray(concat(site::String, ' ', is_known::String)), groupArray(days))
  FROM {db}.retention_policy WHERE applied_at = (SELECT max(applied_at) FROM {db}.retention_policy)
) AS policy
SELECT
  table_name,
  site,
  if(is_known = 1, 'known', 'anonymous') AS class,
  any(kept_days) AS days,
  sum(count) AS rows,
  min(arrived) AS oldest_week,
  min(goes_on) AS oldest_goes_on,
  sumIf(count, goes_on > today() AND goes_on <= today() + 7) AS rows_next_week,
  sumIf(count, kept_days != 0 AND goes_on <= today()) AS rows_overdue
FROM (
  SELECT *, ${policyDays} AS kept_days, if(kept_days = 0, toDate(0), arrived + toIntervalDay(kept_days)) AS goes_on
  FROM (
${countedIn(retained)}
  )
)
GROUP BY table_name, site, is_known
COMMENT 'What is kept, by table, site and class, and when it goes';`;

export const retention: Migration = {
  number: 9,
  name: "retention",
  sql: `
-- What a withdrawal empties may not move its row to the other class: aggregates of it would stay and its event go.
ALTER TABLE {local events} {on_cluster} ADD COLUMN IF NOT EXISTS is_known UInt8 DEFAULT user_id != '' COMMENT '${isKnownComment}';
ALTER TABLE {db}.events {on_cluster} ADD COLUMN IF NOT EXISTS is_known UInt8 DEFAULT user_id != '' COMMENT '${isKnownComment}';
${rekey}
-- An insert may bring events of several weeks: the pair stays for as long as the newest of them.
ALTER TABLE {db}.identity_edge_mv {on_cluster} MODIFY QUERY ${viewSelects.identity_edge({ columns: [], names: ["toMonday(events.received_at)"] })};

CREATE TABLE IF NOT EXISTS {db}.retention_policy {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site; empty: every site that has no row',
  is_known UInt8 COMMENT '1: identities with a user id; 0: anonymous ones',
  days UInt16 COMMENT 'Days that what arrived is kept, at most',
  applied_at DateTime64(3, 'UTC') COMMENT 'When it was applied: the rows with the greatest hold, all of them together'
)
ENGINE = {engine_everywhere MergeTree()}
ORDER BY (applied_at, site, is_known)
SETTINGS {dedup}
COMMENT 'How long what is kept, and how long it was before: append-only';

-- No days yet, and no TTL: rows may go only by what the owner has configured, which the worker knows.
${retentionView(retainedUntil9)}
`,
  fill: `
ALTER TABLE {local events} {on_cluster} MATERIALIZE COLUMN is_known SETTINGS mutations_sync = 2;
${fill}
`,
};
