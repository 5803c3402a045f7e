import { hasPurpose, purposes, type Purpose, type PurposeMask } from "@polder/protocol";

/** Times are milliseconds since 1970; 0 stands for never. */
export interface DeviceConsent {
  /** Whatever tells devices apart. */
  id: string;
  /** False: a withdrawal took its ids away. It can still say no, and nothing else. */
  isNamed: boolean;
  /** The person's users who were seen on it. */
  users: readonly string[];
  /** When the first of them was; 0 for a user without a device. Of what has no name: since when it has been of the person with all others. */
  usedSince: number;
  /** The last choice for each purpose: of this person on it, and of anybody on it. */
  said: Choices;
  saidByAnybody: Choices;
  /** The last event that was collected by choice or regime (`consent`, `opt_out`, `notice`): of this person on it, and of anybody on it. */
  byChoice?: LastUse | undefined;
  byChoiceOfAnybody?: LastUse | undefined;
  /** … on a basis of its key that a no undoes: `consent_elsewhere`, `legitimate_interest`. */
  byKey?: LastUse | undefined;
  /** … on a contract or the law. */
  byLaw?: LastUse | undefined;
}

export type Choices = { readonly [P in Purpose]?: { at: number; isYes: boolean } };

/** What an event was let be used for. */
export interface LastUse {
  at: number;
  mask: PurposeMask;
  /** Whether that rests on a yes, which grows old, or on a regime or a ground that does not. */
  restsOnYes: boolean;
}

export interface PersonConsentInput {
  devices: readonly DeviceConsent[];
  /** Since when everything has been there that joins more than a user and their devices; undefined: nothing is known that does. */
  joinedAt: number | undefined;
  /** What the person may not be used for by their own wish, whatever they have agreed to. */
  flags: PersonFlags;
  now: number;
  grantLifetimeMs: number;
}

export interface PersonFlags {
  isRestricted: boolean;
  objections: readonly Purpose[];
}

/** Why a purpose is allowed or not. */
export type ConsentReason =
  | "granted"
  | "not_refused"
  | "basis_of_key"
  | "contract_or_law"
  | "necessary"
  | "restricted"
  | "objected"
  | "denied"
  | "denied_before_join"
  | "expired"
  | "no_consent";

export interface PurposeConsent {
  purpose: Purpose;
  isAllowed: boolean;
  why: ConsentReason;
  /** The device that decided it, and when; undefined where none did. */
  device?: string | undefined;
  at?: number | undefined;
}

/** Purposes for which a contract and the law hold whatever the visitor says. */
const heldByLaw: readonly Purpose[] = ["measurement", "profile"];

/**
 * What a person may be used for, from what was said on all devices that are theirs. Nothing known means no.
 * - A device says no by its last choice; under `opt_out` and `notice` also by an event that was not allowed the purpose, and for `ads` by one after a yes
 *   (Global Privacy Control). It allows by a yes that is not too old, else by what its last event was let be used for.
 * - The person allows what a device allows, unless a device says no that no yes overrules: one on another device, later than the no and later than when
 *   both were this person's. So a conflict that a merge makes is a no until the next choice.
 * - A restriction leaves `necessary` alone, an objection takes its purpose away, whatever was agreed to.
 */
export function consentOfPerson(input: PersonConsentInput): PurposeConsent[] {
  return purposes.map((purpose): PurposeConsent => {
    if (purpose === "necessary") return { purpose, isAllowed: true, why: "necessary" };
    if (input.flags.isRestricted) return { purpose, isAllowed: false, why: "restricted" };
    if (input.flags.objections.includes(purpose)) return { purpose, isAllowed: false, why: "objected" };
    return { purpose, ...judge(purpose, input) };
  });
}

type Verdict = Omit<PurposeConsent, "purpose">;

function judge(purpose: Purpose, input: PersonConsentInput): Verdict {
  const verdicts = input.devices.map((device) => ({ device, ...verdictOf(device, purpose, input) }));
  const byLaw = verdicts.find(({ device }) => device.byLaw !== undefined && isUse(device.byLaw, purpose, device));
  if (byLaw !== undefined && heldByLaw.includes(purpose)) {
    return { isAllowed: true, why: "contract_or_law", device: byLaw.device.id, at: byLaw.device.byLaw!.at };
  }
  const standing = verdicts
    .filter((no) => no.deniedAt > 0 && !verdicts.some((yes) => overrules(yes, no, input)))
    .toSorted((a, b) => b.deniedAt - a.deniedAt)[0];
  if (standing !== undefined) {
    const isOlder = verdicts.some((yes) => yes.grantedAt > standing.deniedAt);
    const why = isOlder ? "denied_before_join" : "denied";
    return { isAllowed: false, why, device: standing.device.id, at: standing.deniedAt };
  }
  const [allowing] = verdicts
    .filter(({ allows }) => allows !== undefined)
    .toSorted((a, b) => rank(a.allows!) - rank(b.allows!) || b.at - a.at);
  if (allowing !== undefined) {
    return { isAllowed: true, why: allowing.allows!, device: allowing.device.id, at: allowing.at };
  }
  const [old] = verdicts.filter(({ expiredAt }) => expiredAt > 0).toSorted((a, b) => b.expiredAt - a.expiredAt);
  if (old !== undefined) return { isAllowed: false, why: "expired", device: old.device.id, at: old.expiredAt };
  return { isAllowed: false, why: "no_consent" };
}

