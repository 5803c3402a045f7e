import { comparisonFields, comparisonNames, type Comparison } from "./comparison.ts";
import type { FormsShape, ObjectShape, Shape } from "./shape.ts";

/** Columns of an event that a filter may look at, as in the view events_v. Empty means that there is no value. */
export const filterColumns = [
  "type",
  "name",
  "origin",
  "partner",
  "regime",
  "basis",
  "url_host",
  "url_path",
  "url_query",
  "page_title",
  "page_group",
  "referrer_host",
  "referrer_path",
  "channel",
  "utm_source",
  "utm_medium",
  "utm_campaign",
  "utm_term",
  "utm_content",
  "click_id_kind",
  "country",
  "device",
  "browser",
  "os",
  "locale",
  "timezone",
  "library",
  "group_id",
  "order_id",
  "amount",
  "currency",
] as const;
export type FilterColumn = (typeof filterColumns)[number];

/** What an event must be: one of its columns compared. */
export interface ColumnFilter extends Comparison {
  column: FilterColumn;
}
/**
 * What an event must be: one of its properties compared. `address.city` is the city within the address;
 * `products[].sku` the sku of any of the products: one that fulfils all of the comparison is enough.
 */
export interface PropertyFilter extends Comparison {
  property: string;
}
export type EventFilter = ColumnFilter | PropertyFilter;

const columnFilter: ObjectShape = {
  type: "object",
  about: "A column of the event, as in the view events_v.",
  fields: {
    column: { type: "one_of", about: "Name of the column.", values: filterColumns },
    ...comparisonFields,
  },
  required: ["column"],
  needsOneOf: comparisonNames,
};

const propertyPathShape: Shape = {
  type: "text",
  about: "Name of the property. `address.city` goes into an object, `products[].sku` looks at each item of a list.",
  isNotEmpty: true,
  maxLength: 200,
  check: checkPropertyPath,
};

/** Of a property that is added up. */
export const addendPathShape: Shape = {
  ...propertyPathShape,
  about: "Name of the property. `address.city` goes into an object.",
  check: (path: string) =>
    path.includes("[]") ? "cannot go through a list: add up a property of the event." : checkPropertyPath(path),
};

const propertyFilter: ObjectShape = {
  type: "object",
  about: "A property of the event, as it was sent.",
  fields: { property: propertyPathShape, ...comparisonFields },
  required: ["property"],
  needsOneOf: comparisonNames,
};

const eventFilterShape: FormsShape = {
  type: "forms",
  name: "eventFilter",
  noun: "a filter",
  about: "What an event must be.",
  forms: () => ({ column: columnFilter, property: propertyFilter }),
};

export const eventFiltersShape: Shape = {
  type: "list",
  about: "What the events must be. All of these hold.",
  min: 1,
  max: 20,
  of: eventFilterShape,
  check: checkMoney,
};

/** An amount means nothing without its currency. */
function checkMoney(filters: readonly unknown[]): string | undefined {
  const columns = filters as readonly Partial<ColumnFilter>[];
  const needsCurrency = columns.some(
    (filter) => filter.column === "amount" && Object.keys(filter).some((key) => key !== "column" && key !== "exists"),
  );
  const hasCurrency = columns.some(({ column, is }) => column === "currency" && typeof is === "string");
  return needsCurrency && !hasCurrency
    ? 'compares an amount of any currency: add {"column": "currency", "is": "EUR"}.'
    : undefined;
}

export interface PropertyPath {
  /** Up to the list, or to the value when no list is in between: `address.city`. */
  path: string;
  /** Keys within an item of the list; empty for the item itself. Absent: no list. */
  itemKeys?: readonly string[];
}

/** Of a path that {@link checkPropertyPath} has let through. */
export function splitPropertyPath(property: string): PropertyPath {
  const at = property.indexOf("[]");
  if (at < 0) return { path: property };
  const rest = property.slice(at + 2);
  return { path: property.slice(0, at), itemKeys: rest === "" ? [] : rest.slice(1).split(".") };
}

/** What is wrong with the path of a property; undefined when nothing. */
function checkPropertyPath(path: string): string | undefined {
  const segments = path.split(".");
  if (segments.some((segment) => segment === "" || segment === "[]"))
    return "must be names with dots between them, as address.city.";
  if (segments.length > 10) return "may go 10 names deep.";
  const lists = segments.filter((segment) => segment.endsWith("[]"));
  if (lists.length > 1) return "may go through one list: use [] once.";
  // Of a list in a path the engine has a notation of its own, as it has for types and sub-objects.
  if (segments.some((segment) => /[[\]`^]/.test(segment.replace(/\[\]$/, "")) || segment.startsWith(":")))
    return "must be names without [, ], ` and ^, and none may begin with a colon. [] after a name looks at each item of a list.";
  // oxlint-disable-next-line no-control-regex
  if (/[\u0000-\u001f\u007f]/.test(path)) return "must not hold control characters.";
  return undefined;
}
