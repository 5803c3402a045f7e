/** Times as ClickHouse takes them: `2026-11-22 20:15:00.123`, UTC. */

export const epochText = "1970-01-01 00:00:00.000";

// Formatting is on the path of every event, four times; a minute's prefix is shared by nearly all of them.
let cachedMinute = Number.NaN;
let cachedPrefix = "";
const seconds = Array.from({ length: 60 }, (_, n) => String(n).padStart(2, "0"));
const milliseconds = Array.from({ length: 1000 }, (_, n) => `.${String(n).padStart(3, "0")}`);

/** `ms` since 1970, whole, between 1970 and 2299 (the range of the columns). */
export function timeText(ms: number): string {
  const minute = Math.floor(ms / 60_000);
  if (minute !== cachedMinute) {
    cachedPrefix = new Date(minute * 60_000).toISOString().slice(0, 17).replace("T", " ");
    cachedMinute = minute;
  }
  const inMinute = ms - minute * 60_000;
  return cachedPrefix + seconds[Math.floor(inMinute / 1000)] + milliseconds[inMinute % 1000];
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
