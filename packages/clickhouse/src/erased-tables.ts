import type { ClickHouse } from "./clickhouse.ts";
import { isNobodyAt } from "./stands-for-nobody.ts";

/**
 * Every table with a number, an id or a word of a person in it, and what an erasure does there. SQL over `{atoms: Array(UInt32)}`, the identities of
 * some people; a test fails when a table with such a column is in neither list.
 */
export interface ErasedTable {
  /** Rows by identity: `atom` and `count`. Rows of a state are there once for each insert until they are merged, so what they are about is counted. */
  count: string;
  /** What is done, in this order. */
  remove: readonly (Removal | RemovalOfFew | RemovalOfAll)[];
  /** Made anew from their events for identities that somebody new uses since. Where not, nothing of those is touched. */
  isRebuilt?: true;
  /** Every node of a cluster has all rows. */
  isEverywhere?: true;
  /** Stays until whoever got an audience has been told that the person left it. */
  isTold?: true;
}

interface Removal {
  /** A condition: these rows go. */
  rows: string;
  /** Rows that are here and there in all of a large table are marked as gone first, and leave the disk afterwards: parts are written anew once. */
  isMarked?: boolean;
}

/** As the others, of rows that are few and hard to find. They are looked for once, and then told by `by`: a mutation looks for them in every part. */
interface RemovalOfFew {
  /** What tells the rows apart, as arguments of a function. */
  by: string;
  where: string;
  /** True of all of them, and quickly told. */
  among: string;
  /** Assignments: rows stay, without them. Where none: they go. */
  set?: string;
}

interface RemovalOfAll {
  /** Assignments: rows stay, without them. */
  set: string;
  where: string;
}

const mine = "atom IN {atoms: Array(UInt32)}";
const bitmap = "bitmapBuild({atoms: Array(UInt32)})";
const byAtom = (table: string, key: string): string =>
  `SELECT atom, uniqExact(${key}) AS count FROM ${table} WHERE ${mine} GROUP BY atom`;
const byPerson = (table: string, key: string): string =>
  `SELECT person AS atom, uniqExact(${key}) AS count FROM ${table} WHERE person IN {atoms: Array(UInt32)} GROUP BY atom`;
// A row that names two identities of one person is one row.
const byRow = (rows: string, key: string): string =>
  `SELECT atom, count() AS count FROM (SELECT min(of_whom) AS atom FROM (${rows}) GROUP BY ${key}) GROUP BY atom`;
const inBitmap = (table: string): string =>
  `SELECT arrayJoin(bitmapToArray(bitmapAnd(atoms, ${bitmap}))) AS atom, count() AS count FROM ${table} WHERE bitmapHasAny(atoms, ${bitmap}) GROUP BY atom`;
const withoutBits = (table: string): readonly RemovalOfAll[] => [
  { set: `atoms = bitmapAndnot(atoms, ${bitmap})`, where: `bitmapHasAny(${table}.atoms, ${bitmap})` },
];

const pairs = `SELECT site, anonymous_id, user_id FROM atom WHERE ${mine} AND anonymous_id != '' AND user_id != ''`;

/** Texts are read of these alone: a condition on them would be worked out for all. */
const identities = `SELECT atom, site, anonymous_id, user_id FROM atom WHERE ${mine}`;
const isSomebody = (id: string): string => `NOT ${isNobodyAt("site", id)}`;

const untilMoment = "fromUnixTimestamp64Milli({until: Int64})";
/** What somebody new has said since under the same id is theirs. */
const untilAsked = `at <= ${untilMoment}`;

/**
 * Ids that stand for them and nobody else: a device that somebody else logged in on before they were to be erased is not among them, and no value
 * that stands for nobody. Takes `{shared: Array(UInt32)}`, which is {@link readShared}.
 */
export const ownIds = (columns: string): string => `SELECT ${columns} FROM (
    SELECT atom, site, arrayJoin(arrayConcat(if(${isSomebody("user_id")}, [('user:', user_id)], []),
      if(${isSomebody("anonymous_id")} AND atom NOT IN {shared: Array(UInt32)}, [('device:', anonymous_id)], []))) AS id,
      concat(id.1, id.2) AS node, id.2 AS own
    FROM (${identities}))`;
