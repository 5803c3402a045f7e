import type { ObjectShape } from "./shape.ts";

/** A length of time, in one unit. A day is 24 hours and a week seven of these, whatever the clocks of a country do. */
export interface Duration {
  minutes?: number;
  hours?: number;
  days?: number;
  weeks?: number;
}

/** Days of the site's time zone as 2026-11-22, both included. One of them may be absent: then that side is open. */
export interface FixedWindow {
  from?: string;
  to?: string;
}

/**
 * When: sliding, the last so many days (an event of a time T is in it from T on, and no longer at T + length);
 * or fixed, from one day to another.
 */
export type Window = Duration | FixedWindow;

const durationUnits = { minutes: 60_000, hours: 3_600_000, days: 86_400_000, weeks: 604_800_000 } as const;

const maxDays = 3_660;

export const isFixedWindow = (window: Window): window is FixedWindow => "from" in window || "to" in window;

/** In milliseconds. */
export function durationMs(duration: Duration): number {
  let ms = 0;
  for (const [unit, unitMs] of Object.entries(durationUnits)) ms += (duration[unit as keyof Duration] ?? 0) * unitMs;
  return ms;
}

const unitFields = Object.fromEntries(
  Object.entries(durationUnits).map(([unit, unitMs]) => [
    unit,
    {
      type: "number",
      about: `That many ${unit}.`,
      min: 1,
      max: Math.floor((maxDays * durationUnits.days) / unitMs),
      isWhole: true,
    },
  ]),
) as ObjectShape["fields"];

export const durationShape: ObjectShape = {
  type: "object",
  name: "duration",
  about: "A length of time in one unit. A day is 24 hours.",
  fields: unitFields,
  check: (value) =>
    Object.keys(value).length === 1 ? undefined : "needs exactly one of minutes, hours, days and weeks.",
  count: { min: 1, max: 1 },
};

export const windowShape: ObjectShape = {
  type: "object",
  name: "window",
  about:
    "When: the last so many minutes, hours, days or weeks until now; or the days from one to another in the site's time zone, both included.",
  fields: {
    ...unitFields,
    from: { type: "text", about: "First day, as 2026-11-22.", check: checkDay },
    to: { type: "text", about: "Last day, as 2026-11-22.", check: checkDay },
  },
  check: (value) => {
    const names = Object.keys(value);
    const isFixed = names.includes("from") || names.includes("to");
    if (isFixed && names.some((name) => name !== "from" && name !== "to"))
      return "mixes the last so many days with days of the calendar: use one of both.";
    if (!isFixed && names.length !== 1)
      return "needs exactly one of minutes, hours, days and weeks; or `from`, `to` or both.";
    const { from, to } = value as FixedWindow;
    return typeof from === "string" && typeof to === "string" && from > to
      ? "ends before it starts: `to` must not be before `from`."
      : undefined;
  },
  count: { min: 1, max: 2 },
};

function checkDay(text: string): string | undefined {
  const isDay =
    /^(?:19[7-9]\d|20\d\d|21[0-3]\d)-\d\d-\d\d$/.test(text) &&
    !Number.isNaN(Date.parse(`${text}T00:00:00Z`)) &&
    new Date(`${text}T00:00:00Z`).toISOString().startsWith(text);
  return isDay ? undefined : "must be a day of the calendar, as 2026-11-22.";
}
