import type { ClickHouse, QueryOptions } from "./clickhouse.ts";

/** Some of the events of one week, by when they arrived, and where an hour has too many, by whose they are. */
export interface EventSlice {
  /** Monday of the week, as `2026-11-16`. */
  week: string;
  /** The condition {@link inSlice} asks for these. */
  params: { from: number; to: number; part: number; parts: number };
}

export interface EventSlicesOptions {
  clickhouse: ClickHouse;
  /** The table of events, as it is called where nothing says which database. */
  events: string;
  /** Of a slice, about. Default: as many as take 300 MiB at most, a visit each: an engine with 1 GiB merges what is there beside it. */
  maxEvents?: number;
}

const defaultMaxEvents = 50_000;

/** True of the events of one slice: each event is in exactly one. */
export const inSlice = ` AND events.received_at >= fromUnixTimestamp({from: Int64}) AND events.received_at < fromUnixTimestamp({to: Int64})
  AND intHash32(events.atom) % {parts: UInt32} = {part: UInt32}`;

/**
 * For `INSERT … SELECT` of a slice. What a query holds grows with the number of its threads, and a server may have many; what it groups by
 * leaves the memory before it is too much. Blocks of the same rows are no retry of each other.
 */
export const sliceSettings = {
  max_threads: 2,
  max_insert_threads: 1,
  max_block_size: 16_384,
  min_insert_block_size_rows: 32_768,
  min_insert_block_size_bytes: 64 * 1024 ** 2,
  max_bytes_before_external_group_by: 64 * 1024 ** 2,
  insert_deduplicate: 0,
  distributed_foreground_insert: 1,
} as const satisfies NonNullable<QueryOptions["settings"]>;

/** All events, in the order of their weeks. @param weeks only those that arrived in these weeks */
export async function sliceEvents(
  { clickhouse, events, maxEvents = defaultMaxEvents }: EventSlicesOptions,
  weeks?: readonly string[],
): Promise<EventSlice[]> {
  const hours = await clickhouse.query<{ week: string; hour: number; count: number }>(
    `SELECT toString(toMonday(e.received_at)) AS week, toUnixTimestamp(toStartOfHour(e.received_at)) AS hour, count() AS count
     FROM ${events} AS e ${weeks === undefined ? "" : "WHERE toMonday(e.received_at) IN {weeks: Array(Date)}"}
     GROUP BY week, hour ORDER BY hour`,
    weeks === undefined ? {} : { params: { weeks } },
  );
  const spans: { week: string; from: number; to: number; count: number }[] = [];
  for (const { week, hour, count } of hours) {
    const last = spans.at(-1);
    if (last === undefined || last.week !== week || last.count + count > maxEvents)
      spans.push({ week, from: hour, to: hour + 3600, count });
    else {
      last.to = hour + 3600;
      last.count += count;
    }
  }
  return spans.flatMap(({ week, from, to, count }) => {
    const parts = Math.ceil(count / maxEvents);
    return Array.from({ length: parts }, (_, part) => ({ week, params: { from, to, part, parts } }));
  });
}
