import { expect, it } from "vitest";
import { nearestName } from "./nearest-name.ts";

const names = ["timezone", "origins", "cookieDomain", "id"];

it.each([
  ["timeZone", "timezone"],
  ["timzone", "timezone"],
  ["origin", "origins"],
  ["cookiesDomains", "cookieDomain"],
  ["colour", undefined],
  ["", "id"],
])("%j most likely meant %j", (name, expected) => {
  expect(nearestName(name, names)).toBe(expected);
});
