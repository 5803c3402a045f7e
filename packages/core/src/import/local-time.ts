const quarterMs = 15 * 60_000;
const maxQuartersPerZone = 20_000;

interface ZoneOffsets {
  formatter: Intl.DateTimeFormat;
  /** By quarter of an hour since 1970: every zone in use is a multiple of that away from UTC. */
  offsets: Map<number, number>;
}
const zones = new Map<string, ZoneOffsets>();

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

const dayMs = 86_400_000;

function offsetAt(ms: number, timezone: string): number {
  let zone = zones.get(timezone);
  if (zone === undefined) {
    const formatter = new Intl.DateTimeFormat("en", {
      timeZone: timezone,
      calendar: "gregory",
      numberingSystem: "latn",
      hourCycle: "h23",
      year: "numeric",
      month: "2-digit",
      day: "2-digit",
      hour: "2-digit",
      minute: "2-digit",
    });
    zone = { formatter, offsets: new Map() };
    zones.set(timezone, zone);
  }
  const quarter = Math.floor(ms / quarterMs);
  let offset = zone.offsets.get(quarter);
  if (offset === undefined) {
    const parts = zone.formatter.formatToParts(quarter * quarterMs);
    const read = (wanted: string): number => Number(parts.find(({ type }) => type === wanted)?.value);
    const shown = Date.UTC(read("year"), read("month") - 1, read("day"), read("hour"), read("minute"));
    offset = shown - quarter * quarterMs;
    if (zone.offsets.size >= maxQuartersPerZone) zone.offsets.clear();
    zone.offsets.set(quarter, offset);
  }
  return offset;
}
