/**
 * Every table with a number, an id or a word of a person in it, and what an erasure does there. SQL over `{atoms: Array(UInt32)}`, the identities of
 * some people; a test fails when a table with such a column is in neither list.
 */
export interface ErasedTable {
  /** Rows by identity: `atom` and `count`. Rows of a state are there once for each insert until they are merged, so what they are about is counted. */
  count: string;
  /** What is done, in this order. */
  remove: readonly (Removal | RemovalOfAll)[];
}

interface Removal {
  /** A condition: these rows go. */
  rows: string;
  /** Rows of which `atoms` may be thousands are marked first and leave the disk afterwards; it takes a tenth of the time. */
  isMarked?: boolean;
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
const inBitmap = (table: string): string =>
  `SELECT arrayJoin(bitmapToArray(bitmapAnd(atoms, ${bitmap}))) AS atom, count() AS count FROM ${table} WHERE bitmapHasAny(atoms, ${bitmap}) GROUP BY atom`;
const withoutBits = (table: string): readonly RemovalOfAll[] => [
  { set: `atoms = bitmapAndnot(atoms, ${bitmap})`, where: `bitmapHasAny(${table}.atoms, ${bitmap})` },
];

const users = `SELECT site, user_id FROM atom WHERE ${mine} AND user_id != ''`;
const devices = `SELECT site, anonymous_id FROM atom WHERE ${mine} AND anonymous_id != '' AND user_id = ''`;

/** What somebody new has said since under the same id is theirs. */
const untilAsked = "at <= fromUnixTimestamp64Milli({until: Int64})";

// Of a body that was cut off anywhere, and may be a client's or a row of ours: the ids that it names.
const idsInBody = `extractAll(body, '"(?:anonymousId|userId|previousId|anonymous_id|user_id|previous_id)"\\\\s*:\\\\s*"?([^",}]*)')`;
const textsInBody = `extractAll(body, '"([^"]{6,254})"')`;
const contacts = `SELECT atom, site, finalizeAggregation(last).1 AS word FROM trait_state WHERE ${mine} AND finalizeAggregation(last).3 = 'identity' AND length(word) >= 6`;
const ids = `SELECT atom, site, arrayJoin([anonymous_id, user_id]) AS word FROM atom WHERE ${mine}`;
const inBody = `(
  SELECT r.site AS site, r._partition AS _partition, r._offset AS _offset, r.reason AS reason, w.atom AS atom
  FROM (SELECT site, _partition, _offset, reason, arrayJoin(arrayDistinct(${idsInBody})) AS word FROM rejected WHERE body != '' AND received_at <= fromUnixTimestamp64Milli({until: Int64})) AS r
  JOIN (${ids}) AS w ON w.site = r.site AND w.word = r.word WHERE r.word != ''
  UNION ALL
  SELECT r.site, r._partition, r._offset, r.reason, w.atom
  FROM (SELECT site, _partition, _offset, reason, arrayJoin(arrayDistinct(${textsInBody})) AS word FROM rejected WHERE body != '' AND received_at <= fromUnixTimestamp64Milli({until: Int64})) AS r
  JOIN (${contacts}) AS w ON w.site = r.site AND w.word = r.word
)`;

/** In the order in which they are emptied: what leads from an identity to other tables goes last. */
export const erasedTables: { readonly [table: string]: ErasedTable } = {
  rejected: {
    count: `SELECT atom, uniqExact(site, _partition, _offset, reason) AS count FROM ${inBody} GROUP BY atom`,
    remove: [{ rows: `(site, _partition, _offset, reason) IN (SELECT site, _partition, _offset, reason FROM ${inBody})` }],
  },
  identity_edge: {
    count: `SELECT a.atom AS atom, uniqExact(e.site, e.anonymous_id, e.user_id) AS count
      FROM identity_edge AS e JOIN (SELECT DISTINCT site, anonymous_id, user_id, atom FROM atom WHERE ${mine} AND anonymous_id != '' AND user_id != '') AS a
        ON a.site = e.site AND a.anonymous_id = e.anonymous_id AND a.user_id = e.user_id GROUP BY a.atom`,
    remove: [
      {
        rows: `(site, anonymous_id, user_id) IN (SELECT DISTINCT site, anonymous_id, user_id FROM atom WHERE ${mine} AND anonymous_id != '' AND user_id != '')`,
      },
    ],
  },
  person_flag: {
    count: `SELECT a.atom AS atom, uniqExact(f.id, f.flag, f.purpose) AS count FROM person_flag AS f
      JOIN (SELECT atom, site, user_id, if(user_id = '', anonymous_id, '') AS device FROM atom WHERE ${mine}) AS a
        ON a.site = f.site AND a.user_id = f.user_id AND a.device = f.anonymous_id
      WHERE ${untilAsked.replace("at", "f.at")} GROUP BY a.atom`,
    remove: [
      {
        rows: `${untilAsked} AND ((user_id != '' AND (site, user_id) IN (${users})) OR (user_id = '' AND (site, anonymous_id) IN (${devices})))`,
      },
    ],
  },
  events: {
    count: `SELECT atom, count() AS count FROM events WHERE {gone} GROUP BY atom`,
    remove: [{ rows: "{gone}", isMarked: true }],
  },
  audience_day: { count: inBitmap("audience_day"), remove: withoutBits("audience_day") },
  audience_size: { count: inBitmap("audience_size"), remove: withoutBits("audience_size") },
  audience_member: {
    count: byPerson("audience_member", "site, audience"),
    remove: [{ rows: "person IN {atoms: Array(UInt32)}" }],
  },
  audience_log: {
    count: byPerson("audience_log", "seq"),
    remove: [{ rows: "person IN {atoms: Array(UInt32)}" }],
  },
  audience_export_person: {
    count: byPerson("audience_export_person", "export_id"),
    remove: [{ rows: "person IN {atoms: Array(UInt32)}" }],
  },
  session_state: {
    count: `SELECT of_atom AS atom, uniqExact(site, start_date, session_id) AS count FROM session_state WHERE of_atom IN {atoms: Array(UInt32)} GROUP BY of_atom`,
    remove: [{ rows: "of_atom IN {atoms: Array(UInt32)}" }],
  },
  consent_state: { count: byAtom("consent_state", "site"), remove: [{ rows: mine }] },
  profile_state: { count: byAtom("profile_state", "site"), remove: [{ rows: mine }] },
  trait_state: { count: byAtom("trait_state", "site, name"), remove: [{ rows: mine }] },
  atom: { count: byAtom("atom", "site, anonymous_id, user_id"), remove: [{ rows: mine }] },
};
