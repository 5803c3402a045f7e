import type { ClickHouse } from "../clickhouse.ts";
import { createCountQueries } from "./counts.ts";
import { createLiveQueries } from "./new-events.ts";
import { createPeopleQueries } from "./people.ts";
import type { ReadQueries } from "./read-queries.ts";

export const createReadQueries = (clickhouse: ClickHouse): ReadQueries => ({
  ...createLiveQueries(clickhouse),
  ...createPeopleQueries(clickhouse),
  ...createCountQueries(clickhouse),
});
