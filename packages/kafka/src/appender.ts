import { LogUnavailableError, type LogRecord } from "@polder/core";
import { requestBytesOf } from "./messages.ts";
import type { PlacedRecord, RecordProducer } from "./record-producer.ts";

/** Sends records in the order of the calls, one request at a time. */
export interface Appender {
  /** Resolves when every in-sync replica has the records. Rejects with a {@link LogUnavailableError} within about `timeoutMs` when the cluster is away. */
  append(topic: string, records: readonly LogRecord[]): Promise<void>;
  close(): Promise<void>;
}

export interface AppenderDeps {
  connect: () => Promise<RecordProducer>;
  partitionOf: (key: string) => number;
  /** Resolves when the topics are known to be fit; asked before every request. */
  prepared: () => Promise<void>;
  timeoutMs: number;
}

// Under a broker's limit for the batch of one partition (message.max.bytes, 1 MiB).
const maxPartitionBytes = 900_000;
// Far under its limit for a request (socket.request.max.bytes, 100 MiB). The more in one, the less a broker's delay costs.
const maxRequestBytes = 8 * 2 ** 20;

export function createAppender({ connect, partitionOf, prepared, timeoutMs }: AppenderDeps): Appender {
  let connected: Promise<RecordProducer> | undefined;
  let lastTurn: Promise<unknown> = Promise.resolve();
  const retiring = new Set<Promise<void>>();

  /** A producer whose request failed or was given up goes: with its next request it could take a sequence number that the broker has seen. */
  const retire = (producer: RecordProducer) => {
    connected = undefined;
    const gone = producer
      .close()
      .catch(() => {})
      .finally(() => retiring.delete(gone));
    retiring.add(gone);
  };

  const send = async (topic: string, records: readonly PlacedRecord[], deadline: Deadline) => {
    await deadline.within(prepared());
    connected ??= connect().catch((error: unknown) => {
      connected = undefined;
      throw error;
    });
    const producer = await deadline.within(connected);
    try {
      const stored = await deadline.within(producer.send(topic, records));
      if (records.some(({ partition }) => !stored.has(partition))) {
        throw new LogUnavailableError("Kafka confirmed some partitions only: their leaders have just moved.");
      }
    } catch (error) {
      retire(producer);
      throw error;
    }
  };

  return {
    async append(topic, records) {
      for (const request of toRequests(records, partitionOf)) {
        const deadline = createDeadline(timeoutMs);
        const turn = lastTurn.then(() => {
          if (deadline.isOver()) throw unconfirmed(timeoutMs);
          return send(topic, request, deadline);
        });
        lastTurn = turn.catch(() => {});
        try {
          await deadline.within(turn);
        } catch (error) {
          if (error instanceof LogUnavailableError) throw error;
          throw new LogUnavailableError(`Kafka did not take the records: ${(error as Error).message}.`, {
            cause: error,
          });
        } finally {
          deadline.cancel();
        }
      }
    },
    async close() {
      await lastTurn;
      await connected?.then((producer) => producer.close()).catch(() => {});
      await Promise.all(retiring);
    },
  };
}

/** The records in order, in parts that a broker takes as one request. */
function toRequests(records: readonly LogRecord[], partitionOf: (key: string) => number): PlacedRecord[][] {
  const requests: PlacedRecord[][] = [];
  let request: PlacedRecord[] = [];
  let bytes = 0;
  const bytesOf = new Map<number, number>();
  for (const record of records) {
    const size = requestBytesOf(record);
    const partition = partitionOf(record.key);
    if (
      request.length > 0 &&
      ((bytesOf.get(partition) ?? 0) + size > maxPartitionBytes || bytes + size > maxRequestBytes)
    ) {
      requests.push(request);
      request = [];
      bytes = 0;
      bytesOf.clear();
    }
    request.push({ record, partition });
    bytes += size;
    bytesOf.set(partition, (bytesOf.get(partition) ?? 0) + size);
  }
  if (request.length > 0) requests.push(request);
  return requests;
}

interface Deadline {
  isOver(): boolean;
  /** The outcome of `work`, or a rejection when the time is up first. */
  within<T>(work: Promise<T>): Promise<T>;
  cancel(): void;
}

function createDeadline(ms: number): Deadline {
  let isOver = false;
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      isOver = true;
      reject(unconfirmed(ms));
    }, ms);
  });
  over.catch(() => {});
  return {
    isOver: () => isOver,
    within: (work) => Promise.race([work, over]),
    cancel: () => clearTimeout(timer),
  };
}

function unconfirmed(ms: number): LogUnavailableError {
  return new LogUnavailableError(`Kafka did not confirm the records within ${ms} ms: they may be stored or not.`);
}
