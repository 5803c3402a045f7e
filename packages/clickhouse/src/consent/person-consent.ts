import { askedPurposes } from "../migrations/0012-people-consent.ts";
import { atomsOfPeople } from "./atoms-of-people.ts";
import { devicesOfPeople } from "./devices-of-people.ts";
import { flagsOfPeople } from "./flags-of-people.ts";
import { isOneOf } from "./is-one-of.ts";
import { joinedAt } from "./joined-at.ts";

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
/** A moment that never comes: of what joins two devices and is not known. */
const never = "18446744073709551615";
const dayMs = 86_400_000;

const refuses = (mask: string, bit: number): string => `bitTest(${mask}, ${bit})`;
const allows = (mask: string, bit: number): string => `(${mask} > 0 AND NOT bitTest(${mask}, ${bit}))`;
const fresh = (at: string): string => `({now:Int64} - toInt64(${at}) <= term)`;

// In steps: a name that stands for a long expression is put in for it at each place, and understanding the question would take longer than its answer.
const verdicts = (people: string | undefined): string => `(
    SELECT person_id, device_id, first_user, last_user, since_ms, named, by_law, ${each((bit) => `denied${bit}, granted${bit}`, ", ")},
    ${maskOf((bit) => `named AND yes${bit} > 0 AND granted${bit} = 0 AND denied${bit} = 0 AND taken${bit} <= yes${bit}`)} AS outdated,
    ${each(
      (bit) => `granted${bit} > 0 OR ${allows("by_law", bit)} OR (denied${bit} = 0 AND (
        (named AND ${allows("by_choice", bit)} AND NOT ${refuses("by_choice_anywhere", bit)} AND (NOT is_by_yes OR (yes${bit} = 0 AND is_fresh_choice)))
        OR (${allows("by_key", bit)} AND is_fresh_key))) AS allows${bit}`,
    )}
    FROM (
      SELECT *,
      ${each((bit) => `if(named AND denied${bit} = 0 AND taken${bit} <= yes${bit} AND ${fresh(`yes${bit}`)}, yes${bit}, 0) AS granted${bit}`)}
      FROM (
        SELECT *,
        ${each((bit) => `multiIf(no${bit} > 0, no${bit}, ${signal(bit)} > yes${bit}, ${signal(bit)}, 0) AS denied${bit}`)}
        FROM (
          SELECT person_id, device_id, first_user, last_user, since_ms, named, by_law, by_choice, by_choice_anywhere, by_key, term, is_by_yes,
            ${fresh("choice_at")} AS is_fresh_choice, NOT bitTest(by_key, 6) OR ${fresh("bitShiftRight(by_key, 7)")} AS is_fresh_key,
          ${each(
            (
              bit,
            ) => `multiIf(bitTest(anywhere${bit}, 0), bitShiftRight(anywhere${bit}, 1), bitTest(said${bit}, 0), bitShiftRight(said${bit}, 1), 0) AS no${bit},
            if(bitTest(said${bit}, 0), 0, bitShiftRight(said${bit}, 1)) AS yes${bit},
            greatest(if(${refuses("by_choice", bit)} AND NOT is_by_yes, choice_at, 0), if(${refuses("by_choice_anywhere", bit)} AND NOT is_by_yes_anywhere, anywhere_at, 0)) AS without${bit},
            greatest(if(${refuses("by_choice", bit)} AND is_by_yes, choice_at, 0), if(${refuses("by_choice_anywhere", bit)} AND is_by_yes_anywhere, anywhere_at, 0)) AS taken${bit}`,
          )}
          FROM (
            SELECT *, bitTest(by_choice, 6) AS is_by_yes, bitShiftRight(by_choice, 7) AS choice_at,
              bitTest(by_choice_anywhere, 6) AS is_by_yes_anywhere, bitShiftRight(by_choice_anywhere, 7) AS anywhere_at,
              (SELECT if(argMax(grant_days, n) = 0, 365, argMax(grant_days, n)) * ${dayMs} FROM consent_setting WHERE site = {site:String}) AS term
            FROM ${devicesOfPeople(people === undefined ? undefined : atomsOfPeople(people))})))))`;

