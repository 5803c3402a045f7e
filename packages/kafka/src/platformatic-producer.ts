import type { Producer, ProducerOptions } from "@platformatic/kafka";
import { retryPolicy, type ConnectionOptions } from "./client.ts";
import { headersOf, valueOf } from "./messages.ts";
import type { PlacedRecord, ProducerConnector, RecordProducer } from "./record-producer.ts";

const libraryOptions = (
  options: ConnectionOptions,
  timeoutMs: number,
): ProducerOptions<Buffer, Buffer, Buffer, Buffer> => {
  const { brokers, clientId, ssl, sasl } = options;
  return {
    bootstrapBrokers: [...brokers],
    clientId,
    idempotent: true,
    connectTimeout: 1000,
    timeout: timeoutMs,
    requestTimeout: timeoutMs,
    retries: retryPolicy.retries,
    retryDelay: (_client, _operation, attempt) =>
      Math.min(retryPolicy.initialRetryTime * retryPolicy.multiplier ** (attempt - 1), retryPolicy.maxRetryTime),
    // Asked again in the middle of a request when it is older. A leader that moves is noticed anyway.
    metadataMaxAge: 300_000,
    ...(ssl && { tls: ssl === true ? {} : ssl, tlsServerName: true }),
    ...(sasl && { sasl: { ...sasl, mechanism: mechanisms[sasl.mechanism] } }),
  };
};

const mechanisms = { plain: "PLAIN", "scram-sha-256": "SCRAM-SHA-256", "scram-sha-512": "SCRAM-SHA-512" } as const;

/** Starts to load the library, which takes 45 MB and half a second: only who uses it should pay. */
export function createPlatformaticConnector(options: ConnectionOptions, timeoutMs: number): ProducerConnector {
  const library = import("@platformatic/kafka");
  library.catch(() => {});
  const connect = async (): Promise<RecordProducer> => {
    const producer = new (await library).Producer(libraryOptions(options, timeoutMs));
    try {
      await producer.initIdempotentProducer({});
    } catch (error) {
      await cut(producer);
      throw toError(error);
    }
    return {
      async send(topic, records) {
        const messages = records.map((placed) => toMessage(topic, placed));
        try {
          const { offsets = [] } = await producer.send({ messages });
          return new Set(offsets.map(({ partition }) => partition));
        } catch (error) {
          throw toError(error);
        }
      },
      close: () => cut(producer),
    };
  };
  return { loaded: library, connect };
}

/** A request that was given up must not arrive later, and its answer would leave the connection unreadable: so no waiting for either. */
async function cut(producer: Producer): Promise<void> {
  const sockets = [...producer.connections].map(
    ([, connection]) => connection.socket as typeof connection.socket | undefined,
  );
  const closed = producer.close();
  for (const socket of sockets) socket?.destroy();
  await closed;
}

// Of a closed list: a record has no others.
const names = new Map<string, Buffer>();

function nameOf(header: string): Buffer {
  const known = names.get(header);
  if (known) return known;
  const name = Buffer.from(header);
  names.set(header, name);
  return name;
}

function toMessage(topic: string, { record, partition }: PlacedRecord) {
  const headers = new Map<Buffer, Buffer>();
  for (const [name, text] of Object.entries(headersOf(record))) headers.set(nameOf(name), Buffer.from(text));
  return { topic, key: Buffer.from(record.key), value: valueOf(record), headers, partition };
}

/** The library's own message counts attempts; what went wrong stands in the last of them. */
function toError(error: unknown): Error {
  let deepest = error as Error;
  for (let next: unknown = error; next instanceof Error; next = nextOf(next)) deepest = next;
  return new Error(deepest.message.replace(/\.$/, ""), { cause: error });
}

const nextOf = (error: Error): unknown => (error instanceof AggregateError ? error.errors.at(-1) : error.cause);
