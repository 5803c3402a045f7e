import { expect, it } from "vitest";
import { createTokenBucket } from "./token-bucket.ts";

it("lets a burst through, then the rate, and says when to come back", () => {
  let ms = 0;
  const bucket = createTokenBucket({ perSecond: 10, burst: 20, clock: () => ms });
  expect(bucket.take(20)).toEqual({ ok: true });
  expect(bucket.take(5)).toEqual({ ok: false, retryAfterMs: 500 });
  ms = 499;
  expect(bucket.take(5).ok).toBe(false);
  ms = 500;
  expect(bucket.take(5)).toEqual({ ok: true });
  ms = 1_000_000;
  expect(bucket.take(20)).toEqual({ ok: true });
  expect(bucket.take(1).ok).toBe(false);
});
