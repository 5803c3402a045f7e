import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { jsonHead } from "./json-head.ts";
import { utf8Length } from "./unicode.ts";

describe("the head of a value's JSON", () => {
  it("is all of it when there is room", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4, noUnicodeString: false }), (value) => {
        const parsed: unknown = JSON.parse(JSON.stringify(value));
        expect(jsonHead(parsed, 1_000_000)).toBe(JSON.stringify(parsed));
      }),
      { seed: 20_261_122, numRuns: 300 },
    );
  });

  it("is a beginning of it when there is not", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), fc.integer({ min: 1, max: 60 }), (value, maxBytes) => {
        const parsed: unknown = JSON.parse(JSON.stringify(value));
        const head = jsonHead(parsed, maxBytes);
        expect(utf8Length(head)).toBeLessThanOrEqual(maxBytes);
        // A text cut off in the middle is closed by its quote before the whole is cut, so compare without the last character.
        expect(JSON.stringify(parsed).startsWith(head.slice(0, -1))).toBe(true);
      }),
      { seed: 20_261_122, numRuns: 300 },
    );
  });

  it("of something too deep for JSON.stringify is there all the same", () => {
    const deep: unknown = JSON.parse("[".repeat(100_000) + "]".repeat(100_000));
    expect(() => JSON.stringify(deep)).toThrow(RangeError);
    expect(jsonHead(deep, 2048)).toBe("[".repeat(2048));
  });

  it("says what a number beyond all numbers was", () => {
    expect(jsonHead(JSON.parse("[1e999,-1e999]"), 100)).toBe("[1e999,-1e999]");
  });

  it("has no half characters", () => {
    expect(jsonHead("\ud800", 100)).toBe('"\ufffd"');
    expect(jsonHead("\u{1f600}\u{1f600}", 7)).toBe('"\u{1f600}');
  });
});
