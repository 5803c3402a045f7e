import { byQuarter } from "../pipeline/by-quarter.ts";

const dayMs = 86_400_000;

/**
 * The instant at which clocks in an IANA zone show this time, in milliseconds; given as if it were UTC. What they show twice, in autumn, is the first
 * time; what they skip, in spring, is as far after the gap. Throws a RangeError when there is no such zone.
 */
export function instantOf(shownMs: number, timezone: string): number {
  const before = offsetAt(shownMs - dayMs, timezone);
  const after = offsetAt(shownMs + dayMs, timezone);
  // The greater offset comes first: it is the one of what is shown twice. Of what is skipped it is the one that held before.
  const candidates = before === after ? [before] : [Math.max(before, after), Math.min(before, after)];
  const found = candidates.find((offset) => offsetAt(shownMs - offset, timezone) === offset);
  return shownMs - (found ?? before);
}

const offsetAt = byQuarter(
  { hourCycle: "h23", year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit" },
  (shown, quarterStart) => {
    const [year, month, day, hour, minute] = ["year", "month", "day", "hour", "minute"].map((part) =>
      Number(shown[part]),
    );
    return Date.UTC(year!, month! - 1, day, hour, minute) - quarterStart;
  },
);
