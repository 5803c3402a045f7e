import { checkProperty } from "@polder/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createLedgerBook, type LedgerPage } from "./ledger-book.ts";
import type { LedgerEntry } from "./ledger-entry.ts";

const page: LedgerPage = { site: "shop", hour: 498_668, outcome: "dropped", reason: "no_consent", process: "p" };
const numbersOf = ({ first, last }: Pick<LedgerEntry, "first" | "last">): number[] =>
  first.flatMap((from, i) => Array.from({ length: last[i]! - from + 1 }, (_, index) => from + index));

describe("a book of the ledger", () => {
  it("joins what follows on each other", () => {
    const book = createLedgerBook();
    for (const number of [5, 6, 7, 9, 10]) book.page(page).add(number, number);
    book.page(page).add(11, 20);
    expect(book.take()).toEqual([
      {
        site: "shop",
        hour: "2026-11-20 20:00:00",
        outcome: "dropped",
        reason: "no_consent",
        process: "p",
        first: [5, 9],
        last: [7, 20],
        counted: 0,
      },
    ]);
  });

  it("gives everything once, and begins anew", () => {
    const book = createLedgerBook();
    book.page(page).add(1, 1);
    expect(book.take()).toHaveLength(1);
    expect(book.take()).toEqual([]);
    book.page(page).add(2, 2);
    expect(book.take().map(numbersOf)).toEqual([[2]]);
  });

  it("keeps every number with its page, in whatever order they come", () => {
    const pages = fc.record({
      site: fc.constantFrom("shop", "blog"),
      hour: fc.constantFrom(498_668, 498_669),
      outcome: fc.constantFrom("answered" as const, "stored" as const),
      reason: fc.constantFrom("", "too_deep"),
      process: fc.constantFrom("p", "q"),
    });
    checkProperty(
      fc.property(fc.array(fc.tuple(pages, fc.nat(40), fc.nat(5))), (added) => {
        const book = createLedgerBook();
        const expected = new Map<string, Set<number>>();
        for (const [{ ...of }, from, more] of added) {
          book.page(of).add(from, from + more);
          const key = JSON.stringify(of);
          const numbers = expected.get(key) ?? new Set();
          for (let number = from; number <= from + more; number++) numbers.add(number);
          expected.set(key, numbers);
        }
        const found = new Map<string, Set<number>>();
        for (const { hour, first, last, counted: _, ...rest } of book.take()) {
          const { site, outcome, reason, process } = rest;
          const at = Date.parse(`${hour.replace(" ", "T")}Z`) / 3_600_000;
          found.set(JSON.stringify({ site, hour: at, outcome, reason, process }), new Set(numbersOf({ first, last })));
        }
        expect(found).toEqual(expected);
      }),
    );
  });

  it("splits a page that would outgrow a record of the log", () => {
    const book = createLedgerBook();
    for (let number = 0; number < 100_000; number += 2) book.page(page).add(number, number);
    const entries = book.take();
    expect(entries.map(({ first }) => first.length)).toEqual([20_000, 20_000, 10_000]);
    for (const entry of entries) expect(JSON.stringify(entry).length).toBeLessThan(500_000);
    expect(entries.flatMap(numbersOf)).toHaveLength(50_000);
  });
});
