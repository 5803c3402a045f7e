import { durationMs, isFixedWindow, type Window } from "@polder/core";
import type { Parameters } from "./parameters.ts";

const dayMs = 86_400_000;

/** A moment in milliseconds as an expression. */
export const momentSql = (ms: number, { bind }: Parameters): string =>
  `fromUnixTimestamp64Milli(${bind(ms, "Int64")}, 'UTC')`;

/** @returns a condition on the columns `time` and `day` of `events`. */
export function compileWindow(window: Window, now: number, parameters: Parameters): string {
  if (isFixedWindow(window)) return compileDays(window, "events.day", parameters);
  const start = now - durationMs(window);
  // The days of all time zones that the window can touch: they choose what is read.
  const days = { from: dayOf(start - dayMs), to: dayOf(now + dayMs) };
  return `${compileTime(window, "events.time", now, parameters)} AND ${compileDays(days, "events.day", parameters)}`;
}

/** @returns a condition on `time` alone, exact like {@link compileWindow}. */
export function compileTime(
  window: Window,
  time: string,
  now: number,
  parameters: Parameters,
  timezone = "UTC",
): string {
  if (isFixedWindow(window))
    return compileDays(window, `toDate(${time}, ${parameters.bind(timezone, "String")})`, parameters);
  return `${time} > ${momentSql(now - durationMs(window), parameters)} AND ${time} <= ${momentSql(now, parameters)}`;
}

/** @returns a condition on a column of days. */
export function compileDays({ from, to }: { from?: string; to?: string }, day: string, { bind }: Parameters): string {
  const terms = [
    ...(from === undefined ? [] : [`${day} >= ${bind(from, "Date")}`]),
    ...(to === undefined ? [] : [`${day} <= ${bind(to, "Date")}`]),
  ];
  return terms.join(" AND ");
}

// The column of days starts in 1970.
const dayOf = (ms: number): string => new Date(Math.max(0, ms)).toISOString().slice(0, 10);
