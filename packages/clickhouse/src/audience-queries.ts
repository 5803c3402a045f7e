import type { AudienceChange } from "./audience-tick-store.ts";
import type { ClickHouse, QueryParameter } from "./clickhouse.ts";

export interface AudienceSize {
  /** When it was counted, in milliseconds since 1970. */
  at: number;
  version: number;
  /** As it was seen then. */
  people: number;
  /** As known now; undefined unless asked for. */
  restated: number | undefined;
  /** An anonymous one with fewer people than may be told: `people` is 0. */
  isBelowFloor: boolean;
}

export interface AudienceQueries {
  /** By id: people in it as known now; of an anonymous one as counted last; and by which version. One that was never worked out is not there. */
  peopleOf(
    site: string,
  ): Promise<ReadonlyMap<string, { people: number; isBelowFloor: boolean; at: number; version: number }>>;
  /** In the order of their numbers, after one of them. */
  members(site: string, audience: string, after: number, limit: number): Promise<{ person: number; since: number }[]>;
  /** Newest first, of everybody or of one person (and whoever is part of them now), before a number. */
  log(
    site: string,
    audience: string,
    options: { before: number | undefined; person: number | undefined; limit: number },
  ): Promise<AudienceChange[]>;
  /** One for each hour in which it changed, oldest first. Restating resolves every identity anew. */
  sizes(
    site: string,
    audience: string,
    options: { from: number; to: number; isRestated: boolean },
  ): Promise<AudienceSize[]>;
  /** How many people are in both, by pair of ids, each with itself too. */
  overlap(site: string, audiences: readonly string[]): Promise<{ a: string; b: string; people: number }[]>;
  /** Number of the newest change of all audiences; 0 when there is none. */
  newestChange(): Promise<number>;
  /** Oldest first, people as known now (0: nobody any more). */
  changesAfter(seq: number, limit: number): Promise<AudienceChange[]>;
}

const selectChange =
  "seq, site, audience, person, change, reason, survivor, toUnixTimestamp64Milli(l.at) AS at, version";

/** What is asked about audiences. */
export const createAudienceQueries = (clickhouse: ClickHouse): AudienceQueries => ({
  async peopleOf(site) {
    const rows = await clickhouse.query<{
      audience: string;
      people: number;
      below: number;
      at: number;
      version: number;
    }>(
      `SELECT s.audience AS audience, if(s.is_anonymous = 1, s.people, m.people) AS people, s.below AS below, s.at AS at, s.version AS version FROM (
         SELECT z.audience AS audience, argMax(z.people, z.at) AS people, argMax(z.is_below_floor, z.at) AS below, toUnixTimestamp64Milli(max(z.at)) AS at,
           argMax(z.version, z.at) AS version,
           any(a.is_anonymous) AS is_anonymous
         FROM audience_size AS z JOIN (SELECT audience, max(is_anonymous) AS is_anonymous FROM audience WHERE site = {site:String} GROUP BY audience) AS a
           ON a.audience = z.audience
         WHERE z.site = {site:String} GROUP BY z.audience) AS s
       LEFT JOIN (SELECT audience, count() AS people FROM audience_members WHERE site = {site:String} GROUP BY audience) AS m ON m.audience = s.audience`,
      { params: { site } },
    );
    return new Map(
      rows.map(({ audience, below, ...counted }) => [audience, { ...counted, isBelowFloor: below === 1 }]),
    );
  },

  members: (site, audience, after, limit) =>
    clickhouse.query(
      `SELECT person_id AS person, toUnixTimestamp64Milli(m.since) AS since FROM audience_members AS m
       WHERE site = {site:String} AND audience = {audience:String} AND person_id > {after:UInt32} ORDER BY person_id LIMIT {limit:UInt32}`,
      { params: { site, audience, after, limit } },
    ),

  log: (site, audience, { before, person, limit }) => {
    const params: { [name: string]: QueryParameter } = { site, audience, limit };
    const where = ["site = {site:String}", "audience = {audience:String}"];
    if (before !== undefined) {
      where.push("seq < {before:UInt64}");
      params["before"] = before;
    }
    if (person !== undefined) {
      where.push(
        "person IN (SELECT {person:UInt32} UNION DISTINCT SELECT atom FROM identity FINAL WHERE person = {person:UInt32})",
      );
      params["person"] = person;
    }
    return clickhouse.query(
      `SELECT ${selectChange} FROM audience_log AS l WHERE ${where.join(" AND ")} ORDER BY seq DESC LIMIT {limit:UInt32}`,
      { params },
    );
  },

  async sizes(site, audience, { from, to, isRestated }) {
    const rows = await clickhouse.query<{
      at: number;
      version: number;
      people: number;
      restated: number;
      below: number;
    }>(
      `SELECT toUnixTimestamp64Milli(s.at) AS at, version, people, ${isRestated ? "restated" : "0 AS restated"}, is_below_floor AS below
       FROM audience_sizes AS s WHERE site = {site:String} AND audience = {audience:String}
         AND s.at >= fromUnixTimestamp64Milli({from:Int64}) AND s.at < fromUnixTimestamp64Milli({to:Int64}) ORDER BY s.hour`,
      { params: { site, audience, from, to } },
    );
    return rows.map(({ below, restated, ...row }) => ({
      ...row,
      restated: isRestated ? restated : undefined,
      isBelowFloor: below === 1,
    }));
  },

  overlap: (site, audiences) =>
    clickhouse.query(
      `WITH sets AS (
         SELECT audience, groupBitmapState(person_id) AS people FROM audience_members
         WHERE site = {site:String} AND audience IN {audiences:Array(String)} GROUP BY audience)
       SELECT x.audience AS a, y.audience AS b, bitmapAndCardinality(x.people, y.people) AS people
       FROM sets AS x CROSS JOIN sets AS y ORDER BY a, b`,
      { params: { site, audiences } },
    ),

  async newestChange() {
    const [row] = await clickhouse.query<{ seq: number }>("SELECT max(seq) AS seq FROM audience_log");
    return row?.seq ?? 0;
  },

  changesAfter: (seq, limit) =>
    clickhouse.query(
      `SELECT ${selectChange.replace("person,", "person(person) AS person,")} FROM audience_log AS l
       WHERE seq > {seq:UInt64} ORDER BY seq LIMIT {limit:UInt32}`,
      { params: { seq, limit } },
    ),
});
