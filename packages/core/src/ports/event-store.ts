/** Where rows end up and questions are asked: ClickHouse, embedded or not. */

export type RowTable = "events" | "rejected";

export interface AtomKey {
  site: string;
  /** Empty when none. */
  anonymousId: string;
  /** Empty when none. */
  userId: string;
}

export interface EventStore {
  /**
   * `refused` may only be said of rows that left no trace (they could not be parsed): an error raised while a view was being filled is
   * unavailability, since the table already holds the rows and only the same token may be sent again.
   *
   * One INSERT of JSONEachRow bytes, deduplicated by `token` in the table and every view that hangs on it: the same token and rows again change
   * nothing and heal a view that a crash left behind. `refused`: the server understood and will not take these rows, with its own words.
   * Rejects with {@link StoreUnavailableError} when the outcome is unknown or the store is away: send the same again.
   */
  insert(
    table: RowTable,
    token: string,
    chunks: readonly Uint8Array[],
  ): Promise<{ ok: true } | { ok: false; message: string }>;
  /** Known atoms of these keys, in the order of the keys; undefined where none. Those of `except` are not looked at. */
  findAtoms(keys: readonly AtomKey[], except?: ReadonlySet<number>): Promise<(number | undefined)[]>;
  /** Atoms whose removal after a withdrawal was announced since then: nothing may get their number any more. */
  endingAtoms(since: Date): Promise<number[]>;
  /** The greatest atom of this residue (`atom % 64`), undefined when none. */
  maxAtom(residue: number): Promise<number | undefined>;
  /**
   * The greatest `_offset` of a partition in a table, undefined when none. In `rejected`, rows with the reason `refused_by_store` do not count: they
   * carry the place of an event in `polder.events`, the others their own place in `polder.rejected`.
   */
  maxOffset(table: RowTable, partition: number): Promise<number | undefined>;
  /** Sites and message ids of the rows of `events` with `from <= _offset < before`, ascending by offset. */
  messageIds(
    partition: number,
    from: number,
    before: number,
  ): AsyncIterable<{ offset: number; site: string; messageId: string }>;
  isReachable(): Promise<boolean>;
  close(): Promise<void>;
}

/** The store is away or its answer got lost: the insert may have happened. */
export class StoreUnavailableError extends Error {
  readonly code = "store_unavailable";
}
