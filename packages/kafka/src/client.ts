import type { Logger } from "@polder/core";
import kafkajs, { type Kafka, type KafkaConfig, type LogEntry, type SASLOptions } from "kafkajs";

export interface ConnectionOptions {
  brokers: readonly string[];
  clientId: string;
  ssl?: boolean | { ca?: string; cert?: string; key?: string };
  sasl?: { mechanism: "plain" | "scram-sha-256" | "scram-sha-512"; username: string; password: string };
}

/** kafkajs' own defaults keep a caller waiting for 8 to 16 seconds when no broker answers. */
export const retryPolicy = { initialRetryTime: 50, maxRetryTime: 400, multiplier: 2, factor: 0.2, retries: 4 };

/** One configured client. `requestTimeoutMs` is for every request that does not wait on purpose. */
export function createClient(options: ConnectionOptions, logger: Logger, requestTimeoutMs: number): Kafka {
  const { brokers, clientId, ssl, sasl } = options;
  const config: KafkaConfig = {
    brokers: [...brokers],
    clientId,
    connectionTimeout: 1000,
    requestTimeout: requestTimeoutMs,
    enforceRequestTimeout: true,
    retry: retryPolicy,
    logLevel: kafkajs.logLevel.WARN,
    logCreator: () => toLogger(logger),
  };
  if (ssl !== undefined) config.ssl = ssl;
  if (sasl !== undefined) config.sasl = sasl as SASLOptions;
  return new kafkajs.Kafka(config);
}

// A reader that waits for its broker would otherwise write ten lines a second.
const sameMessageEveryMs = 30_000;
const rememberedMessages = 200;

function toLogger(logger: Logger): (entry: LogEntry) => void {
  const lastWritten = new Map<string, number>();
  return ({ namespace, level, log }) => {
    // Said for every idempotent producer with a limit. Ours goes after its first failure, so there is no sequence to spoil.
    if (log.message.startsWith("Limiting retries for the idempotent producer")) return;
    const time = performance.now();
    if (time < (lastWritten.get(log.message) ?? -Infinity) + sameMessageEveryMs) return;
    if (lastWritten.size >= rememberedMessages) lastWritten.clear();
    lastWritten.set(log.message, time);
    const { topic, partition, groupId, broker, error } = log as { [name: string]: unknown };
    const fields = Object.entries({ topic, partition, groupId, broker, error }).filter(
      (field): field is [string, string | number] => typeof field[1] === "string" || typeof field[1] === "number",
    );
    // kafkajs calls an error what it goes on to retry: whether it matters is for the caller to say.
    const write = level === kafkajs.logLevel.ERROR ? logger.warn : logger.info;
    write(`kafkajs: ${log.message}`, { namespace, ...Object.fromEntries(fields) });
  };
}