/** Those of these identities whose device somebody else was seen on until then, who is not to be erased. */
export async function readShared(
  clickhouse: ClickHouse,
  params: { atoms: readonly number[]; until: number },
): Promise<number[]> {
  const rows = await clickhouse.query<{ atom: number }>(
    `WITH theirs AS (SELECT DISTINCT site, anonymous_id, atom FROM (${identities}) WHERE anonymous_id != '')
     SELECT DISTINCT atom FROM theirs WHERE (site, anonymous_id) IN (
       SELECT site, anonymous_id FROM (
         SELECT site, anonymous_id, atom FROM atom
         WHERE anonymous_id IN (SELECT anonymous_id FROM theirs) AND first_seen <= ${untilMoment} AND NOT ${mine})
       WHERE person(atom) != 0)`,
    { params },
  );
  return rows.map(({ atom }) => atom);
}
const hasNode = (node: string): string => `(site, ${node}) IN (${ownIds("site, node")})`;
// A name of nobody in its place: what was decided about others stands.
export const nobody = (node: string): string =>
  `concat('user:erased-', lower(hex(sipHash64Keyed((SELECT (k0, k1) FROM erasure_key ORDER BY since, k0 LIMIT 1), concat(site, '\\0', ${node})))))`;
const renamed = (node: string): string => `if(${hasNode(node)}, ${nobody(node)}, ${node})`;

/** Edges name nodes, those of aliases a previous id besides, which may be a user's or a device's. Of other sites they name others. */
const erasedKeys = `(SELECT groupArray(concat(site, '\\0', node)) FROM (${ownIds("site, node")}))`;
const erasedNames = `(SELECT groupArray((concat(site, '\\0', node), assumeNotNull(${nobody("node")}))) FROM (${ownIds("site, node")}))`;
export const nodesOfEdge = (edge: string): string =>
  `arrayConcat([${edge}.node, ${edge}.other], if(${edge}.kind = 'alias', [concat('user:', ${edge}.other), concat('device:', ${edge}.other)], []))`;
const hasEdge = `arrayExists(edge -> arrayExists(node -> has(${erasedKeys}, concat(site, '\\0', node)), ${nodesOfEdge("edge")}), edges)`;
const nameIn = (nodes: string): string =>
  `arrayFirst(pair -> has(arrayMap(node -> concat(site, '\\0', node), ${nodes}), pair.1), ${erasedNames}).2`;
const orSame = (name: string, same: string): string => `if(${name} = '', ${same}, ${name})`;
const renamedEdge = `(edge.kind, ${orSame(nameIn("[edge.node]"), "edge.node")}, if(edge.kind = 'alias',
  ${orSame(`substring(${nameIn("[concat('user:', edge.other), concat('device:', edge.other)]")}, 6)`, "edge.other")}, ${orSame(nameIn("[edge.other]"), "edge.other")}))`;
/** In place: an unmerge whose edges are gone takes nothing apart, and a merge with the one who was erased would tie others again. */
const renamedEdges = `CAST(arrayMap(edge -> if(edge.1 = 'manual' AND edge.3 < edge.2, (edge.1, edge.3, edge.2), edge), arrayMap(edge -> ${renamedEdge}, edges)),
  'Array(Tuple(kind String, node String, other String))')`;

const idInBody = (name: string): string => `extract(body, '"${name}"\\\\s*:\\\\s*"?([^",}]*)')`;
/**
 * Whose a refused body is, as words: `u` and the user it names, else `d` and its device; `i` and the identity of both; and `p` and the id that it says
 * was theirs before. Of a body that was cut off anywhere, and may be a client's or a row of ours.
 */
export const whoseBody = `arrayFilter(word -> word NOT IN ('u', 'd', 'i\\0', 'p'), arrayMap((user, device, previous) -> [
    if(${isNobodyAt("site", "user")}, concat('d', device), concat('u', user)), concat('i', device, '\\0', user), concat('p', previous)],
  [${idInBody("(?:userId|user_id)")}], [${idInBody("(?:anonymousId|anonymous_id)")}], [${idInBody("(?:previousId|previous_id)")}])[1])`;
/** The same words of identities. */
export const wordsOf = (columns: string): string => `SELECT DISTINCT ${columns} FROM (
    SELECT atom, site, arrayJoin(arrayConcat(
      if(${isSomebody("user_id")}, [concat('u', user_id)], if(${isSomebody("anonymous_id")}, [concat('d', anonymous_id)], [])),
      [concat('i', anonymous_id, '\\0', user_id)])) AS word FROM (${identities}) WHERE anonymous_id != '' OR user_id != ''
    UNION ALL
    SELECT atom, site, arrayJoin(if(startsWith(node, 'device:'), [concat('d', own), concat('p', own)], [concat('p', own)])) FROM (${ownIds("atom, site, node, own")}))`;
/** Under what somebody's wishes are filed: the user id, or the whole identity where that stands for nobody, or there is none. */
export const flaggedIds = (columns: string): string => `SELECT DISTINCT ${columns} FROM (
    SELECT atom, site, arrayJoin(arrayConcat([(user_id, anonymous_id)], if(${isSomebody("user_id")}, [(user_id, '')], []))) AS id, id.1 AS user, id.2 AS device
    FROM (${identities}) WHERE anonymous_id != '' OR user_id != '')`;
