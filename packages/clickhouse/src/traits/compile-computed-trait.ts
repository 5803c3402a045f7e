import type { ComputedTrait, EventFilter } from "@polder/core";
import { eventRows } from "../audiences/event-rows.ts";
import { createParameters, type BoundParameters } from "../audiences/parameters.ts";
import { computedValue } from "./computed-value.ts";

export interface ComputedTraitContext {
  site: string;
  now: Date;
}
export interface CompiledComputedTrait {
  sql: string;
  params: BoundParameters;
}

/**
 * A definition that `parseComputedTrait` has let through as one SELECT with the columns `person_id` UInt32, once each and never 0, and `value` String,
 * never empty: a number as decimal text, a text as it was, a list as JSON. Whoever has no value has no row.
 */
export function compileComputedTrait(definition: ComputedTrait, context: ComputedTraitContext): CompiledComputedTrait {
  const parameters = createParameters({ site: context.site });
  const rows = `(${eventRows(
    { names: namesOf(definition), where: filtersOf(definition), window: definition.within },
    {
      now: context.now.getTime(),
      isOfNamed: true,
      ...(definition.compute === "lifetime_value"
        ? { text: { column: "amount" as const } }
        : definition.of !== undefined && { text: definition.of }),
    },
    parameters,
  )}) WHERE person_id != 0`;
  const select = (value: string, from = rows): string =>
    `SELECT person_id, ${value} AS value FROM ${from} GROUP BY person_id HAVING value != ''`;
  const sql =
    definition.compute === "most_frequent"
      ? // As computedValue has it, in two steps: many people are counted faster so. Of several that are as frequent, the first by its bytes.
        select(
          "argMin(text, (-toInt64(times), text))",
          `(SELECT person_id, text, count() AS times FROM ${rows} AND text != '' GROUP BY person_id, text)`,
        )
      : select(
          computedValue(
            definition,
            { text: "text", money: "toDecimal128(text, 4)", time: "time", place: "place" },
            context.now,
            parameters,
          ),
        );
  return { sql, params: parameters.all };
}

const orderNames = ["Order Completed", "Order Refunded"];

export function namesOf({ compute, event }: ComputedTrait): readonly string[] {
  if (compute === "lifetime_value" || event === undefined) return orderNames;
  return typeof event === "string" ? [event] : event;
}

/** Money of one currency, beside what is stated. */
export const filtersOf = ({ where = [], currency }: ComputedTrait): readonly EventFilter[] =>
  currency === undefined ? where : [...where, { column: "currency", is: currency }];
