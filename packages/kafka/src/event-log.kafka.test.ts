import { randomUUID } from "node:crypto";
import { describeEventLog } from "@polder/core/contracts";
import { describe } from "vitest";
import { createKafkaLog } from "./event-log.ts";

const brokers = process.env.KAFKA_BROKERS?.split(",");
const silent = { info() {}, warn() {}, error() {} };

describe.skipIf(!brokers)(brokers ? "on a real broker" : "skipped: KAFKA_BROKERS is not set", () => {
  describeEventLog(
    "Kafka",
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
            sessionTimeoutMs: 3000,
            retryAfterMs: 20,
            logger: silent,
          });
          await log.prepareTopics();
          return log;
        },
        dispose: async () => {},
      };
    },
    { randomRuns: 3 },
  );
});
