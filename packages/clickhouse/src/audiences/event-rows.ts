import type { EventFilter, FilterColumn, Window } from "@polder/core";
import { numberOf } from "./compile-comparison.ts";
import { columnText, compileEventFilters, propertyText } from "./compile-event-filter.ts";
import { compileWindow, momentSql } from "./compile-window.ts";
import type { Parameters } from "./parameters.ts";

/** Which events. */
export interface EventSource {
  names: readonly string[];
  where: readonly EventFilter[];
  window: Window | undefined;
}
/** A column that says of each event whether it is one of these. */
export interface EventMark {
  name: string;
  of: EventSource;
}
export interface EventRowsOptions {
  /** In milliseconds. */
  now: number;
  marks?: readonly EventMark[];
  /** What is added up, as the column `addend`: amounts of a currency, or a property in millionths. */
  addend?: { amountIn: string } | { property: string };
  /** Where it does not matter how often an order was sent. */
  withCopies?: boolean;
  /** Where it does not matter what came first: the rows have no `place`, and no `time` either, or only that. */
  isUnordered?: boolean | "timed";
  /** Without what a withdrawal made nameless: it counts for its person, and says nothing of them any more. */
  isOfNamed?: boolean;
  /** A column or a property of each event as the column `text`; empty when it has none. */
  text?: { column: FilterColumn } | { property: string };
}

/** An order that was sent again is the same order: of all copies that a person has, the first one happened, with the greatest amount. */
const orderName = "Order Completed";
const everything = "*";
/** Apart, since ids of messages are the largest column there is and hardly an order needs them. */
const orderKinds = [
  { key: "events.order_id", isOfKind: "events.order_id != ''" },
  { key: "events.message_id", isOfKind: "events.order_id = ''" },
] as const;
/** What came first, as a number: a pair would have to be compared part by part, at several times the cost. No time that can be stored is before 1900. */
export const momentOf = (time: string, place: string): string =>
  `bitOr(bitShiftLeft(toUInt128(toUnixTimestamp64Milli(${time}) + 2208988800000), 64), toUInt128(${place}))`;
const moment = momentOf("events.time", "events._offset");

/**
 * A subquery: a row an event of people, with `person_id`, `time` and `place`, which together with time says what came first.
 * Left out are bots and what has no identity; an order that was sent twice is one row.
 * It takes the parameter `{site:String}`.
 */
export function eventRows(source: EventSource, options: EventRowsOptions, parameters: Parameters): string {
  const names = new Set(source.names);
  if (options.withCopies === true) return otherRows(source, options, parameters);
  const hasOrders = names.has(everything) || names.has(orderName);
  const hasOthers = names.has(everything) || names.size > (hasOrders ? 1 : 0);
  const parts = [
    ...(hasOthers ? [otherRows(source, options, parameters)] : []),
    ...(hasOrders ? orderKinds.map((kind) => orderRows(kind, source, options, parameters)) : []),
  ];
  return parts.join("\nUNION ALL\n");
}

function otherRows(source: EventSource, options: EventRowsOptions, parameters: Parameters): string {
  const names =
    options.withCopies === true
      ? isOfNames(source.names, parameters)
      : source.names.includes(everything)
        ? `events.name != '${orderName}'`
        : isOfNames(
            source.names.filter((name) => name !== orderName),
            parameters,
          );
  const columns = [
    "person(events.atom) AS person_id",
    ...(options.isUnordered === true ? [] : ["events.time AS time"]),
    ...(isOrdered(options) ? ["events._offset AS place"] : []),
    ...(options.marks ?? []).map(
      (mark) =>
        `toUInt8(${and(isOfNames(mark.of.names, parameters), conditionOf(mark.of, options, parameters))}) AS ${mark.name}`,
    ),
    ...(options.addend === undefined ? [] : [`${addend(options.addend, parameters)} AS addend`]),
    ...(options.text === undefined ? [] : [`${textOf(options.text, parameters)} AS text`]),
  ];
  return `SELECT ${columns.join(", ")} FROM events WHERE ${and(
    ofPeople,
    ofNamed(options),
    names,
    hasHappened(options.now, parameters),
    conditionOf(source, options, parameters),
  )}`;
}

