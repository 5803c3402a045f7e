import {
  consentOfPerson,
  type Choices,
  type DeviceConsent,
  type LastUse,
  type PersonFlags,
  type PurposeConsent,
} from "@polder/core";
import { purposes, type Purpose } from "@polder/protocol";
import type { ClickHouse } from "../clickhouse.ts";
import { askedPurposes } from "../migrations/0012-people-consent.ts";
import { atomsOfPeople } from "./atoms-of-people.ts";
import { devicesOfPeople } from "./devices-of-people.ts";
import { flagsOfPeople } from "./flags-of-people.ts";
import { joinedAt } from "./joined-at.ts";

/**
 * Every purpose of a person at a moment, whether it is allowed and why: which device decided it, and when (milliseconds since 1970). Devices are
 * `device:<anonymous id>`, `user:<user id>` for a user without one, and `withdrawn:<number>` for what a withdrawal has left.
 */
export async function personConsentOf(
  clickhouse: ClickHouse,
  site: string,
  person: number,
  now: number,
): Promise<PurposeConsent[]> {
  const ofPerson = await clickhouse.query<{ atom: number }>(atomsOfPeople("SELECT {person:UInt32}"), {
    params: { person },
  });
  const params = { site, now, person, atoms: ofPerson.map(({ atom }) => atom) };
  const atoms = "{atoms:Array(UInt32)}";
  const [devices, names, joins, flags, terms] = await Promise.all([
    clickhouse.query<DeviceRow>(`SELECT ${deviceColumns} FROM ${devicesOfPeople(atoms)}`, {
      params,
    }),
    clickhouse.query<{ device: string; name: string }>(namesOfDevices, { params }),
    clickhouse.query<{ at: number }>(`SELECT joined_ms AS at FROM ${joinedAt(atoms)}`, { params }),
    clickhouse.query<{ off: number }>(`SELECT off FROM ${flagsOfPeople(atoms)} WHERE person_id = {person:UInt32}`, {
      params,
    }),
    clickhouse.query<{ days: number }>(
      "SELECT if(argMax(grant_days, n) = 0, 365, argMax(grant_days, n)) AS days FROM consent_setting WHERE site = {site:String}",
      { params },
    ),
  ]);
  const nameOf = new Map(names.map(({ device, name }) => [device, name]));
  return consentOfPerson({
    devices: devices.map((row) => deviceOf(row, nameOf)),
    joinedAt: joins[0]?.at,
    flags: flagsOf(flags[0]?.off ?? 0),
    now,
    grantLifetimeMs: (terms[0]?.days ?? 365) * 24 * 3_600_000,
  });
}

interface DeviceRow {
  device: string;
  named: number;
  firstUser: string;
  lastUser: string;
  since: number;
  said: number[];
  anywhere: number[];
  byChoice: number;
  byChoiceAnywhere: number;
  byKey: number;
  byLaw: number;
}

const each = (name: string): string => `[${askedPurposes.map((_, index) => `${name}${index + 1}`).join(", ")}]`;
const deviceColumns = `toString(device_id) AS device, named, toString(first_user) AS firstUser, toString(last_user) AS lastUser, since_ms AS since,
  ${each("said")} AS said, ${each("anywhere")} AS anywhere, by_choice AS byChoice, by_choice_anywhere AS byChoiceAnywhere, by_key AS byKey, by_law AS byLaw`;

const namesOfDevices = `
SELECT toString(cityHash64(anonymous_id, if(anonymous_id = '', user_id, ''))) AS device,
  any(if(anonymous_id = '', concat('user:', user_id), concat('device:', anonymous_id))) AS name
FROM atom WHERE site = {site:String} AND atom IN {atoms:Array(UInt32)} AND (anonymous_id != '' OR user_id != '')
GROUP BY device`;

function deviceOf(row: DeviceRow, nameOf: ReadonlyMap<string, string>): DeviceConsent {
  const users = [...new Set([row.firstUser, row.lastUser])].filter((user) => user !== "0");
  return {
    id: nameOf.get(row.device) ?? `withdrawn:${row.device}`,
    isNamed: row.named === 1,
    users,
    usedSince: users.length === 0 ? 0 : row.since,
    said: choicesOf(row.said),
    saidByAnybody: choicesOf(row.anywhere),
    byChoice: useOf(row.byChoice),
    byChoiceOfAnybody: useOf(row.byChoiceAnywhere),
    byKey: useOf(row.byKey),
    byLaw: useOf(row.byLaw),
  };
}

/** As `consent_state` has them: twice the time, and 1 more for a no. */
function choicesOf(words: readonly number[]): Choices {
  const said: { [P in Purpose]?: { at: number; isYes: boolean } } = {};
  for (const [index, word] of words.entries())
    if (word > 0) said[askedPurposes[index]!] = { at: Math.floor(word / 2), isYes: word % 2 === 0 };
  return said;
}

/** As `consent_state` has it: 128 times the time, 64 for what rests on a yes, and the purposes that were not allowed. */
const useOf = (use: number): LastUse | undefined =>
  use === 0 ? undefined : { at: Math.floor(use / 128), restsOnYes: ((use % 128) & 64) !== 0, mask: ~(use % 64) & 63 };

const flagsOf = (off: number): PersonFlags => ({
  isRestricted: (off & 64) !== 0,
  objections: purposes.filter((_, bit) => (off & (1 << bit)) !== 0),
});
