import { LogUnavailableError, topics, type EventLog, type LogReader, type Logger, type Topic } from "@polder/core";
import { createClusterAdmin } from "./admin.ts";
import { createAppender } from "./appender.ts";
import { createClient, type ConnectionOptions } from "./client.ts";
import { connectKafkajsProducer } from "./kafkajs-producer.ts";
import { createPartitioner } from "./partitioner.ts";
import { createPlatformaticConnector } from "./platformatic-producer.ts";
import { createReader } from "./reader.ts";
import type { ProducerConnector } from "./record-producer.ts";
import { prepareTopics } from "./topics.ts";

export const producerNames = ["kafkajs", "platformatic"] as const;
export type ProducerName = (typeof producerNames)[number];

export interface KafkaLogOptions extends ConnectionOptions {
  /** Partitions of every topic, 24 when not given. */
  partitions?: number;
  replicationFactor: number;
  /** Whether missing topics are made. When not, they have to be there. */
  createTopics: boolean;
  /** Comes before the names of topics and groups, so that several installations can share a cluster. */
  topicPrefix?: string;
  /** Which library appends, kafkajs when not given; readers and everything else are kafkajs'. Either puts a key into the same partition. */
  producer?: ProducerName;
  /** How long an append may take before it counts as unknown, 1,000 ms when not given. */
  appendTimeoutMs?: number;
  /** How long a reader may be silent before its partitions go to others, 10,000 ms when not given; brokers take no less than 6,000 by default. */
  sessionTimeoutMs?: number;
  /** How long a range may go on while the group forms anew, 60,000 ms when not given. After that its commit is refused. */
  rebalanceTimeoutMs?: number;
  /** How many partitions a reader hands over at the same time, 8 when not given. */
  concurrentPartitions?: number;
  /** Pause before a range that was not consumed is handed over again, 500 ms when not given. */
  retryAfterMs?: number;
  logger: Logger;
}

export interface KafkaLog extends EventLog {
  /**
   * Makes or checks the topics; appends and readers wait for it. Call it at the start to hear of a wrong topic early.
   * Rejects with a `LogMisconfiguredError`, or with a {@link LogUnavailableError} when the cluster is away: then it is tried again when needed.
   */
  prepareTopics(): Promise<void>;
}

const reachableWithinMs = 900;
const requestTimeoutMs = 10_000;

/** An {@link EventLog} in Apache Kafka. Connects when first used, and again by itself after the cluster was away. */
export function createKafkaLog(options: KafkaLogOptions): KafkaLog {
  const { partitions = 24, topicPrefix = "", appendTimeoutMs = 1000, logger } = options;
  const nameOf = (topic: Topic) => `${topicPrefix}${topic}`;
  // A group is one topic's: kafkajs hands out the leader's topics to all members of a group.
  const groupIdOf = (topic: Topic, group: string) => `${topicPrefix}${group}.${topic}`;
  const client = createClient(options, logger, requestTimeoutMs);
  const admin = createClusterAdmin(client);
  // A connection of its own: a question that waits must not count as an answer that is late.
  const probe = createClusterAdmin(createClient(options, logger, reachableWithinMs));
  const readers = new Set<LogReader>();
  let preparing: Promise<void> | undefined;
  let isClosed = false;

  const prepared = () => {
    preparing ??= admin
      .ask((asked) =>
        prepareTopics(asked, topics.map(nameOf), { ...options, partitions, compacted: [nameOf("polder.consent")] }),
      )
      .catch((error: unknown) => {
        preparing = undefined;
        throw error;
      });
    return preparing;
  };
  const assertOpen = () => {
    if (isClosed) throw new LogUnavailableError("The log is closed.");
  };

  const partitionOf = createPartitioner(partitions);
  const connector = createConnector(options, appendTimeoutMs);
  const appender = createAppender({
    connect: connector.connect,
    partitionOf,
    prepared,
    timeoutMs: appendTimeoutMs,
  });

  return {
    async prepareTopics() {
      assertOpen();
      await Promise.all([prepared(), connector.loaded]);
    },
    async append(topic, records) {
      assertOpen();
      await appender.append(nameOf(topic), records);
    },
    openReader(readerOptions) {
      assertOpen();
      const { topic, group } = readerOptions;
      const {
        sessionTimeoutMs = 10_000,
        rebalanceTimeoutMs = 60_000,
        concurrentPartitions = 8,
        retryAfterMs = 500,
      } = options;
      const groupId = groupIdOf(topic, group);
      const reader = createReader(
        {
          client,
          partitionStates: () => admin.partitionStates(nameOf(topic), groupId),
          prepared,
          topicName: nameOf(topic),
          groupId,
          logger,
          sessionTimeoutMs,
          rebalanceTimeoutMs,
          concurrentPartitions,
          retryAfterMs,
        },
        readerOptions,
      );
      readers.add(reader);
      return reader;
    },
    async lag(topic, group) {
      assertOpen();
      await prepared();
      const states = await admin.partitionStates(nameOf(topic), groupIdOf(topic, group));
      const lag = new Map<number, number>();
      for (const [partition, { committed, bounds }] of states) {
        // Less than none where the topic was made anew.
        lag.set(partition, Math.max(0, bounds.end - Math.max(committed?.offset ?? 0, bounds.start)));
      }
      return lag;
    },
    async isReachable() {
      if (isClosed) return false;
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<boolean>((resolve) => {
        timer = setTimeout(resolve, reachableWithinMs, false);
      });
      const asked = probe
        .ask((asking) => asking.describeCluster())
        .then(
          ({ brokers }) => brokers.length > 0,
          () => false,
        );
      return Promise.race([asked, late]).finally(() => clearTimeout(timer));
    },
    async identityOf(topic) {
      assertOpen();
      await prepared();
      const { clusterId } = await admin.ask((asked) => asked.describeCluster());
      return `kafka:${clusterId}/${nameOf(topic)}`;
    },
    async offsetsAt(topic, time) {
      assertOpen();
      await prepared();
      const offsets = await admin.ask((asked) => asked.fetchTopicOffsetsByTimestamp(nameOf(topic), time.getTime()));
      return new Map(offsets.map(({ partition, offset }) => [partition, Number(offset)]));
    },
    async partitionCount() {
      assertOpen();
      await prepared();
      return partitions;
    },
    partitionOf,
    async close() {
      if (isClosed) return;
      isClosed = true;
      await Promise.all([...readers].map((reader) => reader.stop()));
      await appender.close();
      await Promise.all([admin.close(), probe.close()]);
    },
  };
}

function createConnector(options: KafkaLogOptions, timeoutMs: number): ProducerConnector {
  if (options.producer === "platformatic") return createPlatformaticConnector(options, timeoutMs);
  const client = createClient(options, options.logger, timeoutMs);
  return { loaded: Promise.resolve(), connect: () => connectKafkajsProducer(client, timeoutMs) };
}
