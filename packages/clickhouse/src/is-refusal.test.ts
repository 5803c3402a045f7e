import { describe, expect, it } from "vitest";

import { ClickHouseQueryError } from "./clickhouse.ts";
import { isRefusal, refusalText } from "./is-refusal.ts";

const unreadable = new ClickHouseQueryError(
  38,
  'Cannot parse date here: Ada Lovelace","type": (while reading the value of key day): (at row 7)\n: While executing JSONEachRowRowInputFormat. ',
);

describe("a refusal", () => {
  it("is an error about rows that could not be read", () => {
    expect(isRefusal(unreadable)).toBe(true);
  });

  it("is told without quoting the row", () => {
    expect(refusalText(unreadable)).toBe("Cannot parse date, column day, row 7 of the insert");
  });

  it.each([
    [
      "the same error from a view, when the rows are stored already",
      new ClickHouseQueryError(38, "Cannot parse date: while pushing to view polder.people_mv"),
    ],
    ["too little memory", new ClickHouseQueryError(241, "Memory limit exceeded")],
    ["too many parts", new ClickHouseQueryError(252, "Too many parts")],
    ["a missing table", new ClickHouseQueryError(60, "Unknown table")],
    ["a timeout", new ClickHouseQueryError(159, "Timeout exceeded")],
    ["a read-only server", new ClickHouseQueryError(164, "Readonly")],
    ["a wrong password", new ClickHouseQueryError(516, "Authentication failed")],
    ["a cut connection", new Error("ECONNRESET")],
    ["nothing", undefined],
  ])("is not %s", (_, error) => {
    expect(isRefusal(error)).toBe(false);
  });
});
