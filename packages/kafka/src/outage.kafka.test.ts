import { randomUUID } from "node:crypto";
import { LogUnavailableError, type LogRecord } from "@polder/core";
import { createRecordingConsumer } from "@polder/core/contracts";
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";
// @boundaries-ignore a broker to stop and start again, as the test command starts its own
import { startKafkaBroker } from "../../../scripts/kafka-broker.mjs";
import { createClusterAdmin } from "./admin.ts";
import { createClient } from "./client.ts";
import { createKafkaLog, producerNames, type KafkaLog } from "./event-log.ts";

// A broker of its own, because it is killed. Where none can be started `npm test` has no KAFKA_BROKERS either, or one of the user's.
const wanted = process.env.KAFKA_BROKERS !== undefined;
const broker = wanted ? await startKafkaBroker() : { skipped: "KAFKA_BROKERS is not set" };
const reason = "skipped" in broker ? broker.skipped : undefined;

/** A second is promised and given as a limit; without it a driver's own patience would show, 8 seconds and more. The rest is room for a busy machine. */
const withinMs = 5_000;

const own = broker as Exclude<typeof broker, { skipped: string }>;
afterAll(async () => {
  if (reason === undefined) await own.stop();
});

describe.skipIf(reason !== undefined).each(producerNames)(
  reason ? `skipped, ${reason}: a broker that goes away, %s` : "a broker that goes away, appending with %s",
  (producer) => {
    const topic = "polder.events";
    let log: KafkaLog;
    let count = 0;
    let acknowledged: string[] = [];

    const recordOf = (id: string, valueBytes = 2): LogRecord => ({
      key: `shop:${id}`,
      value: Buffer.from("{}".padEnd(valueBytes)),
      headers: { id, site: "shop", anonymousId: "", userId: "" },
    });
    const append = async () => {
      const id = `id-${(count += 1)}`;
      await log.append(topic, [recordOf(id)]);
      acknowledged.push(id);
    };
    const appendUntilTaken = async () => {
      const returnedAt = performance.now();
      while ((await timed(append)).outcome !== undefined) expect(performance.now() - returnedAt).toBeLessThan(30_000);
    };
    const timed = async (work: () => Promise<unknown>) => {
      const startedAt = performance.now();
      const outcome = await work().then(
        (value: unknown) => value,
        (error: unknown) => error,
      );
      return { outcome, ms: performance.now() - startedAt };
    };

    beforeEach(async () => {
      if (reason !== undefined) return;
      count = 0;
      acknowledged = [];
      log = createKafkaLog({
        brokers: [own.brokers],
        clientId: "polder-test",
        partitions: 2,
        replicationFactor: 1,
        createTopics: true,
        topicPrefix: `outage-${randomUUID()}.`,
        sessionTimeoutMs: 3000,
        producer,
        logger: { info() {}, warn() {}, error() {} },
      });
      await log.prepareTopics();
    });
    afterEach(() => log?.close());

    it("refuses appends within about a second, works again when it is back, and the reader has everything", async () => {
      const consumer = createRecordingConsumer();
      const reader = log.openReader({ topic, group: "loader", maxRecords: 100, maxBytes: 1e6, lingerMs: 0 });
      const reading = reader.run(consumer);
      await append();
      await consumer.until(() => consumer.ids().includes("id-1"));
      expect(await log.isReachable()).toBe(true);

      await own.kill();
      // The first finds a dead connection, the next ones no broker at all; several wait for each other.
      const refused = await Promise.all([timed(append), timed(append), timed(append)]);
      refused.push(await timed(append));
      for (const { outcome, ms } of refused) {
        expect(outcome).toBeInstanceOf(LogUnavailableError);
        expect(ms).toBeLessThan(withinMs);
      }
      const reachable = await timed(() => log.isReachable());
      expect(reachable.outcome).toBe(false);
      expect(reachable.ms).toBeLessThan(withinMs);

      await own.start();
      await appendUntilTaken();
      await append();
      expect(await log.isReachable()).toBe(true);
      await consumer.until(() => acknowledged.every((id) => consumer.ids().includes(id)));
      await reader.stop();
      await reading;
      expect(consumer.brokenPromise()).toBeUndefined();
    });

    it("gives up on one that hangs within about a second, works again when it goes on, and stores nothing twice that it confirmed", async () => {
      await append();
      await own.pause();
      try {
        // More than the kernel takes off our hands.
        const many = Array.from({ length: 6 }, (_, index) => recordOf(`large-${index}`, 800_000));
        const { outcome, ms } = await timed(() => log.append(topic, many));
        expect(outcome).toBeInstanceOf(LogUnavailableError);
        expect(ms).toBeLessThan(withinMs);
        expect((await timed(append)).outcome).toBeInstanceOf(LogUnavailableError);
      } finally {
        await own.resume();
      }
      await appendUntilTaken();
      const consumer = createRecordingConsumer();
      const reader = log.openReader({ topic, group: "loader", maxRecords: 100, maxBytes: 1e7, lingerMs: 0 });
      const reading = reader.run(consumer);
      await consumer.until(() => acknowledged.every((id) => consumer.ids().includes(id)));
      const copies = acknowledged.map((id) => consumer.ids().filter((stored) => stored === id).length);
      expect(copies).toEqual(acknowledged.map(() => 1));
      await reader.stop();
      await reading;
    });

    it("closes while one hangs that has a request of ours", async () => {
      await append();
      await own.pause();
      try {
        const unanswered = timed(append);
        const closing = timed(() => log.close());
        expect((await unanswered).outcome).toBeInstanceOf(LogUnavailableError);
        // kafkajs tries five times, a second each.
        expect((await closing).ms).toBeLessThan(30_000);
      } finally {
        await own.resume();
      }
    });
  },
);

