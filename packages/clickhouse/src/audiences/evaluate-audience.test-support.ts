import {
  durationMs,
  isFixedWindow,
  type AudienceDefinition,
  type Comparison,
  type Condition,
  type EventCondition,
  type EventFilter,
  type NumberComparison,
  type Scalar,
  type SequenceCondition,
  type Window,
} from "@polder/core";
import type { LoadedEventRow } from "@polder/core/contracts";
import { purposes } from "@polder/protocol";

/** Everything that an audience is worked out from, as plain events. */
export interface World {
  site: string;
  /** In milliseconds. */
  now: number;
  events: readonly LoadedEventRow[];
  /** 0: erased. */
  personOf: (atom: number) => number;
  audiences: ReadonlyMap<string, AudienceDefinition>;
  /** Its profile was withdrawn: the events stay and count, but nobody is behind them. */
  isWithdrawn?: (atom: number) => boolean;
  /** What a person may be used for. */
  maskOf: (person: number) => number;
  /** Text of a computed trait; empty when there is none. */
  computedTraitOf?: (person: number, name: string) => string;
}

export interface Happening {
  row: LoadedEventRow;
  time: number;
  offset: number;
  day: string;
  amount: number;
}

/**
 * Who belongs to an audience, by reading the events of one person after another: slow, and short enough to be seen to be right.
 * It shares no code with what makes statements.
 */
export function evaluateAudience(definition: AudienceDefinition, world: World): number[] {
  const ofPeople = new Map<number, LoadedEventRow[]>();
  for (const row of world.events.filter((each) => hasHappened(each, world.now))) {
    const person = row.site === world.site && row.bot === "" && row.atom !== 0 ? world.personOf(row.atom) : 0;
    if (person !== 0) ofPeople.set(person, [...(ofPeople.get(person) ?? []), row]);
  }
  return [...ofPeople]
    .filter(([, rows]) => rows.some(({ atom }) => world.isWithdrawn?.(atom) !== true))
    .filter(([person, rows]) => holds(definition.people, { person, happenings: happeningsOf(rows), world }))
    .map(([person]) => person)
    .toSorted((a, b) => a - b);
}

/** What is still to come has not happened, whatever a clock or an import says of it. */
export const hasHappened = (row: LoadedEventRow, now: number): boolean => timeOf(row) <= now;

const timeOf = ({ time }: LoadedEventRow): number => Date.parse(`${time.replace(" ", "T")}Z`);

/** In their order. Copies of an order are the first of them, with the greatest amount. */
export function happeningsOf(rows: readonly LoadedEventRow[]): Happening[] {
  const inOrder = rows
    .map((row) => ({
      row,
      time: timeOf(row),
      offset: row._offset,
      day: row.day,
      amount: Number(row.amount),
    }))
    .toSorted((a, b) => a.time - b.time || a.offset - b.offset);
  const orders = new Map<string, Happening>();
  return inOrder.filter((happening) => {
    const { row, amount } = happening;
    if (row.name !== "Order Completed") return true;
    const key = JSON.stringify([row.currency, row.order_id === "" ? row.message_id : row.order_id]);
    const first = orders.get(key);
    if (first === undefined) orders.set(key, happening);
    else first.amount = Math.max(first.amount, amount);
    return first === undefined;
  });
}

interface Case {
  person: number;
  happenings: readonly Happening[];
  world: World;
}

function holds(condition: Condition, about: Case): boolean {
  const { happenings, world, person } = about;
  if ("all" in condition) return condition.all.every((each) => holds(each, about));
  if ("any" in condition) return condition.any.some((each) => holds(each, about));
  if ("not" in condition) return !holds(condition.not, about);
  if ("audience" in condition) return holds(world.audiences.get(condition.audience)!.people, about);
  if ("computedTrait" in condition)
    return compares(condition, world.computedTraitOf?.(person, condition.computedTrait) ?? "");
  if ("trait" in condition) {
    const stated = happenings.flatMap(({ row }) =>
      row["traits.name"].flatMap((name, index) => (name === condition.trait ? [row["traits.value"][index] ?? ""] : [])),
    );
    return compares(condition, stated.at(-1) ?? "");
  }
  if ("country" in condition) return compares(condition.country, lastOf(happenings, "country"));
  if ("device" in condition) return compares(condition.device, lastOf(happenings, "device"));
  if ("known" in condition) return happenings.some(({ row }) => row.user_id !== "") === condition.known;
  if ("consent" in condition) return ((world.maskOf(person) >> purposes.indexOf(condition.consent)) & 1) === 1;
  const lastSeen = happenings.at(-1)?.time ?? 0;
  if ("seen" in condition) return lastSeen > world.now - durationMs(condition.seen.within);
  if ("notSeen" in condition) return lastSeen <= world.now - durationMs(condition.notSeen.for);
  if ("firstSeen" in condition) return isIn(condition.firstSeen.within, happenings[0]!, world);
  if ("touch" in condition) {
    const touches = happenings.filter(({ row }) => row.channel !== "" && row.channel !== "internal");
    const chosen =
      condition.touch === "any" ? touches : condition.touch === "first" ? touches.slice(0, 1) : touches.slice(-1);
    return chosen.some(
      (happening) =>
        (condition.within === undefined || isIn(condition.within, happening, world)) &&
        compares(condition.channel ?? {}, happening.row.channel) &&
        compares(condition.source ?? {}, happening.row.utm_source) &&
        compares(condition.medium ?? {}, happening.row.utm_medium) &&
        compares(condition.campaign ?? {}, happening.row.utm_campaign) &&
        compares(condition.referrer ?? {}, happening.row.referrer_host),
    );
  }
  if ("sequence" in condition) return hasSequence(condition, about);
  return happened(condition, about);
}

