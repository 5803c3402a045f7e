import { maskOf, purposes, type Purpose } from "@polder/protocol";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  consentOfPerson,
  type Choices,
  type DeviceConsent,
  type LastUse,
  type PersonConsentInput,
} from "./consent-of-person.ts";

const day = 86_400_000;
const now = 1_000 * day;
const all = maskOf(purposes);
const yes = (at: number): Choices => ({ ads: { at: at * day, isYes: true } });
const no = (at: number): Choices => ({ ads: { at: at * day, isYes: false } });
const used = (at: number, except: readonly Purpose[] = [], restsOnYes = true): LastUse => ({
  at: at * day,
  mask: all & ~maskOf(except),
  restsOnYes,
});

/** A browser of Ada's, with her since day 100. */
const device = (fields: Partial<DeviceConsent> = {}): DeviceConsent => {
  const said = fields.said ?? {};
  return {
    id: "phone",
    isNamed: true,
    users: ["ada"],
    usedSince: 100 * day,
    said,
    saidByAnybody: said,
    byChoiceOfAnybody: fields.byChoice,
    ...fields,
  };
};
const other = (fields: Partial<DeviceConsent> = {}): DeviceConsent => device({ id: "laptop", ...fields });
const person = (devices: readonly DeviceConsent[], fields: Partial<PersonConsentInput> = {}): PersonConsentInput => ({
  devices,
  joinedAt: undefined,
  flags: { isRestricted: false, objections: [] },
  now,
  grantLifetimeMs: 365 * day,
  ...fields,
});
const ofPurpose = (purpose: Purpose, input: PersonConsentInput) =>
  consentOfPerson(input).find((found) => found.purpose === purpose)!;
const nameless = { isNamed: false, users: [], usedSince: 0 };

