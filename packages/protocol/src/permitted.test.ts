import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readConsentStamp } from "./consent-stamp.ts";
import { consentStates, regimes, type ConsentStamp, type ConsentState, type Regime } from "./event.ts";
import { defaultGrantLifetimeMs, permittedPurposes, tighterRegime } from "./permitted.ts";
import { purposes, purposesOf, type Purpose } from "./purpose.ts";

const now = Date.parse("2026-11-22T20:15:00Z");
const day = 24 * 3_600_000;
const ago = (ms: number): string => new Date(now - ms).toISOString();
const everything = [...purposes];
const withoutAds = purposes.filter((purpose) => purpose !== "ads");

const allOf = (state: ConsentState): { [P in Purpose]?: ConsentState } =>
  Object.fromEntries(purposes.map((purpose) => [purpose, state]));
const stampOf = (state: ConsentState, more: Partial<ConsentStamp> = {}): ConsentStamp => ({
  v: 1,
  id: "c",
  at: ago(day),
  purposes: allOf(state),
  ...more,
});

describe("what an event may be used for", () => {
  const cases: [string, Regime, ConsentStamp | undefined, boolean, readonly Purpose[]][] = [
    ["nothing is known, opt_in", "opt_in", undefined, false, ["necessary"]],
    ["nothing is known, opt_out", "opt_out", undefined, false, everything],
    ["nothing is known, notice", "notice", undefined, false, everything],
    ["nothing is known, opt_out, GPC", "opt_out", undefined, true, withoutAds],
    ["granted, opt_in", "opt_in", stampOf("granted"), false, everything],
    ["granted, opt_in, GPC of the request", "opt_in", stampOf("granted"), true, withoutAds],
    ["granted, opt_in, GPC of the page", "opt_in", stampOf("granted", { gpc: true }), false, withoutAds],
    ["granted a year ago", "opt_in", stampOf("granted", { at: ago(defaultGrantLifetimeMs) }), false, everything],
    ["granted longer ago", "opt_in", stampOf("granted", { at: ago(defaultGrantLifetimeMs + 1) }), false, ["necessary"]],
    ["granted by a clock an hour ahead", "opt_in", stampOf("granted", { at: ago(-day / 24) }), false, everything],
    ["granted in the far future", "opt_in", stampOf("granted", { at: ago(-2 * day) }), false, ["necessary"]],
    ["granted at a time that is none", "opt_in", stampOf("granted", { at: "lately" }), false, ["necessary"]],
    ["the page tightens opt_out", "opt_out", stampOf("unset", { regime: "opt_in" }), false, ["necessary"]],
    ["the page cannot loosen opt_in", "opt_in", stampOf("unset", { regime: "opt_out" }), false, ["necessary"]],
    ...(["unset", "denied", "withdrawn", "expired", "opted_out", "not_required"] as const).map(
      (state): (typeof cases)[number] => [`${state}, opt_in`, "opt_in", stampOf(state), false, ["necessary"]],
    ),
    ...(["unset", "granted", "expired", "not_required"] as const).flatMap((state): (typeof cases)[number][] => [
      [`${state}, opt_out`, "opt_out", stampOf(state), false, everything],
      [`${state}, notice`, "notice", stampOf(state), false, everything],
    ]),
    ...(["denied", "withdrawn", "opted_out"] as const).flatMap((state): (typeof cases)[number][] => [
      [`${state}, opt_out`, "opt_out", stampOf(state), false, ["necessary"]],
      [`${state}, notice`, "notice", stampOf(state), false, ["necessary"]],
    ]),
  ];

  it.each(cases)("%s", (_, regime, stamp, gpc, expected) => {
    expect(purposesOf(permittedPurposes({ stamp, regime, gpc, now }))).toEqual(expected);
  });

  it("is judged purpose by purpose", () => {
    const stamp = stampOf("granted", { purposes: { measurement: "granted", profile: "denied", ads: "granted" } });
    expect(purposesOf(permittedPurposes({ stamp, regime: "opt_in", gpc: false, now }))).toEqual([
      "necessary",
      "measurement",
      "ads",
    ]);
  });

  it("lasts as long as the owner says", () => {
    const stamp = stampOf("granted", { at: ago(31 * day) });
    expect(
      purposesOf(permittedPurposes({ stamp, regime: "opt_in", gpc: false, now, grantLifetimeMs: 30 * day })),
    ).toEqual(["necessary"]);
  });
});

