import {
  LogMisconfiguredError,
  NotAssignedError,
  type LogRange,
  type LogReader,
  type Logger,
  type PartitionConsumer,
  type ReaderOptions,
  type StoredRecord,
} from "@polder/core";
import type { Environment } from "./environment.ts";
import { createReaderLock, type ReaderLock } from "./reader-lock.ts";
import { decodeBatch } from "./record-batch.ts";
import { createSignal, type Signal } from "./signal.ts";

export interface ReaderDeps {
  environment: Environment;
  logger: Logger;
  /** Notified by every append of this process. */
  appended: Signal;
  /** How long another process's append, or another reader's end, may go unseen. */
  pollMs: number;
  /** The pause before a range is handed over again. */
  retryAfterMs: number;
  onCommit(): void;
}

/** What fails again and again is tried again after up to this many pauses. */
const longestPause = 10;

export function createReader(deps: ReaderDeps, options: ReaderOptions): LogReader {
  const { environment, logger, appended, pollMs } = deps;
  const { topic, group } = options;
  const lock = createReaderLock(environment, topic, group);
  const stopped = createSignal();
  let isStopping = false;
  let running: Promise<void> | undefined;

  const run = async (consumer: PartitionConsumer) => {
    while (!isStopping) {
      const token = await acquire();
      if (token === undefined) {
        refuseWhenTaken();
        continue;
      }
      const partitions = Array.from({ length: environment.partitions }, (_, partition) => partition);
      await Promise.all(partitions.map((partition) => readPartition(consumer, partition, token)));
      await lock.release(token).catch((error: Error) => {
        logger.warn("the reader could not give its place back", { topic, group, reason: error.message });
      });
    }
  };

  /** One try, and a pause when it was in vain. */
  const acquire = async () => {
    try {
      const token = await lock.tryAcquire();
      if (token === undefined) await stopped.wait(pollMs);
      return token;
    } catch (error) {
      logger.warn("the reader could not take its place", { topic, group, reason: (error as Error).message });
      await stopped.wait(deps.retryAfterMs);
      return undefined;
    }
  };

  const refuseWhenTaken = () => {
    const pid = options.whenTaken === "refuse" && !isStopping ? lock.livingOwner() : undefined;
    if (pid === undefined) return;
    throw new LogMisconfiguredError(
      `Process ${pid} reads ${topic} of the log in ${environment.path} for ${group} already, and only one can: stop it first, or stop this one. ` +
        "To share the work between several, use Kafka.",
    );
  };

  const readPartition = async (consumer: PartitionConsumer, partition: number, token: string) => {
    let failures = 0;
    const watched: PartitionConsumer = {
      ...consumer,
      async consume(range) {
        await consumer.consume(range);
        failures = 0;
      },
    };
    while (!isStopping && lock.isHeld(token)) {
      const assignment: Assignment = { token, isActive: true };
      const failed = await readUntilFailure(watched, partition, assignment).then(
        () => undefined,
        (error: Error) => error,
      );
      assignment.isActive = false;
      consumer.revoked(partition);
      if (!failed || isStopping) continue;
      const code = (failed as { code?: string }).code;
      logger.warn("a range was not consumed and is handed over again", { topic, group, partition, code });
      await stopped.wait(deps.retryAfterMs * Math.min(2 ** failures, longestPause));
      failures += 1;
    }
    if (!isStopping) consumer.lost?.(partition);
  };

  const readUntilFailure = async (consumer: PartitionConsumer, partition: number, assignment: Assignment) => {
    const bounds = {
      start: environment.firstOffset(topic, partition),
      end: environment.nextOffset(topic, partition),
    };
    const from = await consumer.assigned(partition, environment.position(topic, group, partition), bounds);
    // Retention of another process may have gone on meanwhile.
    environment.refresh();
    if (!(from >= bounds.start && from <= environment.nextOffset(topic, partition)))
      throw new RangeError(
        `Offset ${from} of ${topic}/${partition} is not in the log (${bounds.start} to ${bounds.end}).`,
      );
    const source = createPartitionSource(environment, options, partition, from);
    while (!isStopping) {
      const records = await nextRecords(source);
      if (!records || isStopping) return;
      await consumer.consume(toRange(records, partition, assignment));
    }
  };

  /** Waits until a range is full or its first record has waited long enough; undefined when stopping. */
  const nextRecords = async (source: PartitionSource) => {
    source.fill();
    let handOverAt = Infinity;
    while (!source.isFull()) {
      if (isStopping) return undefined;
      const time = performance.now();
      if (source.length() > 0) handOverAt = Math.min(handOverAt, time + options.lingerMs);
      if (time >= handOverAt) break;
      await appended.wait(Math.min(pollMs, Math.ceil(handOverAt - time)));
      source.fill();
    }
    return source.take();
  };

  const toRange = (records: readonly StoredRecord[], partition: number, assignment: Assignment): LogRange => ({
    topic,
    partition,
    records,
    async commit({ offset, metadata }) {
      await environment.write(() => {
        assertActive(assignment, lock, partition);
        environment.setPosition(topic, group, partition, { offset, metadata });
      });
      deps.onCommit();
    },
  });

  return {
    run(consumer) {
      if (running) throw new Error("A log reader runs once: open another one.");
      running = run(consumer);
      return running;
    },
    async stop() {
      isStopping = true;
      stopped.notify();
      appended.notify();
      // What it ended with is told to the one who ran it.
      await running?.catch(() => {});
    },
  };
}

