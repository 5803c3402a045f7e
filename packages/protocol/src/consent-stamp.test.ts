import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { consentOf, readConsentStamp } from "./consent-stamp.ts";
import { consentStates, regimes } from "./event.ts";
import { permittedPurposes } from "./permitted.ts";
import { purposes, type PurposeMask } from "./purpose.ts";

const at = "2026-11-22T20:15:00.000Z";
const allDenied = {
  v: 1,
  id: "",
  purposes: {
    necessary: "denied",
    measurement: "denied",
    profile: "denied",
    personalisation: "denied",
    prediction: "denied",
    ads: "denied",
  },
};

describe("a consent object", () => {
  it("of ours is read as it is", () => {
    const stamp = {
      v: 1,
      id: "c1",
      purposes: { measurement: "granted", ads: "withdrawn" },
      regime: "opt_out",
      at,
      gpc: true,
      notice: { version: "3", hash: "abc", language: "nl", variant: "bar" },
      texts: { measurement: "0".repeat(64), ads: "f".repeat(64) },
    };
    expect(readConsentStamp(stamp)).toEqual(stamp);
  });

  it.each([
    [
      { ads: "F".repeat(64), profile: 1, newsletter: "0".repeat(64) },
      { ads: "unreadable", profile: "unreadable" },
    ],
    ["0".repeat(64), Object.fromEntries(purposes.map((purpose) => [purpose, "unreadable"]))],
    [{ ads: null }, undefined],
    [null, undefined],
  ])("that names the text shown as %j passes for no text of today", (texts, read) => {
    expect(readConsentStamp({ v: 1, id: "c", purposes: { ads: "granted" }, texts })?.texts).toEqual(read);
  });

  it.each([undefined, null, {}])("that says nothing is nothing known: %j", (value) => {
    expect(readConsentStamp(value)).toBeUndefined();
  });

  it.each([
    "granted",
    1,
    true,
    [],
    [{}],
    { granted: true },
    { v: 2, purposes: {} },
    { purposes: { ads: "granted" } },
    { v: 1, purposes: [] },
    { categoryPreferences: 1 },
    { allowedConsentIds: "ads" },
  ])("that cannot be read is a no to everything: %j", (value) => {
    expect(readConsentStamp(value)).toEqual(allDenied);
  });

  it("with an unknown state says no for that purpose", () => {
    const given = { measurement: "GRANTED", profile: true, ads: "granted", prediction: null, newsletter: "granted" };
    expect(readConsentStamp({ v: 1, id: "c", purposes: given })?.purposes).toEqual({
      measurement: "denied",
      profile: "denied",
      ads: "granted",
    });
  });

  it("with an unknown regime or an odd GPC is read in the strictest way", () => {
    expect(readConsentStamp({ v: 1, id: "c", purposes: {}, regime: "whatever", gpc: "1" })).toMatchObject({
      regime: "opt_in",
      gpc: true,
    });
    expect(readConsentStamp({ v: 1, id: "c", purposes: {}, gpc: false })?.gpc).toBe(false);
  });
});

describe("a consent object of Segment's", () => {
  it("counts where its categories carry our names, in any case", () => {
    const consent = { categoryPreferences: { Measurement: true, PROFILE: true, ads: false, C0004: true } };
    expect(consentOf({ consent }, at)).toEqual({
      v: 1,
      id: "",
      at,
      purposes: { measurement: "granted", profile: "granted", ads: "denied" },
    });
  });

  it("says no where a category is not plainly true, and where it says both", () => {
    const consent = {
      categoryPreferences: { measurement: "yes", profile: false, Profile: true, ads: true, ADS: false },
    };
    expect(consentOf({ consent }, at)?.purposes).toEqual({ measurement: "denied", profile: "denied", ads: "denied" });
  });

  it("is nothing known where no category carries a name of ours", () => {
    expect(consentOf({ consent: { categoryPreferences: { Advertising: true } } }, at)).toBeUndefined();
  });
});

