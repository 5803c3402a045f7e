import { expect, it } from "vitest";
import { readAudienceEveryMs } from "./audience-seconds.ts";

it("is ten seconds unless told otherwise, and a minute at most", () => {
  expect(readAudienceEveryMs({})).toBe(10_000);
  expect(readAudienceEveryMs({ POLDER_AUDIENCE_SECONDS: "60" })).toBe(60_000);
});

it.each(["9", "61", "10.5", "often"])("refuses %s and says what it may be", (text) => {
  expect(() => readAudienceEveryMs({ POLDER_AUDIENCE_SECONDS: text })).toThrow("10 to 60");
});
