import type { ClickHouse } from "../clickhouse.ts";
import { createCountQueries } from "./counts.ts";
import { createLiveQueries } from "./new-events.ts";
import { createPeopleQueries } from "./people.ts";
import type { BlockedIds } from "./person-of.ts";
import type { ReadQueries } from "./read-queries.ts";

/** @param blocked by site, ids that stand for nobody besides the built-in ones: nobody is found by them. */
export const createReadQueries = (clickhouse: ClickHouse, blocked: BlockedIds = () => new Map()): ReadQueries => ({
  ...createLiveQueries(clickhouse),
  ...createPeopleQueries(clickhouse, blocked),
  ...createCountQueries(clickhouse),
});
