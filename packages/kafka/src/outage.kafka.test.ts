import { LogUnavailableError, type LogRecord } from "@polder/core";
import { createRecordingConsumer } from "@polder/core/contracts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
// @boundaries-ignore a broker to stop and start again, as the test command starts its own
import { startKafkaBroker } from "../../../scripts/kafka-broker.mjs";
import { createKafkaLog, type KafkaLog } from "./event-log.ts";

// A broker of its own, because it is killed. Where none can be started `npm test` has no KAFKA_BROKERS either, or one of the user's.
const wanted = process.env.KAFKA_BROKERS !== undefined;
const broker = wanted ? await startKafkaBroker() : { skipped: "KAFKA_BROKERS is not set" };
const reason = "skipped" in broker ? broker.skipped : undefined;

describe.skipIf(reason !== undefined)(
  reason ? `skipped, ${reason}: a broker that goes away` : "a broker that goes away",
  () => {
    const own = broker as Exclude<typeof broker, { skipped: string }>;
    const topic = "polder.events";
    let log: KafkaLog;
    let count = 0;
    const acknowledged: string[] = [];

    const recordOf = (id: string): LogRecord => ({
      key: `shop:${id}`,
      value: Buffer.from("{}"),
      headers: { id, site: "shop", anonymousId: "", userId: "" },
    });
    const append = async () => {
      const id = `id-${(count += 1)}`;
      await log.append(topic, [recordOf(id)]);
      acknowledged.push(id);
    };
    const timed = async (work: () => Promise<unknown>) => {
      const startedAt = performance.now();
      const outcome = await work().then(
        (value: unknown) => value,
        (error: unknown) => error,
      );
      return { outcome, ms: performance.now() - startedAt };
    };

    beforeAll(async () => {
      if (reason !== undefined) return;
      log = createKafkaLog({
        brokers: [own.brokers],
        clientId: "polder-test",
        partitions: 2,
        replicationFactor: 1,
        createTopics: true,
        sessionTimeoutMs: 3000,
        logger: { info() {}, warn() {}, error() {} },
      });
      await log.prepareTopics();
    });
    afterAll(async () => {
      if (reason !== undefined) return;
      await log.close();
      await own.stop();
    });

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
        expect(ms).toBeLessThan(1500);
      }
      const reachable = await timed(() => log.isReachable());
      expect(reachable.outcome).toBe(false);
      expect(reachable.ms).toBeLessThan(1100);

      await own.start();
      const returnedAt = performance.now();
      while ((await timed(append)).outcome !== undefined) expect(performance.now() - returnedAt).toBeLessThan(10_000);
      await append();
      expect(await log.isReachable()).toBe(true);
      await consumer.until(() => acknowledged.every((id) => consumer.ids().includes(id)));
      await reader.stop();
      await reading;
      expect(consumer.brokenPromise()).toBeUndefined();
    });
  },
);

describe("a log that was never there", () => {
  it("opens all the same, and says so", async () => {
    const messages: string[] = [];
    const log = createKafkaLog({
      // Nothing listens there: port 9 is for discarding.
      brokers: ["127.0.0.1:9"],
      clientId: "polder-test",
      replicationFactor: 1,
      createTopics: true,
      logger: { info() {}, warn: (message) => void messages.push(message), error() {} },
    });
    await expect(log.append("polder.events", [])).resolves.toBeUndefined();
    const startedAt = performance.now();
    await expect(
      log.append("polder.events", [
        { key: "k", value: Buffer.from("{}"), headers: { id: "", site: "", anonymousId: "", userId: "" } },
      ]),
    ).rejects.toThrow(LogUnavailableError);
    expect(performance.now() - startedAt).toBeLessThan(1500);
    expect(await log.isReachable()).toBe(false);
    await expect(log.prepareTopics()).rejects.toThrow(LogUnavailableError);
    await log.close();
    expect(messages.join()).toContain("ECONNREFUSED");
  });
});
