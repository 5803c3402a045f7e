import type { EventRow } from "@polder/core";
import type { Refusal } from "@polder/lmdb";
import { expect, it } from "vitest";
import { withdrawalRecords } from "./withdrawal-records.ts";

const at = Date.UTC(2026, 10, 22, 23, 30);
const now = new Date(at + 60_000);
const timezoneOf = (site: string): string | undefined => (site === "shop" ? "Europe/Amsterdam" : undefined);
const rowOf = (refusal: Partial<Refusal>, when = now): EventRow => {
  const given = { visitor: "shop:device", purposes: ["profile"], at, ...refusal };
  const [record] = withdrawalRecords([given], when, timezoneOf);
  return JSON.parse(new TextDecoder().decode(record!.value)) as EventRow;
};

it("is of the visitor's day, and names the device or the user that chose", () => {
  expect(rowOf({})).toMatchObject({ site: "shop", anonymous_id: "device", user_id: "", day: "2026-11-23" });
  expect(rowOf({ visitor: "shop/a:b/c" })).toMatchObject({ site: "shop", anonymous_id: "", user_id: "a:b/c" });
  expect(rowOf({ purposes: ["profile", "ads"] })).toMatchObject({
    "choice.purpose": ["profile", "ads"],
    "choice.state": ["withdrawn", "withdrawn"],
  });
});

it("is made of a site that is configured no more as well: what is stored of it is still there", () => {
  expect(rowOf({ visitor: "gone:device" })).toMatchObject({ site: "gone", day: "2026-11-22" });
});

it("is the same message however often it is restored, and another for another choice", () => {
  const later = new Date(now.getTime() + 60_000);
  const idOf = (refusal: Partial<Refusal>, when = now): string => rowOf(refusal, when).message_id;
  expect(idOf({}, later)).toBe(idOf({}));
  // A clock that was ahead says a time that has not come: it is taken for now.
  const ahead = { at: now.getTime() + 3_600_000 };
  expect(idOf(ahead, later)).toBe(idOf(ahead));
  expect(rowOf(ahead).time).toBe("2026-11-22 23:31:00.000");
  expect(new Set([idOf({}), idOf(ahead), idOf({ purposes: ["ads"] }), idOf({ visitor: "shop/device" })]).size).toBe(4);
});
