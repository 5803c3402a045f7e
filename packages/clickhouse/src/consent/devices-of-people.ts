import { askedPurposes } from "../migrations/0012-people-consent.ts";
import { isNobodysHash } from "../stands-for-nobody.ts";

/** What allows: the nameless allow nothing. */
const masks = ["by_key", "by_law"];
const each = <T>(values: readonly T[], of: (value: T, index: number) => string): string => values.map(of).join(", ");
const ofSite = "s.site = {site:String}";
/** A value that stands for nobody is no user of several devices. */
const user = `if(${isNobodysHash("s.user")}, 0, s.user)`;

/**
 * By device and person of a site, what their consent follows from: a subquery. A device is a browser, or a user without any; what a withdrawal has made
 * nameless is one by itself. `said…` is the person's last choice on it and `anywhere…` the last of anybody, both as in `consent_state`; `first_user` and
 * `last_user` are the least and the greatest of the person's users on it, the first of whom was seen with it at `since_ms`. Of
 * the nameless that is since when they were of the person with all others, by `identity_tie`; what they were let be used for can be a no, and nothing else.
 * @param atoms a list or subquery of the identities of these people, all of them, and of nobody else.
 */
export function devicesOfPeople(atoms?: string): string {
  const isAsked = atoms === undefined ? ofSite : `${ofSite} AND s.atom IN (${atoms})`;
  return `(
  SELECT own.* EXCEPT (used_ms), if(named, used_ms, toUInt64(toUnixTimestamp64Milli(tie.since))) AS since_ms,
    ${each(askedPurposes, (_, n) => `if(shared.device = 0, said${n + 1}, shared.last${n + 1}) AS anywhere${n + 1}`)},
    if(shared.device = 0, own.by_choice, shared.last_by_choice) AS by_choice_anywhere
  FROM (
    SELECT
      person(s.atom) AS person_id,
      if(s.device = 0, toUInt64(s.atom), s.device) AS device_id,
      any(s.device > 0) AS named,
      minIf(${user}, ${user} > 0) AS first_user,
      max(${user}) AS last_user,
      minIf(toUInt64(toUnixTimestamp64Milli(s.since)), ${user} > 0) AS used_ms,
      ${each(askedPurposes, (purpose, n) => `max(s.${purpose}) AS said${n + 1}`)},
      max(s.by_choice) AS by_choice,
      ${each(masks, (name) => `maxIf(s.${name}, s.device > 0) AS ${name}`)}
    FROM consent_state AS s WHERE ${isAsked}
    GROUP BY person_id, device_id
    HAVING person_id != 0
  ) AS own
  LEFT JOIN (
    SELECT s.device AS device, ${each(askedPurposes, (purpose, n) => `max(s.${purpose}) AS last${n + 1}`)}, max(s.by_choice) AS last_by_choice
    FROM consent_state AS s WHERE ${ofSite} AND person(s.atom) != 0 AND s.device + 0 IN (${shared(atoms === undefined ? "s.user != 0" : isAsked)})
    GROUP BY device
  ) AS shared ON shared.device = own.device_id
  LEFT JOIN (
    SELECT t.atom AS atom, max(t.since) AS since FROM identity_tie AS t WHERE t.site = {site:String}${atoms === undefined ? "" : ` AND t.atom IN (${atoms})`} GROUP BY atom
  ) AS tie ON tie.atom = own.device_id
)`;
}

/**
 * Browsers that several people use: each speaks for all of them when it says no. Nobody shares one on which no user was ever seen.
 * Looking for many in an index costs more than reading all there is: whatever is added to a column is not looked for in its index.
 */
const shared = (isMaybe: string): string => `
      SELECT s.device FROM consent_state AS s
      WHERE ${ofSite} AND s.device != 0 AND person(s.atom) != 0 AND s.device + 0 IN (SELECT s.device FROM consent_state AS s WHERE ${ofSite} AND ${isMaybe})
      GROUP BY s.device HAVING min(person(s.atom)) != max(person(s.atom))`;
