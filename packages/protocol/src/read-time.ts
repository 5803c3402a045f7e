const utcMillis = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const iso = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d(?:[.,]\d{1,9})?)?(?:(Z)|([+-]\d\d):?(\d\d)?)?)?$/i;

// The last millisecond of the year 9999: later times have no four-digit form.
const lastMs = 253_402_300_799_999;

/**
 * A time since 1970 as `2026-11-22T20:15:00.123Z`, or undefined when it is none. `Date.parse` alone would take "order 5" for a day in May,
 * and read a time without a zone in the zone of the machine.
 */
export function readTime(value: unknown): string | undefined {
  if (typeof value === "string") return readText(value);
  return typeof value === "number" && Number.isInteger(value) ? fromMs(value) : undefined;
}

function readText(text: string): string | undefined {
  if (utcMillis.test(text)) return Date.parse(text) >= 0 ? text : undefined;
  const parts = iso.exec(text);
  if (parts === null) return undefined;
  const [, day, minute = "00:00", second = ":00", , hours, minutes = "00"] = parts;
  const zone = hours === undefined ? "Z" : `${hours}:${minutes}`;
  return fromMs(Date.parse(`${day}T${minute}${second.replace(",", ".")}${zone}`));
}

const fromMs = (ms: number): string | undefined => (ms >= 0 && ms <= lastMs ? new Date(ms).toISOString() : undefined);
