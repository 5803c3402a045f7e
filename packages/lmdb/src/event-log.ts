import { statfs } from "node:fs/promises";
import {
  LogUnavailableError,
  type CommittedPosition,
  type EventLog,
  type LogReader,
  type LogRecord,
  type Logger,
  type Topic,
} from "@polder/core";
import { openEnvironment } from "./environment.ts";
import { partitionOf } from "./partition-of.ts";
import { createReader } from "./reader.ts";
import { encodeBatches } from "./record-batch.ts";
import { createRetention } from "./retention.ts";
import { createSignal } from "./signal.ts";
import { storedBytesOf } from "./stored-bytes.ts";

export interface LmdbLogOptions {
  /** A folder on a local disk; made when missing. Any number of processes may have it open. */
  path: string;
  /** Partitions of every topic, 1 when not given. Fixed by the first one who opens the folder. */
  partitions?: number;
  /** Appends are refused above this size, 8 GiB when not given. */
  maxBytes?: number;
  /** Above this size records that every group has committed are removed, oldest first; a quarter of `maxBytes` when not given. */
  retainBytes?: number;
  /** Committed records that stay in each partition for a replay all the same, unless the log is nearly full; 100,000 when not given. */
  retainRecords?: number;
  /** How long appends of other processes may go unseen, 50 ms when not given. Those of this process are seen at once. */
  pollMs?: number;
  /** Pause before a range that was not consumed is handed over again, 500 ms when not given. */
  retryAfterMs?: number;
  logger: Logger;
}

export interface LmdbLog extends EventLog {
  /** What the group committed last, by whichever process; undefined when it never did. */
  position(topic: Topic, group: string, partition: number): CommittedPosition | undefined;
  /** Bytes of disk that the stored records take. */
  storedBytes(): number;
}

/** Below this a disk counts as full: an append could fail halfway. */
const leastFreeBytes = 32 * 2 ** 20;

/**
 * An {@link EventLog} in a folder: fsynced before it answers, safe across processes, with one reader a (topic, group) at a time.
 * @throws {LogMisconfiguredError} when the folder cannot be used or holds another number of partitions.
 */
export function createLmdbLog(options: LmdbLogOptions): LmdbLog {
  const { path, partitions = 1, maxBytes = 8 * 2 ** 30, logger } = options;
  const environment = openEnvironment({ path, partitions, maxBytes });
  const retention = createRetention({
    environment,
    maxBytes,
    retainBytes: options.retainBytes ?? maxBytes / 4,
    retainRecords: options.retainRecords ?? 100_000,
    logger,
  });
  const appended = createSignal();
  const readers = new Set<LogReader>();
  let isClosed = false;

  const assertOpen = () => {
    if (isClosed) throw new LogUnavailableError(`The log in ${path} is closed.`);
  };

  const assertRoom = (bytes: number) => {
    if (bytes <= maxBytes) return;
    retention.check();
    throw new LogUnavailableError(
      `The log in ${path} is full (${maxBytes} bytes). Records go when the loader has loaded them: see whether it runs, or raise maxBytes.`,
    );
  };

  return {
    async append(topic, records) {
      assertOpen();
      const batches = [...byPartition(records, partitions)].map(
        ([partition, ofPartition]) => [partition, encodeBatches(ofPartition)] as const,
      );
      if (batches.length === 0) return;
      const bytes = batches
        .flatMap(([, list]) => list)
        .reduce((sum, batch) => sum + storedBytesOf(batch.bytes.length), 0);
      await environment.write(() => {
        const storedBytes = environment.storedBytes() + bytes;
        assertRoom(storedBytes);
        const table = environment.records(topic);
        for (const [partition, list] of batches) {
          let offset = environment.nextOffset(topic, partition);
          for (const batch of list) {
            void table.put([partition, offset], batch.bytes);
            offset += batch.count;
          }
          environment.setNextOffset(topic, partition, offset);
        }
        environment.setStoredBytes(storedBytes);
      });
      appended.notify();
      retention.check();
    },

    openReader(readerOptions) {
      assertOpen();
      const { pollMs = 50, retryAfterMs = 500 } = options;
      const onCommit = retention.check;
      const reader = createReader({ environment, logger, appended, pollMs, retryAfterMs, onCommit }, readerOptions);
      readers.add(reader);
      return reader;
    },

    async lag(topic, group) {
      assertOpen();
      environment.refresh();
      const lag = new Map<number, number>();
      for (let partition = 0; partition < partitions; partition++) {
        const from = environment.position(topic, group, partition)?.offset ?? 0;
        const first = Math.max(from, environment.firstOffset(topic, partition));
        lag.set(partition, Math.max(0, environment.nextOffset(topic, partition) - first));
      }
      return lag;
    },

    async isReachable() {
      if (isClosed || environment.storedBytes() >= maxBytes) return false;
      const disk = await statfs(path).catch(() => undefined);
      return disk !== undefined && disk.bavail * disk.bsize >= leastFreeBytes;
    },

    async identityOf(topic) {
      assertOpen();
      return `lmdb:${environment.id}/${topic}`;
    },

    // Nothing in here says when a record was appended.
    async offsetsAt(topic) {
      assertOpen();
      const all = Array.from({ length: partitions }, (_, partition) => partition);
      return new Map(all.map((partition) => [partition, environment.firstOffset(topic, partition)]));
    },

    async partitionCount() {
      return partitions;
    },

    partitionOf: (key) => partitionOf(key, partitions),

    position: environment.position,
    storedBytes: environment.storedBytes,

    async close() {
      if (isClosed) return;
      isClosed = true;
      await Promise.all([...readers].map((reader) => reader.stop()));
      await retention.stop();
      await environment.close();
    },
  };
}

function byPartition(records: readonly LogRecord[], partitions: number): Map<number, LogRecord[]> {
  const grouped = new Map<number, LogRecord[]>();
  for (const record of records) {
    const partition = partitionOf(record.key, partitions);
    const list = grouped.get(partition);
    if (list) list.push(record);
    else grouped.set(partition, [record]);
  }
  return grouped;
}
