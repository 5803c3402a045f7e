import type { ClickHouse } from "../clickhouse.ts";
import { plainId } from "../stands-for-nobody.ts";
import { undoneDecisions } from "../undone-decisions.ts";

/** What two people have in common, in the order of its weight. */
export const duplicateSigns = {
  email: { weight: 0.9, about: "the same e-mail address, said by a login or a server of both" },
  name_and_birth_date: { weight: 0.8, about: "the same name and date of birth" },
  phone: { weight: 0.8, about: "the same telephone number, said by a login or a server of both" },
  unconfirmed_email: { weight: 0.7, about: "the same e-mail address, of one at least only typed into a form" },
  similar_email: { weight: 0.6, about: "e-mail addresses that reach the same mailbox: dots and +tags aside" },
  unconfirmed_phone: { weight: 0.5, about: "the same telephone number, of one at least only typed into a form" },
} as const;
export type DuplicateSign = keyof typeof duplicateSigns;

export interface Duplicate {
  /** Person numbers, the smaller one first. */
  left: number;
  right: number;
  /** From 0 to 100: how sure, all signs together. */
  score: number;
  /** The weightiest first. */
  signs: DuplicateSign[];
}

export interface DuplicatesQuestion {
  /** At least this score. */
  minScore: number;
  limit: number;
  /** After this one; from the start when left out. */
  after?: Pick<Duplicate, "left" | "right" | "score"> | undefined;
}

export interface DuplicateQueries {
  /** People who look like one, the surest first, without those that somebody has dismissed. Suggestions only: nothing is joined by them. */
  duplicates(site: string, question: DuplicatesQuestion): Promise<Duplicate[]>;
}

/** A value that more people than this share says nothing about two of them: an office's address, a test. */
const maxSharers = 10;

const plainName = "lower(replaceRegexpAll(name::String, '[-_\\\\s]', ''))";
const stated = `
  SELECT person(atom) AS who, ${plainName} AS trait, argMaxMerge(last).1 AS value FROM trait_state
  WHERE site = {site:String} AND person(atom) != 0
    AND ${plainName} IN ('email', 'firstname', 'lastname', 'name', 'fullname', 'birthday', 'birthdate', 'dateofbirth')
  GROUP BY who, trait`;

const plainWords = (text: string): string => `trimBoth(replaceRegexpAll(lowerUTF8(${text}), '[\\\\s.,''-]+', ' '))`;
// Only the day: a time of day is what some form puts behind it.
const plainDate = (text: string): string => `extract(${text}, '^\\\\s*(\\\\d{4}-\\\\d{2}-\\\\d{2})')`;

/** Values of people, one row each: the sign when both confirm it, and when one does not. */
const values = `
  SELECT e.kind::String AS sign, concat('unconfirmed_', e.kind::String) AS weaker, other AS value, person(atom) AS who, max(rule = 'server' OR (rule = 'login' AND ${plainId("user_id")} NOT IN {nobody:Array(String)})) AS is_confirmed
  FROM identity_edge AS e WHERE site = {site:String} AND e.kind IN ('email', 'phone') AND atom != 0 AND person(atom) != 0
  GROUP BY sign, value, who
  UNION ALL
  SELECT 'similar_email', 'similar_email', concat(if(domain IN ('gmail.com', 'googlemail.com'), replaceAll(mailbox, '.', ''), mailbox), '@', domain) AS value, who, 1
  FROM (
    SELECT who, lowerUTF8(trimBoth(value)) AS address, splitByChar('+', splitByChar('@', address)[1])[1] AS mailbox,
      replaceOne(splitByChar('@', address)[2], 'googlemail.com', 'gmail.com') AS domain
    FROM (${stated}) WHERE trait = 'email'
  ) WHERE mailbox != '' AND domain != ''
  UNION ALL
  SELECT 'name_and_birth_date', 'name_and_birth_date', concat(full_name, ' ', birth), who, 1
  FROM (
    SELECT who,
      ${plainWords("if(anyIf(value, trait = 'name') != '', anyIf(value, trait = 'name'), if(anyIf(value, trait = 'fullname') != '', anyIf(value, trait = 'fullname'), concat(anyIf(value, trait = 'firstname'), ' ', anyIf(value, trait = 'lastname'))))")} AS full_name,
      ${plainDate("anyIf(value, trait IN ('birthday', 'birthdate', 'dateofbirth') AND value != '')")} AS birth
    FROM (${stated}) GROUP BY who
  ) WHERE position(full_name, ' ') > 0 AND birth != ''`;

