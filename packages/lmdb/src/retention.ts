import { topics, type Logger, type Topic } from "@polder/core";
import type { Environment } from "./environment.ts";
import { storedBytesOf } from "./stored-bytes.ts";

export interface RetentionOptions {
  environment: Environment;
  maxBytes: number;
  retainBytes: number;
  retainRecords: number;
  logger: Logger;
}

/** Removes batches that every group has committed, while the log is larger than `retainBytes`. */
export interface Retention {
  /** Starts removing in the background when there is a need to. */
  check(): void;
  /** Resolves when nothing is being removed. */
  settled(): Promise<void>;
  /** Lets a transaction under way end, then removes nothing more. */
  stop(): Promise<void>;
}

// Writers of all processes wait while a transaction runs, so it stays at about a millisecond.
const batchesPerTransaction = 128;

export function createRetention(options: RetentionOptions): Retention {
  const { environment, retainBytes, retainRecords, logger } = options;
  // Near the limit, taking new records is worth more than keeping loaded ones for a replay.
  const pressureBytes = options.maxBytes * 0.9;
  let running: Promise<void> | undefined;
  let isStopping = false;

  /** The offset before which every group is done. */
  const committedBy = (topic: Topic, partition: number, groups: readonly string[]) =>
    groups.length === 0
      ? 0
      : Math.min(...groups.map((group) => environment.position(topic, group, partition)?.offset ?? 0));

  /** For use inside a write transaction. Returns how many batches went. */
  const removeSome = () => {
    let stored = environment.storedBytes();
    let removed = 0;
    for (const topic of topics) {
      const groups = environment.groups(topic);
      const records = environment.records(topic);
      for (let partition = 0; partition < environment.partitions; partition++) {
        const committed = committedBy(topic, partition, groups);
        const limit = batchesPerTransaction - removed;
        // One more than may go: a batch ends where the next one begins.
        const firsts = [...records.getKeys({ start: [partition, 0], end: [partition + 1, 0], limit: limit + 1 })];
        for (const [index, key] of firsts.slice(0, limit).entries()) {
          const end = firsts[index + 1]?.[1] ?? environment.nextOffset(topic, partition);
          const isForReplay = end > committed - retainRecords;
          if (end > committed || stored <= (isForReplay ? pressureBytes : retainBytes)) break;
          stored -= storedBytesOf(records.getBinary(key)!.length);
          void records.remove(key);
          removed += 1;
        }
      }
    }
    if (removed > 0) environment.setStoredBytes(stored);
    return removed;
  };

  const run = async () => {
    try {
      while (!isStopping && environment.storedBytes() > retainBytes) {
        if ((await environment.write(removeSome)) === 0) return;
      }
    } catch (error) {
      logger.warn("old records could not be removed from the log", { reason: (error as Error).message });
    }
  };

  return {
    check() {
      if (running || isStopping || environment.storedBytes() <= retainBytes) return;
      running = run().finally(() => {
        running = undefined;
      });
    },
    async settled() {
      await running;
    },
    async stop() {
      isStopping = true;
      await running;
    },
  };
}
