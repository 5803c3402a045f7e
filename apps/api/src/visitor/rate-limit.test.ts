import { expect, it } from "vitest";
import { createRateLimit } from "./rate-limit.ts";

it("lets each address ask so often in a window, and all of them together so often", () => {
  let ms = 5_000;
  const limit = createRateLimit({ windowMs: 10_000, perAddress: 2, overall: 5, now: () => ms });
  const ask = (address: string): number | undefined => limit.take(address);
  expect(["a", "a", "b"].map(ask)).toEqual([undefined, undefined, undefined]);
  expect(ask("a")).toBe(10_000);
  ms = 14_000;
  expect(ask("a")).toBe(1_000);
  expect(["b", "c"].map(ask)).toEqual([undefined, undefined]);
  // What was refused did not count for the others; now it is enough.
  expect(ask("d")).toBe(1_000);
  ms = 15_000;
  expect(["a", "d"].map(ask)).toEqual([undefined, undefined]);
});

it("goes on when the clock was set back", () => {
  let ms = 50_000;
  const limit = createRateLimit({ windowMs: 10_000, perAddress: 1, overall: 5, now: () => ms });
  limit.take("a");
  ms = 1_000;
  expect(limit.take("a")).toBeUndefined();
});
