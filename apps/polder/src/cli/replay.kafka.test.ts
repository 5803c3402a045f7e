import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClickHouse, createEventStore, migrate } from "@polder/clickhouse";
import type { LogRecord } from "@polder/core";
import { startEngine } from "@polder/engine";
import { createKafkaLog } from "@polder/kafka";
import { createLoader } from "@polder/loader";
import { Registry } from "prom-client";
import { describe, expect, it } from "vitest";
import { createFakeContext } from "./fake-context.ts";
import { runCli } from "./run-cli.ts";

const brokers = process.env.KAFKA_BROKERS;
const logger = { info() {}, warn() {}, error() {} };
const receivedAt = "2026-11-22 12:00:00.000";
const config = {
  sites: [
    {
      id: "shop",
      name: "Shop",
      timezone: "UTC",
      origins: ["https://shop.example"],
      writeKeys: [{ key: "pk_shop_0000000001" }],
    },
  ],
};

function event(id: string): LogRecord {
  const anonymousId = `visitor-${id}`;
  const row = {
    site: "shop",
    day: "2026-11-22",
    type: "track",
    name: "Product Viewed",
    time: receivedAt,
    received_at: receivedAt,
    message_id: id,
    anonymous_id: anonymousId,
    consent_mask: 7,
    basis: "consent",
  };
  return {
    key: `shop:${anonymousId}`,
    value: Buffer.from(JSON.stringify(row)),
    headers: { id, site: "shop", anonymousId, userId: "" },
  };
}

describe.skipIf(!brokers)(
  brokers ? "polder replay on Kafka" : "skipped, KAFKA_BROKERS is not set: polder replay",
  () => {
    it("brings back what is lost while events come all the time, and loads those as well", async () => {
      const folder = mkdtempSync(join(tmpdir(), "polder-replay-kafka-"));
      writeFileSync(join(folder, "polder.config.json"), JSON.stringify(config));
      const topicPrefix = `${randomUUID()}.`;
      const engine = await startEngine({ dataPath: join(folder, "clickhouse"), logger });
      const clickhouse = createClickHouse({ url: engine.url, ...engine.admin, database: "polder", logger });
      const kafka = { brokers: brokers!.split(","), clientId: "test", partitions: 3, replicationFactor: 1 };
      const log = createKafkaLog({ ...kafka, createTopics: true, topicPrefix, appendTimeoutMs: 30_000, logger });
      try {
        await migrate(clickhouse);
        await log.append(
          "polder.events",
          Array.from({ length: 40 }, (_, n) => event(`m${n}`)),
        );
        const store = createEventStore({ clickhouse });
        const loader = createLoader({ log, store, logger, registry: new Registry(), lingerMs: 1 });
        const running = loader.run();
        while (loader.status().loaded < 40) await new Promise((resolve) => void setImmediate(resolve));
        await loader.stop();
        await running;
        const lost = Array.from({ length: 10 }, (_, n) => `m${n * 4}`);
        await clickhouse.command("ALTER TABLE events DELETE WHERE message_id IN {lost: Array(String)}", {
          params: { lost },
          settings: { mutations_sync: 2 },
        });

        let isOver = false;
        let sent = 0;
        const more = () => log.append("polder.events", [event(`later-${sent++}`)]);
        const traffic = async () => {
          while (!isOver) await more();
        };
        // In the log before the replay looks how far that goes.
        await more();
        const context = createFakeContext({
          cwd: folder,
          env: {
            KAFKA_BROKERS: brokers,
            POLDER_TOPIC_PREFIX: topicPrefix,
            POLDER_PARTITIONS: "3",
            POLDER_REPLICATION: "1",
            CLICKHOUSE_URL: engine.url,
            CLICKHOUSE_USER: engine.admin.username,
            CLICKHOUSE_PASSWORD: engine.admin.password,
          },
        });
        const replay = runCli(["replay", "--from", "2026-11-22", "--to", "2026-11-23"], context).finally(() => {
          isOver = true;
        });
        const [code] = await Promise.all([replay, traffic()]);
        expect(context.complained()).toBe("");
        expect(code).toBe(0);
        expect(context.printed()).toMatch(/ 10 {2}stored now/);
        expect(sent).toBeGreaterThan(1);
        const [row] = await clickhouse.query<{ n: number; ids: number; back: number; inProfiles: number }>(
          `SELECT count() AS n, uniqExact(message_id) AS ids, countIf(message_id IN {lost: Array(String)}) AS back,
           (SELECT sum(events) FROM profile_state) AS inProfiles FROM events`,
          { params: { lost } },
        );
        expect(row).toMatchObject({ ids: row!.n, back: 10, inProfiles: row!.n });
        expect(row!.n).toBeGreaterThan(40);
      } finally {
        await log.close();
        await clickhouse.close();
        await engine.stop();
        rmSync(folder, { recursive: true, force: true });
      }
    });
  },
);
