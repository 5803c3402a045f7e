import {
  LogUnavailableError,
  NotAssignedError,
  type CommittedPosition,
  type LogRange,
  type LogReader,
  type Logger,
  type PartitionConsumer,
  type ReaderOptions,
  type StoredRecord,
} from "@polder/core";
import type { Consumer, EachBatchPayload, Kafka } from "kafkajs";
import type { PartitionState } from "./admin.ts";
import { retryPolicy } from "./client.ts";
import { toStoredRecord } from "./messages.ts";

export interface ReaderDeps {
  client: Kafka;
  /** What the broker knows of the group and the topic now. */
  partitionStates(): Promise<Map<number, PartitionState>>;
  /** Resolves when the topics are known to be fit. */
  prepared(): Promise<void>;
  topicName: string;
  groupId: string;
  logger: Logger;
  sessionTimeoutMs: number;
  rebalanceTimeoutMs: number;
  concurrentPartitions: number;
  retryAfterMs: number;
}

/** From `assigned` to `revoked`. What belongs to it stops counting as soon as `isActive` is false. */
interface Tenure {
  isActive: boolean;
  nextOffset: number;
  committed: CommittedPosition | undefined;
  /** The ranges being consumed. */
  work: Promise<void>;
  /** Ends the tenure; with a reason when the partition has to be assigned anew. */
  end(reason?: Error): void;
}

/** A partition that the group gave to us, until the next rebalance. */
interface Assignment {
  partition: number;
  isActive: boolean;
  tenure: Tenure | undefined;
  /** Ranges. */
  consumed: number;
  /** Resolves when nothing of it runs any more. */
  over: Promise<void>;
}

/**
 * kafkajs rejoins only when its handlers have returned, but fetches as soon as it has joined. So every partition is paused in the moment it is given,
 * and resumed when the consumer has said where to start.
 */
