import { computedTraitType, type ComputedTrait, type ComputedTraitType } from "@polder/core";
import type { ClickHouse } from "../clickhouse.ts";
import { compileComputedTrait } from "./compile-computed-trait.ts";
import { compileTraitsOfPerson } from "./compile-traits-of-person.ts";

export interface ComputedValue {
  name: string;
  type: ComputedTraitType;
  /** number: decimal text; list: the texts. */
  value: string | string[];
}

/** A server takes 128 KiB of a statement that has long parameters beside it, and something is put around this. */
const maxStatementLength = 90_000;

/** Whether it is too large for one statement, about a person or about everybody: then nobody could ask for its value. */
export function isComputedTraitTooLarge(definition: ComputedTrait): boolean {
  const context = { site: "", now: new Date(0) };
  const ofPerson = compileOf([["", definition]], { ...context, atoms: [] });
  return [ofPerson, compileComputedTrait(definition, context)].some(({ sql }) => sql.length > maxStatementLength);
}

interface Question {
  site: string;
  atoms: readonly number[];
  now: Date;
}
type Named = readonly [name: string, definition: ComputedTrait];

/**
 * What one person's computed traits are now, by name; those without a value are left out. One question for all of them, or several where they are long.
 */
export async function readComputedTraits(
  clickhouse: Pick<ClickHouse, "query">,
  site: string,
  atoms: readonly number[],
  definitions: ReadonlyMap<string, ComputedTrait>,
  now: Date,
): Promise<ComputedValue[]> {
  const all = [...definitions];
  const found = await Promise.all(
    [all.filter(isCopied), all.filter((each) => !isCopied(each))].map((some) =>
      readSome(clickhouse, some, { site, atoms, now }),
    ),
  );
  return found.flat().toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

async function readSome(
  clickhouse: Pick<ClickHouse, "query">,
  definitions: readonly Named[],
  question: Question,
): Promise<ComputedValue[]> {
  if (definitions.length === 0) return [];
  const { sql, params } = compileOf(definitions, question);
  if (sql.length > maxStatementLength && definitions.length > 1) {
    const middle = Math.ceil(definitions.length / 2);
    const halves = [definitions.slice(0, middle), definitions.slice(middle)];
    return (await Promise.all(halves.map((half) => readSome(clickhouse, half, question)))).flat();
  }
  const [row] = await clickhouse.query<{ values: string[] }>(sql, { params });
  return definitions.flatMap(([name, definition], n): ComputedValue[] => {
    const value = row?.values[n] ?? "";
    const type = computedTraitType(definition);
    if (value === "") return [];
    return [{ name, type, value: type === "list" ? (JSON.parse(value) as string[]) : value }];
  });
}

const compileOf = (definitions: readonly Named[], question: Question) =>
  compileTraitsOfPerson(
    definitions.map(([, definition]) => definition),
    { ...question, from: definitions.every(isCopied) ? "atom_event" : "events" },
  );

// The copy lacks them, since a withdrawal takes them out of events that stay.
const uncopied = new Set(["group_id", "click_id_kind"]);

const isCopied = ([, { where = [], of }]: Named): boolean =>
  [...where, ...(of === undefined ? [] : [of])].every((each) => !("column" in each) || !uncopied.has(each.column));
