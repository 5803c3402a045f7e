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

/** A second is promised and given as a limit; without it a driver's own patience would show, 8 seconds and more. */
const withinMs = 5_000;

/** What `work` comes to, and whether a clock of this process that began with it was faster: one that stands still holds up both. */
async function timed(work: () => Promise<unknown>): Promise<{ outcome: unknown; isLate: boolean }> {
  let isLate = false;
  const late = setTimeout(() => (isLate = true), withinMs); // not a wait: the limit under test
  const outcome = await work().then(
    (value: unknown) => value,
    (error: unknown) => error,
  );
  clearTimeout(late);
  return { outcome, isLate };
}

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
    /** A second is not much where a machine stands still now and then: what is refused is tried again, as another record. */
    const appendUntilTaken = () => vi.waitFor(append, { interval: 5, timeout: 120_000 });
    const untilReachable = () =>
      vi.waitFor(async () => expect(await log.isReachable()).toBe(true), { timeout: 120_000 });

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
      await vi.waitFor(() => log.prepareTopics(), { timeout: 120_000 });
    });
    afterEach(() => log?.close());

    it("refuses appends within about a second, works again when it is back, and the reader has everything", async () => {
      const consumer = createRecordingConsumer();
      const reader = log.openReader({ topic, group: "loader", maxRecords: 100, maxBytes: 1e6, lingerMs: 0 });
      const reading = reader.run(consumer);
      await appendUntilTaken();
      await consumer.until(() => acknowledged.every((id) => consumer.ids().includes(id)));
      await untilReachable();

      await own.kill();
      // The first finds a dead connection, the next ones no broker at all; several wait for each other.
      const refused = await Promise.all([timed(append), timed(append), timed(append)]);
      refused.push(await timed(append));
      for (const { outcome, isLate } of refused) {
        expect(outcome).toBeInstanceOf(LogUnavailableError);
        expect(isLate).toBe(false);
      }
      expect(await timed(() => log.isReachable())).toEqual({ outcome: false, isLate: false });

      await own.start();
      await appendUntilTaken();
      await appendUntilTaken();
      await untilReachable();
      await consumer.until(() => acknowledged.every((id) => consumer.ids().includes(id)));
      await reader.stop();
      await reading;
      expect(consumer.brokenPromise()).toBeUndefined();
    });

    it("gives up on one that hangs within about a second, works again when it goes on, and stores nothing twice that it confirmed", async () => {
      await appendUntilTaken();
      await own.pause();
      try {
        // More than the kernel takes off our hands.
        const many = Array.from({ length: 6 }, (_, index) => recordOf(`large-${index}`, 800_000));
        const { outcome, isLate } = await timed(() => log.append(topic, many));
        expect(outcome).toBeInstanceOf(LogUnavailableError);
        expect(isLate).toBe(false);
        expect((await timed(append)).outcome).toBeInstanceOf(LogUnavailableError);
      } finally {
        await own.resume();
      }
      await appendUntilTaken();
      const consumer = createRecordingConsumer();
      const reader = log.openReader({ topic, group: "loader", maxRecords: 100, maxBytes: 1e7, lingerMs: 0 });
      const reading = reader.run(consumer);
      await consumer.until(() => acknowledged.every((id) => consumer.ids().includes(id)));
      const stored = consumer.stored().map(({ headers }) => headers.id);
      const copies = acknowledged.map((id) => stored.filter((one) => one === id).length);
      expect(copies).toEqual(acknowledged.map(() => 1));
      await reader.stop();
      await reading;
    });

    it("closes while one hangs that has a request of ours", async () => {
      await appendUntilTaken();
      await own.pause();
      try {
        const unanswered = timed(append);
        const closing = log.close();
        expect((await unanswered).outcome).toBeInstanceOf(LogUnavailableError);
        // kafkajs tries five times, a second each. The broker stands still until then: who waited for it would wait for ever.
        await closing;
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
      // It is given 200 ms, which a busy machine may need for other things.
      const untilAnswered = () => vi.waitFor(async () => expect(await brokers()).toBe(1), { timeout: 120_000 });
      await untilAnswered();
      await own.pause();
      try {
        // The first over the connection that was there, the second over one that the kernel takes and nobody answers.
        await expect(brokers()).rejects.toThrow(LogUnavailableError);
        await expect(brokers()).rejects.toThrow(LogUnavailableError);
      } finally {
        await own.resume();
      }
      await untilAnswered();
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
    const headers = { id: "", site: "", anonymousId: "", userId: "" };
    expect(await timed(() => log.append("polder.events", [{ key: "k", value: Buffer.from("{}"), headers }]))).toEqual({
      outcome: expect.any(LogUnavailableError),
      isLate: false,
    });
    expect(await log.isReachable()).toBe(false);
    await expect(log.prepareTopics()).rejects.toThrow(LogUnavailableError);
    await log.close();
    expect(messages.join()).toContain("ECONNREFUSED");
  });
});