const parameters = { seed: 20_261_122, numRuns: 1000 };
const anyPurposes = fc.dictionary(fc.constantFrom(...purposes), fc.constantFrom(...consentStates), {
  noNullPrototype: true,
});
const ageMs = fc.integer({ min: 0, max: 800 * day });
const anyInput = fc.record({
  purposes: anyPurposes,
  regime: fc.constantFrom(...regimes),
  stampRegime: fc.option(fc.constantFrom(...regimes), { nil: undefined }),
  ageMs,
  gpc: fc.boolean(),
});
type AnyInput = typeof anyInput extends fc.Arbitrary<infer Value> ? Value : never;

const permit = (input: AnyInput, change: { stamp?: unknown; regime?: Regime; gpc?: boolean } = {}): number =>
  permittedPurposes({
    stamp: readConsentStamp(Object.hasOwn(change, "stamp") ? change.stamp : sentStamp(input)),
    regime: change.regime ?? input.regime,
    gpc: change.gpc ?? input.gpc,
    now,
  });

const sentStamp = (input: AnyInput): ConsentStamp => ({
  v: 1,
  id: "c",
  purposes: input.purposes,
  at: ago(input.ageMs),
  ...(input.stampRegime !== undefined && { regime: input.stampRegime }),
});

const isSubset = (part: number, whole: number): boolean => (part & ~whole) === 0;

describe("it is never more", () => {
  it("when a purpose is denied or its state makes no sense", () => {
    const worse = fc.constantFrom<unknown>("denied", "withdrawn", "opted_out", "yes", 1, true, {});
    fc.assert(
      fc.property(anyInput, fc.constantFrom(...purposes), worse, (input, purpose, state) => {
        const stamp = { ...sentStamp(input), purposes: { ...input.purposes, [purpose]: state } };
        expect(isSubset(permit(input, { stamp }), permit(input))).toBe(true);
      }),
      parameters,
    );
  });

  it("when something becomes unknown, under opt_in", () => {
    fc.assert(
      fc.property(anyInput, fc.constantFrom(...purposes), (input, purpose) => {
        const { [purpose]: _, ...rest } = input.purposes;
        const { at: __, ...timeless } = sentStamp(input);
        const strict = { ...input, regime: "opt_in" as const };
        for (const stamp of [undefined, { ...sentStamp(input), purposes: rest }, timeless]) {
          expect(isSubset(permit(strict, { stamp }), permit(strict))).toBe(true);
        }
      }),
      parameters,
    );
  });

  it("when the stamp cannot be read, under any regime", () => {
    const broken = fc.constantFrom<unknown>(
      "x",
      1,
      true,
      [],
      { v: 2 },
      { v: 1 },
      { v: 1, purposes: "all" },
      { granted: [] },
    );
    fc.assert(
      fc.property(anyInput, broken, (input, stamp) => {
        expect(purposesOf(permit(input, { stamp }))).toEqual(["necessary"]);
      }),
      parameters,
    );
  });

  it("when the choice is older", () => {
    fc.assert(
      fc.property(anyInput, ageMs, (input, more) => {
        const stamp = { ...sentStamp(input), at: ago(input.ageMs + more) };
        expect(isSubset(permit(input, { stamp }), permit(input))).toBe(true);
      }),
      parameters,
    );
  });

  it("with GPC, wherever it is seen, and never `ads`", () => {
    fc.assert(
      fc.property(anyInput, (input) => {
        for (const mask of [
          permit(input, { gpc: true }),
          permit(input, { stamp: { ...sentStamp(input), gpc: true } }),
        ]) {
          expect(isSubset(mask, permit(input))).toBe(true);
          expect(purposesOf(mask)).not.toContain("ads");
        }
      }),
      parameters,
    );
  });

  it("under a tighter regime", () => {
    fc.assert(
      fc.property(anyInput, fc.constantFrom(...regimes), (input, other) => {
        const regime = tighterRegime(input.regime, other);
        expect(isSubset(permit(input, { regime }), permit(input))).toBe(true);
      }),
      parameters,
    );
  });
});

describe("the tighter of two regimes", () => {
  it.each([
    ["opt_in", "opt_out", "opt_in"],
    ["opt_in", "notice", "opt_in"],
    ["opt_out", "notice", "opt_out"],
    ["notice", "notice", "notice"],
  ] as const)("of %s and %s is %s, in either order", (a, b, expected) => {
    expect(tighterRegime(a, b)).toBe(expected);
    expect(tighterRegime(b, a)).toBe(expected);
  });

  it("is opt_in when one is none of the three", () => {
    expect(tighterRegime("notice", "anything" as Regime)).toBe("opt_in");
  });
});
