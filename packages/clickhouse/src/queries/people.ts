import type { ClickHouse } from "../clickhouse.ts";
import { findPersonOf, type BlockedIds } from "./person-of.ts";
import { readTimeline } from "./person-timeline.ts";
import { readProfile, readSite, type KnownOfSite } from "./profile.ts";
import type { PersonId, ReadQueries } from "./read-queries.ts";

type PeopleQueries = Pick<ReadQueries, "findPerson" | "profile" | "timeline">;

/** Definitions change seldom, and profiles are read one after another. */
const siteAgeMs = 1_000;

export const createPeopleQueries = (clickhouse: ClickHouse, blocked: BlockedIds): PeopleQueries => {
  const find = (site: string, id: PersonId) => findPersonOf({ clickhouse, blocked }, site, id);
  const sites = new Map<string, { at: number; known: Promise<KnownOfSite> }>();
  const siteOf = (site: string, now: number): Promise<KnownOfSite> => {
    const held = sites.get(site);
    if (held !== undefined && Math.abs(now - held.at) < siteAgeMs) return held.known;
    const known = readSite(clickhouse, site);
    sites.set(site, { at: now, known });
    known.catch(() => sites.delete(site));
    return known;
  };
  return {
    findPerson: async (site, id) => (await find(site, id))?.person,
    profile: (site, id, limits) =>
      readProfile(
        clickhouse,
        {
          site,
          // Whoever has no events here has no profile.
          found: findPersonOf({ clickhouse, blocked }, site, id, { isUnchecked: true }),
          known: siteOf(site, limits.now.getTime()),
          blocked: blocked().get(site)?.blocked ?? [],
        },
        limits,
      ),
    timeline: async (site, id, question) => {
      const found = await find(site, id);
      if (found === undefined) return undefined;
      return { person: found.person, ...(await readTimeline(clickhouse, site, found, question)) };
    },
  };
};