export function createReader(deps: ReaderDeps, options: ReaderOptions): LogReader {
  const { topicName, groupId, logger } = deps;
  const assignments = new Map<number, Assignment>();
  const stopping = createLatch();
  let running: Promise<void> | undefined;

  const run = async (consumer: PartitionConsumer) => {
    let lastReason = "";
    while (!stopping.isOpen()) {
      try {
        await deps.prepared();
        if (!stopping.isOpen()) await runMember(consumer);
        lastReason = "";
      } catch (error) {
        const reason = (error as Error).message;
        if (reason !== lastReason)
          logger.warn("the reader could not join its group and tries again", { groupId, reason });
        lastReason = reason;
      }
      await stopping.wait(deps.retryAfterMs);
    }
  };

  /** One member of the group, until it crashes or is stopped. */
  const runMember = async (consumer: PartitionConsumer) => {
    const member = deps.client.consumer({ groupId, ...memberSettings(deps, options) });
    const crashed = createLatch();
    member.on(member.events.GROUP_JOIN, ({ payload }) => {
      release();
      take(member, consumer, payload.memberAssignment[topicName] ?? []);
    });
    member.on(member.events.REBALANCING, release);
    member.on(member.events.CRASH, () => {
      release();
      crashed.open();
    });
    try {
      await member.connect();
      await member.subscribe({ topics: [topicName], fromBeginning: true });
      // Resolves when joined. A stop before that would leave a member behind that nobody stops.
      await member.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: deps.concurrentPartitions,
        eachBatch: (payload) => consumeBatch(member, consumer, payload),
      });
      await Promise.race([crashed.wait(), stopping.wait()]);
    } finally {
      await member.disconnect().catch(() => {});
      release();
      await Promise.all([...assignments.values()].map(({ over }) => over));
    }
  };

  const release = () => {
    for (const assignment of assignments.values()) {
      assignment.isActive = false;
      assignment.tenure?.end();
    }
  };

  const take = (member: Consumer, consumer: PartitionConsumer, partitions: readonly number[]) => {
    for (const assignment of assignments.values())
      if (!partitions.includes(assignment.partition)) lose(consumer, assignment);
    if (partitions.length === 0) return;
    member.pause([{ topic: topicName, partitions: [...partitions] }]);
    // One question for all of them. Nobody can commit between this join and the first tenure.
    const states = deps.partitionStates();
    states.catch(() => {});
    for (const partition of partitions) {
      const before = assignments.get(partition)?.over ?? Promise.resolve();
      const assignment: Assignment = { partition, isActive: true, tenure: undefined, consumed: 0, over: before };
      assignment.over = before.then(() => hold(member, consumer, assignment, states));
      assignments.set(partition, assignment);
    }
  };

  /** Unless it is given to us once more before it is over. */
  const lose = (consumer: PartitionConsumer, assignment: Assignment) => {
    assignment.over = assignment.over.then(() => {
      if (assignments.get(assignment.partition) !== assignment) return;
      assignments.delete(assignment.partition);
      consumer.lost?.(assignment.partition);
    });
  };

  const hold = async (
    member: Consumer,
    consumer: PartitionConsumer,
    assignment: Assignment,
    firstStates: Promise<Map<number, PartitionState>>,
  ) => {
    let askStates = () => firstStates;
    let failures = 0;
    while (assignment.isActive && !stopping.isOpen()) {
      const before = assignment.consumed;
      const failure = await holdOnce(member, consumer, assignment, askStates).catch((error: Error) => error);
      if (!assignment.isActive || stopping.isOpen()) return;
      const code = (failure as { code?: string } | undefined)?.code;
      logger.warn("a range was not consumed and is handed over again", {
        topic: topicName,
        groupId,
        partition: assignment.partition,
        code,
      });
      failures = assignment.consumed === before ? failures + 1 : 0;
      await stopping.wait(deps.retryAfterMs * Math.min(2 ** failures, longestPause));
      // Asked by who waits for it: a refusal that nobody heard would end the process.
      askStates = deps.partitionStates;
    }
  };

  /** One tenure. Resolves with the reason when it ended early, rejects when it could not begin. */
  const holdOnce = async (
    member: Consumer,
    consumer: PartitionConsumer,
    assignment: Assignment,
    askStates: () => Promise<Map<number, PartitionState>>,
  ): Promise<Error | undefined> => {
    const { partition } = assignment;
    const state = (await askStates()).get(partition);
    if (!state) throw new LogUnavailableError(`Kafka does not know partition ${partition} of ${topicName}.`);
    if (!assignment.isActive) return undefined;
    const ended = createLatch<Error | undefined>();
    const tenure: Tenure = {
      isActive: true,
      nextOffset: 0,
      committed: state.committed,
      work: Promise.resolve(),
      end(reason) {
        tenure.isActive = false;
        ended.open(reason);
      },
    };
    try {
      const { start, end } = state.bounds;
      const from = await consumer.assigned(partition, state.committed, { start, end });
      if (!(from >= start && from <= end)) {
        throw new RangeError(`Offset ${from} of ${topicName}/${partition} is not in the log (${start} to ${end}).`);
      }
      if (!assignment.isActive) return undefined;
      tenure.nextOffset = from;
      assignment.tenure = tenure;
      member.seek({ topic: topicName, partition, offset: String(from) });
      member.resume([{ topic: topicName, partitions: [partition] }]);
      return await ended.wait();
    } finally {
      tenure.isActive = false;
      assignment.tenure = undefined;
      await tenure.work;
      consumer.revoked(partition);
    }
  };

  const consumeBatch = async (member: Consumer, consumer: PartitionConsumer, payload: EachBatchPayload) => {
    const { partition } = payload.batch;
    const tenure = assignments.get(partition)?.tenure;
    // Left unresolved, it is fetched again from where the next tenure starts.
    if (!tenure?.isActive) return;
    tenure.work = consumeRanges(consumer, payload, tenure).catch((error: Error) => {
      // Before kafkajs can fetch it again.
      if (tenure.isActive) member.pause([{ topic: topicName, partitions: [partition] }]);
      tenure.end(error);
    });
    await tenure.work;
  };

  const consumeRanges = async (consumer: PartitionConsumer, payload: EachBatchPayload, tenure: Tenure) => {
    const { messages } = payload.batch;
    const pulse = createPulse(payload, heartbeatMs(deps.sessionTimeoutMs) / 2);
    try {
      const records = messages.map(toStoredRecord).filter(({ offset }) => offset >= tenure.nextOffset);
      await (records.length === 0 ? assertSameTopic(payload, tenure) : assertNothingLost(payload, tenure, records));
      for (const range of splitIntoRanges(records, options)) {
        if (!tenure.isActive || stopping.isOpen() || pulse.isLost()) return;
        await consumer.consume(toRange(payload, tenure, range));
        const assignment = assignments.get(payload.batch.partition);
        if (assignment) assignment.consumed += 1;
        const { offset } = range.at(-1)!;
        // In order: kafkajs keeps the last one, so a lower one would rewind us.
        payload.resolveOffset(String(offset));
        tenure.nextOffset = offset + 1;
      }
    } finally {
      pulse.stop();
    }
  };

  /** kafkajs jumps to the first offset that is left when ours is past the retention, and commits that jump. */
  const assertNothingLost = async (payload: EachBatchPayload, tenure: Tenure, records: readonly StoredRecord[]) => {
    const { partition } = payload.batch;
    const first = records[0];
    if (!first || first.offset === tenure.nextOffset) return;
    const bounds = (await deps.partitionStates()).get(partition)?.bounds;
    if (!bounds || bounds.start <= tenure.nextOffset) return;
    const lost = { topic: topicName, groupId, partition, from: tenure.nextOffset, before: bounds.start };
    logger.error("Kafka removed records that were not consumed: its retention is shorter than this reader's lag", lost);
    if (tenure.committed) await toRange(payload, tenure, records).commit(tenure.committed);
    throw new RangeError(`Offsets ${lost.from} to ${lost.before - 1} of ${topicName}/${partition} are gone.`);
  };

  /** kafkajs starts again at the beginning when our offset is past the end. */
  const assertSameTopic = async ({ batch: { partition } }: EachBatchPayload, { nextOffset }: Tenure) => {
    const bounds = (await deps.partitionStates()).get(partition)?.bounds;
    if (!bounds || bounds.end >= nextOffset) return;
    logger.error("the topic ends before what was read of it: it was made anew", {
      topic: topicName,
      groupId,
      partition,
      read: nextOffset,
      end: bounds.end,
    });
    throw new RangeError(`${topicName}/${partition} ends at ${bounds.end}, before ${nextOffset}.`);
  };

  const toRange = (payload: EachBatchPayload, tenure: Tenure, records: readonly StoredRecord[]): LogRange => ({
    topic: options.topic,
    partition: payload.batch.partition,
    records,
    async commit({ offset, metadata }) {
      const { partition } = payload.batch;
      if (!tenure.isActive) throw notAssigned(partition);
      const position = { partition, offset: String(offset), metadata };
      try {
        // Not consumer.commitOffsets: that one resolves without a commit once the consumer stops, and retries under another generation.
        await payload.commitOffsetsIfNecessary({ topics: [{ topic: topicName, partitions: [position] }] });
      } catch (error) {
        const { type, message } = error as { type?: string; message: string };
        if (type !== undefined && lostMembership.has(type)) throw notAssigned(partition, error);
        throw new LogUnavailableError(`Kafka did not confirm the position: ${message}.`, { cause: error });
      }
      tenure.committed = { offset, metadata };
    },
  });

  const notAssigned = (partition: number, cause?: unknown) =>
    new NotAssignedError(
      `Partition ${partition} of ${topicName} is no longer ours: the group ${groupId} gave it away.`,
      { cause },
    );

  return {
    run(consumer) {
      if (running) throw new Error("A log reader runs once: open another one.");
      running = run(consumer);
      return running;
    },
    async stop() {
      stopping.open();
      await running;
    },
  };
}

