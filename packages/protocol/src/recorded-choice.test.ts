import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readConsentStamp } from "./consent-stamp.ts";
import { consentStates, regimes, type ConsentState, type Regime } from "./event.ts";
import { defaultGrantLifetimeMs, permittedPurposes } from "./permitted.ts";
import { maskOf, purposes, purposesOf, type Purpose } from "./purpose.ts";
import {
  choiceTimesLength,
  choiceTimesOf,
  gpcTimesOf,
  isSameTimes,
  joinChoices,
  newestOf,
  recordedChoiceOf,
  refusedAfter,
  stricterOf,
  type ChoiceAct,
  type ChoiceTimes,
  type RecordedChoice,
} from "./recorded-choice.ts";

const now = Date.parse("2026-11-22T20:15:00Z");
const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const asked = purposes.slice(1);
type States = { [P in Purpose]?: ConsentState };

interface Chosen extends Partial<Omit<ChoiceAct, "stamp">> {
  states: States;
  /** When it was made, by our clock. */
  at: number;
  /** How far the device's clock is ahead. */
  skewMs?: number;
  /** How long the record waited on the device, … */
  waitedMs?: number;
  /** … and was on its way. */
  latencyMs?: number;
}

/** The times of a choice as its record brings them. */
function chose({ states, at, skewMs = 0, waitedMs = 0, latencyMs = 0, ...more }: Chosen): ChoiceTimes {
  const recordedAt = at + skewMs;
  return choiceTimesOf({
    stamp: readConsentStamp({ v: 1, id: "c", purposes: states, at: new Date(recordedAt).toISOString() }),
    regime: "opt_in",
    gpc: false,
    recordedAt,
    sentAt: recordedAt + waitedMs,
    receivedAt: at + waitedMs + latencyMs,
    ...more,
  });
}

const allAre = (state: ConsentState): States => Object.fromEntries(asked.map((purpose) => [purpose, state]));
const grantedBy = (...choices: ChoiceTimes[]): Purpose[] =>
  purposesOf(recordedChoiceOf(choices.reduce(joinChoices)).granted);
const refusedBy = (...choices: ChoiceTimes[]): Purpose[] =>
  purposesOf(recordedChoiceOf(choices.reduce(joinChoices)).refused);

