import type { ComputedTrait } from "@polder/core";
import type { ClickHouse } from "../clickhouse.ts";
import { createComputedTraitStore } from "../traits/computed-trait-store.ts";

/** The computed traits of a site that a definition may name, by name, as they are now. */
export function computedTraitsOfSite(
  clickhouse: ClickHouse,
): (site: string) => Promise<ReadonlyMap<string, ComputedTrait>> {
  const store = createComputedTraitStore(clickhouse);
  return async (site) =>
    new Map(
      (await store.list(site)).flatMap(({ name, definition }): [string, ComputedTrait][] =>
        definition === undefined ? [] : [[name, definition]],
      ),
    );
}