/** What fails again and again is tried again after up to this many pauses. */
const longestPause = 10;

const lostMembership = new Set([
  "ILLEGAL_GENERATION",
  "UNKNOWN_MEMBER_ID",
  "REBALANCE_IN_PROGRESS",
  "FENCED_INSTANCE_ID",
]);

const heartbeatMs = (sessionTimeoutMs: number) => Math.floor(sessionTimeoutMs / 3);

// A fetch that waits longer would hold up heartbeats and a stop.
const longestFetchMs = 1000;
// Below this, waiting for a range to fill costs more requests than it saves inserts: what is there is taken at once.
const shortestLingerMs = 100;
const idleFetchMs = 250;

function memberSettings({ sessionTimeoutMs, rebalanceTimeoutMs }: ReaderDeps, { maxBytes, lingerMs }: ReaderOptions) {
  const lingers = lingerMs >= shortestLingerMs;
  return {
    sessionTimeout: sessionTimeoutMs,
    heartbeatInterval: heartbeatMs(sessionTimeoutMs),
    rebalanceTimeout: rebalanceTimeoutMs,
    allowAutoTopicCreation: false,
    maxBytesPerPartition: maxBytes,
    maxBytes: Math.max(maxBytes, 10 * 2 ** 20),
    minBytes: lingers ? maxBytes : 1,
    maxWaitTimeInMs: lingers ? Math.min(lingerMs, longestFetchMs) : idleFetchMs,
    // A crash ends the member; the reader makes another one.
    retry: { ...retryPolicy, restartOnFailure: async () => false },
  };
}

function* splitIntoRanges(records: readonly StoredRecord[], limits: ReaderOptions): Generator<StoredRecord[]> {
  let range: StoredRecord[] = [];
  let bytes = 0;
  for (const record of records) {
    const size = record.value.byteLength;
    if (range.length > 0 && (range.length >= limits.maxRecords || bytes + size > limits.maxBytes)) {
      yield range;
      range = [];
      bytes = 0;
    }
    range.push(record);
    bytes += size;
  }
  if (range.length > 0) yield range;
}

/** Tells the group that we are alive while a range takes long. */
function createPulse({ heartbeat }: EachBatchPayload, everyMs: number) {
  let isLost = false;
  const timer = setInterval(() => {
    heartbeat().catch(() => {
      isLost = true;
    });
  }, everyMs);
  return {
    /** The group forms anew: finish the range at hand, take no other. kafkajs hears the same when the handler has returned. */
    isLost: () => isLost,
    stop: () => clearInterval(timer),
  };
}

interface Latch<T> {
  isOpen(): boolean;
  open(value: T): void;
  /** Resolves when open, or after `ms`. */
  wait(ms?: number): Promise<T | undefined>;
}

function createLatch<T = void>(): Latch<T> {
  let isOpen = false;
  let opened: T | undefined;
  const waiting = new Set<() => void>();
  return {
    isOpen: () => isOpen,
    open(value) {
      if (isOpen) return;
      isOpen = true;
      opened = value;
      for (const wake of waiting) wake();
    },
    wait: (ms) =>
      new Promise((resolve) => {
        if (isOpen) return resolve(opened);
        const wake = () => {
          clearTimeout(timer);
          waiting.delete(wake);
          resolve(opened);
        };
        const timer = ms === undefined ? undefined : setTimeout(wake, ms);
        waiting.add(wake);
      }),
  };
}
