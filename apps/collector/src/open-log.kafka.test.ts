import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LogMisconfiguredError } from "@polder/core";
import { createKafkaLog } from "@polder/kafka";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { openLog } from "./open-log.ts";

const brokers = process.env.KAFKA_BROKERS?.split(",");
const logger = { info() {}, warn() {}, error() {} };

describe.skipIf(!brokers)(brokers ? "topics that are wrong" : "skipped: KAFKA_BROKERS is not set", () => {
  let folder: string;
  let topicPrefix: string;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "polder-open-log-"));
    topicPrefix = `open-${randomUUID()}.`;
    const log = createKafkaLog({
      brokers: brokers!,
      clientId: "test",
      partitions: 1,
      replicationFactor: 1,
      createTopics: true,
      topicPrefix,
      logger,
    });
    await vi.waitFor(() => log.prepareTopics(), { timeout: 120_000 });
    await log.close();
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const open = (patienceMs: number) =>
    openLog({
      kafka: { brokers: brokers!, partitions: 2, replicationFactor: 1, topicPrefix, producer: "kafkajs" },
      dataPath: folder,
      retainBytes: 0,
      patienceMs,
      logger,
    });

  it("stop the start", async () => {
    await expect(open(120_000)).rejects.toThrow("polder.events has 1 partitions, not 2");
  });

  it("are told when Kafka says so after its time was up", async () => {
    const { log, misconfigured } = await open(0);
    expect(await misconfigured).toBeInstanceOf(LogMisconfiguredError);
    await log.close();
  });
});
