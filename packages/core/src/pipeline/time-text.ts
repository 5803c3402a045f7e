/** Times as ClickHouse takes them: `2026-11-22 20:15:00.123`, UTC. */

export const epochText = "1970-01-01 00:00:00.000";

// On the path of every event, four times: now, when it happened, when the client says that it did, and when its session began. Each of these
// moves on from minute to minute, so the beginnings of some minutes are kept, each in its own place.
const places = 256;
const keptMinutes = new Float64Array(places).fill(Number.NaN);
const keptPrefixes: string[] = Array.from({ length: places }, () => "");
const seconds = Array.from({ length: 60 }, (_, n) => String(n).padStart(2, "0"));
const milliseconds = Array.from({ length: 1000 }, (_, n) => `.${String(n).padStart(3, "0")}`);

/** `ms` since 1970, whole, between 1970 and 2299 (the range of the columns). */
export function timeText(ms: number): string {
  const minute = Math.floor(ms / 60_000);
  const place = minute % places;
  if (keptMinutes[place] !== minute) {
    keptPrefixes[place] = new Date(minute * 60_000).toISOString().slice(0, 17).replace("T", " ");
    keptMinutes[place] = minute;
  }
  const inMinute = ms - minute * 60_000;
  return keptPrefixes[place]! + seconds[Math.floor(inMinute / 1000)] + milliseconds[inMinute % 1000];
}

const endMs = Date.UTC(2299, 0, 1);

/** Text for a time that a client claims: the epoch when there is none or the columns cannot hold it. */
export const claimedTimeText = (ms: number | undefined): string =>
  ms !== undefined && ms > 0 && ms < endMs ? timeText(ms) : epochText;

/** Milliseconds since 1970 of an ISO 8601 time in UTC, as the parser of requests leaves it. */
export const parseTime = (text: string | undefined): number | undefined => {
  if (text === undefined) return undefined;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
};
