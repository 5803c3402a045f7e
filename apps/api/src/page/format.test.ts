import { expect, it } from "vitest";
import {
  countryName,
  eventName,
  eventTitle,
  formatAge,
  formatClock,
  formatMoney,
  formatWhen,
  splitPurposes,
} from "./format.ts";

it.each([
  [-5, "0.0 s"],
  [840, "0.8 s"],
  [9_949, "9.9 s"],
  [14_400, "14 s"],
  [61_000, "1 min"],
  [7_200_000, "2 h"],
  [200_000_000, "2 d"],
])("says %i ms as %s", (ms, text) => {
  expect(formatAge(ms)).toBe(text);
});

it("says times in the zone of the site", () => {
  const time = Date.parse("2026-11-22T23:30:05Z");
  expect(formatClock(time, "Europe/Amsterdam")).toBe("00:30:05");
  expect(formatClock(time, "UTC")).toBe("23:30:05");
});

it("says the clock of what was today in the zone of the site, and the day of all else", () => {
  const now = Date.parse("2026-11-22T23:30:05Z");
  expect(formatWhen(now - 60_000, now, "Europe/Amsterdam")).toBe("00:29:05");
  expect(formatWhen(now - 3_600_000, now, "Europe/Amsterdam")).toBe("22 Nov 26");
  expect(formatWhen(now - 3_600_000, now, "UTC")).toBe("22:30:05");
  expect(formatWhen(Date.parse("2025-01-20T11:39:00Z"), now, "UTC")).toBe("20 Jan 25");
});

it("says money in its currency, also in one that nobody knows", () => {
  expect(formatMoney("19.95", "EUR")).toBe("€19.95");
  expect(formatMoney("-5", "USD")).toBe("-US$5.00");
  expect(formatMoney("3", "?!")).toBe("3.00 ?!");
});

const choice = (...states: string[]) => choose(...states.map((state): [string, string] => ["ads", state]));
const choose = (...choices: [purpose: string, state: string][]) => ({
  type: "consent",
  name: "consent",
  amount: "0",
  currency: "",
  choices: choices.map(([purpose, state]) => ({ purpose, state })),
});

it.each([
  [choice("granted"), "Consent: ads"],
  [
    choose(["ads", "granted"], ["necessary", "granted"], ["prediction", "denied"], ["measurement", "granted"]),
    "Consent: measurement, ads",
  ],
  [choose(["necessary", "granted"], ["ads", "denied"]), "Consent refused"],
  [choice("denied"), "Consent refused"],
  [choice("withdrawn", "granted"), "Consent withdrawn"],
  [{ ...choice(), type: "page" }, "Page view"],
  [{ ...choice(), type: "track", name: "Order Completed" }, "Order Completed"],
])("names %j", (event, title) => {
  expect(eventTitle(event)).toBe(title);
});

it("names events in counts as in the list", () => {
  expect(["page", "identify", "Order Completed"].map(eventName)).toEqual([
    "Page view",
    "Identified",
    "Order Completed",
  ]);
});

it("splits purposes into yes and no, and leaves out what is always there", () => {
  expect(splitPurposes(["necessary", "ads", "measurement"])).toEqual({
    allowed: ["measurement", "ads"],
    refused: ["profile", "personalisation", "prediction"],
  });
});

it("names countries, and leaves other text alone", () => {
  expect(countryName("NL")).toBe("Netherlands");
  expect(countryName("")).toBe("");
  expect(countryName("<b>")).toBe("<b>");
});