function happened(condition: EventCondition, { happenings, world }: Case): boolean {
  const matching = happenings.filter(
    (happening) =>
      isNamed(condition.event, happening) &&
      (condition.within === undefined || isIn(condition.within, happening, world)) &&
      fits(condition.where, happening),
  );
  const { count, sum, first, last } = condition;
  if (count !== undefined) return comparesNumber(count, matching.length);
  if (sum !== undefined) {
    const { of } = sum;
    const total =
      of === "amount"
        ? matching.reduce(
            (so, { row, amount }) => so + (row.currency === sum.currency ? Math.round(amount * 1e4) : 0),
            0,
          ) / 1e4
        : matching.reduce((so, { row }) => {
            const number = numberOf(propertyTexts(row, of.property)[0] ?? "");
            return so + (number === undefined ? 0 : Math.round(number * 1e6));
          }, 0) / 1e6;
    return comparesNumber(sum, total);
  }
  const one = first ?? last;
  if (one === undefined) return matching.length > 0;
  const happening = first === undefined ? matching.at(-1) : matching[0];
  return (
    happening !== undefined &&
    (one.within === undefined || isIn(one.within, happening, world)) &&
    fits(one.where, happening)
  );
}

/** Tries every way to choose the steps. */
function hasSequence(condition: SequenceCondition, { happenings, world }: Case): boolean {
  const { sequence, within, during } = condition;
  const from = (step: number, start: number, earliest: number): boolean =>
    step === sequence.length ||
    happenings.some(
      (happening, index) =>
        index >= earliest &&
        (during === undefined || isIn(during, happening, world)) &&
        isNamed(sequence[step]!.event, happening) &&
        fits(sequence[step]!.where, happening) &&
        (step === 0 || happening.time - start <= durationMs(within)) &&
        from(step + 1, step === 0 ? happening.time : start, index + 1),
    );
  return from(0, 0, 0);
}

export const isNamed = (names: string | readonly string[], { row }: Happening): boolean =>
  [names].flat().some((name) => name === "*" || name === row.name);

export function isIn(window: Window, { time, day }: Happening, { now }: Pick<World, "now">): boolean {
  if (isFixedWindow(window)) return (window.from ?? "") <= day && day <= (window.to ?? "9999");
  return time > now - durationMs(window) && time <= now;
}

export const fits = (filters: readonly EventFilter[] | undefined, happening: Happening): boolean =>
  (filters ?? []).every((filter) => {
    if ("property" in filter) {
      const texts = propertyTexts(happening.row, filter.property);
      const { exists, ...rest } = filter;
      return (
        (exists === undefined || texts.some((text) => text !== "") === exists) &&
        (Object.keys(rest).length === 1 || texts.some((text) => compares(rest, text)))
      );
    }
    if (filter.column === "amount")
      return compares(filter, happening.row.currency === "" ? "" : String(happening.amount));
    return compares(filter, happening.row[filter.column]);
  });

/** One, or one of each item of the list on the way. */
export function propertyTexts(row: LoadedEventRow, property: string): string[] {
  let values: unknown[] = [row.properties];
  for (const segment of property.split(".")) {
    const name = segment.replace(/\[\]$/, "");
    values = values.map((value) =>
      typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined,
    );
    if (segment.endsWith("[]")) values = values.flatMap((value) => (Array.isArray(value) ? value : []));
  }
  return values.map((value) =>
    value === undefined || value === null || (typeof value === "object" && !Array.isArray(value))
      ? ""
      : typeof value === "string"
        ? value
        : JSON.stringify(value),
  );
}

function compares(comparison: Comparison, text: string): boolean {
  const number = numberOf(text);
  const isOne = (scalar: Scalar): boolean => (typeof scalar === "number" ? number === scalar : text === String(scalar));
  const { is, isNot, in: among, notIn, contains, startsWith, endsWith, exists } = comparison;
  const { greaterThan, atLeast, lessThan, atMost } = comparison;
  const isThere = text !== "";
  return (
    (exists === undefined || exists === isThere) &&
    (is === undefined || isOne(is)) &&
    (isNot === undefined || (isThere && !isOne(isNot))) &&
    (among === undefined || among.some(isOne)) &&
    (notIn === undefined || (isThere && !notIn.some(isOne))) &&
    (contains === undefined || text.includes(contains)) &&
    (startsWith === undefined || text.startsWith(startsWith)) &&
    (endsWith === undefined || text.endsWith(endsWith)) &&
    (greaterThan === undefined || (number !== undefined && number > greaterThan)) &&
    (atLeast === undefined || (number !== undefined && number >= atLeast)) &&
    (lessThan === undefined || (number !== undefined && number < lessThan)) &&
    (atMost === undefined || (number !== undefined && number <= atMost))
  );
}

const comparesNumber = ({ is, isNot, greaterThan, atLeast, lessThan, atMost }: NumberComparison, number: number) =>
  (is === undefined || number === is) &&
  (isNot === undefined || number !== isNot) &&
  (greaterThan === undefined || number > greaterThan) &&
  (atLeast === undefined || number >= atLeast) &&
  (lessThan === undefined || number < lessThan) &&
  (atMost === undefined || number <= atMost);

export const numberOf = (text: string): number | undefined =>
  /^-?\d+(?:\.\d+)?(?:e[+-]?\d+)?$/i.test(text) && Math.abs(Number(text)) <= 1e15 ? Number(text) : undefined;

const lastOf = (happenings: readonly Happening[], column: "country" | "device"): string =>
  happenings.findLast(({ row }) => row[column] !== "")?.row[column] ?? "";
