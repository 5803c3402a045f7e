import { loadedTopics } from "@polder/core";
import { createKafkaLog, type KafkaSettings } from "@polder/kafka";
import { recordsBehind } from "../lag.ts";
import type { Count } from "./read-counts.ts";

const silent = { info() {}, warn() {}, error() {} };

/** What waits in Kafka to be loaded, under the name by which `polder start` counts it. Rejects when Kafka is away or its topics are not ours. */
export async function countsOfKafka(kafka: KafkaSettings): Promise<Count[]> {
  const log = createKafkaLog({ ...kafka, clientId: "polder-doctor", createTopics: false, logger: silent });
  try {
    return await Promise.all(
      loadedTopics.map(async (topic) => ({
        name: "polder_log_lag_records",
        labels: { topic },
        value: await recordsBehind(log, [topic]),
      })),
    );
  } finally {
    await log.close();
  }
}
