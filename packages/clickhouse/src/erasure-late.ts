import type { ClickHouse } from "./clickhouse.ts";
import { blockedValues, isNobodyAt, type BlockedOfSites } from "./stands-for-nobody.ts";

/** An identity of which something came to light after the erasure had been carried out. */
export interface LateIdentity {
  site: string;
  id: string;
  atom: number;
  /** Whether somebody new goes on under it. */
  isKept: boolean;
}

const named = "(a.anonymous_id != '' OR a.user_id != '')";
const key = "(SELECT (k0, k1) FROM erasure_key ORDER BY since, k0 LIMIT 1)";
const hash = (text: string): string => `sipHash64Keyed(k, concat(a.site, '\\0', ${text}))`;
// As `keysOf` in core has it: a device says it only where no user is named. Here the values that stand for nobody at one site alone are known, too.
const isNobody = isNobodyAt("a.site", "a.user_id");
const pair = hash("'p', a.anonymous_id, '\\0', a.user_id");
const hashes = `arrayConcat([${pair}], multiIf(NOT ${isNobody}, [${hash("'u', a.user_id")}], a.anonymous_id = '', [], [${hash("'d', a.anonymous_id")}]))`;

const paramsOf = (limit: number, rules: BlockedOfSites) => ({ limit, blocked: blockedValues(rules) });

// What is being removed is still there.
const isOpen = (one: string): string => `(${one}.id, ${one}.atom) IN (
       SELECT id, arrayJoin(atoms) FROM erasure
       WHERE (id, round) NOT IN (SELECT id, round FROM erasure_receipt WHERE table_name = '' AND is_done = 1))`;

// Whom the hashes of one kind of erasures mean, as the tables are now.
const meant = (kind: "person" | "traits"): string => `
       hashed AS (
         SELECT site, id, min(requested_at) AS until, arrayJoin(keys) AS hash FROM erasure WHERE kind = '${kind}' GROUP BY site, id, hash),
       seen AS (
         SELECT a.site AS site, a.atom AS atom, arrayJoin(${hashes}) AS hash FROM atom AS a WHERE ${named}),
       again AS (
         SELECT DISTINCT s.site AS site, s.atom AS atom, h.id AS id, h.until AS until
         FROM (SELECT * FROM seen WHERE hash IN (SELECT hash FROM hashed)) AS s
         JOIN hashed AS h ON h.site = s.site AND h.hash = s.hash)`;

/**
 * Under numbers that are nobody any more: rows that a loader had in its hands, or that a restore brought back. Under other numbers: what happened before
 * the erasure, and was loaded by one that had not heard of it.
 */
export async function findLate(clickhouse: ClickHouse, limit: number, rules: BlockedOfSites): Promise<LateIdentity[]> {
  const rows = await clickhouse.query<{ site: string; id: string; atom: number; count: number; before: number }>(
    `WITH
       ${key} AS k,
       gone AS (SELECT site, id, arrayJoin(arrayFilter(one -> NOT has(kept_atoms, one), atoms)) AS atom FROM erasure WHERE kind = 'person'),${meant("person")}
     SELECT a.site AS site, g.id AS id, a.atom AS atom, 1 AS count, 1 AS before
     FROM (SELECT DISTINCT site, atom FROM atom AS a WHERE a.atom IN (SELECT atom FROM gone)) AS a JOIN gone AS g ON g.atom = a.atom
     WHERE NOT ${isOpen("g")}
     UNION DISTINCT
     SELECT w.site, w.id, w.atom, count() AS count, countIf(least(e.time, e.received_at) < w.until) AS before
     FROM (SELECT site, atom, time, received_at FROM events WHERE atom IN (SELECT atom FROM again)) AS e
     JOIN again AS w ON w.atom = e.atom AND w.site = e.site
     WHERE w.atom NOT IN (SELECT atom FROM gone) AND NOT ${isOpen("w")}
     GROUP BY w.site, w.id, w.atom HAVING before > 0
     LIMIT {limit: UInt32}`,
    { params: paramsOf(limit, rules) },
  );
  return rows.map(({ site, id, atom, count, before }) => ({ site, id, atom, isKept: before < count }));
}

/** Of people who go on: traits that were to go and are there again, stated before that was asked. */
export function findLateTraits(clickhouse: ClickHouse, limit: number, rules: BlockedOfSites): Promise<LateIdentity[]> {
  return clickhouse.query<LateIdentity>(
    `WITH
       ${key} AS k,${meant("traits")}
     SELECT DISTINCT t.site AS site, g.id AS id, t.atom AS atom, false AS isKept
     FROM (SELECT site, atom, name, finalizeAggregation(last).6 AS time FROM trait_state) AS t
     JOIN (
       SELECT site, id, requested_at, arrayJoin(atoms) AS atom, traits FROM erasure WHERE kind = 'traits'
       UNION DISTINCT
       SELECT g.site, g.id, g.requested_at, a.atom, g.traits FROM erasure AS g JOIN again AS a ON a.id = g.id WHERE g.round = 1
     ) AS g ON g.atom = t.atom AND g.site = t.site
     WHERE has(g.traits, t.name) AND t.time < g.requested_at AND NOT ${isOpen("g")}
     LIMIT {limit: UInt32}`,
    { params: paramsOf(limit, rules) },
  );
}
