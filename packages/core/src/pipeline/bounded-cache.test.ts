import { expect, it } from "vitest";
import { createBoundedCache } from "./bounded-cache.ts";

it("keeps what is asked for and forgets the rest", () => {
  const cache = createBoundedCache<number, string>(10);
  cache.set(-1, "asked for");
  for (let n = 0; n < 1000; n++) {
    cache.set(n, String(n));
    expect(cache.get(-1)).toBe("asked for");
  }
  const kept = Array.from({ length: 1000 }, (_, n) => cache.get(n)).filter((value) => value !== undefined);
  expect(kept.length).toBeLessThanOrEqual(20);
  expect(cache.get(999)).toBe("999");
  expect(cache.get(0)).toBeUndefined();
});
