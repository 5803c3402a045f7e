import { toWellFormed } from "@polder/protocol";
import { buildEvent, checkProperty } from "@polder/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { EventRow } from "../row/event-row.ts";
import { createRowEncoder } from "./encode-row.ts";
import { newRow } from "./new-row.ts";

const encodeRow = createRowEncoder();
const empty = newRow(buildEvent(), "shop");

describe("createRowEncoder", () => {
  it("writes every column that is not at its default, and no other", () => {
    const full = Object.fromEntries(
      Object.entries(empty).map(([column, value]) => {
        if (typeof value === "number") return [column, 7];
        if (Array.isArray(value)) return [column, column === "traits.personal" ? [1] : ["x"]];
        return [column, typeof value === "string" ? `a ${column}` : { x: 1 }];
      }),
    ) as unknown as EventRow;
    expect(JSON.parse(encodeRow(full))).toEqual(full);
    expect(JSON.parse(encodeRow(empty))).toEqual({
      site: "shop",
      type: "track",
      name: "track",
      consent_mask: 0,
      origin: "observed",
      regime: "opt_in",
      properties: {},
    });
  });

  it("is one line of well-formed UTF-8, whatever a text holds", () => {
    checkProperty(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const line = encodeRow({ ...empty, page_title: text, properties: { text: toWellFormed(text) } });
        expect(line).not.toMatch(/[\n\r]/);
        expect(JSON.parse(Buffer.from(line).toString())).toMatchObject(
          text === "" ? {} : { page_title: toWellFormed(text) },
        );
      }),
    );
    const cut = encodeRow({ ...empty, utm_source: "\u{1f9e1}".slice(0, 1) });
    expect(cut).not.toMatch(/\\ud/);
    expect(JSON.parse(cut)).toMatchObject({ utm_source: "\ufffd" });
  });

  it("sees in each column that it is not that of the row before", () => {
    for (const [column, value] of Object.entries(empty)) {
      if (typeof value === "object") continue;
      const changed = { ...empty, [column]: typeof value === "number" ? 7 : "other" };
      for (const row of [empty, changed, empty]) expect({ ...empty, ...JSON.parse(encodeRow(row)) }).toEqual(row);
    }
  });

  it("gives each row its own columns, whatever the one before was like", () => {
    const text = fc.constantFrom("", "a", "b");
    const row = fc.record({
      site: text,
      anonymous_id: text,
      url_path: text,
      message_id: text,
      consent_mask: fc.constantFrom(0, 4),
      bot_score: fc.constantFrom(0, 60),
    });
    checkProperty(
      fc.property(fc.array(row), (rows) => {
        for (const columns of rows) {
          const given = { ...empty, ...columns };
          expect({ ...empty, site: "", ...JSON.parse(encodeRow(given)) }).toEqual(given);
        }
      }),
    );
  });
});
