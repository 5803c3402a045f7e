import { randomUUID } from "node:crypto";
import { createMemoryConsentLedger, describeConsentLedger } from "@polder/core/contracts";
import { topics, type FollowingLedger, type Logger, type VisitorChoices } from "@polder/core";
import { choiceTimesOf, joinChoices, maskOf, purposes, type ChoiceTimes, type Purpose } from "@polder/protocol";
import kafkajs, { type Admin, type Kafka } from "kafkajs";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createSharedConsentLedger, type SharedConsentLedger } from "./consent-ledger.ts";
import { readConsentRecord, toConsentRecord } from "./consent-record.ts";
import { createKafkaLog, type KafkaLog } from "./event-log.ts";

const brokers = process.env.KAFKA_BROKERS?.split(",");
const logger = { info() {}, warn() {}, error() {} };
const name = brokers ? "Kafka" : "skipped, KAFKA_BROKERS is not set: Kafka";

const openLog = (topicPrefix: string, partitions = 2): KafkaLog =>
  createKafkaLog({
    brokers: brokers!,
    clientId: "polder-test",
    partitions,
    replicationFactor: 1,
    createTopics: true,
    topicPrefix,
    appendTimeoutMs: 30_000,
    retryAfterMs: 20,
    logger,
  });
const openLedger = async (
  log: KafkaLog,
  ledger: FollowingLedger = createMemoryConsentLedger(),
  listener: Logger = logger,
) => {
  const shared = createSharedConsentLedger({ ledger, log, instance: randomUUID(), logger: listener });
  await shared.caughtUp(AbortSignal.timeout(120_000));
  expect(shared.isCaughtUp()).toBe(true);
  expect(ledger.hasCaughtUp()).toBe(true);
  return shared;
};

