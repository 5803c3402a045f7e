import { retainedUntil9, retentionView, type KeptTable } from "./0009-retention.ts";
import type { ViewSource } from "./0003-materialized-views.ts";
import type { Migration } from "./render-migrations.ts";

// As `createBlockedCheck` and `contact-hash` of the core said it when this was written: a test compares them.
const blocked =
  "'', 'null', 'undefined', 'none', 'nan', 'anonymous', 'guest', 'unknown', 'true', 'false', '0', '-1', '[object object]'";
const standsForNobody = (plain: string): string =>
  `(${plain} IN (${blocked}) OR match(${plain}, '^[0-]*0[0-]*$') OR startsWith(${plain}, 'test@'))`;
const plainOf = (value: string): string => `lowerUTF8(replaceRegexpAll(${value}, '^\\\\s+|\\\\s+$', ''))`;
const sha256 = (text: string): string => `lower(hex(SHA256(${text})))`;
const digits = "replaceRegexpAll(value, '[^0-9]', '')";

const contactHash = `multiIf(
    ${standsForNobody(plainOf("value"))}, '',
    contact = 'email', ${sha256(plainOf("value"))},
    match(${digits}, '^0*$'), '',
    startsWith(${plainOf("value")}, '+'), ${sha256(`concat('+', ${digits})`)},
    startsWith(${digits}, '00'), ${sha256(`concat('+', substring(${digits}, 3))`)},
    ${sha256(digits)})`;
const contactOf =
  "transform(lower(replaceRegexpAll(name::String, '[-_\\\\s]', '')), ['email', 'phone', 'mobile'], ['email', 'phone', 'phone'], '')";

// A browser whose consent is asked elsewhere is no server.
// Nor is a page that sends `null` for a user id a login: whoever types somebody's address there would become them.
const contactRule = `multiIf(basis NOT IN ('', 'consent', 'opt_out', 'notice', 'consent_elsewhere'), 'server', NOT ${standsForNobody(plainOf("user_id"))}, 'login', 'form')`;

const moment = "(events.time, events._offset)";
const login = "if(startsWith(library, 'polder-import'), 'import', 'login')";

/** Every edge that an event states. Traits of a group are of nobody, and a bot joins nobody. */
export const edgeSelect = (source: ViewSource = { from: "{local events}", and: "" }): string => `SELECT
  site,
  anonymous_id,
  user_id,
  edge.1 AS kind,
  edge.2 AS other,
  edge.3 AS rule,
  events.atom AS atom,
  argMin(events.message_id, ${moment}) AS message_id,
  min(events.time) AS time,
  argMin(events.received_at, ${moment}) AS received_at,
  argMin(events._partition, ${moment}) AS _partition,
  argMin(events._offset, ${moment}) AS _offset
FROM ${source.from} AS events
ARRAY JOIN arrayFilter(one -> one.2 != '', arrayConcat(
  [(${login}, if(anonymous_id != '', user_id, ''), ${login}), ('alias', if(type = 'alias' AND user_id != '', previous_id, ''), 'alias')],
  arrayMap((contact, value) -> (contact, ${contactHash}, ${contactRule}),
    arrayFilter(contact -> contact != '', arrayMap(name -> ${contactOf}, \`traits.name\`)),
    arrayFilter((value, name) -> ${contactOf} != '', \`traits.value\`, \`traits.name\`)))) AS edge
WHERE events.atom != 0 AND bot = '' AND (user_id != '' OR (notEmpty(\`traits.name\`) AND type != 'group'))
  AND (edge.1 NOT IN ('email', 'phone') OR type != 'group')${source.and}
GROUP BY site, anonymous_id, user_id, kind, other, rule, atom, toMonday(events.received_at)`;

/** As it stands here it never changes; what holds now is in `retained-tables.ts`. */
export const retainedUntil11: readonly KeptTable[] = retainedUntil9.map((kept) =>
  kept.table === "identity_edge" ? { ...kept, isKnown: "user_id != ''" } : kept,
);

const added = [
  "atom UInt32 COMMENT 'Number of the identity whose event says so; 0 on rows from before this was written down that found none'",
  "other String COMMENT 'What it ties: login, import: the user id; alias: the previous id; email, phone: SHA-256 in hex of the address in small letters, or of the digits'",
  "rule LowCardinality(String) COMMENT 'email, phone: who says so, server, login or form; others: their kind'",
].map((column) => `ADD COLUMN IF NOT EXISTS ${column}`);
// Hundreds of ids are asked for at once, each of which may be taken for one that is there.
const indexes = ["anonymous_id", "user_id", "other"].map(
  (column) => `ADD INDEX IF NOT EXISTS by_${column} ${column} TYPE bloom_filter(0.0001) GRANULARITY 1`,
);
const atomIndexes = ["anonymous_id", "user_id"].map(
  (column) => `ADD INDEX IF NOT EXISTS by_${column} ${column} TYPE bloom_filter(0.0001) GRANULARITY 1`,
);

// Not the ids themselves: there may be millions of them, and they are held in memory.
const pair = "cityHash64(site, anonymous_id, user_id)";

