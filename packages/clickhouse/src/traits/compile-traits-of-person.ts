import type { ComputedTrait, EventFilter } from "@polder/core";
import { columnText, compileEventFilters, propertyText } from "../audiences/compile-event-filter.ts";
import { compileWindow } from "../audiences/compile-window.ts";
import { hasHappened, isNamed, isOfNames, momentOf } from "../audiences/event-rows.ts";
import { createParameters, type BoundParameters } from "../audiences/parameters.ts";
import { filtersOf, namesOf } from "./compile-computed-trait.ts";
import { computedValue } from "./computed-value.ts";

export interface PersonTraitsContext {
  site: string;
  now: Date;
  /** All identities of the person. */
  atoms: readonly number[];
  /** `atom_event` lacks a few columns, which a withdrawal takes out of events that stay. */
  from: "atom_event" | "events";
}

/** An order that was sent again is the same order; any other event is the one at its place, which recovery may have brought twice. */
const key = `multiIf(events.name != 'Order Completed', concat(toString(events._partition), ' ', toString(events._offset)),
      events.order_id != '', concat('id ', events.order_id), concat('message ', events.message_id))`;
const isOfSomebody = `events.bot = '' AND events.atom != 0 AND ${isNamed} AND `;
const isAmount = (filter: EventFilter): boolean => "column" in filter && filter.column === "amount";

/**
 * Computed traits of one person as one SELECT, which reads their events once: a row with `values`, an Array(Nullable(String)) of the values in the order
 * of the definitions, as `compileComputedTrait` has them; empty text where there is none.
 */
export function compileTraitsOfPerson(
  definitions: readonly ComputedTrait[],
  { site, now, atoms, from }: PersonTraitsContext,
): { sql: string; params: BoundParameters } {
  const parameters = createParameters({ site, atoms });
  // Of all copies of an order the first one says what it was, but for the amount, which is the greatest.
  const ofFirst = createTuple("events.first");
  const place = ofFirst.nameOf("events._offset");
  const values = definitions.map((definition) => {
    const filters = filtersOf(definition);
    const others = filters.filter((filter) => !isAmount(filter));
    const amounts = filters.filter(isAmount);
    const conditions = [
      isOfNames(namesOf(definition), parameters),
      ...(others.length === 0 ? [] : [ofFirst.nameOf(`toUInt8(${compileEventFilters(others, parameters)})`)]),
      ...(amounts.length === 0 ? [] : [compileEventFilters(amounts, parameters)]),
      ...(definition.within === undefined ? [] : [compileWindow(definition.within, now.getTime(), parameters)]),
    ].filter((condition) => condition !== "");
    const { of } = definition;
    const text =
      of === undefined
        ? "''"
        : "property" in of
          ? ofFirst.nameOf(propertyText(of.property, parameters))
          : of.column === "amount"
            ? columnText("amount")
            : ofFirst.nameOf(columnText(of.column));
    const rows = {
      text,
      money: "toDecimal128(events.amount, 4)",
      time: "events.time",
      place,
      isIn: conditions.length === 0 ? "1" : conditions.join(" AND "),
    };
    return computedValue(definition, rows, now, parameters);
  });
  const names = new Set(definitions.flatMap(namesOf));
  const isOfName = isOfNames([...names], parameters);
  const sql = `SELECT [${values.join(",\n  ")}] AS values
FROM (
  SELECT ${[
    "events.name AS name, events.currency AS currency",
    `${key} AS key`,
    "min(events.time) AS time, min(events.day) AS day, max(events.amount) AS amount",
    `argMin(${ofFirst.sql()}, ${momentOf("events.time", "events._offset")}) AS first`,
  ].join(",\n    ")}
  FROM ${from} AS events
  WHERE events.site = {site:String} AND events.atom IN {atoms:Array(UInt32)} AND ${from === "events" ? isOfSomebody : ""}${hasHappened(now.getTime(), parameters)}${isOfName === "" ? "" : ` AND ${isOfName}`}
  GROUP BY name, currency, key
) AS events`;
  return { sql, params: parameters.all };
}

/** Expressions that are worked out once each: one tuple costs a server less to understand than as many columns. */
function createTuple(name: string) {
  const expressions: string[] = [];
  return {
    nameOf: (expression: string): string => {
      if (!expressions.includes(expression)) expressions.push(expression);
      return `${name}.${expressions.indexOf(expression) + 1}`;
    },
    sql: (): string => `tuple(${expressions.join(", ")})`,
  };
}
