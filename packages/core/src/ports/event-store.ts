import type { ErasedIds } from "./erasure-store.ts";

/** Where rows end up and questions are asked: ClickHouse, embedded or not. */

export type RowTable = "events" | "rejected";
/** Rows of the loss ledger: a `LedgerEntry`; or `topic`, `partition`, `loaded_until` (not of `polder.ledger`) and `next_offset`. */
export type LedgerTable = "ledger_entry" | "ledger_progress";

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
  /**
   * Adds JSONEachRow bytes to the loss ledger. The same again changes nothing, so there is no token. Otherwise as {@link insert}.
   */
  insertLedger(table: LedgerTable, rows: Uint8Array): Promise<{ ok: true } | { ok: false; message: string }>;
  /** The greatest `next_offset` that was inserted for a partition of `polder.ledger`: the ledger holds all before it. Undefined when none was. */
  ledgerPosition(partition: number): Promise<number | undefined>;
  /** Known atoms of these keys, in the order of the keys; undefined where none. Those of `except` are not looked at. */
  findAtoms(keys: readonly AtomKey[], except?: ReadonlySet<number>): Promise<(number | undefined)[]>;
  /**
   * Atoms whose removal, after a withdrawal or with an erasure, was announced since then: nothing may get their number any more. Those of erasures
   * that are not carried out yet are always among them.
   */
  endingAtoms(since: Date): Promise<number[]>;
  /** Keyed hashes of the ids of erased people: those of erasures that were written down since then; undefined: all. */
  erasedIds(since: Date | undefined): Promise<ErasedIds>;
  /** The greatest atom of this residue (`atom % 64`) that was ever stored, undefined when none. */
  maxAtom(residue: number): Promise<number | undefined>;
  /**
   * The greatest `_offset` of a partition that was ever stored in a table, undefined when none: rows that were removed since, because they were old or
   * somebody was to be forgotten, count. In `rejected`, rows with the reason `refused_by_store` do not: they carry the place of an event in
   * `polder.events`, the others their own place in `polder.rejected`.
   */
  maxOffset(table: RowTable, partition: number): Promise<number | undefined>;
  /** The rows of `events` with `from <= _offset < before`, in any order: offset and hash of site and message id, by `createMessageHash(key)`. */
  messageHashes(partition: number, from: number, before: number, key: Uint32Array): AsyncIterable<MessageHashes>;
  /** Site and message id of the rows of `events` at these offsets, in any order. */
  messagesAt(partition: number, offsets: readonly number[]): Promise<StoredMessage[]>;
  /** The atoms of the rows of `events` with `from <= _offset < before`, by offset; 0 for an event without identifiers. */
  atomsAt(partition: number, from: number, before: number): Promise<Map<number, number>>;
  /** Whether `rejected` has the event at this place of `polder.events`. */
  hasRefusal(partition: number, offset: number): Promise<boolean>;
  /** Writes down which log a table is loaded from, where nothing is written yet. Resolves with what is written. */
  sourceOf(table: RowTable, log: string): Promise<string>;
  gaps: GapStore;
  isReachable(): Promise<boolean>;
  close(): Promise<void>;
}

/** Some rows: four words each, which are the low and the high one of the offset and of the hash. */
export type MessageHashes = Uint32Array;

export interface StoredMessage {
  offset: number;
  site: string;
  messageId: string;
}

/** Records that left the log before they were loaded, both offsets included. */
export interface LogGap {
  topic: string;
  partition: number;
  from: number;
  to: number;
}

/** What was lost that way, and what a person has said about it. Nothing is skipped before somebody has. */
export interface GapStore {
  /** Writes down that they are lost. */
  found(gap: LogGap): Promise<void>;
  /** Those that nobody has accepted: of those that begin at one place the longest. */
  open(): Promise<LogGap[]>;
  /** The operator takes the loss. */
  accept(gap: LogGap): Promise<void>;
  /** Where an accepted gap that begins at this place ends, undefined when there is none. */
  acceptedTo(topic: string, partition: number, from: number): Promise<number | undefined>;
}

/** The store is away or its answer got lost: the insert may have happened. */
export class StoreUnavailableError extends Error {
  readonly code = "store_unavailable";
}
