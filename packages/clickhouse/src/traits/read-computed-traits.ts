import { computedTraitType, type ComputedTrait, type ComputedTraitType } from "@polder/core";
import { createParameters } from "../audiences/parameters.ts";
import type { ClickHouse } from "../clickhouse.ts";
import { compileComputedTrait, maxTraitLength, type CompiledComputedTrait } from "./compile-computed-trait.ts";

export interface ComputedValue {
  name: string;
  type: ComputedTraitType;
  /** number: decimal text; list: the texts. */
  value: string | string[];
}

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
  const parts = [...definitions].map(([name, definition]) => ({
    name,
    part: compileComputedTrait(definition, { site, now, atoms }),
  }));
  const answers = await Promise.all(
    statementsOf(parts).map((some) => {
      const parameters = createParameters({ site, atoms });
      const selects = some.map(
        ({ name, part }) => `SELECT ${parameters.bind(name, "String")} AS name, value FROM (${parameters.adopt(part)})`,
      );
      return clickhouse.query<{ name: string; value: string }>(selects.join("\nUNION ALL\n"), {
        params: parameters.all,
      });
    }),
  );
  return answers
    .flat()
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name, value }) => {
      const type = computedTraitType(definitions.get(name)!);
      return { name, type, value: type === "list" ? (JSON.parse(value) as string[]) : value };
    });
}

interface Part {
  name: string;
  part: CompiledComputedTrait;
}

function statementsOf(parts: readonly Part[]): Part[][] {
  const statements: Part[][] = [];
  let length = Infinity;
  for (const each of parts) {
    length += each.part.sql.length;
    if (length > maxTraitLength) {
      statements.push([]);
      length = each.part.sql.length;
    }
    statements.at(-1)!.push(each);
  }
  return statements;
}
