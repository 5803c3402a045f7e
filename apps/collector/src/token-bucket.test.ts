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

it("keeps some for others, and lets pass what is larger than the rest when it is full", () => {
  let ms = 0;
  const bucket = createTokenBucket({ perSecond: 10, burst: 20, clock: () => ms });
  expect(bucket.take(10, 10)).toEqual({ ok: true });
  expect(bucket.take(1, 10)).toEqual({ ok: false, retryAfterMs: 100 });
  expect(bucket.take(10)).toEqual({ ok: true });
  expect(bucket.take(15, 10)).toEqual({ ok: false, retryAfterMs: 2000 });
  ms = 2000;
  expect(bucket.take(15, 10)).toEqual({ ok: true });
});