export const identity: Migration = {
  number: 11,
  name: "identity",
  sql: `
ALTER TABLE {local identity_edge} {on_cluster} ${[...added, ...indexes].join(", ")};
ALTER TABLE {db}.identity_edge {on_cluster} ${added.join(", ")};
ALTER TABLE {local atom} {on_cluster} ${atomIndexes.join(", ")};
ALTER TABLE {db}.identity_edge_mv {on_cluster} MODIFY QUERY ${edgeSelect()};
-- A view whose question was changed knows its inserts by other tokens after a restart, unless it is attached again.
DETACH TABLE IF EXISTS {db}.identity_edge_mv {on_cluster};
ATTACH TABLE IF NOT EXISTS {db}.identity_edge_mv {on_cluster};

-- The same rows on every node, as of all tables that one worker writes.
CREATE TABLE IF NOT EXISTS {db}.identity_decision {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  id String COMMENT 'UUID of the decision',
  at DateTime64(3, 'UTC') COMMENT 'When it was made',
  action LowCardinality(String) COMMENT 'merge: two are one person; unmerge: edges no longer hold; undo: a decision is taken back; dismiss: two who look alike are not one person',
  left String COMMENT 'merge, dismiss: user:<user id> or device:<anonymous id>; else empty',
  right String COMMENT 'merge, dismiss: the other one',
  edges Array(Tuple(kind String, node String, other String)) COMMENT 'unmerge: the edges that no longer hold, also when events state them again',
  actor String COMMENT 'Who decided, as stated',
  reason String COMMENT 'Why, as stated',
  undoes String COMMENT 'undo: id of the decision that is taken back; else empty'
)
ENGINE = {engine_everywhere MergeTree()}
ORDER BY (site, at, id)
SETTINGS {dedup}, default_compression_codec = 'ZSTD(1)'
COMMENT 'What people decided about who is one person: append-only';

CREATE TABLE IF NOT EXISTS {db}.identity_position {on_cluster} (
  what LowCardinality(String) COMMENT 'atom, edge, held, rules, decision, erasures or version',
  key String COMMENT 'atom: the number modulo 64; edge: partition of the log; held, rules, erasures: site; decision: its id',
  value String COMMENT 'atom, edge: the greatest number or offset that is settled; held: rows of edges up to there; rules: hash of the rules it was settled by; erasures: how many steps of them; empty: none any more',
  version UInt64 COMMENT 'The greatest version of a key holds'
)
ENGINE = {engine_everywhere ReplacingMergeTree(version)}
ORDER BY (what, key)
SETTINGS {dedup}
COMMENT 'How far the worker has settled who is one person';

CREATE TABLE IF NOT EXISTS {db}.identity_quarantine {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  atom UInt32 COMMENT 'The smallest identity of what would be one person',
  atoms UInt32 COMMENT 'How many identities it would have',
  is_released UInt8 COMMENT '1: it is one no longer, or of a size that a person may have',
  version UInt64 COMMENT 'The greatest version of an identity holds',
  at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When'
)
ENGINE = {engine_everywhere ReplacingMergeTree(version)}
ORDER BY (site, atom)
SETTINGS {dedup}
COMMENT 'People of too many identities: each of these stands alone';

CREATE TABLE IF NOT EXISTS {db}.identity_tie {on_cluster} (
  site LowCardinality(String) COMMENT 'Id of the site',
  atom UInt32 COMMENT 'An identity that a withdrawal has made nameless',
  other UInt32 COMMENT 'An identity of the same person: the nameless one goes wherever it goes',
  since DateTime64(3, 'UTC') COMMENT 'Since when its device and all others had been of that person; 1970: from the beginning',
  at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When'
)
ENGINE = {engine_everywhere ReplacingMergeTree()}
ORDER BY (site, atom)
SETTINGS {dedup}, default_compression_codec = 'ZSTD(1)'
COMMENT 'Whose the nameless are: what joined them is gone';

${retentionView(retainedUntil11)}
`,
  // Log-ins from before: as those whose events are gone stay. All others, and what was never told of, are read from the events.
  fill: `
ALTER TABLE {local identity_edge} {on_cluster} UPDATE other = user_id, rule = 'login' WHERE kind = 'login' AND other = '' SETTINGS mutations_sync = 2;
`,
  refill: {
    table: "identity_edge",
    isMade: "atom != 0",
    week: "toMonday(received_at)",
    insert: (source) =>
      `(site, anonymous_id, user_id, kind, other, rule, atom, message_id, time, received_at, _partition, _offset) ${edgeSelect(source)}`,
    after: `
ALTER TABLE {local identity_edge} {on_cluster} DELETE WHERE atom = 0 AND kind = 'login' AND ${pair} IN (SELECT ${pair} FROM {db}.identity_edge WHERE atom != 0 AND kind = 'login') SETTINGS mutations_sync = 2, allow_nondeterministic_mutations = 1;
ALTER TABLE {local identity_edge} {on_cluster} MATERIALIZE INDEX by_anonymous_id, MATERIALIZE INDEX by_user_id, MATERIALIZE INDEX by_other SETTINGS mutations_sync = 2;
ALTER TABLE {local atom} {on_cluster} MATERIALIZE INDEX by_anonymous_id, MATERIALIZE INDEX by_user_id SETTINGS mutations_sync = 2;
`,
  },
};
