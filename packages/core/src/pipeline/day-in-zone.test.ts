import { checkProperty } from "@polder/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { dayInZone } from "./day-in-zone.ts";

describe("dayInZone", () => {
  it("changes the day at the zone's midnight", () => {
    expect(dayInZone(Date.UTC(2026, 10, 22, 22, 59, 59, 999), "Europe/Amsterdam")).toBe("2026-11-22");
    expect(dayInZone(Date.UTC(2026, 10, 22, 23, 0), "Europe/Amsterdam")).toBe("2026-11-23");
    expect(dayInZone(Date.UTC(2026, 10, 22, 18, 14, 59), "Asia/Kathmandu")).toBe("2026-11-22");
    expect(dayInZone(Date.UTC(2026, 10, 22, 18, 15), "Asia/Kathmandu")).toBe("2026-11-23");
  });

  it("follows summer time", () => {
    expect(dayInZone(Date.UTC(2026, 6, 1, 21, 59), "Europe/Amsterdam")).toBe("2026-07-01");
    expect(dayInZone(Date.UTC(2026, 6, 1, 22, 0), "Europe/Amsterdam")).toBe("2026-07-02");
  });

  it("agrees with the platform in every kind of zone", () => {
    const zones = [
      "UTC",
      "Europe/Amsterdam",
      "America/St_Johns",
      "Australia/Lord_Howe",
      "Pacific/Chatham",
      "Pacific/Apia",
    ];
    const platform = new Map(zones.map((zone) => [zone, new Intl.DateTimeFormat("sv-SE", { timeZone: zone })]));
    checkProperty(
      fc.property(
        fc.integer({ min: Date.UTC(1975, 0, 1), max: Date.UTC(2050, 0, 1) }),
        fc.constantFrom(...zones),
        (ms, zone) => {
          expect(dayInZone(ms, zone)).toBe(platform.get(zone)!.format(ms));
        },
      ),
      500,
    );
  });
});
