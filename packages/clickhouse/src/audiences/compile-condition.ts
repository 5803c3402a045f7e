import {
  comparisonNames,
  durationMs,
  isFixedWindow,
  type Comparison,
  type Condition,
  type EventCondition,
  type SequenceCondition,
  type TouchCondition,
  type Window,
} from "@polder/core";
import { purposes } from "@polder/protocol";
import { personConsent } from "../consent/person-consent.ts";
import {
  compileComparison,
  compileListComparison,
  compileNumberComparison,
  holdsForZero,
} from "./compile-comparison.ts";
import { compileDays, compileTime, compileWindow, momentSql } from "./compile-window.ts";
import { eventRows, hasHappened, momentOf, type EventSource } from "./event-rows.ts";
import type { Parameters } from "./parameters.ts";
import type { PeopleSet, PeopleSets, SharedEvents } from "./people-sets.ts";

export interface ConditionContext {
  /** In milliseconds. */
  now: number;
  timezone: string;
  parameters: Parameters;
  sets: PeopleSets;
  /** The same for a statement that is part of this one; undefined where others share what is in it, for whom it would be worked out anew. */
  apart?: () => ConditionContext;
  /** Of another audience. */
  audience: (id: string) => PeopleSet;
  /** A subquery with `person_id` and `value`, once a person: a text, or a list of texts as JSON. */
  computedTrait: (name: string) => { values: string; isList: boolean };
}

export function compileCondition(condition: Condition, context: ConditionContext): PeopleSet {
  const { sets, parameters, now } = context;
  const compile = (each: Condition): PeopleSet => compileCondition(each, context);
  if ("all" in condition) return compileAll(condition.all, context) ?? sets.and(condition.all.map(compile));
  if ("any" in condition) return sets.or(condition.any.map(compile));
  if ("not" in condition) return sets.not(compile(condition.not));
  if ("trait" in condition)
    return whereValue(condition, context, { peopleOf: (fits) => statedLast(condition.trait, fits, context) });
  if ("computedTrait" in condition) {
    const { values, isList } = context.computedTrait(condition.computedTrait);
    return whereValue(condition, context, {
      peopleOf: (fits) => `SELECT person_id FROM (${values}) WHERE ${fits}`,
      ...(isList && { compile: compileListComparison, texts: itemsOf }),
    });
  }
  if (isLastSeen(condition)) return compileLastSeen(condition, context);
  if ("event" in condition) return compileEvent(condition, context);
  if ("sequence" in condition) return compileSequence(condition, context);
  if ("seen" in condition) return seenSince(now - durationMs(condition.seen.within), context);
  if ("notSeen" in condition) return sets.not(seenSince(now - durationMs(condition.notSeen.for), context));
  if ("firstSeen" in condition) return compileFirstSeen(condition.firstSeen.within, context);
  if ("touch" in condition) return compileTouch(condition, context);
  if ("known" in condition) {
    const known = sets.ofAtoms(
      `profile_state WHERE site = {site:String} AND is_known = 1 AND first_seen <= ${momentSql(now, parameters)}`,
      { isStored: true },
    );
    return condition.known ? known : sets.not(known);
  }
  if ("consent" in condition) {
    const bit = parameters.bind(purposes.indexOf(condition.consent), "UInt8");
    return sets.of(`SELECT person_id FROM ${personConsent()} WHERE bitTest(mask, ${bit})`);
  }
  return context.audience(condition.audience);
}

type LastSeenCondition = Extract<Condition, { country: unknown } | { device: unknown }>;
const isLastSeen = (condition: Condition): condition is LastSeenCondition =>
  "country" in condition || "device" in condition;
/** Longer ones cost more to understand than they save. */
const maxCandidatesLength = 20_000;

/** Where something was done as well, those who did it are found first: where somebody was last costs the most, and is then asked of them alone. */
function compileAll(
  conditions: readonly Condition[],
  { sets, apart, ...context }: ConditionContext,
): PeopleSet | undefined {
  const asked = conditions.filter(isLastSeen);
  const others = conditions.filter((condition) => !isLastSeen(condition));
  if (apart === undefined || asked.length === 0 || !others.some((one) => "event" in one || "sequence" in one))
    return undefined;
  const first = apart();
  const candidates = first.sets.and(others.map((condition) => compileCondition(condition, first)));
  const people = `(SELECT a0 FROM (${first.sets.select([candidates])}))`;
  if (candidates.isComplement === true || people.length > maxCandidatesLength) return undefined;
  return sets.and([
    sets.of(`SELECT arrayJoin(bitmapToArray(${people})) AS person_id`, { isStored: true }),
    ...asked.map((condition) => compileLastSeen(condition, { sets, ...context }, people)),
  ]);
}

