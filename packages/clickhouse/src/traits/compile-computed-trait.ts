import { defaultMost, type ComputedTrait, type EventFilter } from "@polder/core";
import { numberOf } from "../audiences/compile-comparison.ts";
import { eventRows } from "../audiences/event-rows.ts";
import { createParameters, type BoundParameters, type Parameters } from "../audiences/parameters.ts";

export interface ComputedTraitContext {
  site: string;
  now: Date;
  /** Only of these identities, all of one person. */
  atoms?: readonly number[];
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
  const { atoms } = context;
  // The copy lacks them, since a withdrawal takes them out of events that stay.
  const isCopied = !looksAt(definition, ["group_id", "click_id_kind"]);
  const parameters = createParameters({ site: context.site, ...(atoms === undefined ? {} : { atoms }) });
  const rows = eventRows(
    { names: namesOf(definition), where: filtersOf(definition), window: definition.within },
    {
      now: context.now.getTime(),
      ...(definition.compute === "lifetime_value"
        ? { text: { column: "amount" as const } }
        : definition.of !== undefined && { text: definition.of }),
      ...(atoms !== undefined && { ofAtoms: isCopied ? ("copied" as const) : ("uncopied" as const) }),
    },
    parameters,
  );
  const sql = valueOf(definition, `(${rows}) WHERE person_id != 0`, context.now, parameters);
  return { sql, params: parameters.all };
}

/** A server takes 128 KiB of a statement that has long parameters beside it, and something is put around this. */
export const maxTraitLength = 90_000;

/** Whether it is too large for one statement, so that nobody could ask for its value. */
export const isComputedTraitTooLarge = (definition: ComputedTrait): boolean =>
  compileComputedTrait(definition, { site: "", now: new Date(0), atoms: [] }).sql.length > maxTraitLength;

const orderNames = ["Order Completed", "Order Refunded"];

function namesOf({ compute, event }: ComputedTrait): readonly string[] {
  if (compute === "lifetime_value" || event === undefined) return orderNames;
  return typeof event === "string" ? [event] : event;
}

/** Money of one currency, beside what is stated. */
const filtersOf = ({ where = [], currency }: ComputedTrait): readonly EventFilter[] =>
  currency === undefined ? where : [...where, { column: "currency", is: currency }];

const looksAt = ({ where = [], of }: ComputedTrait, columns: readonly string[]): boolean =>
  [...where, ...(of === undefined ? [] : [of])].some((each) => "column" in each && columns.includes(each.column));

// Two events of one moment and offset, from two partitions, are told apart by what they say.
const moment = "(time, place, text)";
const number = numberOf("text");
const isNumber = `isNotNull(${number})`;
// Whole numbers add up to the same whatever the order; fractions of floating point do not.
const millionths = `toInt128(round(ifNull(${number}, 0) * 1000000))`;
const money = "sum(toDecimal128(text, 4))";

function valueOf(definition: ComputedTrait, from: string, now: Date, { bind }: Parameters): string {
  const select = (value: string, rows = from): string =>
    `SELECT person_id, ${value} AS value FROM ${rows} GROUP BY person_id HAVING value != ''`;
  const ofNumbers = (value: string): string => select(`if(countIf(${isNumber}) = 0, '', toString(${value}))`);
  const isMoney = definition.currency !== undefined;
  switch (definition.compute) {
    case "count":
      return select("toString(count())");
    case "days_since":
      // A client whose clock is ahead by a little says that it is tomorrow.
      return select(
        `toString(greatest(0, intDiv(${bind(now.getTime(), "Int64")} - toUnixTimestamp64Milli(max(time)), 86400000)))`,
      );
    case "lifetime_value":
      return select(`toString(${money})`);
    case "sum":
      return isMoney ? select(`toString(${money})`) : ofNumbers(`toFloat64(sum(${millionths})) / 1000000`);
    case "average":
      return ofNumbers(`toFloat64(sum(${millionths})) / 1000000 / countIf(${isNumber})`);
    case "min":
      return ofNumbers(`min(${number})`);
    case "max":
      return ofNumbers(`max(${number})`);
    case "first":
      return select(`argMinIf(text, ${moment}, text != '')`);
    case "last":
      return select(`argMaxIf(text, ${moment}, text != '')`);
    case "most_frequent":
      // Of several that are as frequent, the first by its bytes.
      return select(
        "argMin(text, (-toInt64(times), text))",
        `(SELECT person_id, text, count() AS times FROM ${from} AND text != '' GROUP BY person_id, text)`,
      );
    case "unique_list":
      return select(
        `if(countIf(text != '') = 0, '', toJSONString(arraySlice(arraySort(groupUniqArrayIf(text, text != '')), 1, ${bind(definition.most ?? defaultMost, "UInt64")})))`,
      );
  }
}
