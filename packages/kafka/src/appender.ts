import { LogUnavailableError, type LogRecord } from "@polder/core";
import type { Kafka, Producer } from "kafkajs";
import { retryPolicy } from "./client.ts";
import { requestBytesOf, toMessage } from "./messages.ts";

/** Sends records in the order of the calls, one request at a time. */
export interface Appender {
  /** Resolves when every in-sync replica has the records. Rejects with a {@link LogUnavailableError} within about `timeoutMs` when the cluster is away. */
  append(topic: string, records: readonly LogRecord[]): Promise<void>;
  close(): Promise<void>;
}

export interface AppenderDeps {
  client: Kafka;
  partitionOf: (key: string) => number;
  /** Resolves when the topics are known to be fit; asked before every request. */
  prepared: () => Promise<void>;
  timeoutMs: number;
}

// Under a broker's limit for the batch of one partition (message.max.bytes, 1 MiB), should all records have one key.
const maxRequestBytes = 900_000;

export function createAppender({ client, partitionOf, prepared, timeoutMs }: AppenderDeps): Appender {
  let connected: Promise<Producer> | undefined;
  let lastTurn: Promise<unknown> = Promise.resolve();
  const retiring = new Set<Promise<void>>();

  const connect = async () => {
    const producer = client.producer({
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      // The partition is already in the message.
      createPartitioner:
        () =>
        ({ message }) =>
          message.partition!,
      retry: retryPolicy,
    });
    await producer.connect();
    return producer;
  };

  /** A producer whose request failed or was given up goes: with its next request it could take a sequence number that the broker has seen. */
  const retire = (producer: Producer, lastRequest: Promise<unknown>) => {
    connected = undefined;
    // Disconnected only after its request has ended: kafkajs would connect it again to retry, and leave it open.
    const gone = lastRequest
      .catch(() => {})
      .then(() => producer.disconnect())
      .catch(() => {})
      .finally(() => retiring.delete(gone));
    retiring.add(gone);
  };

  const send = async (topic: string, records: readonly LogRecord[], deadline: Deadline) => {
    await deadline.within(prepared());
    connected ??= connect().catch((error: unknown) => {
      connected = undefined;
      throw error;
    });
    const producer = await deadline.within(connected);
    const messages = records.map((record) => toMessage(record, partitionOf(record.key)));
    const request = producer.sendBatch({ acks: -1, timeout: timeoutMs, topicMessages: [{ topic, messages }] });
    try {
      const answers = await deadline.within(request);
      // kafkajs may drop a partition whose leader moved between two tries, and still resolve.
      const stored = new Set(answers.map(({ partition }) => partition));
      if (messages.some(({ partition }) => !stored.has(partition!))) {
        throw new LogUnavailableError("Kafka confirmed some partitions only: their leaders have just moved.");
      }
    } catch (error) {
      retire(producer, request);
      throw error;
    }
  };

  return {
    async append(topic, records) {
      for (const part of splitBySize(records)) {
        const deadline = createDeadline(timeoutMs);
        const turn = lastTurn.then(() => {
          if (deadline.isOver()) throw unconfirmed(timeoutMs);
          return send(topic, part, deadline);
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
      await connected?.then((producer) => producer.disconnect()).catch(() => {});
      await Promise.all(retiring);
    },
  };
}

function splitBySize(records: readonly LogRecord[]): LogRecord[][] {
  const parts: LogRecord[][] = [];
  let part: LogRecord[] = [];
  let bytes = 0;
  for (const record of records) {
    const size = requestBytesOf(record);
    if (part.length > 0 && bytes + size > maxRequestBytes) {
      parts.push(part);
      part = [];
      bytes = 0;
    }
    part.push(record);
    bytes += size;
  }
  if (part.length > 0) parts.push(part);
  return parts;
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
