import type { LedgerEntry, StoredRecord } from "@polder/core";
import { checkProperty } from "@polder/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { settle, type Settled } from "./settle.ts";

const hour = Math.floor(Date.parse("2026-11-22T20:00:00Z") / 3_600_000).toString(36);
const place = { topic: "polder.events", partition: 3, now: () => new Date("2026-11-23T08:30:00Z") };
const record = (offset: number, arrival: string | undefined, value: string = "{}", site = "shop"): StoredRecord => ({
  offset,
  key: "k",
  value: Buffer.from(value),
  headers: { id: `m${offset}`, site, anonymousId: "", userId: "", arrival },
});
const settled = (given: Partial<Settled>): LedgerEntry[] =>
  Buffer.from(settle({ ...place, ...given }) ?? "")
    .toString()
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as LedgerEntry);
const short = ({ site, hour: at, outcome, reason, process, first, last }: LedgerEntry): string =>
  [site, at.slice(8, 13), process, outcome, reason, first.map((from, i) => `${from}-${last[i]}`).join()].join(" ");

describe("what became of a range", () => {
  it("is stated by arrival, with the reasons", () => {
    const entries = settled({
      stored: [record(0, `p.${hour}.a`), record(1, `p.${hour}.b`), record(2, `q.${hour}.0`)],
      duplicate: [record(3, `p.${hour}.c`)],
      refused: [record(4, `p.${hour}.d`)],
      rejected: [record(5, `p.${hour}.e`, '{"reason":"too_deep"}'), record(6, `p.${hour}.f`, '{"reason":"too_deep"}')],
    });
    expect(entries.map(short)).toEqual([
      "shop 22 20 p stored  10-11",
      "shop 22 20 q stored  0-0",
      "shop 22 20 p duplicate  12-12",
      "shop 22 20 p rejected refused_by_store 13-13",
      "shop 22 20 p rejected too_deep 14-15",
    ]);
  });

  it("is nothing for an empty range", () => {
    expect(settle(place)).toBeUndefined();
    expect(settle({ ...place, stored: [], duplicate: [] })).toBeUndefined();
  });

  it("goes by its place in the log for a record that no collector numbered, in the hour of its row", () => {
    const row = '{"received_at":"2026-11-21 07:59:59.999"}';
    expect(
      settled({ stored: [record(7, undefined, row), record(2 ** 32 + 5, "not one of ours", row)] }).map(short),
    ).toEqual(["shop 21 07 polder.events/3/0 stored  7-7", "shop 21 07 polder.events/3/1 stored  5-5"]);
  });

  it("takes the hour at hand for what cannot be read at all", () => {
    expect(settled({ refused: [record(7, undefined, "\u0000 poison")] }).map(short)).toEqual([
      "shop 23 08 polder.events/3/0 rejected refused_by_store 7-7",
    ]);
  });

  it("keeps every arrival with its own site, hour and process, in whatever order they come", () => {
    const arrivals = fc.record({
      site: fc.constantFrom("shop", "blog"),
      process: fc.constantFrom("p", "pp", "p-1"),
      hour: fc.constantFrom(hour, "1", "11"),
      number: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    });
    checkProperty(
      fc.property(fc.array(arrivals, { minLength: 1 }), (all) => {
        const records = all.map((one, offset) =>
          record(offset, `${one.process}.${one.hour}.${one.number.toString(36)}`, "{}", one.site),
        );
        const found = settled({ stored: records }).flatMap(({ site, process, hour: at, first, last }) =>
          first.flatMap((from, i) => {
            expect(last[i]! - from).toBeLessThan(all.length);
            return Array.from({ length: last[i]! - from + 1 }, (_, n) => `${site} ${process} ${at} ${from + n}`);
          }),
        );
        const expected = all.map(
          (one) =>
            `${one.site} ${one.process} ${new Date(Number.parseInt(one.hour, 36) * 3_600_000).toISOString().slice(0, 13).replace("T", " ")}:00:00 ${one.number}`,
        );
        expect(new Set(found)).toEqual(new Set(expected));
      }),
    );
  });
});
