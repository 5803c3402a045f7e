import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeChoice, encodeChoice, refusalMonth, type StoredChoice } from "./choice-cookie.ts";
import { maskOf, purposes } from "./purpose.ts";

describe("the stored choice", () => {
  it("after a grant holds what was granted, which choice and when", () => {
    const choice: StoredChoice = {
      kind: "granted",
      mask: maskOf(["measurement", "profile"]),
      consentId: "c-1_A",
      at: 1_795_378_500_000,
    };
    expect(encodeChoice(choice)).toBe(`v1.g.6.c-1_A.${(1_795_378_500).toString(36)}`);
    expect(decodeChoice(encodeChoice(choice))).toEqual(choice);
  });

  it("after a refusal is the same for everyone who refused that month", () => {
    const month = refusalMonth(Date.parse("2026-11-30T23:59:59Z"));
    expect(encodeChoice({ kind: "refused", month })).toBe("v1.d.202611");
    expect(decodeChoice("v1.d.202611")).toEqual({ kind: "refused", month: "202611" });
  });

  it("comes back as it was, to the second", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 2 ** purposes.length - 1 }),
        fc.stringMatching(/^[\w-]{1,64}$/),
        fc.integer({ min: 0, max: 2_000_000_000 }),
        (mask, consentId, seconds) => {
          const choice: StoredChoice = { kind: "granted", mask, consentId, at: seconds * 1000 };
          const text = encodeChoice(choice);
          expect(decodeChoice(text)).toEqual(choice);
          expect(text).toMatch(/^[\w.-]+$/);
        },
      ),
      { seed: 20_261_122, numRuns: 300 },
    );
  });

  it.each([
    "",
    "v1",
    "v1.d",
    "v1.d.2026",
    "v1.d.202613",
    "v1.g.6.id",
    "v1.g.6..t",
    "v2.g.6.id.t",
    "v1.g.6.a b.t",
    "v1.g.6.id.t;x",
    "v1.g.-1.id.t",
  ])("is nothing known when it reads %j", (text) => {
    expect(decodeChoice(text)).toBeUndefined();
  });

  it.each(["v1.g.1s.id.t", "v1.g.zzz.id.t"])(
    "is nothing known when it grants purposes that do not exist: %j",
    (text) => {
      expect(decodeChoice(text)).toBeUndefined();
    },
  );
});