const dismissed = `
  SELECT d.left AS left, d.right AS right FROM identity_decision AS d
  WHERE site = {site:String} AND action = 'dismiss' AND NOT has(${undoneDecisions}, id)`;
// Whose the ids are now: the dismissal is about people, who may have got other numbers since.
const people = `
  SELECT node, argMin(person(atom), (order_key, atom)) AS who FROM (
    SELECT concat('user:', user_id) AS node, atom, 0 AS order_key FROM atom
    WHERE site = {site:String} AND user_id IN (SELECT substring(arrayJoin([left, right]), 6) FROM (${dismissed}))
    UNION ALL
    SELECT concat('device:', anonymous_id), atom, user_id != '' FROM atom
    WHERE site = {site:String} AND anonymous_id IN (SELECT substring(arrayJoin([left, right]), 8) FROM (${dismissed}))
  ) GROUP BY node`;
const dismissedPairs = `
  SELECT least(l.who, r.who), greatest(l.who, r.who) FROM (${dismissed}) AS d
  JOIN (${people}) AS l ON l.node = d.left JOIN (${people}) AS r ON r.node = d.right`;

const signNames = Object.keys(duplicateSigns);
const weights = Object.values(duplicateSigns).map(({ weight }) => Math.round(weight * 100));

// Signs are taken as independent: each leaves a share of the doubt. A similar address says nothing beside the same one.
const report = `
SELECT left, right, signs, toUInt32(round(100 * (1 - arrayFold((doubt, one) -> doubt * (100 - transform(one, {names:Array(String)}, {weights:Array(UInt32)}, toUInt32(0))) / 100, signs, toFloat64(1))))) AS score
FROM (
  SELECT left, right, arraySort(one -> indexOf({names:Array(String)}, one), arrayFilter(
    one -> one != 'similar_email' OR NOT hasAny(found, ['email', 'unconfirmed_email']), groupUniqArray(sign) AS found)) AS signs
  FROM (
    SELECT pair.1.1 AS left, pair.2.1 AS right, if(pair.1.2 AND pair.2.2, sign, weaker) AS sign
    FROM (
      SELECT sign, weaker, arraySort(groupArray((who, is_confirmed))) AS sharers
      FROM (${values}) GROUP BY sign, weaker, value
      HAVING length(sharers) BETWEEN 2 AND ${maxSharers}
    )
    ARRAY JOIN arrayFlatten(arrayMap((one, i) -> arrayMap(other -> [(one, other)], arraySlice(sharers, i + 1)), sharers, arrayEnumerate(sharers))) AS pair
  )
  GROUP BY left, right
)
WHERE (left, right) NOT IN (${dismissedPairs}) AND score >= {minScore:UInt32}`;

/** @param blockedAt What stands for nobody at a site besides the built-in values. */
export const createDuplicateQueries = (
  clickhouse: ClickHouse,
  blockedAt: (site: string) => readonly string[] = () => [],
): DuplicateQueries => ({
  duplicates: (site, { minScore, limit, after }) =>
    clickhouse.query<Duplicate>(
      `${report}${
        after === undefined
          ? ""
          : " AND (score < {score:UInt32} OR (score = {score:UInt32} AND (left, right) > ({left:UInt32}, {right:UInt32})))"
      } ORDER BY score DESC, left, right LIMIT {limit:UInt32}`,
      {
        params: {
          site,
          minScore,
          limit,
          nobody: blockedAt(site).map((value) => value.trim().toLowerCase()),
          names: signNames,
          weights,
          ...(after === undefined ? {} : { score: after.score, left: after.left, right: after.right }),
        },
      },
    ),
});
