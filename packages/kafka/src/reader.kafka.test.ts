import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { NotAssignedError, type LogRange, type LogReader, type LogRecord } from "@polder/core";
import { createRecordingConsumer, endOf } from "@polder/core/contracts";
import kafkajs, { type Admin } from "kafkajs";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { createKafkaLog, type KafkaLog } from "./event-log.ts";

const brokers = process.env.KAFKA_BROKERS?.split(",");
const packageFolder = fileURLToPath(new URL("..", import.meta.url));
const topic = "polder.events";

describe.skipIf(!brokers)(
  brokers ? "members of a group" : "skipped, KAFKA_BROKERS is not set: members of a group",
  () => {
    let topicPrefix: string;
    let log: KafkaLog;
    let opened: KafkaLog[] = [];
    let readers: LogReader[] = [];
    let children: ChildProcess[] = [];
    let errors: string[] = [];
    let admin: Admin;

    const options = () => ({
      brokers: brokers!,
      clientId: "polder-test",
      partitions: 4,
      replicationFactor: 1,
      createTopics: true,
      topicPrefix,
      appendTimeoutMs: 30_000,
      // As long as a machine may stand still; a member that was killed is missed no sooner.
      sessionTimeoutMs: 10_000,
      rebalanceTimeoutMs: 10_000,
      retryAfterMs: 20,
    });
    const open = () => {
      const logger = { info() {}, warn() {}, error: (message: string) => void errors.push(message) };
      const another = createKafkaLog({ ...options(), logger });
      opened.push(another);
      return another;
    };
    const read = (from: KafkaLog, consumer: ReturnType<typeof createRecordingConsumer>) => {
      const reader = from.openReader({ topic, group: "loader", maxRecords: 100, maxBytes: 1e6, lingerMs: 0 });
      readers.push(reader);
      return { reader, done: reader.run(consumer) };
    };
    const append = (from: number, count: number) =>
      log.append(
        topic,
        Array.from({ length: count }, (_, index) => recordOf(from + index)),
      );

    beforeAll(async () => {
      // Node 20 runs no TypeScript: the child runs the build, which is brought up to date first.
      const typescript = dirname(createRequire(import.meta.url).resolve("typescript/package.json"));
      execFileSync(process.execPath, [join(typescript, "bin", "tsc"), "-b", packageFolder]);
      admin = new kafkajs.Kafka({ brokers: brokers!, logLevel: kafkajs.logLevel.NOTHING }).admin();
      await admin.connect();
    });
    afterAll(() => admin.disconnect());
    beforeEach(async () => {
      topicPrefix = `reader-${randomUUID()}.`;
      errors = [];
      log = open();
      await vi.waitFor(() => log.prepareTopics(), { timeout: 120_000 });
    });
    afterEach(async () => {
      for (const child of children) child.kill("SIGKILL");
      await Promise.all(readers.map((reader) => reader.stop()));
      await Promise.all(opened.map((one) => one.close()));
      children = [];
      readers = [];
      opened = [];
    });

    it("share the partitions, and take over those of a member that was killed", async () => {
      const child = spawn(process.execPath, ["--input-type=module", "-e", readingChild, JSON.stringify(options())], {
        cwd: packageFolder,
        stdio: ["ignore", "pipe", "inherit"],
      });
      children.push(child);
      /** Committed by the child, which says so, and by our member. */
      const childIds: string[] = [];
      const ours: string[] = [];
      const consumer = createRecordingConsumer({
        async consume(range) {
          await commitEnd(range);
          ours.push(...range.records.map(({ headers }) => headers.id));
        },
      });
      createInterface({ input: child.stdout }).on("line", (line) => {
        if (line !== "") childIds.push(...line.split(" "));
      });
      let appended = 0;
      const appendMore = async () => {
        await append(appended, 100);
        appended += 100;
      };
      const untilSeen = () =>
        vi.waitFor(() => expect(new Set([...childIds, ...ours]).size).toBe(appended), { timeout: 120_000 });

      await appendMore();
      await untilSeen();
      expect(ours).toEqual([]);
      read(log, consumer);
      await consumer.until(() => consumer.owned.size > 0);
      // For a while one of them may have everything.
      let [byChild, byUs] = [0, 0];
      while (byChild === 0 || byUs === 0) {
        const before = [childIds.length, ours.length] as const;
        await appendMore();
        await untilSeen();
        [byChild, byUs] = [childIds.length - before[0], ours.length - before[1]];
      }

      const ended = once(child, "close");
      child.kill("SIGKILL");
      await ended;
      await appendMore();
      await consumer.until(() => consumer.owned.size === 4);
      await untilSeen();
      expect(consumer.brokenPromise()).toBeUndefined();
      // What the child had committed, and said so, is not handed over again.
      const twice = ours.filter((id) => childIds.includes(id));
      expect(twice).toEqual([]);
    });

    it("hear that a partition is no longer theirs when they commit too late", async () => {
      await append(0, 1);
      let openGate = () => {};
      const gate = new Promise<void>((resolve) => (openGate = resolve));
      let outcome: unknown;
      const slow = createRecordingConsumer({
        async consume(range) {
          await gate;
          outcome = await commitEnd(range).catch((error: unknown) => error);
          throw outcome;
        },
      });
      const first = read(log, slow);
      await slow.until(() => slow.begun.length === 1);
      const next = createRecordingConsumer();
      read(open(), next);
      await next.until(() => next.ids().length > 0);
      openGate();
      await slow.until(() => slow.ranges.length === 1);
      expect(outcome).toBeInstanceOf(NotAssignedError);
      await first.reader.stop();
      expect(slow.brokenPromise()).toBeUndefined();
      // One that stood still may have to commit once more.
      await vi.waitFor(async () => expect([...(await log.lag(topic, "loader")).values()]).toEqual([0, 0, 0, 0]), {
        timeout: 120_000,
      });
    });

    it("are told which records are none of ours", async () => {
      const producer = new kafkajs.Kafka({
        brokers: brokers!,
        logLevel: kafkajs.logLevel.NOTHING,
      }).producer();
      await producer.connect();
      const send = (value: string | null, headers: { [name: string]: string }) =>
        producer.send({ topic: `${topicPrefix}${topic}`, messages: [{ key: "shop:a", value, headers, partition: 0 }] });
      await send("{}", { id: "first", site: "shop" });
      await send("{}", { id: "second", site: "shop", v: "1" });
      await send("{}", { id: "third", site: "shop", v: "2" });
      await send(null, { id: "tombstone", site: "shop" });
      await producer.disconnect();
      const consumer = createRecordingConsumer();
      read(log, consumer);
      await consumer.until(() => consumer.stored().length === 4);
      expect(consumer.stored().map(({ headers, foreign }) => [headers.id, foreign])).toEqual([
        ["first", undefined],
        ["second", undefined],
        ["third", expect.stringContaining("version 2")],
        ["tombstone", "It has no value."],
      ]);
    });

    it("are told when Kafka removed what they had not read, with their position as it was", async () => {
      await append(0, 40);
      const first = createRecordingConsumer({
        consume: (range) => range.commit({ offset: range.records[0]!.offset, metadata: "intent" }),
      });
      const before = read(log, first);
      await first.until(() => first.stored().length === 40);
      await before.reader.stop();
      const [{ partition, records }] = first.ranges as [LogRange];
      const end = endOf(first.ranges.findLast((range) => range.partition === partition)!);

      // kafkajs deletes only from topics that this connection has asked about.
      await admin.fetchTopicOffsets(`${topicPrefix}${topic}`);
      let asked = 0;
      const second = createRecordingConsumer({
        from: ({ committed, bounds }) => Math.max(committed!.offset, bounds.start),
      });
      const { assigned } = second;
      second.assigned = async (of, committed, bounds) => {
        // The log loses its beginning between the answer and the first fetch.
        if (of === partition && (asked += 1) === 1) {
          const partitions = [{ partition, offset: String(end - 1) }];
          await admin.deleteTopicRecords({ topic: `${topicPrefix}${topic}`, partitions });
        }
        return assigned(of, committed, bounds);
      };
      read(log, second);
      await second.until(() => second.ranges.some((range) => range.partition === partition));
      const assignments = second.assignments.filter((assignment) => assignment.partition === partition);
      expect(assignments).toEqual([
        { partition, committed: { offset: records[0]!.offset, metadata: "intent" }, bounds: { start: 0, end } },
        { partition, committed: { offset: records[0]!.offset, metadata: "intent" }, bounds: { start: end - 1, end } },
      ]);
      const [range] = second.ranges.filter((candidate) => candidate.partition === partition);
      expect(range!.records.map(({ offset }) => offset)).toEqual([end - 1]);
      expect(errors.join()).toContain("Kafka removed records that were not consumed");
    });

    it("are asked again where to start when the topic was made anew and ends before what they had read", async () => {
      await append(0, 40);
      const consumer = createRecordingConsumer({ from: ({ bounds }) => bounds.start });
      read(log, consumer);
      await consumer.until(() => consumer.stored().length === 40);
      const name = `${topicPrefix}${topic}`;
      // In one go, so that the next fetch finds the new topic and an offset that is not there.
      await admin.deleteTopics({ topics: [name] });
      await admin.createTopics({
        topics: [{ topic: name, numPartitions: 4, replicationFactor: 1 }],
        waitForLeaders: false,
      });
      const after = open();
      // What is appended too early goes with the old topic.
      await vi.waitFor(
        async () => {
          await after.append(topic, [recordOf(40)]);
          expect(consumer.ids()).toContain("id-40");
        },
        { interval: 50, timeout: 120_000 },
      );
      expect(new Set(consumer.ids()).size).toBe(41);
    });
  },
);

const commitEnd = (range: LogRange) => range.commit({ offset: endOf(range), metadata: "" });

function recordOf(index: number): LogRecord {
  return {
    key: `shop:${index % 40}`,
    value: Buffer.from(`{"n":${index}}`),
    headers: { id: `id-${index}`, site: "shop", anonymousId: `${index % 40}`, userId: "" },
  };
}

/** Reads for ever and says the ids that it has committed. */
const readingChild = `
import { createKafkaLog } from "@polder/kafka";
import { writeSync } from "node:fs";
const log = createKafkaLog({ ...JSON.parse(process.argv[1]), logger: { info() {}, warn() {}, error() {} } });
const reader = log.openReader({ topic: "polder.events", group: "loader", maxRecords: 100, maxBytes: 1e6, lingerMs: 0 });
await reader.run({
  assigned: async (_partition, committed, bounds) => committed?.offset ?? bounds.start,
  async consume(range) {
    await range.commit({ offset: range.records.at(-1).offset + 1, metadata: "" });
    writeSync(1, range.records.map((record) => record.headers.id).join(" ") + "\\n");
  },
  revoked() {},
});
`;
