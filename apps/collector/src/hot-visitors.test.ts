import { expect, it } from "vitest";
import { createHotVisitors } from "./hot-visitors.ts";

it("finds the one who sends hundreds of events a second among thousands who do not", () => {
  let now = 0;
  const hot = createHotVisitors({ perSecond: 100, burst: 1000, clock: () => now });
  const called = new Set<string>();
  let foundAfterMs = 0;
  for (; now < 30_000; now += 10) {
    if (hot.count("bot", 3)) foundAfterMs ||= now;
    // Two thousand visitors, each of whom sends one event every four seconds.
    for (let n = 0; n < 5; n++) {
      const visitor = `visitor ${(now / 10) * 5 + n - 2000 * Math.floor(((now / 10) * 5 + n) / 2000)}`;
      if (hot.count(visitor, 1)) called.add(visitor);
    }
  }
  expect([...called]).toEqual([]);
  expect(foundAfterMs).toBeGreaterThan(4_000);
  expect(foundAfterMs).toBeLessThan(6_000);
});

it("lets a backlog pass that comes at once, and forgets who stopped", () => {
  let now = 0;
  const hot = createHotVisitors({ perSecond: 100, burst: 1000, clock: () => now });
  expect(hot.count("returning", 1000)).toBe(false);
  expect(hot.count("returning", 5000)).toBe(true);
  now += 11_000;
  expect(hot.count("returning", 1)).toBe(false);
});
