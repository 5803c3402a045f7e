import { checkProperty } from "@polder/testing";
import fc from "fast-check";
import { expect, it } from "vitest";
import { claimedTimeText, parseTime, timeText } from "./time-text.ts";

it("writes times as ClickHouse takes them", () => {
  expect(timeText(Date.UTC(2026, 10, 22, 20, 15, 0, 7))).toBe("2026-11-22 20:15:00.007");
  expect(timeText(0)).toBe("1970-01-01 00:00:00.000");
});

it("agrees with the platform on every instant", () => {
  checkProperty(
    fc.property(fc.integer({ min: 0, max: Date.UTC(2298, 0, 1) }), (ms) => {
      expect(timeText(ms)).toBe(new Date(ms).toISOString().replace("T", " ").replace("Z", ""));
    }),
  );
});

it("writes the epoch for what a column cannot hold", () => {
  for (const ms of [undefined, 0, -1, Number.NaN, Number.POSITIVE_INFINITY, Date.UTC(2299, 0, 1), 8.64e15])
    expect(claimedTimeText(ms)).toBe("1970-01-01 00:00:00.000");
  expect(claimedTimeText(1)).toBe("1970-01-01 00:00:00.001");
});

it("reads a time, or says that there is none", () => {
  expect(parseTime("1970-01-01T00:00:01.000Z")).toBe(1000);
  expect(parseTime(undefined)).toBeUndefined();
  expect(parseTime("soon")).toBeUndefined();
});
