import { expect, it } from "vitest";
import { formatTable, isMet, report } from "./report.mjs";

it("aligns names to the left and numbers to the right", () => {
  expect(
    formatTable([
      { part: "ours", rate: 12_345, spread: 1.25 },
      { part: "the reference", rate: 999 },
    ]),
  ).toEqual([
    "part             rate  spread",
    "-------------  ------  ------",
    "ours           12,345    1.25",
    "the reference     999",
  ]);
});

it.each([
  [{ a: 1 }, { a: { max: 1 } }, true],
  [{ a: 1.01 }, { a: { max: 1 } }, false],
  [{ a: 1 }, { a: { min: 1, max: 2 } }, true],
  [{ a: 0.5 }, { a: { min: 1 } }, false],
  [{ b: 1 }, { a: { max: 1 } }, false],
  [{ a: 1 }, {}, true],
])("%j within %j: %s", (figures, targets, met) => {
  expect(isMet(figures as Record<string, number>, targets)).toBe(met);
});

it("refuses a figure that is no number, which JSON would turn into null", () => {
  expect(() => report({ bench: "x", figures: { a: Number.NaN }, targets: {}, rows: [] })).toThrow("x: figure a is NaN");
});
