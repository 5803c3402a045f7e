import { devicesOfPeople, never } from "./devices-of-people.ts";
import { askedPurposes } from "../migrations/0012-people-consent.ts";

export interface PersonConsentOptions {
  /** A subquery with one column of person ids: only these are asked about. */
  people?: string;
}

const askedBits = askedPurposes.map((_, index) => index + 1);
const each = (of: (bit: number) => string, separator = ",\n    "): string => askedBits.map(of).join(separator);
const maskOf = (holds: (bit: number) => string): string =>
  `toUInt8(${each((bit) => `if(${holds(bit)}, ${1 << bit}, 0)`, " + ")})`;
const ads = 5;
/** measurement and profile: a contract and the law do not ask whether the visitor agrees. */
const heldByLaw = 6;
const dayMs = 86_400_000;

const time = (mask: string): string => `intDiv(${mask}, 128)`;
const refuses = (mask: string, bit: number): string => `bitTest(${mask}, ${bit})`;
const restsOnYes = (mask: string): string => `bitTest(${mask}, 6)`;
const allows = (mask: string, bit: number): string => `(${mask} > 0 AND NOT ${refuses(mask, bit)})`;
const fresh = (at: string): string => `({now:Int64} - toInt64(${at}) <= term)`;

/** When an event was last seen that was not allowed it, of those that rest on a yes or of the others. */
const seenWithout = (bit: number, isByYes: boolean): string => {
  const of = (mask: string): string =>
    `if(${refuses(mask, bit)} AND ${isByYes ? "" : "NOT "}${restsOnYes(mask)}, ${time(mask)}, 0)`;
  return `greatest(${of("by_choice")}, ${of("by_choice_anywhere")})`;
};

const deviceVerdict = (bit: number): string => {
  const [said, anywhere] = [`said${bit}`, `anywhere${bit}`];
  const yes = `yes${bit}`;
  const signal = bit === ads ? `if(${yes} > 0, greatest(without${bit}, taken${bit}), without${bit})` : `without${bit}`;
  return `multiIf(bitTest(${anywhere}, 0), intDiv(${anywhere}, 2), bitTest(${said}, 0), intDiv(${said}, 2), 0) AS no${bit},
    if(bitTest(${said}, 0), 0, intDiv(${said}, 2)) AS ${yes},
    ${seenWithout(bit, false)} AS without${bit},
    ${seenWithout(bit, true)} AS taken${bit},
    multiIf(no${bit} > 0, no${bit}, ${signal} > ${yes}, ${signal}, 0) AS denied${bit},
    if(denied${bit} = 0 AND taken${bit} <= ${yes} AND ${fresh(yes)}, ${yes}, 0) AS granted${bit},
    granted${bit} > 0 OR ${allows("by_law", bit)} OR (denied${bit} = 0 AND (
      (${allows("by_choice", bit)} AND NOT ${refuses("by_choice_anywhere", bit)}
        AND (NOT ${restsOnYes("by_choice")} OR (${yes} = 0 AND ${fresh(time("by_choice"))})))
      OR (${allows("by_key", bit)} AND (NOT ${restsOnYes("by_key")} OR ${fresh(time("by_key"))})))) AS allows${bit}`;
};

const since = (users: string): string => `if(empty(${users}), 0, arrayMin(user -> user.2, ${users}))`;

// Devices of the same user have been together since the later of the two was first seen with that user; others since all that joins the person.
const together = `arrayMin(arrayPushBack(
        arrayFlatten(arrayMap(a -> arrayMap(b -> if(a.1 = b.1, greatest(a.2, b.2), ${never}), y.users), x.users)),
        greatest(${since("x.users")}, ${since("y.users")}, if(accounts <= 1 AND (x.named = 0 OR y.named = 0), 0, joined))))`;

const overruled = (bit: number): string =>
  `if(bitTest(disputed, ${bit}), arrayAll(x -> x.denied${bit} = 0 OR arrayExists(
      y -> y.granted${bit} > x.denied${bit} AND y.granted${bit} > ${together}, devices), devices), 0)`;

/**
 * What every person of a site may be used for at a moment: a subquery with the columns `person_id` UInt32, one row each and never 0, and `mask` UInt8, bits
 * as in `consent_mask`. It takes the parameters `{site:String}` and `{now:Int64}`, in milliseconds since 1970. The rule is that of `consentOfPerson` in
 * `@polder/core`, flags included. Whoever is not among the rows may be used for nothing.
 */
export const personConsent = ({ people }: PersonConsentOptions = {}): string => `(
SELECT person_id, toUInt8(bitAnd(bitXor(63, off), bitOr(1, bitOr(bitAnd(held, ${heldByLaw}),
  bitAnd(allowed, bitOr(bitXor(62, bitAnd(62, denied)), ${maskOf(overruled)})))))) AS mask
FROM (
  SELECT
    person_id,
    ${never} AS joined,
    groupBitOr(off) AS off,
    groupBitOr(${maskOf((bit) => `allows${bit}`)}) AS allowed,
    groupBitOr(${maskOf((bit) => allows("by_law", bit))}) AS held,
    groupBitOr(${maskOf((bit) => `denied${bit} > 0`)}) AS denied,
    ${maskOf((bit) => `max(denied${bit}) > 0 AND max(granted${bit}) > max(denied${bit})`)} AS disputed,
    length(groupUniqArrayArray(arrayMap(user -> user.1, users))) AS accounts,
    groupArray(tuple(users, named, ${each((bit) => `denied${bit}, granted${bit}`, ", ")})::Tuple(
      users Array(Tuple(UInt64, UInt64)), named UInt8, ${each((bit) => `denied${bit} UInt64, granted${bit} UInt64`, ", ")})) AS devices
  FROM (
    SELECT *,
    ${each(deviceVerdict)}
    FROM (
      SELECT *, (SELECT if(argMax(grant_days, n) = 0, 365, argMax(grant_days, n)) * ${dayMs} FROM consent_setting WHERE site = {site:String}) AS term
      FROM ${devicesOfPeople(people)}
    )
  )
  ${people === undefined ? "" : `WHERE person_id IN (${people})`}
  GROUP BY person_id
))`;
