import { randomUUID } from "node:crypto";
import type { AudienceChange } from "@polder/clickhouse";
import { LogUnavailableError, type EventLog } from "@polder/core";
import { createRecordingConsumer } from "@polder/core/contracts";
import { createKafkaLog, type KafkaLog } from "@polder/kafka";
import { afterEach, describe, expect, it, vi } from "vitest";
import { createAudienceTeller, type AudienceRecord, type AudienceTeller } from "./create-audience-teller.ts";

const brokers = process.env.KAFKA_BROKERS;
const logger = { info() {}, warn() {}, error() {} };
const partitions = 3;

describe.skipIf(brokers === undefined)(
  brokers === undefined
    ? "skipped, KAFKA_BROKERS is not set: changes of audiences on Kafka"
    : "changes of audiences on Kafka",
  () => {
    const topicPrefix = `teller-${randomUUID()}.`;
    const opened: KafkaLog[] = [];
    const open = (): KafkaLog => {
      const log = createKafkaLog({
        brokers: [brokers!],
        clientId: "polder-test",
        partitions,
        replicationFactor: 1,
        createTopics: true,
        topicPrefix,
        // What is appended counts here, not how fast a busy machine does it.
        appendTimeoutMs: 60_000,
        sessionTimeoutMs: 15_000,
        retryAfterMs: 50,
        logger,
      });
      opened.push(log);
      return log;
    };
    afterEach(() => Promise.all(opened.map((log) => log.close())));

    it("are told once, those of a person in order, when a worker ends after an append that nobody confirmed", async () => {
      const changes = Array.from({ length: 40 }, (_, n): AudienceChange => {
        const seq = n + 1;
        const change = n < 20 ? "enter" : "exit";
        const person = 64 * (1 + (n % 20));
        return {
          seq,
          site: "shop",
          audience: "viewers",
          person,
          change,
          reason: change,
          survivor: 0,
          at: seq,
          version: 1,
        };
      });
      const marks = new Map<number, number>();
      const start = (log: EventLog): AudienceTeller => {
        const teller = createAudienceTeller({
          store: {
            changesAfter: async (seq, limit) => changes.filter((change) => change.seq > seq).slice(0, limit),
            toldUpTo: async () => new Map(marks),
            markTold: async (_, seqs) => seqs.forEach((seq, partition) => marks.set(partition, seq)),
          },
          log,
          logger,
          maxRecords: 15,
          settleMs: 1,
        });
        void teller.run();
        return teller;
      };
      const tellAll = async (teller: AudienceTeller): Promise<void> => {
        while (!(await teller.tell())) await new Promise((resolve) => setTimeout(resolve, 20)); // not a wait: between two questions
      };
      const log = open();
      await vi.waitFor(() => log.prepareTopics(), { timeout: 120_000 });
      let appends = 0;
      const broken = start({
        ...log,
        async append(topic, records) {
          await log.append(topic, records);
          if (++appends === 2) throw new LogUnavailableError("no answer");
        },
      });
      await expect(tellAll(broken)).rejects.toThrow("no answer");
      await broken.stop();
      const next = start(open());
      await tellAll(next);
      await next.stop();

      const reader = open().openReader({
        topic: "polder.audience",
        group: "test",
        maxRecords: 1_000,
        maxBytes: 2 ** 20,
        lingerMs: 0,
      });
      const consumer = createRecordingConsumer({ from: ({ bounds }) => bounds.start });
      const done = reader.run(consumer);
      await consumer.until(() => consumer.stored().length >= changes.length);
      await reader.stop();
      await done;
      const told = consumer.stored().map(({ value }) => JSON.parse(Buffer.from(value).toString()) as AudienceRecord);
      const sizes = new Map(
        consumer.assignments.map(({ partition, bounds }) => [partition, bounds.end - bounds.start]),
      );
      expect([...sizes.values()].reduce((sum, size) => sum + size, 0)).toBe(changes.length);
      for (const { person } of changes)
        expect(told.filter((each) => each.person === person).map(({ change }) => change)).toEqual(["enter", "exit"]);
    });
  },
);
