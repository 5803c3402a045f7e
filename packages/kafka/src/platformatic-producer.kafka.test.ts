import { randomUUID } from "node:crypto";
import { tracingChannel } from "node:diagnostics_channel";
import type { Socket } from "node:net";
import { createRecordingConsumer } from "@polder/core/contracts";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createKafkaLog, producerNames, type KafkaLog } from "./event-log.ts";

const brokers = process.env.KAFKA_BROKERS?.split(",");
const topic = "polder.events";

describe.skipIf(!brokers)(
  brokers ? "appending with platformatic" : "skipped, KAFKA_BROKERS is not set: appending with platformatic",
  () => {
    let topicPrefix: string;
    let opened: KafkaLog[] = [];

    const open = async (producer: (typeof producerNames)[number]) => {
      const log = createKafkaLog({
        brokers: brokers!,
        clientId: "polder-test",
        // No power of two: there the library's own rule, which keeps the sign, would agree.
        partitions: 6,
        replicationFactor: 1,
        createTopics: true,
        topicPrefix,
        appendTimeoutMs: 30_000,
        producer,
        logger: { info() {}, warn() {}, error() {} },
      });
      opened.push(log);
      await vi.waitFor(() => log.prepareTopics(), { timeout: 120_000 });
      return log;
    };
    const recordsOf = (prefix: string, count: number) =>
      Array.from({ length: count }, (_, index) => ({
        key: `shop:${index}`,
        value: Buffer.from("{}"),
        headers: { id: `${prefix}${index}`, site: "shop", anonymousId: `${index}`, userId: "" },
      }));
    const readAll = async (log: KafkaLog, count: number) => {
      const consumer = createRecordingConsumer();
      const reader = log.openReader({ topic, group: randomUUID(), maxRecords: 100, maxBytes: 1e6, lingerMs: 0 });
      const reading = reader.run(consumer);
      await consumer.until(() => consumer.stored().length >= count);
      await reader.stop();
      await reading;
      return consumer.stored();
    };

    beforeEach(() => {
      topicPrefix = `producer-${randomUUID()}.`;
    });
    afterEach(async () => {
      await Promise.all(opened.map((log) => log.close()));
      opened = [];
    });

    it("puts a key where kafkajs puts it, and leaves the same record", async () => {
      const [first, second] = [await open("kafkajs"), await open("platformatic")];
      const records = recordsOf("same-", 40);
      await first.append(topic, records);
      await second.append(topic, records);
      const copies = new Map<string, unknown[]>();
      for (const { offset: _offset, ...record } of await readAll(first, 80))
        copies.set(record.key, [...(copies.get(record.key) ?? []), record]);
      expect(copies.size).toBe(40);
      for (const [one, other, ...more] of copies.values()) {
        expect(other).toEqual(one);
        expect(more).toEqual([]);
      }
    });

    it("stores once what it sends again because the connection broke before the answer", async () => {
      const log = await open("platformatic");
      await log.append(topic, recordsOf("before-", 40));
      const produce = 0;
      let cuts = 0;
      // Where the library says that a request has been written.
      const written = ({ apiKey, connection }: { apiKey?: number; connection?: { socket: Socket } }) => {
        if (apiKey !== produce || cuts === 2) return;
        cuts += 1;
        connection!.socket.destroy();
      };
      const channel = tracingChannel("plt:kafka:connections:api");
      const subscriber = { end: (message: object) => written(message) } as Parameters<typeof channel.subscribe>[0];
      channel.subscribe(subscriber);
      try {
        await log.append(topic, recordsOf("cut-", 40));
      } finally {
        channel.unsubscribe(subscriber);
      }
      await log.append(topic, recordsOf("after-", 40));
      expect(cuts).toBe(2);
      const ids = (await readAll(log, 120)).map(({ headers }) => headers.id);
      const sent = ["before-", "cut-", "after-"].flatMap((prefix) =>
        recordsOf(prefix, 40).map(({ headers }) => headers.id),
      );
      expect(ids.toSorted()).toEqual(sent.toSorted());
    });
  },
);
