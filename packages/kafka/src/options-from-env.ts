import { producerNames, type ProducerName } from "./event-log.ts";

/** Which cluster, and which topics of it, from the environment. */
export interface KafkaSettings {
  brokers: readonly string[];
  partitions: number;
  replicationFactor: number;
  topicPrefix: string;
  producer: ProducerName;
}

export const kafkaUsage = `  KAFKA_BROKERS          host:port, comma separated; the embedded log when not given
  POLDER_PARTITIONS      partitions of a topic that is made, 24 when not given
  POLDER_REPLICATION     copies of each, 3 when not given
  POLDER_TOPIC_PREFIX    put before the names of topics and groups, for several installations on one cluster
  POLDER_KAFKA_PRODUCER  what appends: kafkajs, when not given, or platformatic, which takes less CPU
`;

/** Undefined when no brokers are named. @throws an error with a sentence for the user */
export function kafkaFromEnv(env: { readonly [name: string]: string | undefined }): KafkaSettings | undefined {
  const brokers = (env["KAFKA_BROKERS"] ?? "")
    .split(",")
    .map((broker) => broker.trim())
    .filter(Boolean);
  if (brokers.length === 0) return undefined;
  return {
    brokers,
    partitions: wholeNumber(env, "POLDER_PARTITIONS", 24, 64),
    replicationFactor: wholeNumber(env, "POLDER_REPLICATION", 3, 9),
    topicPrefix: env["POLDER_TOPIC_PREFIX"] ?? "",
    producer: producerName(env["POLDER_KAFKA_PRODUCER"] || "kafkajs"),
  };
}

function wholeNumber(
  env: { readonly [name: string]: string | undefined },
  name: string,
  otherwise: number,
  max: number,
): number {
  const value = Number(env[name] || otherwise);
  if (Number.isInteger(value) && value >= 1 && value <= max) return value;
  throw new Error(`${name} must be a whole number from 1 to ${max}.`);
}

function producerName(value: string): ProducerName {
  const name = producerNames.find((known) => known === value);
  if (name !== undefined) return name;
  throw new Error(`POLDER_KAFKA_PRODUCER must be ${producerNames.join(" or ")}.`);
}