describe("a consent object of RudderStack's", () => {
  it("counts where its ids are our names", () => {
    const consentManagement = {
      provider: "custom",
      allowedConsentIds: ["Measurement", "profile"],
      deniedConsentIds: ["ads", "profile"],
    };
    expect(consentOf({ consentManagement }, at)).toEqual({
      v: 1,
      id: "",
      at,
      purposes: { measurement: "granted", profile: "denied", ads: "denied" },
    });
  });
});

describe("of several forms of a choice", () => {
  const own = { v: 1, id: "c", at, purposes: { measurement: "granted", profile: "withdrawn" } };

  it("the first counts, and no yes of another one", () => {
    const consentManagement = { allowedConsentIds: ["ads", "profile"] };
    const categoryPreferences = { prediction: true, profile: true };
    expect(consentOf({ consent: { ...own, categoryPreferences }, consentManagement }, at)).toEqual(own);
    expect(consentOf({ consent: { categoryPreferences }, consentManagement }, at)?.purposes).toEqual({
      prediction: "granted",
      profile: "granted",
    });
    expect(consentOf({ consent: {}, consentManagement }, at)).toBeUndefined();
  });

  it("a no in any is a no", () => {
    const denied = { measurement: "denied", profile: "withdrawn", ads: "denied" };
    const categoryPreferences = { Measurement: false, profile: false, ads: false };
    const deniedConsentIds = ["MEASUREMENT", "profile", "ads"];
    for (const context of [
      { consent: own, consentManagement: { deniedConsentIds } },
      { consent: { ...own, categoryPreferences } },
      { consent: { ...own, deniedConsentIds } },
    ])
      expect(consentOf(context, at)).toEqual({ ...own, purposes: denied });
    const consent = { categoryPreferences: { measurement: true }, deniedConsentIds: ["measurement"] };
    expect(consentOf({ consent }, at)?.purposes).toEqual({ measurement: "denied" });
    for (const nothing of [{}, { categoryPreferences: { C0001: true } }])
      expect(consentOf({ consent: nothing, consentManagement: { deniedConsentIds: ["ads"] } }, at)).toEqual({
        v: 1,
        id: "",
        purposes: { ads: "denied" },
      });
  });

  it("one that cannot be read is a no to everything", () => {
    expect(consentOf({ consent: own, consentManagement: "yes" }, at)?.purposes).toEqual({
      ...allDenied.purposes,
      profile: "withdrawn",
    });
  });

  it("none allows more than without the others", () => {
    const state = fc.constantFrom(...consentStates, "yes", true, null);
    const form = fc.oneof(
      fc.record({ v: fc.constantFrom(1, 2), purposes: fc.dictionary(fc.constantFrom(...purposes), state) }),
      fc.record({ categoryPreferences: fc.dictionary(fc.constantFrom(...purposes, "C0001"), fc.boolean()) }),
      fc.record({ allowedConsentIds: fc.subarray([...purposes]), deniedConsentIds: fc.subarray([...purposes]) }),
      fc.constantFrom({}, null, undefined, "odd"),
    );
    const seen = new Set<PurposeMask>();
    fc.assert(
      fc.property(form, form, form, fc.constantFrom(...regimes), (first, beside, other, regime) => {
        const maskOf = (context: object): PurposeMask => {
          const stamp = consentOf(context, at);
          return permittedPurposes({ stamp: stamp && { at, ...stamp }, regime, gpc: false, now: Date.parse(at) });
        };
        // A stamp of ours comes first, whatever stands in the same object.
        const isOwn = typeof first === "object" && first !== null && "v" in first;
        const consent = isOwn && typeof beside === "object" ? { ...beside, ...first } : first;
        const allowed = maskOf({ consent, consentManagement: other });
        if (first !== null && first !== undefined) expect(allowed & ~maskOf({ consent: first })).toBe(0);
        seen.add(allowed);
      }),
      { seed: 20_261_123, numRuns: 1000 },
    );
    expect(seen.size).toBeGreaterThan(10);
  });
});

it.each([undefined, null, 7, "context", []])("a context of %j has no consent", (context) => {
  expect(consentOf(context)).toBeUndefined();
});
