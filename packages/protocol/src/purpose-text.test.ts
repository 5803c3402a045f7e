import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { consentStates, type ConsentStamp } from "./event.ts";
import { permittedPurposes } from "./permitted.ts";
import { purposes } from "./purpose.ts";
import { canonicalText, underCurrentTexts } from "./purpose-text.ts";

const [old, dutch, english] = ["0".repeat(64), "1".repeat(64), "2".repeat(64)] as const;
const stamp: ConsentStamp = {
  v: 1,
  id: "c1",
  at: "2026-11-22T20:00:00.000Z",
  purposes: { measurement: "granted", profile: "granted", ads: "denied" },
};

describe("a text", () => {
  it("is hashed with its purpose and language, in one form", () => {
    expect(canonicalText("ads", "nl", { title: 'Re"clame', text: "é\n" })).toBe(
      '["polder.text/1","ads","nl","Re\\"clame","é\\n"]',
    );
  });
});

describe("a choice under the texts of today", () => {
  const current = { measurement: new Set([dutch, english]), profile: new Set([dutch]), ads: new Set([dutch]) };

  it("keeps a yes to a text of today, in any language", () => {
    const chosen = { ...stamp, texts: { measurement: english, profile: dutch } };
    expect(underCurrentTexts(chosen, current)).toBe(chosen);
  });

  it("knows a text by the beginning of its hash, which is what a device keeps", () => {
    const kept = { ...stamp, texts: { measurement: english.slice(0, 8), profile: old.slice(0, 8) } };
    expect(underCurrentTexts(kept, current).purposes).toEqual({
      measurement: "granted",
      profile: "unset",
      ads: "denied",
    });
  });

  it("has no yes to a changed text, for that purpose and no other", () => {
    const chosen = { ...stamp, texts: { measurement: old, profile: dutch } };
    expect(underCurrentTexts(chosen, current).purposes).toEqual({
      measurement: "unset",
      profile: "granted",
      ads: "denied",
    });
  });

  it("keeps a no, whatever was read", () => {
    const chosen = { ...stamp, texts: { measurement: dutch, ads: old } };
    expect(underCurrentTexts(chosen, current)).toBe(chosen);
  });

  it("is what it was where the stamp does not say what was shown, or the site has no texts", () => {
    expect(underCurrentTexts(stamp, current)).toBe(stamp);
    const other = { ...stamp, texts: { measurement: old } };
    expect(underCurrentTexts(other, { profile: new Set([dutch]) })).toBe(other);
    expect(underCurrentTexts(other, {})).toBe(other);
  });

  it("never allows more than without this rule", () => {
    const hash = fc.constantFrom(old, dutch, english, "unreadable");
    const some = <T>(value: fc.Arbitrary<T>) =>
      fc.record(Object.fromEntries(purposes.map((purpose) => [purpose, value])), { requiredKeys: [] });
    fc.assert(
      fc.property(
        some(fc.constantFrom(...consentStates)),
        some(hash),
        some(fc.uniqueArray(hash)),
        fc.constantFrom("opt_in" as const, "opt_out" as const, "notice" as const),
        (chosen, texts, known, regime) => {
          const given = { ...stamp, purposes: chosen, texts };
          const now = Date.parse("2026-11-22T20:15:00Z");
          const sets = Object.fromEntries(Object.entries(known).map(([purpose, hashes]) => [purpose, new Set(hashes)]));
          const mask = permittedPurposes({ stamp: given, regime, gpc: false, now });
          const narrowed = permittedPurposes({ stamp: underCurrentTexts(given, sets), regime, gpc: false, now });
          expect(narrowed & ~mask).toBe(0);
        },
      ),
      { seed: 20_261_122, numRuns: 1000 },
    );
  });
});