interface ValueSource {
  /** A subquery with `person_id`: whoever has a `value`, a text, that fulfils a condition. */
  peopleOf: (fits: string) => string;
  /** How the value is compared; as one text when absent. */
  compile?: typeof compileComparison;
  texts?: (value: string) => string;
}

/** Out of the events: what a state of traits keeps may be what is still to come. */
function statedLast(trait: string, fits: string, { parameters, now }: ConditionContext): string {
  const name = parameters.bind(trait, "String");
  return `SELECT person_id FROM (
  SELECT person(atom) AS person_id, argMax(toUInt8(${fits}), ${momentOf("time", "place")}) AS is_it
  FROM (
    SELECT events.atom AS atom, events.time AS time, events._offset AS place, \`traits.value\`[indexOf(\`traits.name\`, ${name})] AS value
    FROM events WHERE events.site = {site:String} AND events.bot = '' AND events.atom != 0 AND ${hasHappened(now, parameters)} AND has(\`traits.name\`, ${name}))
  GROUP BY person_id
) WHERE is_it = 1`;
}

const itemsOf = (value: string): string => `JSONExtract(${value}, 'Array(String)')`;

function whereValue(
  comparison: Comparison,
  { sets, parameters }: ConditionContext,
  { peopleOf, compile = compileComparison, texts = (value) => value }: ValueSource,
): PeopleSet {
  const { exists, ...others } = comparison;
  const having = (wanted: Comparison): PeopleSet =>
    sets.of(peopleOf(compile(texts("value"), wanted, parameters)), { isSeen: true });
  const isCompared = comparisonNames.some((name) => name !== "exists" && name in others);
  // Whoever has no value has no row either.
  const parts = [
    ...(isCompared ? [having(others)] : []),
    ...(exists === true ? [having({ exists })] : []),
    ...(exists === false ? [sets.not(having({ exists: true }))] : []),
  ];
  return sets.and(parts);
}

/**
 * Of the country or the device seen last, out of the copy of events that is in the order of identities. By time alone, which costs a quarter of the whole
 * moment; of the few who were seen with another one in the same millisecond the events are looked up.
 * @param candidates a scalar subquery, a bitmap: the answer is right of these people.
 */
function compileLastSeen(condition: LastSeenCondition, context: ConditionContext, candidates?: string): PeopleSet {
  const { sets, parameters, now } = context;
  const [column, comparison] =
    "country" in condition ? (["country", condition.country] as const) : (["device", condition.device] as const);
  const { exists, ...others } = comparison;
  const atomsOf = (people: string): string =>
    `${people} UNION DISTINCT SELECT atom FROM person_atom WHERE person IN (${people})`;
  const seenBy = (people: string | undefined): string =>
    `atom_event AS events WHERE events.site = {site:String} AND events.${column} != '' AND ${hasHappened(now, parameters)}${
      // Looking for thousands in an index costs more than reading all there is: what is added to a column is not looked for in its index.
      people === undefined ? "" : ` AND events.atom + 0 IN (${atomsOf(`SELECT arrayJoin(bitmapToArray(${people}))`)})`
    }`;
  const parts: PeopleSet[] = [];
  if (comparisonNames.some((name) => name !== "exists" && name in others)) {
    const fits = compileComparison(`toString(events.${column})`, others, parameters);
    const lastOf = (wanted: string): string =>
      `max(if(${wanted}, toUnixTimestamp64Milli(events.time), -1000000000000000))`;
    const asked = candidates === undefined ? undefined : `asked_${column}`;
    const tied = `SELECT arrayJoin(bitmapToArray(last_${column}.2))`;
    parts.push(
      sets.of(
        `WITH ${asked === undefined ? "" : `${candidates} AS ${asked}, `}(
  SELECT (groupBitmapStateIf(person_id, fitting > other), groupBitmapStateIf(person_id, fitting = other)) FROM (
    SELECT person(atom) AS person_id, max(fits_at) AS fitting, max(other_at) AS other
    FROM (SELECT events.atom AS atom, ${lastOf(fits)} AS fits_at, ${lastOf(`NOT ${fits}`)} AS other_at FROM ${seenBy(asked)} GROUP BY atom)
    GROUP BY person_id)
) AS last_${column}
SELECT arrayJoin(bitmapToArray(last_${column}.1)) AS person_id
UNION ALL
SELECT person_id FROM (
  SELECT person(events.atom) AS person_id, argMax(toUInt8(${fits}), ${momentOf("events.time", "events._offset")}) AS is_it
  FROM ${seenBy(undefined)} AND events.atom IN (${atomsOf(tied)})
  GROUP BY person_id
) WHERE is_it = 1 AND bitmapContains(last_${column}.2, person_id)`,
        { isSeen: true },
      ),
    );
  }
  if (exists !== undefined) {
    const anySeen = sets.ofAtoms(seenBy(candidates), { isSeen: true });
    parts.push(exists ? anySeen : sets.not(anySeen));
  }
  return sets.and(parts);
}

