import type { JsonObject } from "@polder/protocol";
import { currencyShape, eventNamesShape } from "../audience/audience-shape.ts";
import {
  addendPathShape,
  eventFiltersShape,
  filterColumns,
  type EventFilter,
  type FilterColumn,
} from "../audience/event-filter.ts";
import { readShape, schemaOfShape, type Fault, type ObjectShape } from "../audience/shape.ts";
import { windowShape, type Window } from "../audience/window.ts";

/** What is worked out of the events. The list is closed. */
export const traitComputations = [
  "count",
  "sum",
  "average",
  "min",
  "max",
  "first",
  "last",
  "most_frequent",
  "unique_list",
  "days_since",
  "lifetime_value",
] as const;
export type TraitComputation = (typeof traitComputations)[number];

/**
 * A trait that is worked out of somebody's events whenever it is asked for, so it covers all that is stored, and follows late events, merges and
 * erasures. Whoever has none of the events has no value.
 */
export interface ComputedTrait {
  description?: string;
  compute: TraitComputation;
  /** Names of events, or `*`. lifetime_value: none, it is about orders and refunds. */
  event?: string | readonly string[];
  where?: readonly EventFilter[];
  within?: Window;
  /** What of each event: a property, or a column. Events without it are left out. */
  of?: { property: string } | { column: FilterColumn };
  /** With the column amount, and of lifetime_value: money of one currency only. */
  currency?: string;
  /** unique_list: how many values at most, from 1 to 1,000; 100 when left out. */
  most?: number;
}

/** number: decimal text. text: as it was. list: texts as a JSON list, in the order of their bytes. */
export type ComputedTraitType = "number" | "text" | "list";

export function computedTraitType({ compute }: Pick<ComputedTrait, "compute">): ComputedTraitType {
  if (compute === "unique_list") return "list";
  return compute === "first" || compute === "last" || compute === "most_frequent" ? "text" : "number";
}

export const defaultMost = 100;

const needsOf: ReadonlySet<TraitComputation> = new Set([
  "sum",
  "average",
  "min",
  "max",
  "first",
  "last",
  "most_frequent",
  "unique_list",
]);
const addsUp: ReadonlySet<TraitComputation> = new Set(["sum", "average", "min", "max"]);

const computedTraitShape: ObjectShape = {
  type: "object",
  about: "A trait that is worked out of somebody's events.",
  fields: {
    description: { type: "text", about: "For people.", maxLength: 1_000 },
    compute: { type: "one_of", about: "What is worked out of the events.", values: traitComputations },
    event: eventNamesShape,
    where: eventFiltersShape,
    within: { ...windowShape, about: "Only events in this window. Absent: ever." },
    of: {
      type: "forms",
      name: "traitSource",
      noun: "a property or a column",
      about: "What of each event. Events that do not have it are left out.",
      forms: () => ({
        property: {
          type: "object",
          about: "A property of the event.",
          fields: { property: addendPathShape },
        },
        column: {
          type: "object",
          about: "A column of the event, as in the view events_v.",
          fields: { column: { type: "one_of", about: "Name of the column.", values: filterColumns } },
        },
      }),
    },
    currency: currencyShape,
    most: {
      type: "number",
      about: `unique_list: how many values at most; ${defaultMost} when left out.`,
      min: 1,
      max: 1_000,
      isWhole: true,
    },
  },
  required: ["compute"],
};

export type ComputedTraitResult = { ok: true; definition: ComputedTrait } | { ok: false; faults: readonly Fault[] };

const maxFaults = 100;

/** A definition as JSON read it, or everything that is wrong with it at once, each with its place. Never throws. */
export function parseComputedTrait(value: unknown): ComputedTraitResult {
  const faults: Fault[] = [];
  const definition = readShape(computedTraitShape, value, "", faults) as ComputedTrait;
  if (faults.length === 0) faults.push(...faultsOfWhole(definition));
  return faults.length === 0 ? { ok: true, definition } : { ok: false, faults: faults.slice(0, maxFaults) };
}

function* faultsOfWhole({ compute, event, of, currency, most }: ComputedTrait): Generator<Fault> {
  const isOrders = compute === "lifetime_value";
  if (isOrders && event !== undefined)
    yield { path: "event", message: "must be left out: lifetime_value is about orders and refunds." };
  if (!isOrders && event === undefined) yield { path: "event", message: `is missing: ${eventNamesShape.about}` };
  if (needsOf.has(compute) && of === undefined)
    yield {
      path: "of",
      message: `is missing: say of which property or column the ${compute} is, as {"property": "price"}.`,
    };
  if (!needsOf.has(compute) && of !== undefined)
    yield { path: "of", message: `must be left out: ${compute} looks at the events alone.` };
  const isMoney = of !== undefined && "column" in of && of.column === "amount";
  if (of !== undefined && "column" in of && !isMoney && addsUp.has(compute))
    yield { path: "of.column", message: `must be amount: the ${compute} of a text is nothing.` };
  const needsCurrency = isOrders || isMoney;
  if (needsCurrency && currency === undefined)
    yield {
      path: "currency",
      message: "is missing: money of different currencies does not add up. Say which, as EUR.",
    };
  if (!needsCurrency && currency !== undefined)
    yield {
      path: "currency",
      message: 'must be left out: it goes with the column amount and with lifetime_value. To filter, use "where".',
    };
  if (compute !== "unique_list" && most !== undefined)
    yield { path: "most", message: "must be left out: it says how long a unique_list may be." };
}

/** JSON Schema (draft 2020-12) of a definition, for editors and other programs. {@link parseComputedTrait} checks all of it, and more. */
export function computedTraitJsonSchema(): JsonObject {
  const defs = new Map<string, JsonObject>();
  const schema = schemaOfShape(computedTraitShape, defs);
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Computed trait",
    ...schema,
    $defs: Object.fromEntries(defs),
  };
}
