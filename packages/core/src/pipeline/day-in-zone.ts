import { byQuarter } from "./by-quarter.ts";

/** The calendar day of an instant in an IANA zone, as `2026-11-22`. Throws a RangeError when there is no such zone. */
export const dayInZone = byQuarter(
  { year: "numeric", month: "2-digit", day: "2-digit" },
  ({ year, month, day }) => `${year}-${month}-${day}`,
);
