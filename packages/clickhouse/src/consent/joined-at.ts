import { standsForNobody } from "../stands-for-nobody.ts";
import { undoneDecisions } from "../undone-decisions.ts";

/**
 * By person, since when everything has been there that joins more than a user and their devices: an alias, an address or a number that several state, a
 * decision. A subquery with the columns `person_id` and `joined_ms`; whoever is not in it is joined by nothing of the kind.
 * @param atoms a list or subquery of identities: those of the people that are asked about, all of them.
 */
export function joinedAt(atoms?: string): string {
  const isAsked = (column: string): string => (atoms === undefined ? "" : ` AND ${column} IN (${atoms})`);
  return `(
    SELECT person_id, max(at) AS joined_ms FROM (
      SELECT person_id, max(first) AS at
      FROM (
        -- By hashes, of eight bytes each: the texts are long, and there are as many as people who stated something.
        SELECT person(e.atom) AS person_id, kind = 'alias' AS is_alias, cityHash64(kind, other) AS hub,
          if(${isNobody}, cityHash64(anonymous_id, ''), cityHash64('', user_id)) AS node, toUInt64(toUnixTimestamp64Milli(min(e.time))) AS first
        FROM identity_edge AS e
        WHERE e.site = {site:String} AND kind NOT IN ('login', 'import')${isAsked("e.atom")}
          AND (kind != 'alias' OR (concat('user:', user_id), other) NOT IN (SELECT node, joined FROM (${unmade("alias")})))
        GROUP BY person_id, is_alias, hub, node)
      GROUP BY person_id, is_alias, if(is_alias, 0, hub)
      HAVING is_alias OR count() > 1
      UNION ALL
      SELECT person(a.atom), max(toUInt64(toUnixTimestamp64Milli(d.at)))
      FROM (
        SELECT made.at AS at, arrayJoin([left, right]) AS node FROM (
          SELECT at, id, left, right FROM identity_decision WHERE site = {site:String} AND action = 'merge' AND NOT has(${undoneDecisions}, id)
        ) AS made
        -- What was unmerged joins nobody any more, unless it was merged again.
        LEFT JOIN (${unmade("manual")}) AS unmade
          ON unmade.node = least(made.left, made.right) AND unmade.joined = greatest(made.left, made.right)
        WHERE (made.at, made.id) > unmade.last
      ) AS d
      INNER JOIN (
        SELECT atom, if(${isNobody}, concat('device:', anonymous_id), concat('user:', user_id)) AS node FROM atom
        WHERE site = {site:String} AND (user_id IN (${merged("user:")}) OR (anonymous_id IN (${merged("device:")}) AND ${isNobody}))${isAsked("atom")}
      ) AS a ON a.node = d.node
      GROUP BY person(a.atom)
    )
    GROUP BY person_id)`;
}

/** Then an identity is one of its device. */
const isNobody = standsForNobody("user_id");

/** Edges that no longer hold, since when: those of a decision by the smaller of their nodes. */
const unmade = (kind: "manual" | "alias"): string => `
          SELECT ${kind === "manual" ? "least(edge.2, edge.3) AS node, greatest(edge.2, edge.3) AS joined" : "edge.2 AS node, edge.3 AS joined"}, max((at, id)) AS last
          FROM (
            SELECT at, id, arrayJoin(edges) AS edge FROM identity_decision
            WHERE site = {site:String} AND action = 'unmerge' AND NOT has(${undoneDecisions}, id))
          WHERE edge.1 = '${kind}' GROUP BY node, joined`;

/** Ids of users or devices that somebody decided about. */
const merged = (kind: "user:" | "device:"): string =>
  `SELECT substring(node, ${kind.length + 1}) FROM (SELECT arrayJoin([left, right]) AS node FROM identity_decision WHERE site = {site:String} AND action = 'merge') WHERE startsWith(node, '${kind}')`;
