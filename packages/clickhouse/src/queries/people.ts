import type { ClickHouse } from "../clickhouse.ts";
import { findPersonOf } from "./person-of.ts";
import { readTimeline } from "./person-timeline.ts";
import { readProfile } from "./profile.ts";
import type { ReadQueries } from "./read-queries.ts";

type PeopleQueries = Pick<ReadQueries, "findPerson" | "profile" | "timeline">;

export const createPeopleQueries = (clickhouse: ClickHouse): PeopleQueries => ({
  findPerson: async (site, id) => (await findPersonOf(clickhouse, site, id))?.person,
  profile: (site, id, limits) => readProfile(clickhouse, site, id, limits),
  timeline: async (site, id, question) => {
    const found = await findPersonOf(clickhouse, site, id);
    if (found === undefined) return undefined;
    return { person: found.person, ...(await readTimeline(clickhouse, site, found.atoms, question)) };
  },
});
