import { askedPurposes } from "../migrations/0012-people-consent.ts";

// Set and taken back in one moment is set.
const holding = `
    SELECT user_id, anonymous_id, if(flag = 'restrict', 126, transform(purpose::String, ['${askedPurposes.join("', '")}'], [2, 4, 8, 16, 32], 0)) AS bits
    FROM person_flag WHERE site = {site:String}
    GROUP BY user_id, anonymous_id, flag, purpose HAVING argMax(is_set, (at, is_set)) = 1`;

/**
 * What may not be done with people of a site by their own wish: a subquery with the columns `person_id` and `off`, a mask (a restriction has the bit 64 too); whoever has no flag is not in it.
 * A flag that is set for any identifier of a person holds for the person.
 * @param atoms a list or subquery of identities: those of the people that are asked about, all of them.
 */
export const flagsOfPeople = (atoms?: string): string => `(
  SELECT person(a.atom) AS person_id, groupBitOr(f.bits) AS off
  FROM (
    SELECT atom, arrayJoin(if(user_id = '', [('', anonymous_id)], [(user_id, ''), (user_id, anonymous_id)])) AS id
    FROM atom
    WHERE site = {site:String} AND (anonymous_id != '' OR user_id != '') AND (
      key IN (SELECT cityHash64(anonymous_id, user_id) FROM person_flag WHERE site = {site:String})
      OR user_id IN (SELECT user_id FROM person_flag WHERE site = {site:String} AND user_id != ''))${atoms === undefined ? "" : ` AND atom IN (${atoms})`}
  ) AS a
  INNER JOIN (${holding}
  ) AS f ON f.user_id = a.id.1 AND f.anonymous_id = a.id.2
  GROUP BY person_id
)`;
