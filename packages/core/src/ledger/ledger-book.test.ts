import { checkProperty } from "@polder/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createLedgerBook, type LedgerPage } from "./ledger-book.ts";
import type { ArrivalEntry, LedgerEntry } from "./ledger-entry.ts";

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

  it("takes back what could not be written down, joined with what came since", () => {
    const book = createLedgerBook();
    for (const [from, to] of [
      [0, 3],
      [7, 9],
      [20, 20],
    ] as const)
      book.page(page).add(from, to);
    book.page({ ...page, outcome: "answered", reason: "" }).add(1, 1);
    const taken = book.take();
    const spans = book.page(page);
    spans.add(10, 12);
    spans.add(4, 6);
    book.putBack(taken);
    // The page that somebody holds is still the one that is read.
    spans.add(21, 22);
    expect(book.take().map(({ outcome, first, last }) => [outcome, first, last])).toEqual([
      ["dropped", [0, 20], [12, 22]],
      ["answered", [1], [1]],
    ]);
  });

  it("does not grow by what is put back again and again", () => {
    const book = createLedgerBook();
    for (let number = 0; number < 1_000; number++) {
      book.page(page).add(number, number);
      book.putBack(book.take());
      book.putBack([]);
    }
    expect(book.take()).toMatchObject([{ first: [0], last: [999] }]);
  });

  it("keeps every number, whatever is taken and put back in between", () => {
    const steps = fc.array(fc.tuple(fc.nat(60), fc.nat(6), fc.constantFrom("add", "take", "put back")));
    checkProperty(
      fc.property(steps, (all) => {
        const book = createLedgerBook();
        const expected = new Set<number>();
        const away: ArrivalEntry[] = [];
        for (const [from, more, action] of all) {
          for (let number = from; number <= from + more; number++) expected.add(number);
          book.page(page).add(from, from + more);
          if (action === "take") away.push(...book.take());
          if (action === "put back") book.putBack(away.splice(0));
        }
        book.putBack([...away, ...book.take()]);
        const found = book.take().flatMap(numbersOf);
        expect(new Set(found)).toEqual(expected);
        // Once put back, in order and each once.
        expect(found).toEqual([...expected].toSorted((a, b) => a - b));
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
