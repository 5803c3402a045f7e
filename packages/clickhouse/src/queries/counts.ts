import type { ClickHouse } from "../clickhouse.ts";
import { notErased } from "./not-erased.ts";
import type { AudienceCount, ReadQueries, Summary } from "./read-queries.ts";

type CountQueries = Pick<ReadQueries, "audiences" | "summary">;

// Atoms become people when the question is asked: merged identities count once, also in days that are long gone.
const peopleByValue = (condition: string) => `
SELECT dimension, value, any(total) AS events, uniqExactIf(person(atom) AS who, who != 0) AS people
FROM (
  SELECT dimension, value, sum(events) AS total, bitmapToArray(groupBitmapMergeState(atoms)) AS seen
  FROM audience_day WHERE site = {site:String} AND day = {day:Date} AND (${condition}) GROUP BY dimension, value HAVING total > 0)
LEFT ARRAY JOIN seen AS atom
GROUP BY dimension, value`;

export const createCountQueries = (clickhouse: ClickHouse): CountQueries => ({
  audiences: (site, day, valuesPerDimension) =>
    clickhouse.query<AudienceCount>(
      `SELECT dimension, value, events, people FROM (${peopleByValue("dimension != 'all'")})
      ORDER BY dimension, people DESC, events DESC, value LIMIT {valuesPerDimension:UInt32} BY dimension`,
      { params: { site, day, valuesPerDimension } },
    ),

  async summary(site, day, { now, since }): Promise<Summary> {
    const [totals, seconds, newest, rejected] = await Promise.all([
      clickhouse.query<AudienceCount>(
        peopleByValue("dimension = 'all' OR dimension = 'event' AND value IN ('page', 'screen')"),
        { params: { site, day } },
      ),
      clickhouse.query<Summary["seconds"][number]>(
        `SELECT toUnixTimestamp(received_at) AS second, count() AS count FROM events
        WHERE site = {site:String} AND ${notErased} AND received_at >= fromUnixTimestamp64Milli({since:Int64}) GROUP BY second ORDER BY second`,
        { params: { site, since } },
      ),
      clickhouse.query<{ newest: number; count: number }>(
        `SELECT toUnixTimestamp64Milli(max(received_at)) AS newest, count() AS count FROM events
        WHERE site = {site:String} AND ${notErased} AND day >= {day:Date} - 1`,
        { params: { site, day } },
      ),
      clickhouse.query<Summary["rejected"][number]>(
        `SELECT reason, count() AS count FROM rejected
        WHERE site = {site:String} AND received_at >= fromUnixTimestamp64Milli({from:Int64}) GROUP BY reason ORDER BY count DESC, reason`,
        { params: { site, from: now - 24 * 3_600_000 } },
      ),
    ]);
    return {
      events: totals.find(({ dimension }) => dimension === "all")?.events ?? 0,
      people: totals.find(({ dimension }) => dimension === "all")?.people ?? 0,
      pageViews: totals.reduce((sum, { dimension, events }) => (dimension === "event" ? sum + events : sum), 0),
      newestReceivedAt: newest[0] !== undefined && newest[0].count > 0 ? newest[0].newest : undefined,
      seconds,
      rejected,
    };
  },
});
