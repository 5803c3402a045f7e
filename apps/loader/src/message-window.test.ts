import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createMessageWindow } from "./message-window.ts";

describe("message window", () => {
  it("knows a message within its span and not one of another site", () => {
    const window = createMessageWindow(100);
    window.add("shop", "m1", 5);
    expect(window.has("shop", "m1", 6)).toBe(true);
    expect(window.has("shop", "m1", 105)).toBe(true);
    expect(window.has("shop", "m2", 6)).toBe(false);
    expect(window.has("blog", "m1", 6)).toBe(false);
  });

  it("forgets what is older than its span", () => {
    const window = createMessageWindow(100);
    window.add("shop", "m1", 5);
    expect(window.has("shop", "m1", 106)).toBe(false);
  });

  it("tells site and message apart where they meet", () => {
    const window = createMessageWindow(100);
    window.add("ab", "c", 1);
    expect(window.has("a", "bc", 2)).toBe(false);
    expect(window.has("abc", "", 2)).toBe(false);
  });

  it("keeps its memory bounded by the span, however many messages pass", () => {
    const window = createMessageWindow(1000);
    for (let offset = 0; offset < 200_000; offset++) window.add("shop", `message-${offset}`, offset);
    expect(window.size).toBeLessThan(9_000);
    expect(window.has("shop", "message-199999", 200_000)).toBe(true);
    expect(window.has("shop", "message-199000", 200_000)).toBe(true);
    expect(window.has("shop", "message-198999", 200_000)).toBe(false);
  });

  it("has no two of a million ids of a counter in one place", () => {
    const window = createMessageWindow(2_000_000);
    let clashes = 0;
    for (let i = 0; i < 1_000_000; i++) {
      const id = i.toString(36);
      if (window.has("s", id, i)) clashes++;
      window.add("s", id, i);
    }
    expect(clashes).toBe(0);
  });

  it("agrees with a plain list, whatever the order of adds and gaps between offsets", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ id: fc.string({ maxLength: 3 }), gap: fc.integer({ min: 1, max: 40 }) }), {
          maxLength: 300,
        }),
        fc.integer({ min: 1, max: 200 }),
        (steps, span) => {
          const window = createMessageWindow(span);
          const list: { id: string; offset: number }[] = [];
          let offset = 0;
          for (const { id, gap } of steps) {
            offset += gap;
            const expected = list.some((seen) => seen.id === id && seen.offset >= offset - span);
            expect(window.has("s", id, offset)).toBe(expected);
            window.add("s", id, offset);
            list.push({ id, offset });
          }
        },
      ),
      { seed: 20261122 },
    );
  });
});
