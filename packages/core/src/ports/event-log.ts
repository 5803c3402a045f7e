/** A log of ordered records in partitions. Adapters: `lmdb` (embedded, spool) and `kafka`. Both pass `contracts/event-log-contract.ts`. */

/** What the loader brings into the store. */
export const loadedTopics = ["polder.events", "polder.rejected"] as const;
/**
 * `polder.consent` holds the last record of every visitor's choices; only collectors read it. `polder.ledger` holds rows for `ledger_entry`: what
 * collectors count. Stating one again changes nothing, so they are loaded without the care that events need. `polder.audience` tells who comes into an
 * audience and who leaves it, for whoever listens: each change once, those of a person in their order.
 */
export const topics = [...loadedTopics, "polder.consent", "polder.ledger", "polder.audience"] as const;
export type Topic = (typeof topics)[number];

export interface LogRecord {
  /**
   * Records of one key keep their order and share a partition: `site:anonymousId`, else `site:userId`, else the message id. After 1,000 events of a
   * visit the first two go on as `…#1`, `…#2`, …
   */
  key: string;
  /** One JSON object in UTF-8 without a line break: the final row. */
  value: Uint8Array;
  /** What the loader needs without parsing the value. */
  headers: RecordHeaders;
}

export interface RecordHeaders {
  /** Message id. */
  id: string;
  site: string;
  /** Empty when none. */
  anonymousId: string;
  /** Empty when none. */
  userId: string;
  /** Which arrival at a collector it is, as `arrivalText` writes it: what the loss ledger counts. Absent on records that no collector received. */
  arrival?: string | undefined;
}

export interface StoredRecord extends LogRecord {
  /** Ascending within a partition, not always by one. */
  offset: number;
  /** In words why this is no record of ours, when it is none: somebody else wrote to the topic, or a version that is newer than this one. */
  foreign?: string;
}

export interface EventLog {
  /**
   * Resolves when every record is durable (fsynced, or acknowledged by all in-sync replicas), in the given order per key.
   * "spooled": durable on this machine only, because the log is away; it gets them in order when it is back.
   * Rejects with a {@link LogUnavailableError} when that is not known: some may be stored all the same.
   */
  append(topic: Topic, records: readonly LogRecord[]): Promise<void | "spooled">;
  /** A member of a consumer group: partitions are shared out over the live readers with the same group. */
  openReader(options: ReaderOptions): LogReader;
  /** Records after the group's committed position, by partition. */
  lag(topic: Topic, group: string): Promise<Map<number, number>>;
  /** Whether an append would be tried with hope; answers within a second. */
  isReachable(): Promise<boolean>;
  /** Names the storage behind a topic, the same for everyone who has it open: offsets of another one mean other records. */
  identityOf(topic: Topic): Promise<string>;
  /**
   * By partition an offset before which no record was appended at `time` or later; the first one that is left, where the log keeps no times.
   */
  offsetsAt(topic: Topic, time: Date): Promise<Map<number, number>>;
  /** What is durable on this machine only. Absent where `append` never resolves with "spooled". */
  spool?(): Promise<SpoolStatus>;
  partitionCount(topic: Topic): Promise<number>;
  /** The partition of any topic that records of this key go to. */
  partitionOf(key: string): number;
  close(): Promise<void>;
}

export interface SpoolStatus {
  /** Of all topics, by all processes that share the spool. */
  records: number;
  /** Of disk. */
  bytes: number;
  /**
   * When the oldest record of all topics was received, in milliseconds since 1970; of one that does not say (a choice, a count), since when nothing is
   * before it. Undefined when none waits, or when another process forwards.
   */
  oldestReceivedAt: number | undefined;
  /** How long the attempt to forward that is under way has taken; 0 when none is, or when another process forwards. */
  attemptMs: number;
}

export interface ReaderOptions {
  topic: Topic;
  group: string;
  /** A range is handed over when it holds this many records, … */
  maxRecords: number;
  /** … or this many bytes of values, … */
  maxBytes: number;
  /** … or its first record waited this long. */
  lingerMs: number;
  /**
   * Of a log that has one reader a group at a time: what `run` does while another one lives. "wait" (when not given) takes over when that one ends;
   * "refuse" rejects with a {@link LogMisconfiguredError} that names it. A log that shares its partitions out ignores it.
   */
  whenTaken?: "wait" | "refuse";
}

export interface LogReader {
  /**
   * Hands ranges to `consumer` until {@link stop}; then resolves. One range at a time per partition; partitions may run concurrently.
   * When `consume` rejects, the same records are handed over again after a pause (and `assigned` is asked again first).
   */
  run(consumer: PartitionConsumer): Promise<void>;
  /** Lets the ranges being consumed finish, gives the partitions back. */
  stop(): Promise<void>;
}

export interface CommittedPosition {
  /** The first offset that is not done. */
  offset: number;
  /** Text stored with it, "" when none. */
  metadata: string;
}

export interface PartitionConsumer {
  /**
   * A partition is ours now, or what was to be read next has left the log. `committed` is undefined when the group never committed. `start` and `end` are the first offset that the log still
   * has and the next one that it will give. Returns the offset to read from.
   */
  assigned(
    partition: number,
    committed: CommittedPosition | undefined,
    bounds: { start: number; end: number },
  ): Promise<number>;
  /** Consecutive records of one partition, at least one. */
  consume(range: LogRange): Promise<void>;
  /**
   * The partition went to another reader, `assigned` or `consume` failed, or the reader stops: forget what is held for it. Follows every `assigned`
   * exactly once, and never while `assigned` or `consume` of the partition still runs.
   */
  revoked(partition: number): void;
  /**
   * The partition is another reader's now, where `revoked` may only mean that it is tried again. Comes after `revoked`, and not when the reader stops.
   */
  lost?(partition: number): void;
}

export interface LogRange {
  topic: Topic;
  partition: number;
  records: readonly StoredRecord[];
  /** Durable for the group. Rejects with a {@link LogUnavailableError}, or with {@link NotAssignedError} when the partition is no longer ours. */
  commit(position: CommittedPosition): Promise<void>;
}

/** The log could not be reached or did not confirm in time. Retry later. */
export class LogUnavailableError extends Error {
  readonly code = "log_unavailable";
}

/** Another reader of the group owns the partition: stop working on it. */
export class NotAssignedError extends Error {
  readonly code = "not_assigned";
}

/** The log is there but is not what was asked for (its partitions, its replication): a person has to decide. */
export class LogMisconfiguredError extends Error {
  readonly code = "log_misconfigured";
}
