import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClickHouse, createEventStore, migrate } from "@polder/clickhouse";
import { createCollector } from "@polder/collector";
import { createMemoryConsentLedger } from "@polder/core/contracts";
import { startEngine } from "@polder/engine";
import { createKafkaLog } from "@polder/kafka";
import { createSpooledLog } from "@polder/lmdb";
import { createLoader } from "@polder/loader";
import { buildEvent, buildSite } from "@polder/testing";
import { Registry } from "prom-client";
import { describe, expect, it, vi } from "vitest";
// @boundaries-ignore a broker to kill and start again, as the test command starts its own
import { startKafkaBroker } from "../../../scripts/kafka-broker.mjs";

const hasBroker = Boolean(process.env.KAFKA_BROKERS);
const logger = { info() {}, warn() {}, error() {} };

describe.skipIf(!hasBroker)(hasBroker ? "the loss ledger over Kafka" : "skipped: KAFKA_BROKERS is not set", () => {
  it("balances to zero when the broker is killed under load and comes back, with copies that we made ourselves", async ({
    skip,
  }) => {
    const broker = await startKafkaBroker();
    if ("skipped" in broker) return skip(broker.skipped);
    const folder = mkdtempSync(join(tmpdir(), "polder-loss-ledger-kafka-"));
    const engine = await startEngine({ dataPath: join(folder, "clickhouse"), logger });
    const clickhouse = createClickHouse({ url: engine.url, ...engine.admin, database: "polder", logger });
    await migrate(clickhouse);
    const kafkaOptions = {
      brokers: [broker.brokers],
      clientId: "test",
      partitions: 3,
      replicationFactor: 1,
      createTopics: true,
      logger,
    };
    const readLog = createKafkaLog(kafkaOptions);
    const log = createSpooledLog({
      log: createKafkaLog({ ...kafkaOptions, appendTimeoutMs: 600 }),
      path: join(folder, "spool"),
      retryAfterMs: 50,
      logger,
    });
    const site = buildSite({ origins: ["*"] });
    const collector = createCollector({
      log,
      ledger: createMemoryConsentLedger(),
      sites: { findKey: () => ({ site, kind: "write" }), findSite: () => site, sites: () => [site] },
      countryOf: () => "",
      now: () => Date.now(),
      clock: () => performance.now(),
      newId: randomUUID,
      logger,
      registry: new Registry(),
      browserBundle: [],
      // Of this test every answer is awaited, however slow the machine: who hears nothing would not know what arrived.
      options: { answerWithinMs: 60_000 },
    });
    await vi.waitFor(() => readLog.prepareTopics(), { timeout: 120_000 });
    const loader = createLoader({
      log: readLog,
      store: createEventStore({ clickhouse }),
      logger,
      registry: new Registry(),
      progressEveryMs: 100,
    });
    const running = loader.run();
    const told = { accepted: 0, dropped: 0, rejected: 0 };
    let sent = 0;
    const statuses = new Set<number>();
    const send = async (): Promise<number> => {
      const timestamp = new Date().toISOString();
      const make = (over: object) =>
        buildEvent({ messageId: `m${sent++}`, timestamp, anonymousId: `v${sent % 9}`, ...over });
      const good = make({});
      // The last one comes twice.
      const batch = [good, make({ context: {} }), make({ event: undefined }), make({}), good];
      const answer = await collector.app.request("/v1/batch", {
        method: "POST",
        body: JSON.stringify({ writeKey: "pk", batch }),
        headers: { "content-type": "text/plain" },
      });
      expect([200, 202]).toContain(answer.status);
      statuses.add(answer.status);
      const { accepted } = (await answer.json()) as { accepted: number };
      told.accepted += accepted;
      told.dropped += 1;
      told.rejected += 1;
      return answer.status;
    };
    const sendMany = (count: number) => Promise.all(Array.from({ length: count }, send));
    try {
      await sendMany(20);
      const flying = sendMany(40);
      await broker.kill();
      await flying;
      for (let round = 0; round < 5; round++) await sendMany(10);
      await broker.start();
      let last: number;
      do {
        // What comes while others wait in the spool has to wait behind them.
        await vi.waitFor(async () => expect((await log.spool()).records).toBe(0), { timeout: 120_000 });
        last = await send();
      } while (last === 202);
      await collector.close();
      const ask = () =>
        clickhouse.query<Record<string, number>>(`SELECT sum(received) AS received, sum(stored) AS stored,
          sum(rejected) AS rejected, sum(duplicate) AS duplicate, sum(dropped) AS dropped, sum(in_flight) AS in_flight,
          sum(spooled) > 0 AS has_spooled, sum(abs(difference)) AS off, (SELECT count() FROM events) AS rows,
          (SELECT uniqExact(message_id) FROM events) AS messages FROM loss_ledger`);
      const all = told.accepted + told.dropped + told.rejected;
      const goods = (told.accepted * 2) / 3;
      const whole = {
        received: all,
        stored: goods,
        rejected: told.rejected,
        duplicate: told.accepted - goods,
        dropped: told.dropped,
        in_flight: 0,
        has_spooled: 1,
        off: 0,
        rows: goods,
        messages: goods,
      };
      await vi.waitFor(async () => expect(await ask()).toEqual([whole]), { timeout: 120_000 });
      const over = new Date();
      expect(statuses).toEqual(new Set([200, 202]));
      // Every partition of both topics is known to be loaded up to a time after that, by and by.
      let loaded: { partitions: number } | undefined;
      do
        [loaded] = await clickhouse.query<{ partitions: number }>(
          "SELECT uniqExact(topic, partition) AS partitions FROM ledger_progress WHERE loaded_until >= {over: DateTime64(3)}",
          { params: { over } },
        );
      while (loaded!.partitions < 6);
    } finally {
      await collector.close();
      await loader.stop();
      await running;
      await log.close();
      await readLog.close();
      await clickhouse.close();
      await engine.stop();
      await broker.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
