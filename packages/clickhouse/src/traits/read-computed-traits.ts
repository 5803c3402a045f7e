import { computedTraitType, type ComputedTrait, type ComputedTraitType } from "@polder/core";
import { createParameters } from "../audiences/parameters.ts";
import type { ClickHouse } from "../clickhouse.ts";
import { compileComputedTrait } from "./compile-computed-trait.ts";

export interface ComputedValue {
  name: string;
  type: ComputedTraitType;
  /** number: decimal text; list: the texts. */
  value: string | string[];
}

/** What one person's computed traits are now, by name; those without a value are left out. One question for all of them. */
export async function readComputedTraits(
  clickhouse: ClickHouse,
  site: string,
  atoms: readonly number[],
  definitions: ReadonlyMap<string, ComputedTrait>,
  now: Date,
): Promise<ComputedValue[]> {
  if (definitions.size === 0) return [];
  const parameters = createParameters({ site, atoms });
  const parts = [...definitions].map(([name, definition]) => {
    const part = compileComputedTrait(definition, { site, now, atoms });
    return `SELECT ${parameters.bind(name, "String")} AS name, value FROM (${parameters.adopt(part)})`;
  });
  const rows = await clickhouse.query<{ name: string; value: string }>(
    `SELECT name, value FROM (${parts.join("\nUNION ALL\n")}) ORDER BY name`,
    { params: parameters.all },
  );
  return rows.map(({ name, value }) => {
    const type = computedTraitType(definitions.get(name)!);
    return { name, type, value: type === "list" ? (JSON.parse(value) as string[]) : value };
  });
}
