import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createMessageWindow, type MessageWindow } from "./message-window.ts";

const key = Uint32Array.from([1, 2, 3, 4]);
const seed = 20_261_123;

const hashOf = (window: MessageWindow, site: string, id: string): [number, number] => {
  const [low = 0, high = 0] = window.hash([{ headers: { site, id } }]);
  return [low, high];
};
const find = (window: MessageWindow, site: string, id: string, offset: number): number[] | undefined =>
  window.find(...hashOf(window, site, id), offset);
const add = (window: MessageWindow, site: string, id: string, offset: number): void =>
  window.add(...hashOf(window, site, id), offset);

describe("message window", () => {
  it("knows where a message was within its span, and not one of another site", () => {
    const window = createMessageWindow(100);
    add(window, "shop", "m1", 5);
    expect(find(window, "shop", "m1", 6)).toEqual([5]);
    expect(find(window, "shop", "m1", 105)).toEqual([5]);
    expect(find(window, "shop", "m2", 105)).toBeUndefined();
    expect(find(window, "blog", "m1", 105)).toBeUndefined();
  });

  it("forgets what is older than its span", () => {
    const window = createMessageWindow(100);
    add(window, "shop", "m1", 5);
    expect(find(window, "shop", "m1", 106)).toBeUndefined();
    expect(window.size).toBe(0);
  });

  it("tells site and message apart where they meet", () => {
    const window = createMessageWindow(100);
    add(window, "ab", "c", 1);
    expect(find(window, "a", "bc", 2)).toBeUndefined();
    expect(find(window, "abc", "", 2)).toBeUndefined();
  });

  it("does not find a message at its own place", () => {
    const window = createMessageWindow(100);
    add(window, "shop", "m1", 5);
    expect(find(window, "shop", "m1", 5)).toBeUndefined();
  });

  it("finds all of several with one hash, also the one that stands for a free place", () => {
    const window = createMessageWindow(100);
    for (const offset of [3, 7, 11]) window.add(0, 0, offset);
    window.add(9, 9, 12);
    expect(window.find(0, 0, 20)).toEqual([3, 7, 11]);
    expect(window.find(0, 0, 104)).toEqual([7, 11]);
    expect(window.find(9, 9, 104)).toEqual([12]);
  });

  it("takes rows in any order, as a table gives them", () => {
    const window = createMessageWindow(10);
    for (const offset of [17, 12, 19, 2, 11]) add(window, "shop", `m${offset}`, offset);
    expect([2, 11, 12, 17, 19].map((offset) => find(window, "shop", `m${offset}`, 20)?.[0])).toEqual([
      undefined,
      11,
      12,
      17,
      19,
    ]);
  });

  it("takes 16 MiB for a million offsets, and no more however many messages pass", () => {
    const window = createMessageWindow(1_000_000, key);
    expect(window.bytes).toBe(16 * 2 ** 20);
    expect(createMessageWindow(1000).bytes).toBe(16 * 1024);
    const small = createMessageWindow(1000, key);
    for (let offset = 0; offset < 50_000; offset++) add(small, "shop", `message-${offset}`, offset);
    expect(small.size).toBeLessThanOrEqual(1001);
    expect(find(small, "shop", "message-49000", 50_000)).toEqual([49_000]);
    expect(find(small, "shop", "message-48999", 50_000)).toBeUndefined();
  });

  it("finds every one of a million messages, and suspects no other", () => {
    const window = createMessageWindow(1_000_000, key);
    const first = 2 ** 40;
    let suspected = 0;
    for (let i = 0; i < 1_000_000; i++) {
      const [low, high] = hashOf(window, "s", i.toString(36));
      if (window.find(low, high, first + i)) suspected++;
      window.add(low, high, first + i);
    }
    expect(suspected).toBe(0);
    let missed = 0;
    for (let i = 0; i < 1_000_000; i++)
      if (find(window, "s", i.toString(36), first + 1_000_000)?.[0] !== first + i) missed++;
    expect(missed).toBe(0);
  });

  it(`agrees with a plain list, whatever the gaps between offsets and the hashes (seed ${seed})`, () => {
    // Few hashes, so that they meet in one place of the table and wrap around its end.
    const step = fc.record({
      low: fc.oneof(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 2 ** 32 - 4, max: 2 ** 32 - 1 })),
      high: fc.integer({ min: 0, max: 1 }),
      gap: fc.oneof({ weight: 9, arbitrary: fc.integer({ min: 1, max: 6 }) }, fc.integer({ min: 1, max: 3000 })),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), fc.integer({ min: 1, max: 200 }), (steps, span) => {
        const window = createMessageWindow(span, key);
        const list: { low: number; high: number; offset: number }[] = [];
        let offset = 0;
        for (const { low, high, gap } of steps) {
          offset += gap;
          const expected = list
            .filter((seen) => seen.low === low && seen.high === high && seen.offset >= offset - span)
            .map((seen) => seen.offset);
          // 0, 0 and 1, 0 are one hash.
          const isNeighbour = low < 2 && high === 0;
          const found = (window.find(low, high, offset) ?? []).toSorted((a, b) => a - b);
          if (isNeighbour) expect(found).toEqual(expect.arrayContaining(expected));
          else expect(found).toEqual(expected);
          window.add(low, high, offset);
          list.push({ low, high, offset });
          expect(window.size).toBe(list.filter((seen) => seen.offset >= offset - span).length);
        }
      }),
      { seed, numRuns: 500 },
    );
  });
});