function compileEvent(condition: EventCondition, context: ConditionContext): PeopleSet {
  const { sets, parameters, now } = context;
  const { count, sum, first, last } = condition;
  const one = first ?? last;
  if (one !== undefined) {
    const source = sourceOf(condition, condition.within);
    const marks = [{ name: "is_it", of: { ...source, where: one.where ?? [], window: one.within } }];
    const rows = eventRows(source, { now, marks }, parameters);
    const aggregate = first === undefined ? "argMax" : "argMin";
    return sets.of(
      `SELECT person_id FROM (${rows}) GROUP BY person_id HAVING ${aggregate}(is_it, ${momentOf("time", "place")}) = 1`,
      { isSeen: true },
    );
  }
  const { events, start } = sharedEvents(condition, context);
  const isIn = start === undefined ? "" : `time > ${momentSql(start, parameters)}`;
  if (count !== undefined) return whereNumber(isIn === "" ? "count()" : `countIf(${isIn})`, count, events, context);
  if (sum !== undefined) {
    const total = `toFloat64(${isIn === "" ? "sum(addend)" : `sumIf(addend, ${isIn})`})`;
    return whereNumber(sum.of === "amount" ? total : `${total} / 1000000`, sum, events, context);
  }
  return sets.ofEvents(events, isIn === "" ? "1" : `max(time) > ${momentSql(start!, parameters)}`);
}

/** The events of a condition, to be looked at together with others that differ in how far back they look. */
function sharedEvents(
  condition: EventCondition,
  { parameters, now }: ConditionContext,
): { events: SharedEvents; start: number | undefined } {
  const { sum, count, within, where } = condition;
  const addend =
    sum === undefined ? undefined : sum.of === "amount" ? { amountIn: sum.currency } : { property: sum.of.property };
  const fixed = within !== undefined && isFixedWindow(within) ? within : undefined;
  const lengthMs = within === undefined || isFixedWindow(within) ? undefined : durationMs(within);
  const source = sourceOf(condition, fixed);
  return {
    start: lengthMs === undefined ? undefined : now - lengthMs,
    events: {
      key: JSON.stringify(source),
      lengthMs,
      ...(addend !== undefined && { addend: JSON.stringify(addend) }),
      // The first copy of an order is in no other place than the others, and no filter looks at it.
      withCopies: count === undefined && sum === undefined && within === undefined && where === undefined,
      rows: (asked) =>
        eventRows(
          {
            ...source,
            window: fixed ?? (asked.lengthMs === undefined ? undefined : { minutes: asked.lengthMs / 60_000 }),
          },
          { now, isUnordered: "timed", withCopies: asked.withCopies, ...(addend !== undefined && { addend }) },
          parameters,
        ),
    },
  };
}

function whereNumber(
  number: string,
  comparison: EventCondition["count"] & {},
  events: SharedEvents,
  { sets, parameters }: ConditionContext,
): PeopleSet {
  const holds = compileNumberComparison(number, comparison, parameters);
  // Whoever has no such event has no row: where zero counts, those are left out whose number does not.
  return holdsForZero(comparison) ? sets.not(sets.ofEvents(events, `NOT ${holds}`)) : sets.ofEvents(events, holds);
}

const sourceOf = (
  { event, where = [] }: Pick<EventCondition, "event" | "where">,
  window: Window | undefined,
): EventSource => ({ names: typeof event === "string" ? [event] : event, where, window });

/**
 * For each event of a person, in their order: where the latest chain of steps before it began that ends with it.
 * The latest beginning is the best one, so that one number a step says all.
 */