/** Without a yes to take back, an event that is not for ads is a visitor who was not asked. */
const signal = (bit: number): string =>
  bit === ads ? `if(yes${bit} > 0, greatest(without${bit}, taken${bit}), without${bit})` : `without${bit}`;

// A device is a tuple: its only user, since when they were seen with it, whether it is named; then by purpose when it said no, and the yes that holds.
// Two devices of one user have been together since the later of them was first seen with that user; else since all was there that joins the person.
const together = `greatest(x.2, y.2, if(x.1 = y.1 AND x.1 > 0 OR accounts < 2 AND (x.3 = 0 OR y.3 = 0), 0, joined_ms))`;
const ofTuple = (tuple: string, from: number): string => `[${each((bit) => `${tuple}.${from + bit}`, ", ")}]`;
const overrules = `arrayMap((no, yes) -> no = 0 OR yes > greatest(no, ${together}), ${ofTuple("x", 3)}, ${ofTuple("y", 8)})`;

/** Whoever has one identity has one device. */
const hasSeveral = isOneOf("SELECT person FROM identity WHERE site = {site:String} AND person != atom");

/**
 * {@link personConsent} with what it follows from: the columns `person_id`, `mask`, and as masks `refused` (a no that nothing overrules), `expired` (a yes
 * that is too old) and `off` (by a flag; 64 and all where it is a restriction).
 */
export function personOutcomes({ people }: PersonConsentOptions = {}): string {
  const atoms = people === undefined ? undefined : atomsOfPeople(people);
  return `(
SELECT
  person_id,
  toUInt8(off) AS off,
  toUInt8(bitAnd(denied, bitXor(62, ${maskOf((bit) => `overruled[${bit}]`)}))) AS refused,
  expired,
  toUInt8(bitAnd(bitXor(63, bitAnd(off, 63)), bitOr(1, bitOr(bitAnd(held, ${heldByLaw}), bitAnd(allowed, bitXor(62, refused)))))) AS mask
FROM (
  SELECT
    state.person_id AS person_id, allowed, held, denied, expired, flags.off AS off, if(joins.joined_ms = 0, ${never}, joins.joined_ms) AS joined_ms,
    -- Few have a device that says no and another that says yes, and only theirs have to be compared one by one.
    if(bitAnd(denied, granted) = 0, [], all_devices) AS devices,
    arrayReduce('minForEach', arrayMap(x -> arrayReduce('maxForEach', arrayMap(y -> ${overrules}, devices)), devices)) AS overruled
  FROM (
    SELECT
      person_id,
      groupBitOr(${maskOf((bit) => `allows${bit}`)}) AS allowed,
      groupBitOr(${maskOf((bit) => allows("by_law", bit))}) AS held,
      groupBitOr(${maskOf((bit) => `denied${bit} > 0`)}) AS denied,
      groupBitOr(${maskOf((bit) => `granted${bit} > 0`)}) AS granted,
      groupBitOr(outdated) AS expired,
      if(max(last_user) = 0, 0, if(minIf(first_user, first_user > 0) = max(last_user), 1, 2)) AS accounts,
      groupArrayIf((if(first_user = last_user, first_user, 0), since_ms, named,
        ${each((bit) => `denied${bit}`, ", ")}, ${each((bit) => `granted${bit}`, ", ")}), ${hasSeveral("person_id")}) AS all_devices
    FROM ${verdicts(people)}
    GROUP BY person_id
  ) AS state
  LEFT JOIN ${joinedAt(atoms)} AS joins ON joins.person_id = state.person_id
  LEFT JOIN ${flagsOfPeople(atoms)} AS flags ON flags.person_id = state.person_id
))`;
}

/**
 * What every person of a site may be used for at a moment: a subquery with the columns `person_id` UInt32, one row each and never 0, and `mask` UInt8, bits
 * as in `consent_mask`. It takes the parameters `{site:String}` and `{now:Int64}`, in milliseconds since 1970. The rule is that of `consentOfPerson` in
 * `@polder/core`, flags included. Whoever is not among the rows may be used for nothing.
 */
export const personConsent = (options: PersonConsentOptions = {}): string =>
  `(SELECT person_id, mask FROM ${personOutcomes(options)})`;
