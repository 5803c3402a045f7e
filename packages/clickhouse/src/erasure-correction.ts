import type { ClickHouse } from "./clickhouse.ts";
import type { ErasureTurn } from "./erasure-turn.ts";
import { viewSelects } from "./migrations/0003-materialized-views.ts";
import { weekAndClass } from "./migrations/0009-retention.ts";
import { slices } from "./rewrite-tables.ts";

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
const markerOf = "concat(id, '/', toString(round))";

/**
 * Takes events out of `audience_day`, whose counts know no identities: their number is added once more, negative, and the sum wraps around. With it
 * goes a row that says so, in one insert, which is there as a whole or not at all: what was taken out once is never taken out again.
 * @throws when another worker has the turn by then.
 */
export async function subtractCounts(
  clickhouse: ClickHouse,
  /** As the rows say it: id and round. */
  erasures: readonly { marker: string }[],
  bounds: Bounds & { kept: readonly number[]; until: number },
  turn: ErasureTurn,
): Promise<void> {
  const there = await subtracted(clickhouse, erasures);
  const open = erasures.filter(({ marker }) => !there.has(marker)).map(({ marker }) => marker);
  if (open.length === 0) return;
  // What a server takes as one field is bounded.
  const fields = [...slices(open, 1_000)].map((some, n): [string, readonly string[]] => [`markers${n}`, some]);
  const isOpen = fields.map(([name]) => `${markerOf} IN {${name}: Array(String)}`).join(" OR ");
  const from = `(SELECT * FROM events WHERE atom IN (SELECT arrayJoin(atoms) FROM erasure WHERE ${isOpen}) AND ${isGone})`;
  const counted = viewSelects.audience_day(weekAndClass, { from, and: "" });
  await clickhouse.command(
    `INSERT INTO audience_day (site, day, dimension, value, week, is_known, events)
     SELECT site, day, dimension, value, week, is_known, less FROM (
       SELECT site, day, dimension::String AS dimension, value::String AS value, week, is_known, 0 - toUInt64(events) AS less FROM (${counted})
       UNION ALL
       SELECT site, today(), '${dimension}', ${markerOf}, today(), 1, toUInt64(0) FROM erasure WHERE ${isOpen}
     ) WHERE ${turn.isHeld}`,
    {
      params: { ...bounds, ...turn.params, ...Object.fromEntries(fields) },
      settings: {
        ...turn.settings,
        insert_deduplicate: 0,
        // One block.
        max_insert_threads: 1,
        min_insert_block_size_rows: 10_000_000,
        min_insert_block_size_bytes: 4_000_000_000,
        distributed_foreground_insert: 1,
      },
      isLong: true,
    },
  );
  await turn.keep();
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
    OR ${markerOf} IN (SELECT value FROM audience_day WHERE dimension = '${dimension}'))`;

/** What takes the markers away, when the receipt says the same. */
export const isMarker = `dimension = '${dimension}' AND value IN {markers: Array(String)}`;
