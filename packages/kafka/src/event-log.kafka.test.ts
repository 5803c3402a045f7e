import { randomUUID } from "node:crypto";
import { describeEventLog } from "@polder/core/contracts";
import kafkajs from "kafkajs";
import { describe, vi } from "vitest";
import { createKafkaLog, producerNames } from "./event-log.ts";

const brokers = process.env.KAFKA_BROKERS?.split(",");
const silent = { info() {}, warn() {}, error() {} };

describe.skipIf(!brokers)(brokers ? "on a real broker" : "skipped: KAFKA_BROKERS is not set", () => {
  for (const producer of producerNames)
    describeEventLog(
      `Kafka, appending with ${producer},`,
      async () => {
        const topicPrefix = `test-${randomUUID()}.`;
        return {
          async open() {
            const log = createKafkaLog({
              brokers: brokers!,
              clientId: "polder-test",
              partitions: 4,
              replicationFactor: 1,
              createTopics: true,
              topicPrefix,
              // What is appended counts here, not how fast a busy machine does it.
              appendTimeoutMs: 30_000,
              // Of a reader of ours nothing is handed to another one because the machine stood still for some seconds.
              sessionTimeoutMs: 15_000,
              retryAfterMs: 20,
              producer,
              logger: silent,
            });
            await vi.waitFor(() => log.prepareTopics(), { timeout: 120_000 });
            // A busy broker leads what was just made a moment later.
            await vi.waitFor(() => log.lag("polder.events", "nobody"), { timeout: 120_000 });
            return log;
          },
          async removeBefore(topic, partition, offset) {
            const admin = new kafkajs.Kafka({ brokers: brokers!, logLevel: kafkajs.logLevel.NOTHING }).admin();
            await admin.connect();
            // kafkajs deletes only from topics that this connection has asked about.
            await admin.fetchTopicOffsets(`${topicPrefix}${topic}`);
            const partitions = [{ partition, offset: String(offset) }];
            await admin.deleteTopicRecords({ topic: `${topicPrefix}${topic}`, partitions });
            await admin.disconnect();
          },
          dispose: async () => {},
        };
      },
      { randomRuns: 3 },
    );
});
