import { StoreUnavailableError, type AtomKey, type EventStore } from "@polder/core";

import { ClickHouseQueryError, type ClickHouse } from "./clickhouse.ts";
import { isRefusal, refusalText } from "./is-refusal.ts";
import { localTable } from "./migrations/render-migrations.ts";

export interface EventStoreOptions {
  clickhouse: ClickHouse;
  /** Name of the cluster: rows go into the local table of the shard at hand, since tokens do not reach through a Distributed one. */
  cluster?: string;
}

/** Everything that makes one insert one block with one token, in the table and in what hangs on it. Stated in full: defaults differ by version. */
const insertSettings = {
  async_insert: 0,
  insert_deduplicate: 1,
  deduplicate_insert: "enable",
  deduplicate_blocks_in_dependent_materialized_views: 1,
  max_insert_block_size: 1_048_576,
  min_insert_block_size_rows: 1_048_576,
  min_insert_block_size_bytes: 1_073_741_824,
  input_format_parallel_parsing: 0,
  // A text that looks like a date stays the text that was sent.
  input_format_try_infer_dates: 0,
  input_format_try_infer_datetimes: 0,
  // A key with a dot is a path, so `{"a.b": 1, "a": {"b": 2}}` states one path twice: the first holds, the event is not refused for it.
  type_json_skip_duplicated_paths: 1,
  input_format_null_as_default: 1,
} as const;

const keyText = (key: AtomKey): string => JSON.stringify([key.site, key.anonymousId, key.userId]);

/** A server takes 128 KiB a field of a form, unless told otherwise where we cannot. */
const maxSliceBytes = 100_000;

/** Some thousand ordinary keys fit in one. */
function* slices(keys: readonly AtomKey[]): Generator<readonly AtomKey[]> {
  let start = 0;
  let bytes = 0;
  for (const [index, key] of keys.entries()) {
    const longest = Math.max(
      ...[key.site, key.anonymousId, key.userId].map((id) => Buffer.byteLength(JSON.stringify(id)) + 1),
    );
    if (bytes + longest > maxSliceBytes) {
      yield keys.slice(start, index);
      start = index;
      bytes = 0;
    }
    bytes += longest;
  }
  if (start < keys.length) yield keys.slice(start);
}

export function createEventStore({ clickhouse, cluster }: EventStoreOptions): EventStore {
  const attempt = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      throw unavailable(error);
    }
  };
  return {
    insert: async (name, token, chunks) => {
      try {
        await clickhouse.insertBytes(localTable(name, cluster), chunks, {
          settings: { ...insertSettings, insert_deduplication_token: token },
        });
        return { ok: true };
      } catch (error) {
        if (isRefusal(error)) return { ok: false, message: refusalText(error) };
        throw unavailable(error);
      }
    },
    findAtoms: async (keys, except) => {
      const atoms = new Map<string, number>();
      for (const slice of slices(keys)) {
        const rows = await attempt(
          clickhouse.query<AtomKey & { numbers: number[] }>(
            `WITH arrayZip({sites: Array(String)}, {anonymousIds: Array(String)}, {userIds: Array(String)}) AS wanted
             SELECT site, anonymous_id AS anonymousId, user_id AS userId, groupUniqArray(atom) AS numbers
             FROM atom
             WHERE (site, key) IN (SELECT key.1, cityHash64(key.2, key.3) FROM (SELECT arrayJoin(wanted) AS key))
             GROUP BY site, key, anonymous_id, user_id`,
            {
              params: {
                sites: slice.map((key) => key.site),
                anonymousIds: slice.map((key) => key.anonymousId),
                userIds: slice.map((key) => key.userId),
              },
            },
          ),
        );
        for (const row of rows) {
          const numbers = row.numbers.filter((atom) => !except?.has(atom));
          if (numbers.length > 0) atoms.set(keyText(row), Math.min(...numbers));
        }
      }
      return keys.map((key) => atoms.get(keyText(key)));
    },
    endingAtoms: async (since) => {
      const rows = await attempt(
        clickhouse.query<{ atom: number }>(
          `SELECT DISTINCT arrayJoin(atoms) AS atom FROM consent_receipt
           WHERE table_name = '' AND at >= fromUnixTimestamp64Milli({since: Int64})`,
          { params: { since: since.getTime() } },
        ),
      );
      return rows.map(({ atom }) => atom);
    },
    maxAtom: async (residue) => {
      const [row] = await attempt(
        clickhouse.query<{ greatest: number }>(
          `SELECT max(a.atom) AS greatest FROM atom AS a WHERE a.atom % 64 = {residue: UInt32} HAVING count() > 0`,
          { params: { residue } },
        ),
      );
      return row?.greatest;
    },
    maxOffset: async (name, partition) => {
      const others = name === "rejected" ? "AND reason != 'refused_by_store'" : "";
      const [row] = await attempt(
        clickhouse.query<{ offset: number }>(
          `SELECT max(_offset) AS offset FROM ${name} WHERE _partition = {partition: UInt16} ${others} HAVING count() > 0`,
          { params: { partition } },
        ),
      );
      return row?.offset;
    },
    messageIds: async function* (partition, from, before) {
      const rows = clickhouse.stream<{ offset: number; site: string; messageId: string }>(
        `SELECT _offset AS offset, site, message_id AS messageId FROM events
         WHERE _partition = {partition: UInt16} AND _offset >= {from: UInt64} AND _offset < {before: UInt64}
         ORDER BY _offset`,
        { params: { partition, from, before } },
      );
      try {
        yield* rows;
      } catch (error) {
        throw unavailable(error);
      }
    },
    isReachable: () => clickhouse.isReachable(),
    close: () => clickhouse.close(),
  };
}

/** Names what went wrong without the server's full text, which can quote rows. */
function unavailable(error: unknown): StoreUnavailableError {
  const reason =
    error instanceof ClickHouseQueryError
      ? `ClickHouse answered with error ${error.code}`
      : `ClickHouse was not reached (${error instanceof Error ? error.message : String(error)})`;
  return new StoreUnavailableError(reason, { cause: error });
}
