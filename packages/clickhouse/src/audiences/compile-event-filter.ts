import { splitPropertyPath, type EventFilter, type FilterColumn } from "@polder/core";
import { compileComparison, compileListComparison } from "./compile-comparison.ts";
import type { Parameters } from "./parameters.ts";

/**
 * @returns a condition on a row of `events`: all of the filters hold.
 * @param amount what stands for the column `amount`, where it is the greatest of an order's copies.
 */
export function compileEventFilters(
  filters: readonly EventFilter[],
  parameters: Parameters,
  amount = "events.amount",
): string {
  return filters.map((filter) => compileEventFilter(filter, parameters, amount)).join(" AND ");
}

function compileEventFilter(filter: EventFilter, parameters: Parameters, amount: string): string {
  // The names of columns are from a closed list, which the parser has checked.
  if ("column" in filter) return compileComparison(columnText(filter.column, amount), filter, parameters);
  const { path, itemKeys } = splitPropertyPath(filter.property);
  if (itemKeys === undefined) return compileComparison(propertyText(path, parameters), filter, parameters);
  const keys = itemKeys.map((key) => `, ${parameters.bind(key, "String")}`).join("");
  const value = `toJSONString(getSubcolumn(events.properties, ${parameters.bind(path, "String")}))`;
  const texts = `arrayMap(raw -> multiIf(raw = 'null', '', startsWith(raw, '"'), JSONExtractString(raw), raw), ${
    keys === ""
      ? `JSONExtractArrayRaw(ifNull(${value}, ''))`
      : `arrayMap(raw -> JSONExtractRaw(raw${keys}), JSONExtractArrayRaw(ifNull(${value}, '')))`
  })`;
  return compileListComparison(texts, filter, parameters);
}

/** Text of a column, which is from a closed list; empty when there is none. */
export const columnText = (column: FilterColumn, amount = "events.amount"): string =>
  column === "amount" ? `if(events.currency = '', '', toString(${amount}))` : `toString(events.${column})`;

/** Text of a property: texts as they are, numbers and truths as JSON writes them; empty when there is none. */
export const propertyText = (path: string, { bind }: Parameters): string =>
  // The path is a parameter of the function, which takes it for a name and for nothing else.
  `toString(getSubcolumn(events.properties, ${bind(path, "String")}))`;
