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
import { eventRows, type EventSource } from "./event-rows.ts";
import type { Parameters } from "./parameters.ts";
import { peopleOfAtoms, peopleOfBitmap, type PeopleSet, type PeopleSets } from "./people-sets.ts";

export interface ConditionContext {
  /** In milliseconds. */
  now: number;
  timezone: string;
  parameters: Parameters;
  sets: PeopleSets;
  /** Of another audience. */
  audience: (id: string) => PeopleSet;
  /** A subquery with `person_id` and `value`, once a person: a text, or a list of texts as JSON. */
  computedTrait: (name: string) => { values: string; isList: boolean };
}

export function compileCondition(condition: Condition, context: ConditionContext): PeopleSet {
  const { sets, parameters, now } = context;
  const compile = (each: Condition): PeopleSet => compileCondition(each, context);
  if ("all" in condition) return sets.and(condition.all.map(compile));
  if ("any" in condition) return sets.or(condition.any.map(compile));
  if ("not" in condition) return sets.without(sets.everyone(), compile(condition.not));
  if ("trait" in condition)
    return whereValue(condition, context, {
      values: `SELECT person(atom) AS person_id, argMaxMerge(last).1 AS value FROM trait_state PREWHERE name = ${parameters.bind(condition.trait, "String")} WHERE site = {site:String} GROUP BY person_id`,
      isStored: true,
    });
  if ("computedTrait" in condition) {
    const { values, isList } = context.computedTrait(condition.computedTrait);
    return whereValue(condition, context, {
      values,
      ...(isList && { compile: compileListComparison, texts: itemsOf }),
    });
  }
  if ("country" in condition) return compileLastSeen("country", condition.country, context);
  if ("device" in condition) return compileLastSeen("device", condition.device, context);
  if ("event" in condition) return compileEvent(condition, context);
  if ("sequence" in condition) return compileSequence(condition, context);
  if ("seen" in condition) return seenSince(now - durationMs(condition.seen.within), context);
  if ("notSeen" in condition)
    return sets.without(sets.everyone(), seenSince(now - durationMs(condition.notSeen.for), context));
  if ("firstSeen" in condition) return compileFirstSeen(condition.firstSeen.within, context);
  if ("touch" in condition) return compileTouch(condition, context);
  if ("known" in condition) {
    const known = sets.and([
      sets.everyone(),
      sets.of(peopleOfAtoms("atom WHERE site = {site:String} AND user_id != ''")),
    ]);
    return condition.known ? known : sets.without(sets.everyone(), known);
  }
  if ("consent" in condition) {
    const bit = parameters.bind(purposes.indexOf(condition.consent), "UInt8");
    return sets.and([sets.everyone(), sets.of(`SELECT person_id FROM ${personConsent()} WHERE bitTest(mask, ${bit})`)]);
  }
  return context.audience(condition.audience);
}

interface ValueSource {
  /** A subquery with `person_id` and `value`: a text, empty when there is none. */
  values: string;
  /** How the value is compared; as one text when absent. */
  compile?: typeof compileComparison;
  texts?: (value: string) => string;
  isStored?: true;
}

const itemsOf = (value: string): string => `JSONExtract(${value}, 'Array(String)')`;

function whereValue(
  comparison: Comparison,
  { sets, parameters }: ConditionContext,
  { values, compile = compileComparison, texts = (value) => value, isStored }: ValueSource,
): PeopleSet {
  const { exists, ...others } = comparison;
  const having = (wanted: Comparison): PeopleSet =>
    sets.of(
      `SELECT person_id FROM (${values}) WHERE ${compile(texts("value"), wanted, parameters)}`,
      isStored && { isStored },
    );
  const isCompared = comparisonNames.some((name) => name !== "exists" && name in others);
  // Whoever has no value has no row either.
  const parts = [
    ...(isCompared ? [having(others)] : []),
    ...(exists === true ? [having({ exists })] : []),
    ...(exists === false ? [sets.without(sets.everyone(), having({ exists: true }))] : []),
  ];
  return sets.and(parts);
}

/**
 * Of the country or the device seen last. Most people have one only: who was ever seen with a value that fulfils it and never with another
 * one is told from the bitmaps of days, and only for the others their states are put together.
 */
function compileLastSeen(column: "country" | "device", comparison: Comparison, context: ConditionContext): PeopleSet {
  const { sets, parameters } = context;
  const { exists, ...others } = comparison;
  const seenWith = (condition: string): string =>
    peopleOfBitmap(
      `SELECT groupBitmapMergeState(a.atoms) AS atoms FROM audience_day AS a WHERE site = {site:String} AND dimension = '${column}' AND ${condition}`,
    );
  const parts: PeopleSet[] = [];
  if (comparisonNames.some((name) => name !== "exists" && name in others)) {
    const holds = compileComparison("value", others, parameters);
    const fitting = seenWith(holds);
    const other = seenWith(`NOT ${holds}`);
    const both = `SELECT person_id FROM (${fitting}) WHERE person_id IN (${other})`;
    const last = `SELECT person(atom) AS person_id, argMaxMerge(${column}) AS value FROM profile_state PREWHERE person(atom) IN (${both}) WHERE site = {site:String} GROUP BY person_id`;
    parts.push(
      sets.or([
        sets.without(sets.of(fitting), sets.of(other)),
        sets.of(`SELECT person_id FROM (${last}) WHERE ${holds}`, { isStored: true }),
      ]),
    );
  }
  if (exists === true) parts.push(sets.of(seenWith("value != ''")));
  if (exists === false) parts.push(sets.without(sets.everyone(), sets.of(seenWith("value != ''"))));
  return sets.and(parts);
}