function orderRows(
  { key, isOfKind }: (typeof orderKinds)[number],
  source: EventSource,
  options: EventRowsOptions,
  parameters: Parameters,
): string {
  const marks = (options.marks ?? []).map((mark) => ({ ...mark, isOrder: isOrder(mark.of) }));
  const first = (expression: string, name: string): string => `argMin(${expression}, ${moment}) AS ${name}`;
  const others = filtersOf(source.where, "others", parameters);
  const window = windowOf(source, options, parameters);
  // Of the first copy, but for the amount: whatever looks at that is asked of the order as a whole.
  const inner = [
    "person(events.atom) AS person_id",
    "events.currency AS currency",
    `${key} AS order_key`,
    "max(events.amount) AS amount",
    ...(options.isUnordered !== true || window.length > 0
      ? ["min(events.time) AS time", "min(events.day) AS day"]
      : []),
    ...(isOrdered(options) ? [first("events._offset", "place")] : []),
    ...(others.length === 0 ? [] : [first(`toUInt8(${and(...others)})`, "fits")]),
    ...marks
      .filter((mark) => mark.isOrder)
      .map((mark) => first(`toUInt8(${and(...filtersOf(mark.of.where, "others", parameters))})`, mark.name)),
    ...(options.addend !== undefined && "property" in options.addend
      ? [first(addend(options.addend, parameters), "addend")]
      : []),
    ...(options.text === undefined || isAmountText(options.text)
      ? []
      : [first(textOf(options.text, parameters), "text")]),
  ];
  const outer = [
    "events.person_id AS person_id",
    ...(options.isUnordered === true ? [] : ["events.time AS time"]),
    ...(isOrdered(options) ? ["events.place AS place"] : []),
    ...marks.map((mark) =>
      mark.isOrder
        ? `toUInt8(${and(
            `events.${mark.name}`,
            ...filtersOf(mark.of.where, "amount", parameters),
            ...windowOf(mark.of, options, parameters),
          )}) AS ${mark.name}`
        : `toUInt8(0) AS ${mark.name}`,
    ),
    ...(options.addend === undefined
      ? []
      : ["property" in options.addend ? "events.addend AS addend" : `${addend(options.addend, parameters)} AS addend`]),
    ...(options.text === undefined
      ? []
      : [isAmountText(options.text) ? `${textOf(options.text, parameters)} AS text` : "events.text AS text"]),
  ];
  const all = and(
    ofPeople,
    ofNamed(options),
    `events.name = '${orderName}'`,
    isOfKind,
    hasHappened(options.now, parameters),
  );
  return `SELECT ${outer.join(", ")} FROM (
  SELECT ${inner.join(", ")} FROM events WHERE ${all} GROUP BY person_id, currency, order_key
) AS events WHERE ${and(others.length === 0 ? "" : "events.fits", ...filtersOf(source.where, "amount", parameters), ...window)}`;
}

const ofPeople = "events.site = {site:String} AND events.bot = '' AND events.atom != 0";

/** They are few. */
export const isNamed = "events.atom NOT IN (SELECT atom FROM identity_tie WHERE site = {site:String})";
const ofNamed = ({ isOfNamed = false }: EventRowsOptions): string => (isOfNamed ? isNamed : "");

const isAmountText = (of: EventRowsOptions["text"] & {}): boolean => "column" in of && of.column === "amount";

const textOf = (of: EventRowsOptions["text"] & {}, parameters: Parameters): string =>
  "column" in of ? columnText(of.column) : propertyText(of.property, parameters);

const conditionOf = (source: EventSource, options: EventRowsOptions, parameters: Parameters): string =>
  and(...windowOf(source, options, parameters), ...filtersOf(source.where, "all", parameters));

const windowOf = ({ window }: EventSource, { now }: EventRowsOptions, parameters: Parameters): string[] =>
  window === undefined ? [] : [compileWindow(window, now, parameters)];

const isOrdered = ({ isUnordered = false }: EventRowsOptions): boolean => isUnordered === false;

/** A clock may be ahead, an import may state what is to come: until its time has come it has not happened. */
export const hasHappened = (now: number, parameters: Parameters): string =>
  `events.time <= ${momentSql(now, parameters)}`;

function filtersOf(
  filters: readonly EventFilter[],
  which: "all" | "amount" | "others",
  parameters: Parameters,
): string[] {
  const isAmount = (filter: EventFilter): boolean => "column" in filter && filter.column === "amount";
  const chosen = filters.filter((filter) => which === "all" || isAmount(filter) === (which === "amount"));
  return chosen.length === 0 ? [] : [compileEventFilters(chosen, parameters)];
}

const isOrder = ({ names }: EventSource): boolean => names.includes(everything) || names.includes(orderName);

/** @returns a condition on `name`; none for all names. */
export function isOfNames(names: readonly string[], { bind }: Parameters): string {
  if (names.includes(everything)) return "";
  return names.length === 1
    ? `events.name = ${bind(names[0]!, "String")}`
    : `events.name IN ${bind(names, "Array(String)")}`;
}

function addend(of: EventRowsOptions["addend"] & {}, parameters: Parameters): string {
  if ("amountIn" in of)
    return `if(events.currency = ${parameters.bind(of.amountIn, "String")}, events.amount, toDecimal64(0, 4))`;
  const text = propertyText(of.property, parameters);
  // Whole millionths add up to the same whatever the order; fractions of floating point do not.
  return `toInt128(round(ifNull(${numberOf(text)}, 0) * 1000000))`;
}

const and = (...conditions: string[]): string => {
  const stated = conditions.filter((condition) => condition !== "");
  return stated.length === 0 ? "1" : stated.join(" AND ");
};
