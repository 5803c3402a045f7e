import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createMemoryConsentLedger } from "@polder/core/contracts";
import { createKafkaLog } from "@polder/kafka";
import { createSpooledLog } from "@polder/lmdb";
import { buildEvent, buildSite } from "@polder/testing";
import { Registry } from "prom-client";
import { describe, expect, it } from "vitest";
// @boundaries-ignore a broker to kill and start again, as the test command starts its own
import { startKafkaBroker } from "../../../scripts/kafka-broker.mjs";
import { createCollector } from "./create-collector.ts";

const hasBroker = Boolean(process.env.KAFKA_BROKERS);
const logger = { info() {}, warn() {}, error() {} };

describe.skipIf(!hasBroker)(
  hasBroker ? "a broker that is killed and comes back" : "skipped: KAFKA_BROKERS is not set",
  () => {
    it("is bridged: answered 202 within a second, and every event is in Kafka afterwards, in order", async ({
      skip,
    }) => {
      const broker = await startKafkaBroker();
      if ("skipped" in broker) return skip(broker.skipped);
      const folder = mkdtempSync(join(tmpdir(), "polder-collector-spool-"));
      const kafka = createKafkaLog({
        brokers: [broker.brokers],
        clientId: "test",
        partitions: 2,
        replicationFactor: 1,
        createTopics: true,
        appendTimeoutMs: 600,
        logger,
      });
      const log = createSpooledLog({ log: kafka, path: folder, retryAfterMs: 50, logger });
      const site = buildSite({ origins: ["*"] });
      const collector = createCollector({
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
      });
      const { url } = await collector.listen({ host: "127.0.0.1", port: 0 });
      const ids: string[] = [];
      const send = async (): Promise<number> => {
        const messageId = `m${ids.length}`;
        ids.push(messageId);
        const batch = [buildEvent({ messageId, timestamp: new Date().toISOString() })];
        const answer = await fetch(`${url}/v1/batch`, {
          method: "POST",
          body: JSON.stringify({ writeKey: "pk", batch }),
          headers: { "content-type": "text/plain" },
        });
        await answer.arrayBuffer();
        return answer.status;
      };
      try {
        // On a busy machine the topics may take longer to make than an append may take.
        await kafka.prepareTopics();
        expect(await send()).toBe(200);
        await broker.kill();
        expect(await send()).toBe(202);
        for (let i = 0; i < 20; i++) expect(await send()).toBe(202);
        await broker.start();
        let last: number;
        do last = await send();
        while (last === 202);
        expect(last).toBe(200);
        expect(await readIds(kafka, ids.length)).toEqual(ids);
      } finally {
        await collector.close();
        await log.close();
        await broker.stop();
        rmSync(folder, { recursive: true, force: true });
      }
    });
  },
);

/** Ids as a reader gets them, each once: an append whose answer got lost may be there twice. */
async function readIds(log: ReturnType<typeof createKafkaLog>, count: number): Promise<string[]> {
  const seen = new Set<string>();
  const reader = log.openReader({
    topic: "polder.events",
    group: "reading",
    maxRecords: 1000,
    maxBytes: 2 ** 20,
    lingerMs: 100,
  });
  let stop = (): void => {};
  const enough = new Promise<void>((resolve) => (stop = resolve));
  const running = reader.run({
    assigned: async (_partition, _committed, { start }) => start,
    async consume({ records }) {
      for (const { headers } of records) seen.add(headers.id);
      if (seen.size >= count) stop();
    },
    revoked() {},
  });
  await enough;
  await reader.stop();
  await running;
  return [...seen];
}
