import { groupBy, type AtomEvent } from "./resolve-people.ts";
import type { ReferenceModel } from "./reference-model.ts";

const dayMs = 86_400_000;
const weekMs = 7 * dayMs;

/** Day of a time in UTC: `2026-11-22`. */
export const dayOf = (time: number): string => new Date(time).toISOString().slice(0, 10);

export const uniquePeople = ({ eventsOf }: ReferenceModel): number => eventsOf.size;

export function uniquePeopleByDay({ eventsOf }: ReferenceModel): Map<string, number> {
  const days = new Map<string, number>();
  for (const events of eventsOf.values())
    for (const day of new Set(events.map(({ time }) => dayOf(time)))) days.set(day, (days.get(day) ?? 0) + 1);
  return days;
}

/** By currency: each order once, with the greatest amount that it was sent with, and every refund. */
export function revenueOf(events: readonly AtomEvent[]): Map<string, number> {
  const sums = new Map<string, number>();
  const add = (currency: string, amount: number) => sums.set(currency, (sums.get(currency) ?? 0) + amount);
  const orders = events.flatMap(({ name, order }) => (name === "Order Completed" && order ? [order] : []));
  for (const same of groupBy(orders, ({ currency, id }) => `${currency} ${id}`).values())
    add(same[0]!.currency, Math.max(...same.map(({ amount }) => amount)));
  for (const { name, order } of events) if (name === "Order Refunded" && order) add(order.currency, order.amount);
  return sums;
}

/** Whose definition holds of a person, judged by all of their events. */
export const membersOf = (
  { eventsOf }: ReferenceModel,
  isMember: (events: readonly AtomEvent[]) => boolean,
): string[] => [...eventsOf].filter(([, events]) => isMember(events)).map(([person]) => person);

/** How many people took the first step, the first two, all three: one after the other, all within the window of the first. */
export function funnel({ eventsOf }: ReferenceModel, steps: readonly string[], withinMs: number): number[] {
  const reached = [...eventsOf.values()].map((events) => {
    const starts = events.filter(({ name }) => name === steps[0]);
    return Math.max(
      0,
      ...starts.map((start) => {
        let at = start.time;
        let taken = 1;
        for (const step of steps.slice(1)) {
          const next = events.find(({ name, time }) => name === step && time > at && time <= start.time + withinMs);
          if (next === undefined) break;
          at = next.time;
          taken++;
        }
        return taken;
      }),
    );
  });
  return steps.map((_, i) => reached.filter((taken) => taken > i).length);
}

/** By the Monday of the week in which people were first seen: how many of them were seen again, by weeks after. */
export function retention({ eventsOf }: ReferenceModel): Map<string, Map<number, number>> {
  const monday = (time: number) => Math.floor((time - 4 * dayMs) / weekMs) * weekMs + 4 * dayMs;
  const cohorts = new Map<string, Map<number, number>>();
  for (const events of eventsOf.values()) {
    const first = monday(events[0]!.time);
    const cohort = cohorts.get(dayOf(first)) ?? new Map<number, number>();
    for (const week of new Set(events.map(({ time }) => (monday(time) - first) / weekMs)))
      cohort.set(week, (cohort.get(week) ?? 0) + 1);
    cohorts.set(dayOf(first), cohort);
  }
  return cohorts;
}

/**
 * What must be known of a person's consent to a purpose whatever else was said: a no that is later than every yes, on whichever device, is a no; a yes on the person's only device, that
 * nobody else was seen on and nothing followed, is a yes for a year. Undefined where neither is so.
 */
export function consentTo(
  purpose: string,
  bit: number,
  events: readonly AtomEvent[],
  all: readonly AtomEvent[],
  now: number,
): boolean | undefined {
  const last = events.findLast(({ choices }) => choices?.[purpose] !== undefined);
  if (last === undefined) return undefined;
  if (last.choices?.[purpose] !== "granted") return false;
  const isOnlyDevice = all.every((event) => events.includes(event) === (event.anonymousId === last.anonymousId));
  const isUndone = events.some(({ mask, time }) => time > last.time && (mask & bit) === 0);
  return last.anonymousId !== "" && isOnlyDevice && !isUndone && now - last.time < 364 * dayMs ? true : undefined;
}