describe("a record of choices", () => {
  const yes = (at: number, more: Partial<Chosen> = {}) => chose({ states: allAre("granted"), at, ...more });
  const no = (at: number, more: Partial<Chosen> = {}) => chose({ states: allAre("withdrawn"), at, ...more });

  it("says what was chosen, and since when", () => {
    expect(recordedChoiceOf(chose({ states: { measurement: "granted", ads: "denied" }, at: now - day }))).toEqual({
      granted: maskOf(["measurement"]),
      // Under opt_in what has no yes is a no.
      refused: maskOf(["profile", "personalisation", "prediction", "ads"]),
      grantedAt: [0, now - day, 0, 0, 0, 0],
    });
  });

  it("says no more than was said where a choice is no condition", () => {
    const optOut = chose({ states: { measurement: "granted", ads: "denied" }, at: now, regime: "opt_out" });
    expect(recordedChoiceOf(optOut)).toMatchObject({ granted: maskOf(["measurement"]), refused: maskOf(["ads"]) });
  });

  it.each<[string, ChoiceTimes[], readonly Purpose[]]>([
    ["a no after a yes", [yes(now), no(now + 1)], []],
    ["a yes after a no", [no(now), yes(now + 1)], asked],
    ["a no and a yes of one moment", [no(now), yes(now)], []],
    ["a yes that comes after a newer no", [no(now + 5 * minute), yes(now, { waitedMs: hour })], []],
    ["the same, with a clock ahead", [no(now + minute, { skewMs: day / 2 }), yes(now, { skewMs: day / 2 })], []],
    ["a yes after a no, with a clock behind", [no(now, { skewMs: -day }), yes(now + minute, { skewMs: -day })], asked],
    ["a yes that was long on its way, and a no after it", [yes(now, { latencyMs: 30_000 }), no(now + 10_000)], []],
    ["a no that was long on its way, and a yes after it", [no(now, { latencyMs: 30_000 }), yes(now + 10_000)], asked],
    ["a clock set back before the no", [yes(now, { skewMs: 2 * hour }), no(now + hour)], []],
    ["a clock set ahead before the yes, which is older", [no(now + hour), yes(now, { skewMs: 2 * hour })], []],
    [
      "a clock set back between a no and a later yes: a no it stays",
      [no(now, { skewMs: 2 * hour }), yes(now + hour)],
      [],
    ],
    ["a yes that claims to be of tomorrow, and a no", [yes(now, { skewMs: day - 1 }), no(now + 2 * minute)], []],
    ["a yes of the day after tomorrow", [yes(now, { skewMs: 2 * day })], []],
    ["a yes without a time", [yes(now, { recordedAt: Number.NaN })], []],
    ["a yes, then a no without a time", [yes(now), no(now + hour, { recordedAt: Number.NaN })], []],
    ["a no without a time, then a yes", [no(now, { recordedAt: Number.NaN }), yes(now + hour)], asked],
    [
      "a no that does not say when it was sent, of a clock behind",
      [yes(now), no(now + hour, { skewMs: -day, sentAt: undefined })],
      [],
    ],
    ["a yes longer ago than a yes lasts", [yes(now - defaultGrantLifetimeMs - 1, { receivedAt: now })], []],
  ])("%s", (_, choices, expected) => {
    expect(grantedBy(...choices)).toEqual(expected);
    expect(grantedBy(...choices.toReversed())).toEqual(expected);
    expect(refusedBy(...choices)).toEqual(asked.filter((purpose) => !expected.includes(purpose)));
  });

  it("takes each purpose by itself", () => {
    const [first, second] = [
      chose({ states: allAre("granted"), at: now }),
      chose({ states: { ...allAre("granted"), ads: "withdrawn" }, at: now + 1 }),
    ];
    expect(grantedBy(first, second)).toEqual(asked.filter((purpose) => purpose !== "ads"));
  });

  it("takes Global Privacy Control for a no to ads, until a yes after it", () => {
    const seen = gpcTimesOf({ recordedAt: now + 1, sentAt: now + 1, receivedAt: now + 1 });
    const withoutAds = asked.filter((purpose) => purpose !== "ads");
    expect(grantedBy(yes(now), seen)).toEqual(withoutAds);
    expect(grantedBy(yes(now, { gpc: true }))).toEqual(withoutAds);
    expect(grantedBy(yes(now), seen, yes(now + 2))).toEqual(asked);
    expect(grantedBy(seen)).toEqual([]);
    expect(refusedBy(seen)).toEqual(["ads"]);
  });

  it("knows how new it is, by our clock", () => {
    expect(newestOf(Array.from({ length: choiceTimesLength }, () => 0))).toBe(0);
    expect(newestOf(joinChoices(yes(now, { skewMs: hour }), no(now + 5, { skewMs: -hour })))).toBe(now + 5);
  });

  it("knows what was refused after a moment, by our clock, also when a yes came since", () => {
    const back = [yes(now), no(now + 5, { skewMs: -hour }), yes(now + 9)].reduce(joinChoices);
    expect(purposesOf(recordedChoiceOf(back).granted)).toContain("profile");
    expect(purposesOf(refusedAfter(back, now + 4))).toEqual(asked);
    expect(refusedAfter(back, now + 5)).toBe(0);
    expect(refusedAfter(yes(now), 0)).toBe(0);
    expect(purposesOf(refusedAfter(gpcTimesOf({ recordedAt: now, sentAt: now, receivedAt: now }), 0))).toEqual(["ads"]);
  });

  it("never says that a purpose is granted and refused", () => {
    const time = fc.constantFrom(0, now - 1, now, now + 1, now + 61_000);
    const record = fc.array(time, { minLength: choiceTimesLength, maxLength: choiceTimesLength });
    fc.assert(
      fc.property(record, (times) => {
        const { granted, refused } = recordedChoiceOf(times);
        expect(granted & refused).toBe(0);
        expect((granted | refused) & maskOf(["necessary"])).toBe(0);
      }),
      parameters,
    );
  });
});