describe.skipIf(!brokers)(name, () => {
  describeConsentLedger("what two collectors tell each other by Kafka", async () => {
    const log = openLog(`consent-${randomUUID()}.`);
    return {
      // Nothing on this machine: all that a reopened ledger knows is out of the topic.
      open: () => openLedger(log),
      isDurable: true,
      until: (isSeen) => vi.waitUntil(isSeen, { interval: 5, timeout: 120_000 }),
      dispose: () => log.close(),
    };
  });

  describe("a shared ledger", () => {
    let topicPrefix: string;
    let log: KafkaLog;
    let logs: KafkaLog[] = [];
    let opened: SharedConsentLedger[] = [];
    let complaints: string[] = [];
    let kafka: Kafka;
    const listener: Logger = {
      info() {},
      warn: (message) => void complaints.push(message),
      error: (message) => void complaints.push(message),
    };
    const open = async (ledger?: FollowingLedger, of = log) => {
      const shared = await openLedger(of, ledger, listener);
      opened.push(shared);
      return shared;
    };
    const openAnotherLog = (partitions?: number) => {
      const another = openLog(topicPrefix, partitions);
      logs.push(another);
      return another;
    };
    const closeAll = async () => {
      await Promise.all(opened.map((shared) => shared.close()));
      opened = [];
    };
    const until = (isSeen: () => boolean) => vi.waitUntil(isSeen, { interval: 5, timeout: 120_000 });
    const at = Date.parse("2026-11-22T20:15:00Z");
    const chose = (granted: readonly Purpose[], ms: number): ChoiceTimes =>
      choiceTimesOf({
        stamp: {
          v: 1,
          id: "c",
          purposes: Object.fromEntries(granted.map((purpose) => [purpose, "granted"])),
          at: new Date(at + ms).toISOString(),
        },
        regime: "opt_in",
        gpc: false,
        recordedAt: at + ms,
        sentAt: at + ms,
        receivedAt: at + ms,
      });
    /** How far the partition is followed that has records; the visitors of a test mostly share one. */
    const followedTo = (ledger: FollowingLedger): number =>
      Math.max(...[0, 1].map((partition) => ledger.positionOf(partition)?.offset ?? 0));
    const topicName = () => `${topicPrefix}polder.consent`;
    const withAdmin = async <T>(use: (admin: Admin) => Promise<T>): Promise<T> => {
      const admin = kafka.admin();
      await admin.connect();
      try {
        return await use(admin);
      } finally {
        await admin.disconnect();
      }
    };
    /** Not by our own log, which writes nothing of the kind. */
    const write = async (key: string, value: string | null) => {
      const producer = kafka.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner });
      await producer.connect();
      await producer.send({ topic: topicName(), messages: [{ key, value }] });
      await producer.disconnect();
    };
    /** Deletes the topic and makes it anew, and resolves when it can be written. */
    const makeTopicAnew = async (choices: readonly VisitorChoices[], partitions?: number) => {
      await withAdmin(async (admin) => {
        await admin.deleteTopics({ topics: [topicName()] });
        // The broker hears of it later than its controller: until then what is appended goes with the old topic.
        await vi.waitFor(async () => expect(await admin.listTopics()).not.toContain(topicName()), { timeout: 120_000 });
      });
      const after = openAnotherLog(partitions);
      await vi.waitFor(() => after.append("polder.consent", choices.map(toConsentRecord)), {
        interval: 50,
        timeout: 120_000,
      });
      return after;
    };

    beforeEach(() => {
      kafka = new kafkajs.Kafka({ brokers: brokers!, logLevel: kafkajs.logLevel.NOTHING });
      topicPrefix = `consent-${randomUUID()}.`;
      complaints = [];
      log = openAnotherLog();
    });
    afterEach(async () => {
      await closeAll();
      await Promise.all(logs.map((one) => one.close()));
      logs = [];
    });

    it("goes on from where the ledger of this machine is", async () => {
      log = openAnotherLog(1);
      const ledger = createMemoryConsentLedger();
      const first = await open(ledger);
      for (const visitor of ["shop:a", "shop:b", "shop:c"])
        await first.record([{ visitor, times: chose(["profile"], 1) }]);
      await until(() => followedTo(ledger) === 3);
      await closeAll();

      const followed: string[] = [];
      const watched: FollowingLedger = {
        ...ledger,
        follow: (choices, partition, position) => {
          followed.push(...choices.map(({ visitor }) => visitor));
          return ledger.follow(choices, partition, position);
        },
      };
      const second = await open(watched);
      await second.record([{ visitor: "shop:d", times: chose([], 4) }]);
      await until(() => followedTo(ledger) === 4);
      // The last one again, by which the topic is known, and the new one.
      expect(followed).toEqual(["shop:c", "shop:d"]);
      expect(complaints).toEqual([]);
    });

    it.each([
      ["fewer records", ["shop:b"]],
      ["as many records", ["shop:b", "shop:b", "shop:b"]],
      ["more records", ["shop:b", "shop:b", "shop:b", "shop:b"]],
    ])("reads all of a topic that was made anew while it was away, with %s, and says so", async (_, keys) => {
      // One partition, so that positions of one topic can be taken for those of the other.
      log = openAnotherLog(1);
      const ledger = createMemoryConsentLedger();
      const first = await open(ledger);
      for (let n = 1; n <= 3; n++) await first.record([{ visitor: "shop:a", times: chose(["profile"], n) }]);
      await until(() => followedTo(ledger) >= 3);
      await closeAll();
      const after = await makeTopicAnew(
        keys.map((visitor, n) => ({ visitor, times: chose([], n) })),
        1,
      );

      const second = await open(ledger, after);
      expect(second.latest("shop:b")).toMatchObject({ granted: 0, refused: maskOf(purposes.slice(1)) });
      expect(second.latest("shop:a")).toMatchObject({ granted: maskOf(["profile"]) });
      expect(complaints.join()).toContain("made anew");
      expect(ledger.positionOf(0)).toEqual({ offset: keys.length, lastKey: "shop:b" });
    });

    it("follows a topic that is made anew below it", async () => {
      const ledger = createMemoryConsentLedger();
      const shared = await open(ledger);
      for (let n = 1; n <= 3; n++) await shared.record([{ visitor: "shop:a", times: chose(["profile"], n) }]);
      await until(() => followedTo(ledger) >= 3);
      const after = await makeTopicAnew([{ visitor: "shop:a", times: chose([], 9) }]);
      await until(() => shared.latest("shop:a")?.granted === 0);
      await after.append("polder.consent", [toConsentRecord({ visitor: "shop:c", times: chose([], 9) })]);
      await until(() => shared.latest("shop:c") !== undefined);
      expect(complaints.join()).toContain("made anew");
    });

    it("reads everything again when the topic lost what it had not read", async () => {
      const ledger = createMemoryConsentLedger();
      await open(ledger);
      await closeAll();
      const records = Array.from({ length: 20 }, (_, n) =>
        toConsentRecord({ visitor: `shop:${n}`, times: chose([], n) }),
      );
      await log.append("polder.consent", records);
      for (const partition of [0, 1]) await ledger.follow([], partition, { offset: 1, lastKey: "shop:long-gone" });
      await withAdmin(async (admin) => {
        await admin.fetchTopicOffsets(topicName());
        const partitions = [0, 1].map((partition) => ({ partition, offset: "3" }));
        await admin.deleteTopicRecords({ topic: topicName(), partitions });
      });
      const shared = await open(ledger);
      const known = records.filter(({ key }) => shared.latest(key) !== undefined);
      expect(known).toHaveLength(20 - 2 * 3);
      expect(complaints).toEqual([expect.stringContaining("lost records"), expect.stringContaining("lost records")]);
    });

    it("passes over records that are no choices, and says so", async () => {
      const shared = await open();
      await write("shop:a", "what?");
      await shared.record([{ visitor: "shop:a", times: chose([], 1) }]);
      await (await open()).caughtUp(AbortSignal.timeout(120_000));
      expect(shared.latest("shop:a")).toMatchObject({ granted: 0 });
      await until(() => complaints.length > 0);
      expect(complaints[0]).toContain("no choices");
    });

    it("forgets nothing by a record that only takes others out of the topic, and does not put them back", async () => {
      const ledger = createMemoryConsentLedger();
      const shared = await open(ledger);
      await shared.record([{ visitor: "shop:a", times: chose([], 1) }]);
      await write("shop:a", null);
      await until(() => followedTo(ledger) >= 2);
      expect(shared.latest("shop:a")).toMatchObject({ granted: 0 });
      expect(await endOffsets()).toEqual(expect.arrayContaining([0, 2]));
      expect(complaints).toEqual([]);
    });

    it("refuses everything of a visitor whose record only a later version can read, which finds it there", async () => {
      const ledger = createMemoryConsentLedger();
      const shared = await open(ledger);
      await shared.record([{ visitor: "shop:a", times: chose(["profile"], 1) }]);
      await until(() => followedTo(ledger) >= 1);
      await write("shop:a", JSON.stringify({ v: 2, what: "this one cannot know" }));
      await until(() => shared.latest("shop:a")?.granted === 0);
      expect(shared.latest("shop:a")).toMatchObject({ granted: 0, refused: maskOf(purposes) });
      await shared.record([{ visitor: "shop:a", times: chose(["profile"], 2) }]);
      await until(() => complaints.length > 0);
      expect(complaints).toEqual([expect.stringContaining("later version")]);
      expect(shared.latest("shop:a")).toMatchObject({ granted: 0 });
      // And so again after a restart, until one comes that can read it.
      await closeAll();
      expect(followedTo(ledger)).toBe(1);
      const again = await open(ledger);
      expect(again.latest("shop:a")).toMatchObject({ granted: 0 });
      expect(complaints).toHaveLength(2);
    });

    it("knows what was chosen before partitions were added, and after", async () => {
      const visitors = Array.from({ length: 30 }, (_, n) => `shop:${n}`);
      const ledger = createMemoryConsentLedger();
      const first = await open(ledger);
      await first.record(visitors.map((visitor) => ({ visitor, times: chose(["profile"], 1) })));
      await withAdmin((admin) =>
        admin.createPartitions({ topicPartitions: topics.map((topic) => ({ topic: topicPrefix + topic, count: 5 })) }),
      );
      const more = openAnotherLog(5);
      const second = await open(undefined, more);
      for (const visitor of visitors) expect(second.latest(visitor)).toMatchObject({ granted: maskOf(["profile"]) });
      await second.record(visitors.map((visitor) => ({ visitor, times: chose([], 2) })));
      expect((await endOffsets()).filter((end) => end > 0).length).toBeGreaterThan(2);
      const third = await open(undefined, more);
      for (const visitor of visitors) expect(third.latest(visitor)).toMatchObject({ granted: 0 });
    });

    it("puts several choices of a visitor that came at once into one record", async () => {
      const ledger = createMemoryConsentLedger();
      const shared = await open(ledger);
      const [yes, no] = [chose(["profile"], 1), chose([], 2)];
      await shared.record([
        { visitor: "shop:a", times: yes },
        { visitor: "shop:a", times: no },
      ]);
      expect(await readAll(log, 1)).toEqual([{ visitor: "shop:a", times: joinChoices(yes, no) }]);
      expect((await endOffsets()).toSorted((a, b) => a - b)).toEqual([0, 1]);
    });

    it("puts all that is known into the topic again where its last record says less, and that once", async () => {
      const ledger = createMemoryConsentLedger();
      await open(ledger);
      const [no, yes] = [chose([], 2), chose(["profile"], 1)];
      // As two collectors write it that do not know of each other yet: after a compaction only the yes would be left.
      await log.append("polder.consent", [
        toConsentRecord({ visitor: "shop:a", times: no }),
        toConsentRecord({ visitor: "shop:a", times: yes }),
      ]);
      await until(() => followedTo(ledger) >= 3);
      await open();
      const [, , last] = await readAll(log, 3);
      expect(last).toEqual({ visitor: "shop:a", times: joinChoices(no, yes) });
      await log.append("polder.consent", [toConsentRecord({ visitor: "shop:b", times: no })]);
      const all = await readAll(log, 4);
      const of = (visitor: string) => all.filter((choice) => typeof choice === "object" && choice.visitor === visitor);
      expect([of("shop:a").length, of("shop:b").length]).toEqual([3, 1]);
    });

    const endOffsets = () =>
      withAdmin(async (admin) => (await admin.fetchTopicOffsets(topicName())).map(({ high }) => Number(high)));
  });
});

/** The first records of the topic, as soon as there are so many. */
async function readAll(log: KafkaLog, count: number) {
  // By partition: one that is given to us once more is read from its start again.
  const choicesOf = new Map<number, ReturnType<typeof readConsentRecord>[]>();
  const reader = log.openReader({
    topic: "polder.consent",
    group: randomUUID(),
    maxRecords: 100,
    maxBytes: 2 ** 20,
    lingerMs: 0,
  });
  let stop = (): void => {};
  const enough = new Promise<void>((resolve) => (stop = resolve));
  const running = reader.run({
    async assigned(partition, _committed, { start }) {
      choicesOf.set(partition, []);
      return start;
    },
    async consume({ partition, records }) {
      choicesOf.get(partition)!.push(...records.map(readConsentRecord));
      if ([...choicesOf.values()].flat().length >= count) stop();
    },
    revoked() {},
  });
  await enough;
  await reader.stop();
  await running;
  return [...choicesOf.values()].flat();
}
