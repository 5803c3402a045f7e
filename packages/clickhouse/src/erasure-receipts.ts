import type { Erasure, ErasureReceipt, ErasureSummary } from "@polder/core";

import type { ClickHouse } from "./clickhouse.ts";
import type { Bounds } from "./erasure-correction.ts";
import { slices, unique } from "./rewrite-tables.ts";

/** By table: rows of each erasure. */
export type CountsOf = ReadonlyMap<string, number>;

export interface ReceiptLines {
  erasure: Erasure;
  /** What was there. */
  rows: CountsOf;
  /** What is left; undefined as long as nothing was removed. */
  left?: CountsOf;
  bounds?: Bounds;
  isCorrected?: boolean;
  isDone?: boolean;
}

/** How far an erasure has come. */
export interface Progress {
  rows: CountsOf;
  /** Undefined as long as none are written down. */
  bounds: Bounds | undefined;
  /** Counts by day are without the events up to there. */
  isCorrected: boolean;
}

export const keyOf = ({ id, round }: Pick<Erasure, "id" | "round">): string => `${id}/${round}`;

export function createErasureReceipts(clickhouse: ClickHouse) {
  return {
    async write(receipts: readonly ReceiptLines[], now: Date): Promise<void> {
      const at = now.toISOString().slice(0, -1).replace("T", " ");
      const rows = receipts.flatMap(({ erasure, rows: counts, left, bounds, isCorrected, isDone }) => {
        const { site, id, round, atoms } = erasure;
        const line = { site, id, round, is_done: isDone ? 1 : 0, at };
        const remaining = left ?? counts;
        const named = [...counts].map(([table, count]) => ({
          ...line,
          table_name: table,
          rows: count,
          remaining: remaining.get(table) ?? 0,
        }));
        const sum = [...remaining.values()].reduce((total, count) => total + count, 0);
        // The line of the whole comes in the same insert, so that where it is, the others are.
        const whole = {
          ...line,
          table_name: "",
          rows: atoms.length,
          remaining: sum,
          bounds: Object.fromEntries((bounds?.partitions ?? []).map((partition, i) => [partition, bounds!.offsets[i]])),
          is_corrected: isCorrected ? 1 : 0,
        };
        return [whole, ...named];
      });
      await clickhouse.insertRows("erasure_receipt", rows, { settings: { insert_deduplicate: 0 } });
    },

    /** Of those that were begun. */
    async progressOf(erasures: readonly Erasure[]): Promise<ReadonlyMap<string, Progress>> {
      interface Line {
        id: string;
        round: number;
        table: string;
        rows: number;
        partitions: number[];
        offsets: number[];
        isCorrected: number;
      }
      const lines: Line[] = [];
      for (const ids of slices(unique(erasures.map(({ id }) => id)), 1_000))
        lines.push(
          ...(await clickhouse.query<Line>(
            `SELECT id, round, table_name AS table, rows, mapKeys(bounds) AS partitions, mapValues(bounds) AS offsets, is_corrected AS isCorrected
         FROM erasure_receipt FINAL WHERE id IN {ids: Array(String)}`,
            { params: { ids } },
          )),
        );
      const found = new Map<string, Progress & { rows: Map<string, number> }>();
      for (const line of lines) {
        const progress = found.get(keyOf(line)) ?? {
          rows: new Map<string, number>(),
          bounds: undefined,
          isCorrected: false,
        };
        found.set(keyOf(line), progress);
        if (line.table !== "") progress.rows.set(line.table, line.rows);
        else {
          progress.isCorrected = line.isCorrected === 1;
          if (line.partitions.length > 0) progress.bounds = { partitions: line.partitions, offsets: line.offsets };
        }
      }
      return found;
    },

    async receipt(id: string): Promise<ErasureReceipt | undefined> {
      const [summary] = await clickhouse.query<ErasureSummary & { person: number; traits: string[]; keys: string[] }>(
        `${selectSummary}, any(person) AS person, any(traits) AS traits, arraySort(groupUniqArrayArray(arrayMap(key -> toString(key), keys))) AS keys
         ${fromSummary("e.id = {id: String}")}`,
        { params: { id } },
      );
      if (summary === undefined) return undefined;
      const lines = await clickhouse.query<{
        round: number;
        table: string;
        rows: number;
        remaining: number;
        isDone: number;
        at: number;
      }>(
        `SELECT round, table_name AS table, rows, remaining, is_done AS isDone, toUnixTimestamp64Milli(at) AS at
         FROM erasure_receipt FINAL WHERE id = {id: String} ORDER BY round, table_name`,
        { params: { id } },
      );
      const rounds = lines
        .filter(({ table }) => table === "")
        .map(({ round, isDone, at }) => ({
          round,
          isDone: isDone === 1,
          at,
          tables: lines
            .filter((line) => line.round === round && line.table !== "")
            .map(({ table, rows, remaining }) => ({ table, rows, remaining })),
        }));
      return { ...summary, rounds };
    },

    list: ({ site, limit }: { site?: string | undefined; limit: number }): Promise<ErasureSummary[]> =>
      clickhouse.query<ErasureSummary>(
        `${selectSummary} ${fromSummary(site === undefined ? "1" : "e.site = {site: String}")} ORDER BY requestedAt DESC, id LIMIT {limit: UInt32}`,
        { params: { limit, ...(site !== undefined && { site }) } },
      ),
  };
}

const selectSummary = `SELECT e.id AS id, any(e.site) AS site, any(e.kind) AS kind, toUnixTimestamp64Milli(min(e.requested_at)) AS requestedAt,
  argMin(e.actor, e.round) AS actor, argMin(e.reason, e.round) AS reason, length(groupUniqArrayArray(e.atoms)) AS identities,
  multiIf(min(r.is_done) = 1, 'done', max(r.rows) > 0, 'begun', 'requested') AS state`;
const fromSummary = (where: string): string => `FROM erasure AS e
  LEFT JOIN (SELECT id, round, rows, is_done FROM erasure_receipt FINAL WHERE table_name = '') AS r ON r.id = e.id AND r.round = e.round
  WHERE ${where} GROUP BY e.id`;