describe("consent of a person", () => {
  it.each<[what: string, input: PersonConsentInput, why: string, device?: string]>([
    ["nothing is known", person([]), "no_consent"],
    ["nothing was said", person([device()]), "no_consent"],
    ["a yes", person([device({ said: yes(900) })]), "granted", "phone"],
    ["a yes of a year ago", person([device({ said: yes(635) })]), "granted", "phone"],
    ["a yes that is older", person([device({ said: yes(634) })]), "expired", "phone"],
    ["… used since", person([device({ said: yes(634), byChoice: used(990) })]), "expired", "phone"],
    ["a no", person([device({ said: no(900) })]), "denied", "phone"],
    ["a no of years ago", person([device({ said: no(1) })]), "denied", "phone"],
    ["one device alone was asked", person([device({ said: yes(900) }), other()]), "granted", "phone"],
    ["a later no elsewhere", person([device({ said: yes(900) }), other({ said: no(901) })]), "denied", "laptop"],
    ["a later yes elsewhere", person([device({ said: yes(902) }), other({ said: no(901) })]), "granted", "phone"],
    ["both at once", person([device({ said: yes(901) }), other({ said: no(901) })]), "denied", "laptop"],
    ["a later yes that is too old", person([device({ said: yes(500) }), other({ said: no(400) })]), "denied", "laptop"],
    [
      "a yes before the device was theirs",
      person([device({ said: yes(902), usedSince: 903 * day }), other({ said: no(901) })]),
      "denied_before_join",
      "laptop",
    ],
    [
      "… and again after it",
      person([device({ said: yes(904), usedSince: 903 * day }), other({ said: no(901) })]),
      "granted",
      "phone",
    ],
    [
      "a yes before the one who said no was the same person",
      person([device({ said: yes(902) }), other({ said: no(901), users: ["bob"] })], { joinedAt: 950 * day }),
      "denied_before_join",
      "laptop",
    ],
    [
      "… and again after it",
      person([device({ said: yes(951) }), other({ said: no(901), users: ["bob"] })], { joinedAt: 950 * day }),
      "granted",
      "phone",
    ],
    [
      "nothing is known of what joins them",
      person([device({ said: yes(951) }), other({ said: no(901), users: ["bob"] })]),
      "denied_before_join",
      "laptop",
    ],
    [
      "two devices say no and one yes overrules one of them",
      person([device({ said: yes(902) }), other({ said: no(901) }), device({ id: "tv", said: no(903) })]),
      "denied",
      "tv",
    ],
    [
      "a withdrawn device says no",
      person([device({ said: yes(900) }), other({ ...nameless, said: no(901) })]),
      "denied",
      "laptop",
    ],
    [
      "a withdrawn device said yes",
      person([other({ ...nameless, said: yes(900), byChoice: used(901) })]),
      "no_consent",
    ],
    [
      "a yes after what was withdrawn elsewhere",
      person([device({ said: yes(902) }), other({ ...nameless, said: no(901) })]),
      "granted",
      "phone",
    ],
    [
      "somebody else says no on the same browser",
      person([device({ said: yes(900), saidByAnybody: no(901) })]),
      "denied",
      "phone",
    ],
    [
      "somebody else says yes on the same browser",
      person([device({ said: no(900), saidByAnybody: yes(901) })]),
      "denied",
      "phone",
    ],
    ["choices are stated by events alone", person([device({ byChoice: used(900) })]), "granted", "phone"],
    ["… of more than a year ago", person([device({ byChoice: used(600) })]), "no_consent"],
    ["… and not for this", person([device({ byChoice: used(900, ["ads"]) })]), "no_consent"],
    ["an opt-out regime", person([device({ byChoice: used(400, [], false) })]), "not_refused", "phone"],
    ["… with a no in the event", person([device({ byChoice: used(900, ["ads"], false) })]), "denied", "phone"],
    [
      "… elsewhere, after a yes",
      person([device({ said: yes(800) }), other({ byChoice: used(900, ["ads"], false) })]),
      "denied",
      "laptop",
    ],
    [
      "Global Privacy Control after a yes",
      person([device({ said: yes(900), byChoice: used(950, ["ads"]) }), other({ said: yes(920) })]),
      "denied",
      "phone",
    ],
    ["consent asked elsewhere", person([device({ byKey: used(900) })]), "basis_of_key", "phone"],
    ["… a year ago", person([device({ byKey: used(600) })]), "no_consent"],
    ["a legitimate interest", person([device({ byKey: used(600, [], false) })]), "basis_of_key", "phone"],
    ["… and a no", person([device({ said: no(500), byKey: used(600, [], false) })]), "denied", "phone"],
    ["a contract", person([device({ byLaw: used(1, [], false) })]), "contract_or_law", "phone"],
    ["… and a no", person([device({ byLaw: used(1, [], false) }), other({ said: no(900) })]), "denied", "laptop"],
    [
      "a restriction",
      person([device({ said: yes(900), byLaw: used(1, [], false) })], {
        flags: { isRestricted: true, objections: [] },
      }),
      "restricted",
    ],
    [
      "an objection",
      person([device({ said: yes(900) })], { flags: { isRestricted: false, objections: ["ads"] } }),
      "objected",
    ],
  ])("ads: %s", (_, input, why, decides) => {
    const isAllowed = ["granted", "not_refused", "basis_of_key", "contract_or_law"].includes(why);
    expect(ofPurpose("ads", input)).toMatchObject({ isAllowed, why });
    expect(ofPurpose("ads", input).device).toBe(decides);
  });

  it("measures and knows by contract also whom said no, and never without a word where they objected", () => {
    const said: Choices = { profile: { at: 900 * day, isYes: false } };
    const devices = [device({ said, byLaw: used(1, [], false) })];
    expect(ofPurpose("profile", person(devices))).toMatchObject({ isAllowed: true, why: "contract_or_law" });
    const objecting = person(devices, { flags: { isRestricted: false, objections: ["profile"] } });
    expect(ofPurpose("profile", objecting)).toMatchObject({ isAllowed: false, why: "objected" });
  });

  it("takes an event without a purpose after a yes to it for an old text, not for a no: a yes elsewhere holds", () => {
    const said: Choices = { prediction: { at: 900 * day, isYes: true } };
    const stale = device({ said, byChoice: used(950, ["prediction"]) });
    expect(ofPurpose("prediction", person([stale]))).toMatchObject({ isAllowed: false, why: "no_consent" });
    expect(ofPurpose("prediction", person([stale, other({ said })]))).toMatchObject({ isAllowed: true });
  });

  it("always has what is necessary", () => {
    for (const isRestricted of [true, false])
      expect(consentOfPerson(person([], { flags: { isRestricted, objections: [...purposes] } }))[0]).toEqual({
        purpose: "necessary",
        isAllowed: true,
        why: "necessary",
      });
  });
});

const asked = purposes.filter((purpose) => purpose !== "necessary");
const times = fc.integer({ min: 1, max: 1_000 }).map((at) => at * day);
const arbitraryChoices: fc.Arbitrary<Choices> = fc.dictionary(
  fc.constantFrom(...asked),
  fc.record({ at: times, isYes: fc.boolean() }),
);
const arbitraryUse: fc.Arbitrary<LastUse> = fc.record({
  at: times,
  mask: fc.integer({ min: 0, max: 63 }),
  restsOnYes: fc.boolean(),
});
const maybeUse = fc.option(arbitraryUse, { nil: undefined });
const arbitraryDevice: fc.Arbitrary<DeviceConsent> = fc
  .record({
    id: fc.uuid(),
    isNamed: fc.boolean(),
    users: fc.subarray(["ada", "bob"]),
    usedSince: times,
    said: arbitraryChoices,
    saidByAnybody: arbitraryChoices,
    byChoice: maybeUse,
    byChoiceOfAnybody: maybeUse,
    byKey: maybeUse,
    byLaw: maybeUse,
  })
  .map((one) => ({ ...one, usedSince: one.users.length === 0 ? 0 : one.usedSince }));
