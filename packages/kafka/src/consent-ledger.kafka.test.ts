import { randomUUID } from "node:crypto";
import { createMemoryConsentLedger, describeConsentLedger } from "@polder/core/contracts";
import { choiceTimesOf, joinChoices, type ChoiceTimes, type Purpose } from "@polder/protocol";
import type { FollowingLedger } from "@polder/core";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createSharedConsentLedger, type SharedConsentLedger } from "./consent-ledger.ts";
import { readConsentRecord, toConsentRecord } from "./consent-record.ts";
import { createKafkaLog, type KafkaLog } from "./event-log.ts";

const brokers = process.env.KAFKA_BROKERS?.split(",");
const logger = { info() {}, warn() {}, error() {} };
const name = brokers ? "Kafka" : "skipped, KAFKA_BROKERS is not set: Kafka";

const openLog = (topicPrefix: string): KafkaLog =>
  createKafkaLog({
    brokers: brokers!,
    clientId: "polder-test",
    partitions: 2,
    replicationFactor: 1,
    createTopics: true,
    topicPrefix,
    logger,
  });
const openLedger = async (log: KafkaLog, ledger: FollowingLedger = createMemoryConsentLedger()) => {
  const shared = createSharedConsentLedger({ ledger, log, instance: randomUUID(), logger });
  expect(await shared.caughtUp(30_000)).toBe(true);
  return shared;
};

describe.skipIf(!brokers)(name, () => {
  describeConsentLedger("what two collectors tell each other by Kafka", async () => {
    const log = openLog(`consent-${randomUUID()}.`);
    return {
      // Nothing on this machine: all that a reopened ledger knows is out of the topic.
      open: () => openLedger(log),
      isDurable: true,
      until: (isSeen) => vi.waitUntil(isSeen, { interval: 5, timeout: 10_000 }),
      dispose: () => log.close(),
    };
  });

  describe("a shared ledger", () => {
    let log: KafkaLog;
    let opened: SharedConsentLedger[] = [];
    const open = async (ledger?: FollowingLedger) => {
      const shared = await openLedger(log, ledger);
      opened.push(shared);
      return shared;
    };
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

    beforeEach(() => {
      log = openLog(`consent-${randomUUID()}.`);
    });
    afterEach(async () => {
      await Promise.all(opened.map((shared) => shared.close()));
      opened = [];
      await log.close();
    });

    it("goes on from where the ledger of this machine is, and reads all of a topic that was made anew", async () => {
      const ledger = createMemoryConsentLedger();
      const first = await open(ledger);
      await first.record([{ visitor: "shop:a", times: chose(["profile"], 1) }]);
      const position = (): number[] => [0, 1].map((partition) => ledger.positionOf(partition) ?? 0);
      await vi.waitUntil(() => position().some((offset) => offset === 1), { interval: 5, timeout: 10_000 });
      await first.close();
      opened = [];

      const followed: number[] = [];
      const watched: FollowingLedger = {
        ...ledger,
        follow: (choices, to) => {
          followed.push(choices.length);
          return ledger.follow(choices, to);
        },
      };
      const second = await open(watched);
      await second.record([{ visitor: "shop:a", times: chose([], 2) }]);
      await vi.waitUntil(() => position().some((offset) => offset === 2), { interval: 5, timeout: 10_000 });
      expect(followed).toEqual([1]);

      await ledger.follow([], { partition: 0, offset: 1000 });
      await ledger.follow([], { partition: 1, offset: 1000 });
      await open(ledger);
      await vi.waitUntil(() => position().some((offset) => offset === 2), { interval: 5, timeout: 10_000 });
    });

    it("passes over a record that is no choice", async () => {
      const shared = await open();
      const other = { ...toConsentRecord({ visitor: "shop:a", times: [] }), value: Buffer.from("what?") };
      await log.append("polder.consent", [other, toConsentRecord({ visitor: "shop:a", times: chose([], 1) })]);
      await vi.waitUntil(() => shared.latest("shop:a") !== undefined, { interval: 5, timeout: 10_000 });
      expect(shared.latest("shop:a")).toMatchObject({ granted: 0 });
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
      await vi.waitUntil(() => [0, 1].some((partition) => ledger.positionOf(partition) === 3), {
        interval: 5,
        timeout: 10_000,
      });
      await open();
      const [, , last] = await readAll(log, 3);
      expect(last).toEqual({ visitor: "shop:a", times: joinChoices(no, yes) });
      await log.append("polder.consent", [toConsentRecord({ visitor: "shop:b", times: no })]);
      const of = (visitor: string) => (choice: { visitor: string } | undefined) => choice?.visitor === visitor;
      const all = await readAll(log, 4);
      expect([all.filter(of("shop:a")).length, all.filter(of("shop:b")).length]).toEqual([3, 1]);
    });
  });
});

/** The first records of the topic, as soon as there are so many. */
async function readAll(log: KafkaLog, count: number) {
  const choices: ReturnType<typeof readConsentRecord>[] = [];
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
    assigned: async (_partition, _committed, { start }) => start,
    async consume({ records }) {
      choices.push(...records.map(readConsentRecord));
      if (choices.length >= count) stop();
    },
    revoked() {},
  });
  await enough;
  await reader.stop();
  await running;
  return choices;
}