const parameters = { seed: 20_261_122, numRuns: 1000 };
const states = fc.dictionary(fc.constantFrom(...asked), fc.constantFrom(...consentStates), { noNullPrototype: true });
const anyChoice = fc.record({
  states,
  at: fc.integer({ min: now - 400 * day, max: now }),
  skewMs: fc.constantFrom(0, -hour, hour, -3 * day, day / 2),
  waitedMs: fc.constantFrom(0, 1000, day),
  latencyMs: fc.constantFrom(0, 20, 30_000),
  regime: fc.constantFrom(...regimes),
  gpc: fc.boolean(),
});
// When all of these have arrived.
const later = now + minute;
const anyRecord = fc.array(anyChoice.map(chose), { minLength: 1, maxLength: 6 });
const isSubset = (part: number, whole: number): boolean => (part & ~whole) === 0;

describe("a record comes to the same", () => {
  it("in whatever order and however often its choices arrive", () => {
    fc.assert(
      fc.property(anyRecord, fc.infiniteStream(fc.nat()), (choices, picks) => {
        const joined = choices.reduce(joinChoices);
        const again = choices.map((_, n) => choices[picks.next().value % choices.length] ?? choices[n]!);
        const shuffled = [...choices, ...again].toSorted(() => (picks.next().value % 2 === 0 ? -1 : 1));
        expect(isSameTimes(shuffled.reduce(joinChoices), joined)).toBe(true);
      }),
      parameters,
    );
  });

  it("as what was chosen last, on any device whose clock is steady, whatever it waited and how late it came", () => {
    const steady = fc.record({
      skewMs: fc.integer({ min: -30 * day, max: day - hour }),
      choices: fc.uniqueArray(
        fc.record({
          at: fc.integer({ min: now - 100 * minute, max: now }),
          granted: fc.subarray([...asked]),
          waitedMs: fc.integer({ min: 0, max: 50 * minute }),
          latencyMs: fc.integer({ min: 0, max: 30_000 }),
        }),
        { selector: ({ at }) => at, minLength: 1, maxLength: 6 },
      ),
    });
    fc.assert(
      fc.property(steady, ({ skewMs, choices }) => {
        const record = choices
          .map(({ granted, ...rest }) => {
            const chosen = Object.fromEntries(asked.map((p) => [p, granted.includes(p) ? "granted" : "denied"]));
            return chose({ ...rest, skewMs, states: chosen as States });
          })
          .reduce(joinChoices);
        const last = choices.toSorted((a, b) => a.at - b.at).at(-1)!;
        expect(purposesOf(recordedChoiceOf(record).granted)).toEqual(asked.filter((p) => last.granted.includes(p)));
      }),
      parameters,
    );
  });
});