export const textsInBody = `extractAll(body, '"([^"]{6,254})"')`;
const contacts = `SELECT atom, site, finalizeAggregation(last).1 AS word FROM trait_state WHERE ${mine} AND finalizeAggregation(last).3 = 'identity' AND length(word) >= 6`;
const inBody = `(
  SELECT r.site AS site, r._partition AS _partition, r._offset AS _offset, r.reason AS reason, w.atom AS atom
  FROM (SELECT site, _partition, _offset, reason, arrayJoin(${whoseBody}) AS word FROM rejected WHERE body != '' AND received_at <= fromUnixTimestamp64Milli({until: Int64})) AS r
  JOIN (${wordsOf("atom, site, word")}) AS w ON w.site = r.site AND w.word = r.word
  UNION ALL
  SELECT r.site, r._partition, r._offset, r.reason, w.atom
  FROM (SELECT site, _partition, _offset, reason, arrayJoin(arrayDistinct(${textsInBody})) AS word FROM rejected WHERE body != '' AND received_at <= fromUnixTimestamp64Milli({until: Int64})) AS r
  JOIN (${contacts}) AS w ON w.site = r.site AND w.word = r.word
)`;

/** In the order in which they are emptied: what leads from an identity to other tables goes last. */
export const erasedTables: { readonly [table: string]: ErasedTable } = {
  rejected: {
    count: byRow(
      `SELECT atom AS of_whom, site, _partition, _offset, reason FROM ${inBody}`,
      "site, _partition, _offset, reason",
    ),
    remove: [
      { rows: `(site, _partition, _offset, reason) IN (SELECT site, _partition, _offset, reason FROM ${inBody})` },
    ],
  },
  identity_edge: {
    count: byRow(
      `SELECT atom AS of_whom, site, anonymous_id, user_id, kind, other, rule FROM identity_edge WHERE ${mine}
      UNION ALL
      SELECT a.atom, e.site, e.anonymous_id, e.user_id, e.kind, e.other, e.rule FROM identity_edge AS e
      JOIN (SELECT DISTINCT site, anonymous_id, user_id, atom FROM atom WHERE ${mine}) AS a
        ON a.site = e.site AND a.anonymous_id = e.anonymous_id AND a.user_id = e.user_id WHERE e.atom = 0
      UNION ALL
      SELECT o.atom, e.site, e.anonymous_id, e.user_id, e.kind, e.other, e.rule FROM identity_edge AS e
      JOIN (${ownIds("atom, site, own")}) AS o ON o.site = e.site AND o.own = e.other WHERE e.kind = 'alias' AND e.time <= ${untilMoment}`,
      "site, anonymous_id, user_id, kind, other, rule",
    ),
    remove: [
      { isMarked: true, rows: mine },
      {
        by: "site, anonymous_id, user_id, kind, other, time",
        among: "(atom = 0 OR kind = 'alias')",
        where: `(atom = 0 AND (site, anonymous_id, user_id) IN (${pairs})) OR (kind = 'alias' AND time <= ${untilMoment} AND (site, other) IN (${ownIds("site, own")}))`,
      },
    ],
  },
  identity_decision: {
    isEverywhere: true,
    count: byRow(
      `SELECT o.atom AS of_whom, d.id AS id FROM (SELECT id, site, arrayJoin(arrayConcat([left, right], arrayFlatten(arrayMap(edge -> ${nodesOfEdge("edge")}, edges)))) AS node FROM identity_decision WHERE ${untilAsked}) AS d
      JOIN (${ownIds("atom, site, node")}) AS o ON o.site = d.site AND o.node = d.node`,
      "id",
    ),
    remove: [
      {
        set: `left = ${renamed("left")}, right = ${renamed("right")}, edges = ${renamedEdges}`,
        where: `${untilAsked} AND (${hasNode("left")} OR ${hasNode("right")} OR ${hasEdge})`,
      },
    ],
  },
  import_row: { count: byAtom("import_row", "site, key, subject, number"), remove: [{ rows: mine, isMarked: true }] },
  person_flag: {
    isEverywhere: true,
    count: byRow(
      `SELECT a.atom AS of_whom, f.id AS id, f.flag AS flag, f.purpose AS purpose, f.user_id AS user, f.anonymous_id AS device FROM person_flag AS f
      JOIN (${flaggedIds("atom, site, user, device")}) AS a ON a.site = f.site AND a.user = f.user_id AND a.device = f.anonymous_id
      WHERE ${untilAsked.replace("at", "f.at")}`,
      "id, flag, purpose, user, device",
    ),
    remove: [{ rows: `${untilAsked} AND (site, user_id, anonymous_id) IN (${flaggedIds("site, user, device")})` }],
  },
  events: {
    isRebuilt: true,
    count: `SELECT atom, count() AS count FROM events WHERE ${mine} AND {gone} GROUP BY atom`,
    remove: [
      // What others said of their ids.
      {
        by: "site, previous_id, time",
        among: "type = 'alias' AND name = 'alias' AND previous_id != ''",
        set: "previous_id = ''",
        where: `type = 'alias' AND name = 'alias' AND previous_id != '' AND time <= ${untilMoment} AND NOT ${mine} AND (site, previous_id) IN (${ownIds("site, own")})`,
      },
      { rows: `${mine} AND {gone}`, isMarked: true },
    ],
  },
  identity_tie: { isEverywhere: true, count: byAtom("identity_tie", "site"), remove: [{ rows: mine }] },
  audience_day: {
    isRebuilt: true,
    count: inBitmap("audience_day"),
    remove: withoutBits("audience_day"),
  },
  audience_size: {
    isEverywhere: true,
    count: inBitmap("audience_size"),
    remove: withoutBits("audience_size"),
  },
  // Before the members, which a tick brings to what the log says.
  audience_log: {
    isEverywhere: true,
    isTold: true,
    count: byPerson("audience_log", "seq"),
    remove: [{ rows: "person IN {atoms: Array(UInt32)}" }],
  },
  audience_member: {
    isEverywhere: true,
    isTold: true,
    count: byPerson("audience_member", "site, audience"),
    remove: [{ rows: "person IN {atoms: Array(UInt32)}" }],
  },
  audience_export_person: {
    isEverywhere: true,
    count: byPerson("audience_export_person", "export_id"),
    remove: [{ rows: "person IN {atoms: Array(UInt32)}" }],
  },
  session_state: {
    isRebuilt: true,
    count: `SELECT of_atom AS atom, uniqExact(site, start_date, session_id) AS count FROM session_state WHERE of_atom IN {atoms: Array(UInt32)} GROUP BY of_atom`,
    remove: [{ rows: "of_atom IN {atoms: Array(UInt32)}", isMarked: true }],
  },
  consent_state: {
    isRebuilt: true,
    count: byAtom("consent_state", "site"),
    remove: [{ rows: mine, isMarked: true }],
  },
  atom_event: {
    isRebuilt: true,
    count: byAtom("atom_event", "_partition, _offset"),
    remove: [{ rows: mine, isMarked: true }],
  },
  profile_state: {
    isRebuilt: true,
    count: byAtom("profile_state", "site"),
    remove: [{ rows: mine, isMarked: true }],
  },
  trait_state: {
    isRebuilt: true,
    count: byAtom("trait_state", "site, name"),
    remove: [{ rows: mine, isMarked: true }],
  },
  atom: { count: byAtom("atom", "site, anonymous_id, user_id"), remove: [{ rows: mine, isMarked: true }] },
};

