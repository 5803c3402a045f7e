import type { ConsentLogRow } from "@polder/core";
import { expect, it } from "vitest";
import { stateOf } from "./state-of.ts";

const dayMs = 24 * 3_600_000;
const now = Date.parse("2026-11-22T20:15:00Z");
const hash = "a".repeat(64);
const rules = { currentTexts: {}, grantLifetimeMs: 365 * dayMs };

const link = (
  n: number,
  at: string,
  choices: { [purpose: string]: string },
  texts: { [purpose: string]: string } = {},
) =>
  ({
    n,
    at,
    consent_id: `c${n}`,
    "choice.purpose": Object.keys(choices),
    "choice.state": Object.values(choices),
    "text.purpose": Object.keys(texts),
    "text.hash": Object.values(texts),
  }) as unknown as ConsentLogRow;

it("is unset where nothing is on record", () => {
  const unset = { measurement: "unset", profile: "unset", personalisation: "unset", prediction: "unset", ads: "unset" };
  expect(stateOf([], rules, now)).toEqual(unset);
});

it("is the newest choice about each purpose, by its own time, then by its place", () => {
  const links = [
    link(1, "2026-11-20 10:00:00.000", { measurement: "granted", ads: "granted" }),
    link(2, "2026-11-22 10:00:00.000", { measurement: "withdrawn" }),
    link(3, "2026-11-21 10:00:00.000", { measurement: "granted", profile: "granted" }),
    link(4, "2026-11-21 10:00:00.000", { profile: "denied" }),
  ];
  expect(stateOf(links, rules, now)).toMatchObject({ measurement: "withdrawn", profile: "denied", ads: "granted" });
});

it("expires a yes, and never a no", () => {
  const old = [link(1, "2025-11-22 20:14:59.999", { measurement: "granted", ads: "denied" })];
  expect(stateOf(old, rules, now)).toMatchObject({ measurement: "expired", ads: "denied" });
  expect(stateOf(old, rules, now - 1)).toMatchObject({ measurement: "granted" });
});

it("takes back a yes to another text than today's, and to that purpose only", () => {
  const links = [
    link(
      1,
      "2026-11-22 10:00:00.000",
      { measurement: "granted", profile: "granted", ads: "granted" },
      { measurement: hash, profile: hash },
    ),
  ];
  const currentTexts = { measurement: new Set([hash]), profile: new Set(["b".repeat(64)]), ads: new Set([hash]) };
  expect(stateOf(links, { ...rules, currentTexts }, now)).toMatchObject({
    measurement: "granted",
    profile: "unset",
    ads: "granted",
  });
});
