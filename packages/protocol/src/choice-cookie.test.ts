import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeChoice, decodeRegime, encodeChoice, encodeRegime, refusalPeriodMs } from "./choice-cookie.ts";
import { maskOf, purposes } from "./purpose.ts";

describe("the stored choice", () => {
  it("after a grant holds what was granted, when, and which choice", () => {
    const choice = { mask: maskOf(["measurement", "profile"]), at: 1_795_378_500_000, consentId: "c-1_A" };
    expect(encodeChoice(choice)).toBe(`v1.6.${(1_795_378_500).toString(36)}.c-1_A`);
    expect(decodeChoice(encodeChoice(choice))).toEqual(choice);
  });

  it("keeps which text each granted purpose was shown with, by the beginning of its hash", () => {
    const [counting, knowing] = ["0123456789abcdef".repeat(4), "98765432fedcba10".repeat(4)];
    const choice = { mask: maskOf(["measurement", "profile", "ads"]), at: 1_795_378_500_000, consentId: "c-1_A" };
    const kept = (texts: object) => decodeChoice(encodeChoice({ ...choice, texts }));
    expect(kept({ measurement: counting, profile: knowing })).toEqual({
      ...choice,
      texts: { measurement: "01234567", profile: "98765432" },
    });
    // Not of what was refused; again as it was; and what is no hash takes the rest along no more than it counts itself.
    expect(kept({ prediction: counting, ads: knowing })?.texts).toEqual({ ads: "98765432" });
    expect(kept({ ads: "98765432" })?.texts).toEqual({ ads: "98765432" });
    expect(kept({ measurement: "no hash; a=b", profile: 7, ads: knowing })?.texts).toEqual({ ads: "98765432" });
    expect(kept({ measurement: "0123" })).toEqual(choice);
    expect(encodeChoice({ ...choice, mask: 0, texts: { ads: knowing } })).toBe(encodeChoice({ ...choice, mask: 0 }));
  });

  it("after a refusal is the same for everyone who refused within the same 30 days", () => {
    const start = 700 * refusalPeriodMs;
    const refuse = (at: number, consentId: string) => encodeChoice({ mask: 0, at, consentId });
    expect(refuse(start, "a")).toBe("v1.0.u08w00.");
    expect(refuse(start + refusalPeriodMs - 1, "b")).toBe("v1.0.u08w00.");
    expect(refuse(start + refusalPeriodMs, "c")).not.toBe("v1.0.u08w00.");
    expect(decodeChoice("v1.0.u08w00.")).toEqual({ mask: 0, at: start, consentId: "" });
  });

  it("comes back as it was, to the second", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 2 ** purposes.length - 1 }),
        fc.stringMatching(/^[\w-]{1,64}$/),
        fc.integer({ min: 0, max: 2_000_000_000 }),
        (mask, consentId, seconds) => {
          const choice = { mask, at: seconds * 1000, consentId };
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
    "v1.0",
    "v1.0.t4k000",
    "v1.6.t.",
    "v1.0.t.id",
    "v1.6..id",
    "v2.6.t.id",
    "v1.6.t.a b",
    "v1.6.t.id;x",
    "v1.-1.t.id",
  ])("is nothing known when it reads %j", (text) => {
    expect(decodeChoice(text)).toBeUndefined();
  });

  it.each(["v1.1s.t.id", "v1.zzz.t.id"])("is nothing known when it grants purposes that do not exist: %j", (text) => {
    expect(decodeChoice(text)).toBeUndefined();
  });
});

describe("the stored regime", () => {
  const at = Date.UTC(2026, 10, 22, 20, 15);

  it("holds which it is, the day, and what was objected to", () => {
    const stored = { regime: "opt_out" as const, at, objected: maskOf(["ads"]) };
    expect(encodeRegime(stored)).toBe("r1.opt_out.g17.w");
    expect(decodeRegime("r1.opt_out.g17.w")).toEqual({ ...stored, at: Date.UTC(2026, 10, 22) });
    expect(decodeRegime(encodeRegime({ regime: "notice", at, objected: 0 }))?.regime).toBe("notice");
  });

  it("is the same for everyone on that day", () => {
    const texts = [0, 1, 24 * 3_600_000 - 1].map((ms) =>
      encodeRegime({ regime: "opt_out", at: Date.UTC(2026, 10, 22) + ms, objected: 0 }),
    );
    expect(new Set(texts).size).toBe(1);
  });

  it("is no choice, and a choice is no regime", () => {
    expect(decodeChoice(encodeRegime({ regime: "opt_out", at, objected: 0 }))).toBeUndefined();
    expect(decodeRegime(encodeChoice({ mask: 0, at, consentId: "" }))).toBeUndefined();
    expect(decodeRegime(encodeChoice({ mask: 6, at, consentId: "opt_out" }))).toBeUndefined();
  });

  it.each([
    "",
    "r1",
    "r1.opt_in.g17.0",
    "r1.anything.g17.0",
    "r1.opt_out.g17",
    "r1.opt_out..0",
    "r1.opt_out.g17.0.x",
    "r2.opt_out.g17.0",
  ])("is nothing known when it reads %j", (text) => {
    expect(decodeRegime(text)).toBeUndefined();
  });
});
