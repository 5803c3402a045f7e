import { buildEvent, checkProperty } from "@polder/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createRecordEncoder } from "./log-record.ts";
import { newRow } from "./new-row.ts";

const row = { ...newRow(buildEvent(), "shop"), message_id: "m-1", anonymous_id: "visitor-1", user_id: "user-1" };

describe("createRecordEncoder", () => {
  const toRecord = createRecordEncoder();

  it("keys a record by visitor, else by user, else by message", () => {
    expect(toRecord(row).key).toBe("shop:visitor-1");
    expect(toRecord({ ...row, anonymous_id: "" }).key).toBe("shop:user-1");
    expect(toRecord({ ...row, anonymous_id: "", user_id: "" }).key).toBe("m-1");
  });

  it("gives every thousand events of a visit a key of their own, the same for a retry", () => {
    const keyOf = (session_seq: number): string => toRecord({ ...row, session_seq }).key;
    expect(keyOf(999)).toBe("shop:visitor-1");
    expect([keyOf(1000), keyOf(1999), keyOf(2000)]).toEqual([
      "shop:visitor-1#1",
      "shop:visitor-1#1",
      "shop:visitor-1#2",
    ]);
    expect(createRecordEncoder()({ ...row, session_seq: 1000 }).key).toBe(keyOf(1000));
    expect(toRecord({ ...row, anonymous_id: "", session_seq: 5000 }).key).toBe("shop:user-1#5");
    expect(toRecord({ ...row, anonymous_id: "", user_id: "", session_seq: 5000 }).key).toBe("m-1");
  });

  it("tells the loader in headers who it is of", () => {
    expect(toRecord(row).headers).toEqual({ id: "m-1", site: "shop", anonymousId: "visitor-1", userId: "user-1" });
  });

  it("keeps the bytes of each record as they were, through thousands of others of any size", () => {
    const title = fc.oneof(
      fc.string({ unit: "grapheme" }),
      fc.integer({ min: 0, max: 40_000 }).map((length) => "\u20ac".repeat(length)),
    );
    const made: { title: string; value: Uint8Array }[] = [];
    checkProperty(
      fc.property(title, (page_title) => {
        made.push({ title: page_title, value: toRecord({ ...row, page_title }).value });
      }),
      300,
    );
    for (const { title: given, value } of made)
      expect({ page_title: "", ...JSON.parse(Buffer.from(value).toString()) }).toMatchObject({
        page_title: given,
        message_id: "m-1",
      });
  });
});
