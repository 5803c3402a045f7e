import type { LiveEvent } from "../schemas.ts";

/** `0.8 s`, `14 s`, `3 min`, `2 h`, `5 d` */
export function formatAge(ms: number): string {
  if (ms < 9_950) return `${(Math.max(0, ms) / 1000).toFixed(1)} s`;
  if (ms < 60_000) return `${Math.round(ms / 1000)} s`;
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} min`;
  if (ms < 86_400_000) return `${Math.floor(ms / 3_600_000)} h`;
  return `${Math.floor(ms / 86_400_000)} d`;
}

export const formatCount = (count: number): string => count.toLocaleString("en-GB");

export function formatMoney(amount: string, currency: string): string {
  const value = Number(amount);
  try {
    return new Intl.NumberFormat("en-GB", { style: "currency", currency }).format(value);
  } catch {
    return `${value.toFixed(2)} ${currency}`; // not a currency that the browser knows
  }
}

const clocks = new Map<string, Intl.DateTimeFormat>();

/** Time of the day in the site's zone: `14:03:07`. */
export function formatClock(time: number, timezone: string): string {
  let clock = clocks.get(timezone);
  if (clock === undefined) {
    clock = new Intl.DateTimeFormat("en-GB", {
      timeZone: timezone,
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
    });
    clocks.set(timezone, clock);
  }
  return clock.format(time);
}

const days = new Map<string, Intl.DateTimeFormat>();

/** The clock of what was today, in the site's zone: `14:03:07`; the day of all else, which imports bring: `20 Jan 26`. */
export function formatWhen(time: number, now: number, timezone: string): string {
  let day = days.get(timezone);
  if (day === undefined) {
    day = new Intl.DateTimeFormat("en-GB", { timeZone: timezone, day: "numeric", month: "short", year: "2-digit" });
    days.set(timezone, day);
  }
  const text = day.format(time);
  return text === day.format(now) ? formatClock(time, timezone) : text;
}

const moments = new Map<string, Intl.DateTimeFormat>();

/** `22 Nov, 14:03` in the site's zone. */
export function formatMoment(time: number, timezone: string): string {
  let moment = moments.get(timezone);
  if (moment === undefined) {
    moment = new Intl.DateTimeFormat("en-GB", {
      timeZone: timezone,
      day: "numeric",
      month: "short",
      hour: "2-digit",
      minute: "2-digit",
    });
    moments.set(timezone, moment);
  }
  return moment.format(time);
}

/** What happened, in the words a person would use. */
export function eventTitle(event: Pick<LiveEvent, "type" | "name" | "amount" | "currency" | "choices">): string {
  if (event.type === "consent") return choiceTitle(event.choices);
  return event.type === "track" ? event.name : eventName(event.type);
}

const typeNames = new Map([
  ["page", "Page view"],
  ["screen", "Screen view"],
  ["identify", "Identified"],
  ["alias", "Ids joined"],
  ["group", "Joined a group"],
  ["consent", "Consent choice"],
]);

/** Events that are not of type track are stored under their type as name. */
export const eventName = (name: string): string => typeNames.get(name) ?? name;

function choiceTitle(choices: LiveEvent["choices"]): string {
  const states = new Set(choices.filter(({ purpose }) => purpose !== "necessary").map(({ state }) => state));
  if (states.has("withdrawn")) return "Consent withdrawn";
  const granted = choices.filter(({ state }) => state === "granted").map(({ purpose }) => purpose);
  const { allowed } = splitPurposes(granted);
  if (allowed.length > 0) return `Consent: ${allowed.join(", ")}`;
  return "Consent refused";
}

/** Words for the purposes that matter to a reader: `necessary` is always there. */
export const shownPurposes = ["measurement", "profile", "personalisation", "prediction", "ads"] as const;

export function splitPurposes(purposes: readonly string[]): { allowed: string[]; refused: string[] } {
  return {
    allowed: shownPurposes.filter((purpose) => purposes.includes(purpose)),
    refused: shownPurposes.filter((purpose) => !purposes.includes(purpose)),
  };
}

const regionNames = new Intl.DisplayNames(["en"], { type: "region" });

export function countryName(code: string): string {
  if (!/^[A-Z]{2}$/.test(code)) return code;
  return regionNames.of(code) ?? code;
}
