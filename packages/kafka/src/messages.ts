import type { LogRecord, RecordHeaders, StoredRecord } from "@polder/core";
import kafkajs, { type KafkaMessage, type Message } from "kafkajs";

const headerNames = ["id", "site", "anonymousId", "userId"] as const satisfies (keyof RecordHeaders)[];

/** Kafka's own rule (murmur2 of the key), so that a record goes where any other Kafka client would send it. */
export function createPartitioner(partitions: number): (key: string) => number {
  const choose = kafkajs.Partitioners.DefaultPartitioner();
  const partitionMetadata = Array.from({ length: partitions }, (_, partitionId) => ({
    partitionId,
    leader: 0,
    partitionErrorCode: 0,
    replicas: [],
    isr: [],
  }));
  return (key) => choose({ topic: "", partitionMetadata, message: { key, value: null } });
}

/** Empty headers are left out. */
export function toMessage(record: LogRecord, partition: number): Message {
  const { key, value } = record;
  const headers: { [name: string]: string } = {};
  for (const name of headerNames) if (record.headers[name] !== "") headers[name] = record.headers[name];
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  return { key, value: bytes, headers, partition };
}

export function toStoredRecord({ key, value, headers, offset }: KafkaMessage): StoredRecord {
  const header = (name: string) => headers?.[name]?.toString() ?? "";
  return {
    offset: Number(offset),
    key: key?.toString() ?? "",
    value: value ?? new Uint8Array(),
    headers: {
      id: header("id"),
      site: header("site"),
      anonymousId: header("anonymousId"),
      userId: header("userId"),
    },
  };
}

/** About what a record takes in a request; more rather than less. */
export function requestBytesOf({ key, value, headers: { id, site, anonymousId, userId } }: LogRecord): number {
  return value.byteLength + 3 * (key.length + id.length + site.length + anonymousId.length + userId.length) + 100;
}
