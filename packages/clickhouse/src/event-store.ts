import { StoreUnavailableError, type AtomKey, type EventStore, type StoredMessage } from "@polder/core";

import { ClickHouseQueryError, type ClickHouse, type QueryOptions } from "./clickhouse.ts";
import { findErasureKey } from "./erasure-key.ts";
import { createGapStore } from "./gap-store.ts";
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

/** Of rows that may come any number of times: remembering them would only push tokens that matter out of the window. */
const repeatableSettings = {
  ...insertSettings,
  insert_deduplicate: 0,
  deduplicate_insert: "disable",
  deduplicate_blocks_in_dependent_materialized_views: 0,
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
  const insertRows = async (
    table: string,
    chunks: readonly Uint8Array[],
    settings: QueryOptions["settings"] & {},
  ): Promise<{ ok: true } | { ok: false; message: string }> => {
    try {
      await clickhouse.insertBytes(table, chunks, { settings });
      return { ok: true };
    } catch (error) {
      if (isRefusal(error)) return { ok: false, message: refusalText(error) };
      throw unavailable(error);
    }
  };
  return {
    insert: (name, token, chunks) =>
      insertRows(localTable(name, cluster), chunks, { ...insertSettings, insert_deduplication_token: token }),
    insertLedger: (name, rows) =>
      // What is sent to `ledger_entry` stays on this node: its view fills the local table.
      insertRows(name === "ledger_entry" ? name : localTable(name, cluster), [rows], repeatableSettings),
    ledgerPosition: async (partition) => {
      const [row] = await attempt(
        clickhouse.query<{ next: number }>(
          "SELECT max(next_offset) AS next FROM ledger_progress WHERE topic = 'polder.ledger' AND partition = {partition: UInt16}",
          { params: { partition } },
        ),
      );
      return row?.next || undefined;
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
          `SELECT arrayJoin(atoms) AS atom FROM consent_receipt
           WHERE table_name = '' AND at >= fromUnixTimestamp64Milli({since: Int64})
           UNION DISTINCT
           SELECT arrayJoin(atoms) AS atom FROM erasure
           WHERE kind = 'person' AND (at >= fromUnixTimestamp64Milli({since: Int64})
             OR (id, round) NOT IN (SELECT id, round FROM erasure_receipt WHERE table_name = '' AND is_done = 1))`,
          { params: { since: since.getTime() } },
        ),
      );
      return rows.map(({ atom }) => atom);
    },
    erasedIds: async (since) => {
      const hashKey = await attempt(findErasureKey(clickhouse));
      if (hashKey === undefined) return { hashKey, keys: new Map() };
      const rows = await attempt(
        clickhouse.query<{ key: string; before: number }>(
          `SELECT toString(arrayJoin(keys)) AS key, toUnixTimestamp64Milli(max(requested_at)) AS before FROM erasure
           WHERE kind = 'person' AND at >= fromUnixTimestamp64Milli({since: Int64}) GROUP BY key`,
          { params: { since: since?.getTime() ?? 0 } },
        ),
      );
      return { hashKey, keys: new Map(rows.map(({ key, before }) => [BigInt(key), before])) };
    },
    maxAtom: async (residue) => {
      const [row] = await attempt(
        clickhouse.query<{ greatest: number }>(
          `SELECT max(greatest) AS greatest FROM (
             SELECT max(a.atom) AS greatest FROM atom AS a WHERE a.atom % 64 = {residue: UInt32}
             UNION ALL SELECT max(p.atom) FROM log_position AS p WHERE p.atom % 64 = {residue: UInt32})`,
          { params: { residue } },
        ),
      );
      // 0 is no atom: it stands for none.
      return row?.greatest || undefined;
    },
    maxOffset: async (name, partition) => {
      const others = name === "rejected" ? "AND reason != 'refused_by_store'" : "";
      const [row] = await attempt(
        clickhouse.query<{ offset: number }>(
          `SELECT max(offset) AS offset FROM (
             SELECT max(_offset) AS offset FROM ${name} WHERE _partition = {partition: UInt16} ${others} HAVING count() > 0
             UNION ALL
             SELECT max(p._offset) FROM log_position AS p WHERE table_name = {name: String} AND _partition = {partition: UInt16} HAVING count() > 0)
           HAVING count() > 0`,
          { params: { partition, name } },
        ),
      );
      return row?.offset;
    },
    messageHashes: async function* (partition, from, before, key) {
      const [k0, k1] = new BigUint64Array(key.slice().buffer);
      const bytes = clickhouse.streamBytes(
        `SELECT _offset, sipHash64Keyed((toUInt64({k0: String}), toUInt64({k1: String})), concat(site::String, '\\0', message_id))
         FROM events WHERE _partition = {partition: UInt16} AND _offset >= {from: UInt64} AND _offset < {before: UInt64}
         FORMAT RowBinary`,
        {
          params: { partition, from, before, k0: String(k0), k1: String(k1) },
          // An error after the first rows would otherwise come as rows.
          settings: { wait_end_of_query: 1 },
        },
      );
      try {
        yield* wholeRows(bytes);
      } catch (error) {
        throw unavailable(error);
      }
    },
    messagesAt: async (partition, offsets) => {
      const found: StoredMessage[] = [];
      for (let first = 0; first < offsets.length; first += maxOffsetsAtOnce) {
        const some = offsets.slice(first, first + maxOffsetsAtOnce);
        const params = { partition, some, least: Math.min(...some), greatest: Math.max(...some) };
        const rows = await attempt(
          clickhouse.query<StoredMessage>(
            // The bounds let the index of offsets pass over parts that hold none of them.
            `SELECT _offset AS offset, site::String AS site, message_id AS messageId FROM events
             WHERE _partition = {partition: UInt16} AND _offset >= {least: UInt64} AND _offset <= {greatest: UInt64}
               AND _offset IN {some: Array(UInt64)}`,
            { params },
          ),
        );
        found.push(...rows);
      }
      return found;
    },
    atomsAt: async (partition, from, before) => {
      const rows = await attempt(
        clickhouse.query<{ offset: number; least: number }>(
          `SELECT _offset AS offset, min(atom) AS least FROM events
           WHERE _partition = {partition: UInt16} AND _offset >= {from: UInt64} AND _offset < {before: UInt64} GROUP BY _offset`,
          { params: { partition, from, before } },
        ),
      );
      return new Map(rows.map(({ offset, least }) => [offset, least]));
    },
    hasRefusal: async (partition, offset) => {
      const [row] = await attempt(
        clickhouse.query<{ count: number }>(
          `SELECT count() AS count FROM rejected
           WHERE _partition = {partition: UInt16} AND _offset = {offset: UInt64} AND reason = 'refused_by_store'`,
          { params: { partition, offset } },
        ),
      );
      return (row?.count ?? 0) > 0;
    },
    sourceOf: async (name, log) => {
      const read = async (): Promise<string | undefined> => {
        const [row] = await attempt(
          clickhouse.query<{ log: string }>(
            "SELECT argMin(log, since) AS log FROM log_source WHERE table_name = {name: String} HAVING count() > 0",
            { params: { name } },
          ),
        );
        return row?.log;
      };
      const known = await read();
      if (known !== undefined) return known;
      // Of two that write at once one is heard: the token is the table's.
      const settings = { ...insertSettings, insert_deduplication_token: `log_source:${name}` };
      await attempt(clickhouse.insertRows("log_source", [{ table_name: name, log }], { settings }));
      return (await read()) ?? log;
    },
    gaps: createGapStore({ clickhouse, attempt }),
    isReachable: () => clickhouse.isReachable(),
    close: () => clickhouse.close(),
  };
}

