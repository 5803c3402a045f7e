import { checkProperty } from "@polder/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { arrivalText, createArrivals, hourMs, parseArrival } from "./arrivals.ts";

const receivedAt = Date.parse("2026-11-22T20:15:00Z");

describe("arrivals", () => {
  it("come back from their text", () => {
    const arrivals = createArrivals("a-b_C");
    arrivals(receivedAt, 40);
    const block = arrivals(receivedAt, 3);
    expect([0, 1, 2].map((index) => parseArrival(arrivalText(block, index)))).toEqual(
      [40, 41, 42].map((number) => ({ process: "a-b_C", hour: Math.floor(receivedAt / hourMs), number })),
    );
  });

  it("never get a number twice, whatever the clock does", () => {
    checkProperty(
      fc.property(
        fc.array(fc.record({ at: fc.integer({ min: 0, max: 5 * hourMs }), count: fc.integer({ min: 1, max: 9 }) })),
        (requests) => {
          const arrivals = createArrivals("p");
          const texts = requests.flatMap(({ at, count }) => {
            const block = arrivals(at, count);
            expect(block.hour).toBe(Math.floor(at / hourMs));
            return Array.from({ length: count }, (_, index) => arrivalText(block, index));
          });
          expect(new Set(texts).size).toBe(texts.length);
        },
      ),
    );
  });

  it.each(["", "p", "p.1", "p.1.", ".1.2", "p.1.2.3", "p.1.Z", "p q.1.2", "p.1.zzzzzzz", "p.zzzzzzz.1"])(
    "are not read from %j, which is no text of ours",
    (text) => {
      expect(parseArrival(text)).toBeUndefined();
    },
  );
});
