// Every zone in use is a multiple of a quarter of an hour away from UTC, so all instants of one quarter share what calendars say of its beginning.
const quarterMs = 15 * 60_000;
const maxQuartersPerZone = 20_000;

/**
 * What clocks in an IANA zone show in a quarter of an hour, worked out once for each.
 * @param read given what of the shown date and time was asked for, and the beginning of the quarter in milliseconds
 * @returns takes an instant in milliseconds; throws a RangeError when there is no such zone
 */
export function byQuarter<T>(
  options: Intl.DateTimeFormatOptions,
  read: (shown: { [part: string]: string }, quarterStart: number) => T,
): (ms: number, timezone: string) => T {
  const zones = new Map<string, { formatter: Intl.DateTimeFormat; known: Map<number, T> }>();
  return (ms, timezone) => {
    let zone = zones.get(timezone);
    if (zone === undefined) {
      const always = { timeZone: timezone, calendar: "gregory", numberingSystem: "latn" };
      zone = { formatter: new Intl.DateTimeFormat("en", { ...always, ...options }), known: new Map() };
      zones.set(timezone, zone);
    }
    const quarter = Math.floor(ms / quarterMs);
    const known = zone.known.get(quarter);
    if (known !== undefined) return known;
    const shown: { [part: string]: string } = {};
    for (const { type, value } of zone.formatter.formatToParts(quarter * quarterMs)) shown[type] = value;
    const found = read(shown, quarter * quarterMs);
    if (zone.known.size >= maxQuartersPerZone) zone.known.clear();
    zone.known.set(quarter, found);
    return found;
  };
}
