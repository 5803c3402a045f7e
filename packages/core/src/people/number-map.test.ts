import fc from "fast-check";
import { expect, it } from "vitest";
import { createNumberMap } from "./number-map.ts";

it("holds what a Map holds, of any numbers", () => {
  const numbers = fc.oneof(
    fc.integer({ min: 1, max: 5_000 }).map((number) => number * 64),
    fc.integer({ min: 1, max: 2 ** 32 - 1 }),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(numbers, numbers), { maxLength: 3_000 }), (pairs) => {
      const map = createNumberMap();
      for (const [key, value] of pairs) map.set(key, value);
      const expected = new Map(pairs);
      expect(new Map(map.entries())).toEqual(expected);
      expect(map.size()).toBe(expected.size);
      expect(map.get(7)).toBe(expected.get(7) ?? 0);
    }),
    { numRuns: 50, seed: 20_261_123 },
  );
});