interface Assignment {
  token: string;
  isActive: boolean;
}

function assertActive(assignment: Assignment, lock: ReaderLock, partition: number): void {
  if (!assignment.isActive)
    throw new NotAssignedError(`Partition ${partition} was given back: its range is out of date.`);
  lock.assertHeld(assignment.token);
}

/** The records of one partition from an offset on, gathered into the next range. */
interface PartitionSource {
  /** Reads what there is, up to a full range. */
  fill(): void;
  isFull(): boolean;
  length(): number;
  take(): StoredRecord[];
}

function createPartitionSource(
  environment: Environment,
  limits: ReaderOptions,
  partition: number,
  from: number,
): PartitionSource {
  const table = environment.records(limits.topic);
  let batch: StoredRecord[] = [];
  let indexInBatch = 0;
  let nextOffset = from;
  let gathered: StoredRecord[] = [];
  let gatheredBytes = 0;
  let isFull = false;

  const readBatch = () => {
    let firstOffset = nextOffset;
    let bytes = table.getBinary([partition, firstOffset]);
    if (!bytes) {
      if (nextOffset >= environment.nextOffset(limits.topic, partition)) return false;
      const first = environment.firstOffset(limits.topic, partition);
      if (first > nextOffset)
        throw new RangeError(
          `Offsets ${nextOffset} to ${first - 1} of ${limits.topic}/${partition} have left the log.`,
        );
      // Only where reading starts in the middle of a batch: later ones begin where the one before ended.
      const [key] = table.getKeys({ start: [partition, nextOffset], end: [partition, -1], reverse: true, limit: 1 });
      if (!key) return false;
      firstOffset = key[1];
      bytes = table.getBinary(key)!;
    }
    batch = decodeBatch(bytes, firstOffset);
    indexInBatch = nextOffset - firstOffset;
    return indexInBatch < batch.length;
  };

  return {
    fill() {
      while (!isFull) {
        if (indexInBatch >= batch.length && !readBatch()) return;
        const record = batch[indexInBatch]!;
        // A record larger than a range is a range of its own.
        if (gathered.length > 0 && gatheredBytes + record.value.byteLength > limits.maxBytes) {
          isFull = true;
          return;
        }
        gathered.push(record);
        gatheredBytes += record.value.byteLength;
        indexInBatch += 1;
        nextOffset = record.offset + 1;
        isFull = gathered.length >= limits.maxRecords || gatheredBytes >= limits.maxBytes;
      }
    },
    isFull: () => isFull,
    length: () => gathered.length,
    take() {
      const records = gathered;
      gathered = [];
      gatheredBytes = 0;
      isFull = false;
      return records;
    },
  };
}