function compileEvent(condition: EventCondition, context: ConditionContext): PeopleSet {
  const { sets, parameters, now } = context;
  const source = sourceOf(condition, condition.within);
  const { count, sum, first, last } = condition;
  if (count !== undefined) return whereNumber("count()", count, eventRows(source, { now }, parameters), context);
  if (sum !== undefined) {
    const addend = sum.of === "amount" ? { amountIn: sum.currency } : { property: sum.of.property };
    const scale = sum.of === "amount" ? "" : " / 1000000";
    return whereNumber(`toFloat64(sum(addend))${scale}`, sum, eventRows(source, { now, addend }, parameters), context);
  }
  const one = first ?? last;
  if (one !== undefined) {
    const marks = [{ name: "is_it", of: { ...source, where: one.where ?? [], window: one.within } }];
    const rows = eventRows(source, { now, marks }, parameters);
    const aggregate = first === undefined ? "argMax" : "argMin";
    return sets.of(`SELECT person_id FROM (${rows}) GROUP BY person_id HAVING ${aggregate}(is_it, (time, place)) = 1`);
  }
  // The first copy of an order is in no other place than the others, and no filter looks at it.
  const withCopies = condition.within === undefined && condition.where === undefined;
  return sets.of(`SELECT person_id FROM (${eventRows(source, { now, withCopies }, parameters)})`);
}

function whereNumber(
  aggregate: string,
  comparison: EventCondition["count"] & {},
  rows: string,
  { sets, parameters }: ConditionContext,
): PeopleSet {
  const holds = compileNumberComparison("number", comparison, parameters);
  const having = (condition: string): PeopleSet =>
    sets.of(
      `SELECT person_id FROM (SELECT person_id, ${aggregate} AS number FROM (${rows}) GROUP BY person_id) WHERE ${condition}`,
    );
  // Whoever has no such event has no row: where zero counts, those are left out whose number does not.
  return holdsForZero(comparison) ? sets.without(sets.everyone(), having(`NOT ${holds}`)) : having(holds);
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
  );
}

/** Whose last event is later than that: any of their rows says so. */
const seenSince = (start: number, { sets, parameters }: ConditionContext): PeopleSet =>
  sets.of(peopleOfAtoms(`profile_state WHERE site = {site:String} AND last_seen > ${momentSql(start, parameters)}`), {
    isStored: true,
  });

/** Some row has its first event in the window and none has it before: the states of a person need not be put together. */
function compileFirstSeen(window: Window, { sets, parameters, now, timezone }: ConditionContext): PeopleSet {
  const people = (condition: string): PeopleSet =>
    sets.of(peopleOfAtoms(`profile_state WHERE site = {site:String} AND ${condition}`), { isStored: true });
  const inWindow = people(compileTime(window, "first_seen", now, parameters, timezone));
  if (!isFixedWindow(window))
    return sets.without(inWindow, people(`first_seen <= ${momentSql(now - durationMs(window), parameters)}`));
  if (window.from === undefined) return inWindow;
  const day = `toDate(first_seen, ${parameters.bind(timezone, "String")})`;
  return sets.without(inWindow, people(`NOT (${compileDays({ from: window.from }, day, parameters)})`));
}

const touchColumns = {
  channel: ["channel", "channel"],
  source: ["source", "utm_source"],
  medium: ["medium", "utm_medium"],
  campaign: ["campaign", "utm_campaign"],
  referrer: ["referrer", "referrer_host"],
} as const;

function compileTouch(condition: TouchCondition, { sets, parameters, now }: ConditionContext): PeopleSet {
  const compared = Object.entries(touchColumns).flatMap(([name, [part, column]]) => {
    const comparison = condition[name as keyof typeof touchColumns];
    return comparison === undefined ? [] : [{ comparison, part, column }];
  });
  if (condition.touch === "any") {
    const terms = [
      "site = {site:String} AND bot = '' AND atom != 0 AND channel NOT IN ('', 'internal')",
      ...(condition.within === undefined ? [] : [compileWindow(condition.within, now, parameters)]),
      ...compared.map(({ comparison, column }) =>
        compileComparison(`toString(events.${column})`, comparison, parameters),
      ),
    ];
    return sets.of(peopleOfAtoms(`events WHERE ${terms.join(" AND ")}`));
  }
  const state = condition.touch === "first" ? "argMinMerge(first_touch)" : "argMaxMerge(last_touch)";
  const terms = compared.map(({ comparison, part }) => compileComparison(`touch.${part}`, comparison, parameters));
  // A person who never came from outside has no touch, and then nothing can be said of it.
  return sets.of(
    `SELECT person_id FROM (SELECT person(atom) AS person_id, ${state} AS touch FROM profile_state WHERE site = {site:String} GROUP BY person_id) WHERE touch.channel != '' AND ${terms.join(" AND ")}`,
    { isStored: true },
  );
}
