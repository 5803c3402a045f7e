import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createMemoryConsentLedger } from "@polder/core/contracts";
import { createKafkaLog } from "@polder/kafka";
import { createSpooledLog, forwardWithinMs, spoolAfterMs, type SpooledLog } from "@polder/lmdb";
import { buildEvent, buildSite } from "@polder/testing";
import { Registry } from "prom-client";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
// @boundaries-ignore a broker to kill, to stop and to start again, as the test command starts its own
import { startKafkaBroker } from "../../../scripts/kafka-broker.mjs";
import { createCollector, type Collector } from "./create-collector.ts";

const wanted = process.env.KAFKA_BROKERS !== undefined;
const broker = wanted ? await startKafkaBroker() : { skipped: "KAFKA_BROKERS is not set" };
const reason = "skipped" in broker ? broker.skipped : undefined;
const logger = { info() {}, warn() {}, error() {} };

describe.skipIf(reason !== undefined)(
  reason ? `skipped, ${reason}: a broker in trouble` : "a broker in trouble",
  () => {
    const own = broker as Exclude<typeof broker, { skipped: string }>;
    const folder = mkdtempSync(join(tmpdir(), "polder-collector-spool-"));
    const site = buildSite({ origins: ["*"] });
    let log: SpooledLog;
    /** Appends of events to Kafka for which a client waited. */
    let direct = 0;
    let collector: Collector;
    let url: string;
    let sent: string[] = [];

    const openKafka = (appendTimeoutMs: number) =>
      createKafkaLog({
        brokers: [own.brokers],
        clientId: "test",
        partitions: 2,
        replicationFactor: 1,
        createTopics: true,
        appendTimeoutMs,
        logger,
      });

    beforeAll(async () => {
      if (reason !== undefined) return;
      const kafka = openKafka(spoolAfterMs);
      log = createSpooledLog({
        log: {
          ...kafka,
          append(topic, records) {
            if (topic === "polder.events") direct++;
            return kafka.append(topic, records);
          },
        },
        patientLog: openKafka(forwardWithinMs),
        path: folder,
        logger,
      });
      collector = createCollector({
        log,
        ledger: createMemoryConsentLedger(),
        sites: { findKey: () => ({ site, kind: "write" }), findSite: () => site, sites: () => [site] },
        countryOf: () => "",
        now: () => Date.now(),
        clock: () => performance.now(),
        newId: () => "id",
        logger,
        registry: new Registry(),
        browserBundle: [],
        // Of this test every answer is awaited, however slow the machine: of what is answered 503 nobody knows whether it is there.
        options: { answerWithinMs: 120_000 },
      });
      ({ url } = await collector.listen({ host: "127.0.0.1", port: 0 }));
      // The first one finds the topics.
      while ((await send()).status !== 200);
    });
    afterAll(async () => {
      if (reason !== undefined) return;
      await own.resume();
      await collector.close();
      await log.close();
      await own.stop();
      rmSync(folder, { recursive: true, force: true });
    });

    /** One event of the visitor, the next one in order. */
    async function send(): Promise<{ status: number }> {
      const messageId = `m${sent.length}`;
      sent.push(messageId);
      const batch = [buildEvent({ messageId, timestamp: new Date().toISOString() })];
      const answer = await fetch(`${url}/v1/batch`, {
        method: "POST",
        body: JSON.stringify({ writeKey: "pk", batch }),
        headers: { "content-type": "text/plain" },
      });
      await answer.arrayBuffer();
      return { status: answer.status };
    }

    async function untilWell(): Promise<void> {
      let status: number;
      do {
        // What comes while others wait in the spool has to wait behind them.
        await vi.waitFor(async () => expect((await log.spool()).records).toBe(0), { timeout: 120_000 });
        ({ status } = await send());
      } while (status === 202);
      expect(status).toBe(200);
    }

    /** Ids as they are in Kafka, until all that was sent is there. */
    async function idsInKafka(): Promise<string[]> {
      // By partition: one that is given to us once more is read from its start again.
      const idsOf = new Map<number, string[]>();
      const reader = log.openReader({
        topic: "polder.events",
        group: `reading-${sent.length}`,
        maxRecords: 1000,
        maxBytes: 2 ** 20,
        lingerMs: 100,
      });
      let stop = (): void => {};
      const enough = new Promise<void>((resolve) => (stop = resolve));
      const running = reader.run({
        async assigned(partition, _committed, { start }) {
          idsOf.set(partition, []);
          return start;
        },
        async consume({ partition, records }) {
          idsOf.get(partition)!.push(...records.map(({ headers }) => headers.id));
          if (new Set([...idsOf.values()].flat()).size >= sent.length) stop();
        },
        revoked() {},
      });
      await enough;
      await reader.stop();
      await running;
      return [...idsOf.values()].flat();
    }

    it("that is killed and comes back is bridged: answered 202, everything in Kafka afterwards, in order", async () => {
      await own.kill();
      for (let i = 0; i < 20; i++) expect((await send()).status).toBe(202);
      await own.start();
      await untilWell();
      expect([...new Set(await idsInKafka())]).toEqual(sent);
    });

    it("that hangs with its connections open is bridged: one client waits for it, no record is in it more than twice, and in order", async () => {
      const before = sent.length;
      await own.pause();
      expect((await send()).status).toBe(202);
      const tried = direct;
      for (let i = 0; i < 50; i++) expect((await send()).status).toBe(202);
      // It is known to be silent.
      expect(direct).toBe(tried);
      await own.resume();
      await untilWell();
      const ids = await idsInKafka();
      expect([...new Set(ids)]).toEqual(sent);
      for (const id of sent.slice(before)) expect(ids.filter((each) => each === id).length).toBeLessThanOrEqual(2);
    });

    it("that answers only now and then tips nothing over: 200 or 202, always", async () => {
      const statuses: number[] = [];
      const sendFor = async (ms: number): Promise<void> => {
        const until = performance.now() + ms;
        // However slow the machine is meanwhile.
        for (let count = 0; count < 15 || performance.now() < until; count++) statuses.push((await send()).status);
      };
      // Two seconds of silence, then a moment in which it answers all that has come: what a broker on a failing disk does.
      for (let round = 0; round < 5; round++) {
        await own.pause();
        await sendFor(2_000);
        await own.resume();
        await sendFor(200);
      }
      expect(statuses.filter((status) => status !== 200 && status !== 202)).toEqual([]);
      expect(statuses.length).toBeGreaterThan(100);
      await untilWell();
      const ids = await idsInKafka();
      expect([...new Set(ids)]).toEqual(sent);
      for (const id of sent) expect(ids.filter((each) => each === id).length).toBeLessThanOrEqual(2);
    });
  },
);
