import { choiceTimesLength, choiceTimesOf } from "@polder/protocol";
import { checkProperty } from "@polder/testing";
import fc from "fast-check";
import { expect, it } from "vitest";
import { decodeEntry, encodeEntry } from "./consent-entry.ts";

const at = Date.parse("2026-11-22T20:15:00Z");

it("takes 22 bytes for a visitor who chose once", () => {
  const times = choiceTimesOf({
    stamp: { v: 1, id: "c", purposes: { measurement: "granted", profile: "granted" }, at: new Date(at).toISOString() },
    regime: "opt_in",
    gpc: false,
    recordedAt: at,
    sentAt: at,
    receivedAt: at,
  });
  expect(encodeEntry(times)).toHaveLength(22);
});

it("gives back every record", () => {
  // Few different times, so that they come in pairs, and the largest that a clock may claim.
  const time = fc.constantFrom(0, 1, at, at + 1, 253_402_300_799_999);
  const pair = fc.tuple(time, time).map(([theirs, ours]) => (ours === 0 ? [0, 0] : [theirs, ours]));
  const record = fc
    .array(pair, { minLength: choiceTimesLength / 2, maxLength: choiceTimesLength / 2 })
    .map((pairs) => pairs.flat());
  checkProperty(
    fc.property(record, (times) => {
      expect(decodeEntry(encodeEntry(times))).toEqual(times);
    }),
    500,
  );
});