describe("what an event may be used for, given what is recorded", () => {
  const everything = maskOf(purposes);
  const some = maskOf(["necessary", "measurement", "profile"]);
  const recorded = (
    granted: readonly Purpose[],
    refused: readonly Purpose[],
    grantedAt = now - day,
  ): RecordedChoice => ({
    granted: maskOf(granted),
    refused: maskOf(refused),
    grantedAt: purposes.map((purpose) => (granted.includes(purpose) ? grantedAt : 0)),
  });
  it.each<[string, number, RecordedChoice | undefined, Regime, readonly Purpose[]]>([
    ["nothing is recorded, opt_in", some, undefined, "opt_in", ["necessary", "measurement", "profile"]],
    ["nothing is recorded, opt_out", everything, undefined, "opt_out", purposes],
    ["all is granted", everything, recorded(asked, []), "opt_in", purposes],
    ["the event claims less", some, recorded(asked, []), "opt_in", ["necessary", "measurement", "profile"]],
    [
      "the event claims more",
      everything,
      recorded(["measurement"], asked.slice(1)),
      "opt_in",
      ["necessary", "measurement"],
    ],
    ["all is refused, opt_in", everything, recorded([], asked), "opt_in", ["necessary"]],
    ["all is refused, opt_out", everything, recorded([], asked), "opt_out", ["necessary"]],
    ["ads are refused, notice", everything, recorded([], ["ads"]), "notice", purposes.filter((p) => p !== "ads")],
    [
      "nothing is recorded but a no to ads, opt_in",
      everything,
      recorded([], ["ads"]),
      "opt_in",
      purposes.filter((p) => p !== "ads"),
    ],
    ["a regime that is none", everything, recorded(asked, [], now - 366 * day), "anything" as Regime, ["necessary"]],
    ["the grant is older, and was no condition", everything, recorded(asked, [], now - 366 * day), "notice", purposes],
    [
      "the grant is as old as it may be",
      some,
      recorded(asked, [], now - defaultGrantLifetimeMs),
      "opt_in",
      purposesOf(some),
    ],
    ["the grant is older", some, recorded(asked, [], now - defaultGrantLifetimeMs - 1), "opt_in", ["necessary"]],
    ["it claims nothing", 0, recorded(asked, []), "opt_in", []],
  ])("%s", (_, own, record, regime, expected) => {
    expect(purposesOf(stricterOf(own, record, { regime, now }))).toEqual(expected);
  });

  it("lasts as long as the owner says", () => {
    const record = recorded(["measurement", "profile"], [], now - 31 * day);
    expect(stricterOf(some, record, { regime: "opt_in", now, grantLifetimeMs: 30 * day })).toBe(maskOf(["necessary"]));
    expect(stricterOf(some, record, { regime: "opt_in", now, grantLifetimeMs: 31 * day })).toBe(some);
  });

  const own = fc.integer({ min: 0, max: 63 });
  const regime = fc.constantFrom(...regimes);
  const judge = (mask: number, choices: readonly ChoiceTimes[], under: Regime, at = now): number =>
    stricterOf(mask, recordedChoiceOf(choices.reduce(joinChoices)), { regime: under, now: at });

  it("is never more than the event claims", () => {
    fc.assert(
      fc.property(own, anyRecord, regime, (mask, choices, under) => {
        expect(isSubset(judge(mask, choices, under), mask)).toBe(true);
      }),
      parameters,
    );
  });

  it("is never more after a no, nor with Global Privacy Control, nor when a purpose is named no more", () => {
    fc.assert(
      fc.property(own, anyRecord, regime, fc.constantFrom(...asked), (mask, choices, under, purpose) => {
        const before = judge(mask, choices, under);
        const no = chose({ states: { [purpose]: "denied" }, at: later, regime: under });
        const unnamed = chose({ states: {}, at: later, regime: under });
        const gpc = gpcTimesOf({ recordedAt: later, sentAt: later, receivedAt: later });
        for (const more of [no, unnamed, gpc])
          expect(isSubset(judge(mask, [...choices, more], under), before)).toBe(true);
        expect(purposesOf(judge(mask, [...choices, no], under))).not.toContain(purpose);
        expect(purposesOf(judge(mask, [...choices, gpc], under))).not.toContain("ads");
      }),
      parameters,
    );
  });

  it("is never more when the record of a yes that still counts is lost, or the yes is older, or time passes", () => {
    fc.assert(
      fc.property(own, anyRecord, anyChoice, fc.nat(500 * day), (mask, choices, choice, older) => {
        const yes = { ...choice, states: allAre("granted"), regime: "opt_in" as const, gpc: false };
        const withYes = judge(mask, [...choices, chose(yes)], "opt_in");
        if (choice.at > now - 360 * day) expect(isSubset(judge(mask, choices, "opt_in"), withYes)).toBe(true);
        const aged = chose({ ...yes, at: choice.at - older, receivedAt: choice.at + choice.waitedMs });
        expect(isSubset(judge(mask, [...choices, aged], "opt_in"), withYes)).toBe(true);
        expect(isSubset(judge(mask, choices, "opt_in", now + older), judge(mask, choices, "opt_in"))).toBe(true);
      }),
      parameters,
    );
  });

  it("is never more than the newest recorded no allows, whatever a stamp that was never recorded claims", () => {
    fc.assert(
      fc.property(anyRecord, fc.integer({ min: -400 * day, max: day }), regime, (choices, age, under) => {
        const no = chose({ states: allAre("denied"), at: later });
        const forged = readConsentStamp({
          v: 1,
          id: "f",
          purposes: allAre("granted"),
          at: new Date(now + age).toISOString(),
        });
        const claimed = permittedPurposes({ stamp: forged, regime: under, gpc: false, now });
        expect(isSubset(judge(claimed, [...choices, no], under), maskOf(["necessary"]))).toBe(true);
      }),
      parameters,
    );
  });
});
