import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeDeviceId, deviceIdExpiresAt, encodeDeviceId } from "./device-id.ts";

const day = 24 * 3_600_000;
const now = Date.parse("2026-11-22T20:15:00Z");

describe("the id on the device", () => {
  it("is the visitor's id and when it was made", () => {
    expect(encodeDeviceId({ anonymousId: "abc", createdAt: now })).toBe(`abc.${(now / 1000).toString(36)}`);
  });

  it("comes back as it was, and is safe in a cookie whatever it holds", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", minLength: 1, maxLength: 50 }), fc.nat(), (anonymousId, seconds) => {
        const text = encodeDeviceId({ anonymousId, createdAt: seconds * 1000 });
        expect(decodeDeviceId(text)).toEqual({ anonymousId, createdAt: seconds * 1000 });
        expect(text).toMatch(/^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+$/);
      }),
      { seed: 20_261_122, numRuns: 300 },
    );
  });

  it.each(["", "abc", ".abc", "abc.", "abc.%", "%zz.t", "a b.t", "a;b.t", "abc.123456789"])(
    "is none when it reads %j",
    (text) => {
      expect(decodeDeviceId(text)).toBeUndefined();
    },
  );

  it("goes 395 days after it was made, however often it is seen", () => {
    const device = { anonymousId: "a", createdAt: now - 100 * day };
    expect(deviceIdExpiresAt(device, now)).toBe(now + 295 * day);
    expect(deviceIdExpiresAt(device, now + 50 * day)).toBe(now + 295 * day);
  });

  it("lives no longer for coming from the future", () => {
    expect(deviceIdExpiresAt({ anonymousId: "a", createdAt: now + 9999 * day }, now)).toBe(now + 395 * day);
  });
});
