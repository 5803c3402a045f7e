import { askedPurposes } from "../migrations/0012-people-consent.ts";

/** A moment that never comes. */
export const never = "18446744073709551615";

const purposes: readonly string[] = askedPurposes;
const numbers = purposes.map((_, index) => index + 1);
const masks = ["by_choice", "by_key", "by_law"];
const each = <T>(values: readonly T[], of: (value: T, index: number) => string): string => values.map(of).join(", ");

/** Of a row of `atom`. What a withdrawal has made nameless is found under no device any more. */
const deviceKey =
  "if(anonymous_id = '' AND user_id = '', 0, cityHash64(anonymous_id, if(anonymous_id = '', user_id, '')))";

/** What may not be done with whom: the identifiers that a flag was set for. Set and taken back in one moment is set. */
const flagged = `
    SELECT user_id, anonymous_id, groupBitOr(if(flag = 'restrict', 62, transform(purpose::String, ['${purposes.join("', '")}'], [2, 4, 8, 16, 32], 0))) AS bits
    FROM (
      SELECT user_id, anonymous_id, flag, purpose FROM person_flag WHERE site = {site:String}
      GROUP BY user_id, anonymous_id, flag, purpose HAVING argMax(is_set, (at, is_set)) = 1)
    GROUP BY user_id, anonymous_id`;

/**
 * By device and person of a site, what their consent follows from: a subquery. A device is a browser, or a user without any; what a withdrawal has made
 * nameless is one by itself. `said…` is the person's last choice on it, `anywhere…` the last of anybody, both as in `consent_state`; `users` has the
 * person's users on it, each with the moment from which it was seen with them.
 * @param people a subquery of person ids: only these.
 */
export function devicesOfPeople(people?: string): string {
  const ofPeople = `SELECT atom FROM atom WHERE site = {site:String} AND person(atom) IN (${people})`;
  // A browser that others use too speaks for all of them when it says no.
  const concerned =
    people === undefined
      ? ""
      : ` AND atom IN (
          SELECT atom FROM atom WHERE site = {site:String} AND ${deviceKey} != 0 AND ${deviceKey} IN (SELECT ${deviceKey} FROM atom WHERE atom IN (${ofPeople}))
          UNION DISTINCT ${ofPeople})`;
  const nothing = each([...numbers, ...masks], () => "0");
  return `(
  SELECT *, ${each(numbers, (n) => `max(said${n}) OVER (PARTITION BY device) AS anywhere${n}`)}, max(by_choice) OVER (PARTITION BY device) AS by_choice_anywhere
  FROM (
    SELECT
      person_id,
      if(device_key = 0, toUInt64(atom), device_key) AS device,
      toUInt8(any(device_key != 0)) AS named,
      groupBitOr(flags) AS off,
      groupArrayIf((user_key, since_ms), user_key != 0) AS users,
      ${each(numbers, (n) => `max(if(device_key != 0 OR bitTest(choice${n}, 0), choice${n}, 0)) AS said${n}`)},
      ${each(masks, (name) => `maxIf(last_${name}, device_key != 0) AS ${name}`)}
    FROM (
      SELECT
        atom,
        person(atom) AS person_id,
        max(d) AS device_key,
        max(u) AS user_key,
        if(max(is_pair) = 1, min(s), 0) AS since_ms,
        groupBitOr(f) AS flags,
        ${each(numbers, (n) => `max(c${n}) AS choice${n}`)},
        ${each(masks, (name) => `max(m_${name}) AS last_${name}`)}
      FROM (
        SELECT atom, ${deviceKey} AS d, if(user_id = '', 0, cityHash64(user_id)) AS u, anonymous_id != '' AND user_id != '' AS is_pair,
          ${never} AS s, 0 AS f, ${each(numbers, (n) => `0 AS c${n}`)}, ${each(masks, (name) => `0 AS m_${name}`)}
        FROM atom WHERE site = {site:String}${concerned}
        UNION ALL
        SELECT atom, 0, 0, 0, toUInt64(toUnixTimestamp64Milli(first_seen)), 0, ${each([...purposes, ...masks], (name) => name)}
        FROM consent_state WHERE site = {site:String}${concerned}
        UNION ALL
        SELECT a.atom, 0, 0, 0, ${never}, f.bits, ${nothing}
        FROM (
          SELECT atom, arrayJoin(if(user_id = '', [('', anonymous_id)], [(user_id, ''), (user_id, anonymous_id)])) AS id FROM atom
          WHERE site = {site:String} AND (user_id, anonymous_id) != ('', '') AND (
            key IN (SELECT cityHash64(anonymous_id, user_id) FROM person_flag WHERE site = {site:String})
            OR user_id IN (SELECT user_id FROM person_flag WHERE site = {site:String} AND user_id != ''))${concerned}
        ) AS a
        INNER JOIN (${flagged}) AS f ON f.user_id = a.id.1 AND f.anonymous_id = a.id.2
      )
      GROUP BY atom
      HAVING person_id != 0
    )
    GROUP BY person_id, device
  )
)`;
}