type Allowance = "granted" | "not_refused" | "basis_of_key" | "contract_or_law";
const allowances: readonly Allowance[] = ["granted", "not_refused", "basis_of_key", "contract_or_law"];
const rank = (allowance: Allowance): number => allowances.indexOf(allowance);

interface DeviceVerdict {
  /** When it last said no; 0: it does not. */
  deniedAt: number;
  /** When the yes was said that still holds. */
  grantedAt: number;
  /** When the yes was said that is too old. */
  expiredAt: number;
  /** On what it allows the purpose. */
  allows?: Allowance;
  at: number;
}

function verdictOf(
  device: DeviceConsent,
  purpose: Purpose,
  { now, grantLifetimeMs }: PersonConsentInput,
): DeviceVerdict {
  const isFresh = (at: number): boolean => now - at <= grantLifetimeMs;
  const own = device.said[purpose];
  const anybodys = device.saidByAnybody[purpose];
  const yesAt = own?.isYes === true ? own.at : 0;
  const without = usesWithout(device, purpose);
  const signals = without.filter(({ restsOnYes }) => !restsOnYes || (purpose === "ads" && yesAt > 0));
  const signalAt = latest(signals);

  let deniedAt = 0;
  if (anybodys?.isYes === false) deniedAt = anybodys.at;
  else if (own?.isYes === false) deniedAt = own.at;
  else if (signalAt > yesAt) deniedAt = signalAt;

  const isTaken = latest(without.filter(({ restsOnYes }) => restsOnYes)) > yesAt;
  const holds = device.isNamed && yesAt > 0 && deniedAt === 0 && !isTaken;
  const verdict = {
    deniedAt,
    grantedAt: holds && isFresh(yesAt) ? yesAt : 0,
    expiredAt: holds && !isFresh(yesAt) ? yesAt : 0,
    at: 0,
  };
  if (verdict.grantedAt > 0) return { ...verdict, allows: "granted", at: yesAt };
  const { byChoice, byChoiceOfAnybody, byKey, byLaw } = device;
  if (deniedAt === 0) {
    const isUsed =
      isUse(byChoice, purpose, device) &&
      (byChoiceOfAnybody === undefined || hasPurpose(byChoiceOfAnybody.mask, purpose));
    if (isUsed && !byChoice!.restsOnYes) return { ...verdict, allows: "not_refused", at: byChoice!.at };
    if (isUsed && yesAt === 0 && isFresh(byChoice!.at)) return { ...verdict, allows: "granted", at: byChoice!.at };
    if (isUse(byKey, purpose, device) && (!byKey!.restsOnYes || isFresh(byKey!.at)))
      return { ...verdict, allows: "basis_of_key", at: byKey!.at };
  }
  return isUse(byLaw, purpose, device) ? { ...verdict, allows: "contract_or_law", at: byLaw!.at } : verdict;
}

const isUse = (use: LastUse | undefined, purpose: Purpose, { isNamed }: DeviceConsent): boolean =>
  isNamed && use !== undefined && hasPurpose(use.mask, purpose);

function usesWithout({ byChoice, byChoiceOfAnybody }: DeviceConsent, purpose: Purpose): LastUse[] {
  return [byChoice, byChoiceOfAnybody]
    .filter((use) => use !== undefined)
    .filter(({ mask }) => !hasPurpose(mask, purpose));
}

const latest = (uses: readonly LastUse[]): number => Math.max(0, ...uses.map(({ at }) => at));

type Judged = DeviceVerdict & { device: DeviceConsent };

const overrules = (yes: Judged, no: Judged, input: PersonConsentInput): boolean =>
  yes.grantedAt > no.deniedAt && yes.grantedAt > together(yes.device, no.device, input);

/** Since when two devices have been the same person's. Where several ways join them, one that may be later than the first. */
function together(a: DeviceConsent, b: DeviceConsent, { devices, joinedAt = Infinity }: PersonConsentInput): number {
  const used = Math.max(a.usedSince, b.usedSince);
  const isSameUser = a.users.length === 1 && b.users.length === 1 && a.users[0] === b.users[0];
  if (isSameUser) return used;
  const accounts = new Set(devices.flatMap(({ users }) => users)).size;
  const wasThere = accounts < 2 && (!a.isNamed || !b.isNamed);
  return wasThere ? used : Math.max(used, joinedAt);
}
