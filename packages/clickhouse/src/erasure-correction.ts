import { createHash } from "node:crypto";

import type { ClickHouse } from "./clickhouse.ts";
import { viewSelects } from "./migrations/0003-materialized-views.ts";
import { weekAndClass } from "./migrations/0009-retention.ts";
import { slices, unique } from "./rewrite-tables.ts";

/** By partition of the log the last event that was stored at one moment: later ones of the partition have greater offsets. */
export interface Bounds {
  partitions: readonly number[];
  offsets: readonly number[];
}

const inBounds = "_offset <= transform(_partition, {partitions: Array(UInt16)}, {offsets: Array(UInt64)}, toUInt64(0))";

/** Of the events of these identities, those that go with them: of one that somebody new uses since, those from before the erasure. */
export const isGone = `${inBounds} AND (atom NOT IN {kept: Array(UInt32)} OR least(time, received_at) < fromUnixTimestamp64Milli({until: Int64}))`;

export async function readBounds(clickhouse: ClickHouse): Promise<Bounds> {
  const rows = await clickhouse.query<{ partition: number; last: number }>(
    "SELECT _partition AS partition, max(_offset) AS last FROM events GROUP BY partition ORDER BY partition",
  );
  return { partitions: rows.map(({ partition }) => partition), offsets: rows.map(({ last }) => last) };
}

const dimension = "erasure";

/**
 * Takes events out of `audience_day`, whose counts know no identities: their number is added once more, negative, and the sum wraps around. With it
 * goes a row that says so, in one insert, which is there as a whole or not at all: what was taken out once is never taken out again.
 */
export async function subtractCounts(
  clickhouse: ClickHouse,
  /** As the rows say it: id and round; and whose. */
  erasures: readonly { site: string; marker: string; atoms: readonly number[] }[],
  params: Bounds & { kept: readonly number[]; until: number },
  now: Date,
): Promise<void> {
  const there = await subtracted(clickhouse, erasures);
  const open = erasures.filter(({ marker }) => !there.has(marker));
  if (open.length === 0) return;
  const rows: object[] = [];
  for (const some of slices(unique(open.flatMap(({ atoms }) => atoms)))) {
    const from = `(SELECT * FROM events WHERE atom IN {atoms: Array(UInt32)} AND ${isGone})`;
    const counted = viewSelects.audience_day(weekAndClass, { from, and: "" });
    // One negative number, as an unsigned one of 64 bits.
    const sql = `SELECT site, toString(day) AS day, dimension, value, toString(week) AS week, is_known, toString(0 - toUInt64(events)) AS less
      FROM (${counted})`;
    for (const { less, ...key } of await clickhouse.query<{ less: string }>(sql, {
      params: { ...params, atoms: some },
    }))
      rows.push({ ...key, events: String(BigInt.asUintN(64, BigInt(less))) });
  }
  // Another worker may have been at it meanwhile.
  if ((await subtracted(clickhouse, open)).size > 0) return subtractCounts(clickhouse, open, params, now);
  const today = now.toISOString().slice(0, "2026-11-22".length);
  const markers = open.map(({ marker }) => marker).toSorted();
  for (const { site, marker } of open)
    rows.push({ site, day: today, dimension, value: marker, week: today, is_known: 1, events: 0 });
  await clickhouse.insertRows("audience_day", rows, {
    settings: {
      // Of two workers that come with the same at one moment one is heard.
      insert_deduplicate: 1,
      deduplicate_insert: "enable",
      insert_deduplication_token: createHash("sha256").update(markers.join()).digest("hex"),
      max_insert_block_size: 10_000_000,
      min_insert_block_size_rows: 10_000_000,
      min_insert_block_size_bytes: 4_000_000_000,
      input_format_parallel_parsing: 0,
    },
  });
}

/** Markers of these that are there. */
async function subtracted(
  clickhouse: ClickHouse,
  erasures: readonly { marker: string }[],
): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for (const some of slices(erasures, 1_000)) {
    const rows = await clickhouse.query<{ value: string }>(
      `SELECT DISTINCT value FROM audience_day WHERE dimension = '${dimension}' AND value IN {markers: Array(String)}`,
      { params: { markers: some.map(({ marker }) => marker) } },
    );
    for (const { value } of rows) found.add(value);
  }
  return found;
}

export const isAnyMarker = `dimension = '${dimension}'`;

/** Of events: of identities that are being erased, whose events were taken out of the counts already and are still there. */
export const isSubtracted = `atom IN (SELECT arrayJoin(atoms) FROM erasure
  WHERE (id, round) IN (SELECT id, round FROM erasure_receipt FINAL WHERE table_name = '' AND is_corrected = 1 AND is_done = 0)
    OR concat(id, '/', toString(round)) IN (SELECT value FROM audience_day WHERE dimension = '${dimension}'))`;

/** What takes the markers away, when the receipt says the same. */
export const isMarker = `dimension = '${dimension}' AND value IN {markers: Array(String)}`;
