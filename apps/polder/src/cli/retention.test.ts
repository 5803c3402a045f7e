import { expect, it } from "vitest";
import { renderKept } from "./retention.ts";

it("shows a line for each table and class, in columns", () => {
  const row = {
    table: "events",
    site: "shop",
    class: "anonymous" as const,
    days: 395,
    rows: 1_234_567,
    oldestWeek: "2025-11-24",
    oldestGoesOn: "2026-12-24",
    rowsNextWeek: 0,
    rowsOverdue: 12,
  };
  expect(renderKept([row, { ...row, class: "known", rows: 8, days: 1_125 }])).toEqual([
    "site  table   class           rows  days  oldest week  goes on     rows in 7 days  overdue",
    "shop  events  anonymous  1,234,567   395  2025-11-24   2026-12-24               0       12",
    "shop  events  known              8  1125  2025-11-24   2026-12-24               0       12",
  ]);
});

it("says so when no worker has applied the configuration", () => {
  const row = {
    table: "events",
    site: "shop",
    class: "known" as const,
    days: 0,
    rows: 8,
    rowsNextWeek: 0,
    rowsOverdue: 0,
  };
  expect(renderKept([{ ...row, oldestWeek: "2025-11-24", oldestGoesOn: "1970-01-01" }])).toEqual([
    "site  table   class  rows     days  oldest week  goes on  rows in 7 days  overdue",
    "shop  events  known     8  not set  2025-11-24                         0        0",
  ]);
});

it("says so when there is nothing", () => {
  expect(renderKept([])).toEqual(["Nothing is stored yet."]);
});