const arbitraryPerson: fc.Arbitrary<PersonConsentInput> = fc.record({
  devices: fc.array(arbitraryDevice, { maxLength: 4 }),
  joinedAt: fc.option(times, { nil: undefined }),
  flags: fc.record({ isRestricted: fc.boolean(), objections: fc.subarray([...asked]) }),
  now: fc.constant(now),
  grantLifetimeMs: fc.integer({ min: 1, max: 1_000 }).map((days) => days * day),
});
const maskOfPerson = (input: PersonConsentInput): number =>
  maskOf(consentOfPerson(input).flatMap(({ purpose, isAllowed }) => (isAllowed ? [purpose] : [])));

describe("consent of a person is never more permissive", () => {
  const seed = 20_261_123;
  const holds = (change: (input: PersonConsentInput, choose: fc.GeneratorValue) => PersonConsentInput): void =>
    fc.assert(
      fc.property(arbitraryPerson, fc.gen(), (input, choose) => {
        const before = maskOfPerson(input);
        const after = maskOfPerson(change(input, choose));
        expect(after & ~before, `more than ${before}: ${after}`).toBe(0);
      }),
      { seed, numRuns: 500 },
    );
  const changed = (
    input: PersonConsentInput,
    choose: fc.GeneratorValue,
    change: (one: DeviceConsent, purpose: Purpose) => DeviceConsent,
  ): PersonConsentInput => {
    const at = choose(fc.nat, { max: Math.max(0, input.devices.length - 1) });
    const purpose = choose(fc.constantFrom, ...asked);
    return { ...input, devices: input.devices.map((one, index) => (index === at ? change(one, purpose) : one)) };
  };

  it("when a day passes", () => {
    holds((input, choose) => ({ ...input, now: input.now + choose(fc.nat, { max: 1_000 }) * day }));
  });
  it("when the term is shorter", () => {
    holds((input, choose) => ({
      ...input,
      grantLifetimeMs: input.grantLifetimeMs - choose(fc.nat, { max: 500 }) * day,
    }));
  });
  it("when a device says no", () => {
    holds((input, choose) =>
      changed(input, choose, (one, purpose) => {
        const latest = { at: now + day, isYes: false };
        return {
          ...one,
          said: { ...one.said, [purpose]: latest },
          saidByAnybody: { ...one.saidByAnybody, [purpose]: latest },
        };
      }),
    );
  });
  it("when a yes was said earlier", () => {
    holds((input, choose) =>
      changed(input, choose, (one, purpose) => {
        const said = one.said[purpose];
        if (said?.isYes !== true) return one;
        return { ...one, said: { ...one.said, [purpose]: { at: Math.max(1, said.at - 100 * day), isYes: true } } };
      }),
    );
  });
  it("when what an event was used for is not known any more, or was less", () => {
    for (const key of ["byChoice", "byKey", "byLaw"] as const) {
      holds((input, choose) =>
        changed(input, choose, (one) => {
          const use = one[key];
          if (use === undefined) return one;
          // An event that says no is a no; one that is not there is none.
          const isKept = key === "byChoice" && use.mask !== 63;
          const less = { ...use, mask: use.mask & choose(fc.nat, { max: 63 }) };
          return { ...one, [key]: isKept || choose(fc.boolean) ? less : undefined };
        }),
      );
    }
  });
  it("when a device joins that says no, whatever else it says", () => {
    fc.assert(
      fc.property(arbitraryPerson, arbitraryDevice, fc.constantFrom(...asked), times, (input, joining, purpose, at) => {
        const denied = { at, isYes: false };
        const said = { ...joining.said, [purpose]: denied };
        const joined = {
          ...joining,
          byLaw: undefined,
          said,
          saidByAnybody: { ...joining.saidByAnybody, [purpose]: denied },
        };
        const of = (devices: readonly DeviceConsent[]) => ofPurpose(purpose, { ...input, devices }).isAllowed;
        if (of([...input.devices, joined])) expect(of(input.devices)).toBe(true);
      }),
      { seed, numRuns: 500 },
    );
  });
  it("when it is known later that two are one, or not known at all", () => {
    holds((input, choose) => ({
      ...input,
      joinedAt: input.joinedAt === undefined || choose(fc.boolean) ? undefined : input.joinedAt + day,
    }));
  });
  it("when a flag is set", () => {
    holds((input, choose) => ({
      ...input,
      flags: {
        isRestricted: input.flags.isRestricted || choose(fc.boolean),
        objections: [...input.flags.objections, choose(fc.constantFrom, ...asked)],
      },
    }));
  });
});
