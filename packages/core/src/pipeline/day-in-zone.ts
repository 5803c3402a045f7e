// Every zone in use is a multiple of a quarter of an hour away from UTC, so all instants of one quarter share a local day.
const quarterMs = 15 * 60_000;
const maxQuartersPerZone = 20_000;

interface ZoneDays {
  formatter: Intl.DateTimeFormat;
  days: Map<number, string>;
}
const zones = new Map<string, ZoneDays>();

/** The calendar day of an instant in an IANA zone, as `2026-11-22`. Throws a RangeError when there is no such zone. */
export function dayInZone(ms: number, timezone: string): string {
  let zone = zones.get(timezone);
  if (zone === undefined) {
    const formatter = new Intl.DateTimeFormat("en", {
      timeZone: timezone,
      calendar: "gregory",
      numberingSystem: "latn",
      year: "numeric",
      month: "2-digit",
      day: "2-digit",
    });
    zone = { formatter, days: new Map() };
    zones.set(timezone, zone);
  }
  const quarter = Math.floor(ms / quarterMs);
  let day = zone.days.get(quarter);
  if (day === undefined) {
    const part: { [type: string]: string } = {};
    for (const { type, value } of zone.formatter.formatToParts(quarter * quarterMs)) part[type] = value;
    day = `${part.year}-${part.month}-${part.day}`;
    if (zone.days.size >= maxQuartersPerZone) zone.days.clear();
    zone.days.set(quarter, day);
  }
  return day;
}
