import type { Kafka } from "kafkajs";
import { retryPolicy } from "./client.ts";
import { headersOf, valueOf } from "./messages.ts";
import type { RecordProducer } from "./record-producer.ts";

export async function connectKafkajsProducer(client: Kafka, timeoutMs: number): Promise<RecordProducer> {
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
  let lastRequest: Promise<unknown> = Promise.resolve();
  try {
    await producer.connect();
  } catch (error) {
    // A broker that hangs keeps the connection open that it took.
    await producer.disconnect().catch(() => {});
    throw error;
  }
  return {
    async send(topic, records) {
      const messages = records.map(({ record, partition }) => ({
        key: record.key,
        value: valueOf(record),
        headers: headersOf(record),
        partition,
      }));
      const request = producer.sendBatch({ acks: -1, timeout: timeoutMs, topicMessages: [{ topic, messages }] });
      lastRequest = request.catch(() => {});
      // kafkajs may drop a partition whose leader moved between two tries, and still resolve.
      return new Set((await request).map(({ partition }) => partition));
    },
    async close() {
      // Not before its request has ended: kafkajs would connect again to retry, and leave that open.
      await lastRequest;
      await producer.disconnect();
    },
  };
}