const maxOffsetsAtOnce = 10_000;
const bytesPerRow = 16;

/** Rows of two UInt64, of which a chunk of the network may hold the half. */
async function* wholeRows(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint32Array> {
  let rest: Uint8Array = new Uint8Array();
  for await (const chunk of chunks) {
    const length = rest.length + chunk.length;
    const whole = length - (length % bytesPerRow);
    // A copy, since words have to begin where a word may begin.
    const bytes = new Uint8Array(length);
    bytes.set(rest);
    bytes.set(chunk, rest.length);
    if (whole > 0) yield new Uint32Array(bytes.buffer, 0, whole / 4);
    rest = bytes.subarray(whole);
  }
  if (rest.length > 0) throw new Error("the answer broke off in the middle of a row");
}

/** What an operator can do something about. */
const inWords: ReadonlyMap<number, string> = new Map([
  [60, "a table is missing: run `polder migrate`"],
  [81, "the database is missing: run `polder migrate`"],
  [164, "this user may only read: give it the right to insert"],
  [241, "out of memory"],
  [243, "its disk is full: make room, loading goes on by itself"],
  [252, "too many parts: its disk is slower than what comes in, merges are behind"],
  [497, "this user lacks a right"],
  [516, "user or password are wrong"],
]);

/** Names what went wrong without the server's full text, which can quote rows. */
function unavailable(error: unknown): StoreUnavailableError {
  const reason =
    error instanceof ClickHouseQueryError
      ? `ClickHouse answered with error ${error.code}${inWords.has(error.code) ? ` (${inWords.get(error.code)})` : ""}`
      : `ClickHouse was not reached (${error instanceof Error ? error.message : String(error)})`;
  return new StoreUnavailableError(reason, { cause: error });
}