/** Tables of which an erasure removes nothing, and why that is right. A table is here or in {@link erasedTables}. */
export const untouchedTables: { readonly [table: string]: string } = {
  audience: "definitions, no visitors",
  audience_export: "who exported what and when: no visitors",
  audience_identity: "who belonged to whom, by numbers that lead nowhere any more",
  audience_permit: "numbers of people, worked out anew with every tick",
  audience_tick: "no visitors",
  audience_told: "no visitors",
  computed_trait: "definitions, no visitors",
  consent_log:
    "proof of what was agreed to: a chain has no gaps. It has the number of an identity, which leads nowhere any more, and no id",
  consent_notice: "texts of the site, no visitors",
  consent_receipt: "numbers, and for eight days a hash of the id that withdrew",
  consent_setting: "what was configured, no visitors",
  erasure: "the erasures themselves: numbers and keyed hashes",
  erasure_key: "no visitors",
  erasure_receipt: "the receipts: numbers",
  erasure_turn: "no visitors",
  identity: "that these numbers are nobody: without it somebody would find them in what is loaded late",
  identity_position: "how far the worker has settled who is one person, no visitors",
  identity_quarantine: "numbers that lead nowhere any more",
  ledger: "counts by site and hour, no visitors",
  ledger_progress: "no visitors",
  log_gap: "no visitors",
  log_position: "numbers alone: how far the log is loaded",
  log_source: "no visitors",
  migration: "no visitors",
  migration_week: "no visitors",
  person_atom: "who belonged to whom, by numbers that lead nowhere any more",
  replayed: "which records were read again: no ids of visitors",
  retention_policy: "what was configured, no visitors",
};