function compileSequence(condition: SequenceCondition, { sets, parameters, now }: ConditionContext): PeopleSet {
  const steps = condition.sequence;
  const names = [...new Set(steps.flatMap(({ event }) => event))];
  const source: EventSource = {
    names: names.includes("*") ? ["*"] : names,
    where: [],
    window: condition.during,
  };
  const marks = steps.map((step, index) => ({ name: `m${index}`, of: sourceOf(step, undefined) }));
  let rows = `SELECT *, if(m0 = 1, toUnixTimestamp64Milli(time), 0) AS c0 FROM (${eventRows(source, { now, marks }, parameters)})`;
  for (let step = 1; step < steps.length; step++)
    rows = `SELECT *, if(m${step} = 1, max(c${step - 1}) OVER (PARTITION BY person_id ORDER BY time, place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS c${step} FROM (${rows})`;
  const within = parameters.bind(durationMs(condition.within), "Int64");
  const last = `c${steps.length - 1}`;
  return sets.of(
    `SELECT person_id FROM (${rows}) WHERE ${last} != 0 AND toUnixTimestamp64Milli(time) - ${last} <= ${within}`,
    { isSeen: true },
  );
}

/** Whose last event is later than that: any of their rows says so. Where the last one is still to come, it is looked up. */
function seenSince(start: number, { sets, parameters, now }: ConditionContext): PeopleSet {
  const from = momentSql(start, parameters);
  const end = momentSql(now, parameters);
  const days = compileWindow({ minutes: (now - start) / 60_000 }, now, parameters);
  return sets.ofAtoms(
    `(SELECT atom FROM profile_state WHERE site = {site:String} AND last_seen > ${from} AND last_seen <= ${end}
  UNION ALL SELECT events.atom AS atom FROM events WHERE events.site = {site:String} AND events.bot = '' AND ${days}
    AND events.atom IN (SELECT atom FROM profile_state WHERE site = {site:String} AND last_seen > ${end}))`,
    { isStored: true },
  );
}

/** Some row has its first event in the window and none has it before: the states of a person need not be put together. */
function compileFirstSeen(window: Window, { sets, parameters, now, timezone }: ConditionContext): PeopleSet {
  const people = (condition: string): PeopleSet =>
    sets.ofAtoms(
      `profile_state WHERE site = {site:String} AND first_seen <= ${momentSql(now, parameters)} AND ${condition}`,
      { isStored: true },
    );
  const inWindow = people(compileTime(window, "first_seen", now, parameters, timezone));
  if (!isFixedWindow(window))
    return sets.and([inWindow, sets.not(people(`first_seen <= ${momentSql(now - durationMs(window), parameters)}`))]);
  if (window.from === undefined) return inWindow;
  const day = `toDate(first_seen, ${parameters.bind(timezone, "String")})`;
  return sets.and([inWindow, sets.not(people(`NOT (${compileDays({ from: window.from }, day, parameters)})`))]);
}

const touchColumns = {
  channel: "channel",
  source: "utm_source",
  medium: "utm_medium",
  campaign: "utm_campaign",
  referrer: "referrer_host",
} as const;

function compileTouch(condition: TouchCondition, { sets, parameters, now }: ConditionContext): PeopleSet {
  const compared = Object.entries(touchColumns).flatMap(([name, column]) => {
    const comparison = condition[name as keyof typeof touchColumns];
    return comparison === undefined ? [] : [compileComparison(`toString(events.${column})`, comparison, parameters)];
  });
  // A person who never came from outside has no touch, and then nothing can be said of it.
  const touches = `events WHERE events.site = {site:String} AND events.bot = '' AND events.atom != 0 AND ${hasHappened(now, parameters)} AND events.channel NOT IN ('', 'internal')`;
  if (condition.touch === "any") {
    const terms = [
      ...(condition.within === undefined ? [] : [compileWindow(condition.within, now, parameters)]),
      ...compared,
    ];
    return sets.ofAtoms([touches, ...terms].join(" AND "), { isSeen: true });
  }
  const aggregate = condition.touch === "first" ? "argMin" : "argMax";
  const is = `${aggregate}(toUInt8(${compared.join(" AND ")}), ${momentOf("events.time", "events._offset")})`;
  return sets.of(
    `SELECT person_id FROM (SELECT person(events.atom) AS person_id, ${is} AS is_it FROM ${touches} GROUP BY person_id) WHERE is_it = 1`,
    { isSeen: true },
  );
}