describe.skipIf(reason !== undefined)(
  reason ? `skipped, ${reason}: questions to a broker that hangs` : "questions to a broker that hangs",
  () => {
    it("are answered again as soon as it goes on, however many were asked meanwhile", async () => {
      const logger = { info() {}, warn() {}, error() {} };
      const admin = createClusterAdmin(createClient({ brokers: [own.brokers], clientId: "polder-test" }, logger, 200));
      const brokers = () => admin.ask(async (asked) => (await asked.describeCluster()).brokers.length);
      expect(await brokers()).toBe(1);
      await own.pause();
      try {
        // The first over the connection that was there, the second over one that the kernel takes and nobody answers.
        await expect(brokers()).rejects.toThrow(LogUnavailableError);
        await expect(brokers()).rejects.toThrow(LogUnavailableError);
      } finally {
        await own.resume();
      }
      expect(await vi.waitUntil(() => brokers().catch(() => 0), { interval: 5, timeout: 60_000 })).toBe(1);
      await admin.close();
    });
  },
);

describe.each(producerNames)("a log that was never there, appending with %s", (producer) => {
  it("opens all the same, and says so", async () => {
    const messages: string[] = [];
    const log = createKafkaLog({
      // Nothing listens there: port 9 is for discarding.
      brokers: ["127.0.0.1:9"],
      clientId: "polder-test",
      replicationFactor: 1,
      createTopics: true,
      producer,
      logger: { info() {}, warn: (message) => void messages.push(message), error() {} },
    });
    await expect(log.append("polder.events", [])).resolves.toBeUndefined();
    const startedAt = performance.now();
    await expect(
      log.append("polder.events", [
        { key: "k", value: Buffer.from("{}"), headers: { id: "", site: "", anonymousId: "", userId: "" } },
      ]),
    ).rejects.toThrow(LogUnavailableError);
    expect(performance.now() - startedAt).toBeLessThan(withinMs);
    expect(await log.isReachable()).toBe(false);
    await expect(log.prepareTopics()).rejects.toThrow(LogUnavailableError);
    await log.close();
    expect(messages.join()).toContain("ECONNREFUSED");
  });
});
