import { randomUUID } from "node:crypto";
import { createEventStore, type ClickHouse } from "@polder/clickhouse";
import { loadedTopics, type EventLog, type LogRecord } from "@polder/core";
import { createKafkaLog, type KafkaLog } from "@polder/kafka";
import { emptyTables } from "@polder/testing";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
// @boundaries-ignore a broker to kill and start again, as the test command starts its own
import { startKafkaBroker } from "../../../scripts/kafka-broker.mjs";
import {
  createBed,
  createListeningLogger,
  exactly,
  readTotals,
  records,
  silent,
  startLoader,
  visitorsOf,
  whyBlocked,
  type Bed,
  type ListeningLogger,
} from "./loader.test-support.ts";

const topic = "polder.events";
const partitions = 4;

// A broker of its own, because it is killed. Where none can be started `npm test` has no KAFKA_BROKERS either, or one of the user's.
const wanted = process.env.KAFKA_BROKERS !== undefined;
const broker = wanted ? await startKafkaBroker() : { skipped: "KAFKA_BROKERS is not set" };
const reason = "skipped" in broker ? broker.skipped : undefined;

describe.skipIf(reason !== undefined)(reason ? `skipped, ${reason}: loaders on Kafka` : "loaders on Kafka", () => {
  const own = broker as Exclude<typeof broker, { skipped: string }>;
  let bed: Bed;
  let clickhouse: ClickHouse;
  let topicPrefix: string;
  let log: KafkaLog;
  let opened: KafkaLog[] = [];
  let running: { stop(): Promise<void> }[] = [];

  const open = (prefix = topicPrefix): KafkaLog => {
    const another = createKafkaLog({
      brokers: [own.brokers],
      clientId: "polder-test",
      partitions,
      replicationFactor: 1,
      createTopics: true,
      topicPrefix: prefix,
      // What is appended counts here, not how fast a busy machine does it.
      appendTimeoutMs: 30_000,
      // As long as a machine may stand still.
      sessionTimeoutMs: 10_000,
      rebalanceTimeoutMs: 10_000,
      retryAfterMs: 50,
      logger: silent,
    });
    opened.push(another);
    return another;
  };
  const load = (from: EventLog = open(), logger: ListeningLogger = createListeningLogger()) => {
    const started = startLoader(from, createEventStore({ clickhouse }), { logger, lingerMs: 100 });
    running.push(started);
    return { ...started, logger };
  };
  /** Until the table has as many rows and nothing waits. */
  const untilLoaded = async (count: number): Promise<void> => {
    for (;;) {
      const [row] = await clickhouse.query<{ n: number }>("SELECT uniqExact(message_id) AS n FROM events");
      // A broker that was just started does not know its groups yet.
      const lags = await Promise.all(loadedTopics.map((each) => log.lag(each, "polder.loader"))).catch(() => undefined);
      if (lags !== undefined && row!.n >= count && lags.every((lag) => [...lag.values()].every((n) => n === 0))) return;
      await new Promise((resolve) => setTimeout(resolve, 50)); // not a wait: between two questions
    }
  };
  const expectExactly = async (sent: readonly LogRecord[]): Promise<void> => {
    await untilLoaded(sent.length);
    expect(await readTotals(clickhouse)).toEqual(exactly(sent.length, visitorsOf(sent)));
  };

  beforeAll(async () => {
    if (reason !== undefined) return;
    bed = await createBed();
    clickhouse = await bed.createDatabase();
  });
  afterAll(async () => {
    if (reason !== undefined) return;
    await clickhouse.close();
    await bed.remove();
    await own.stop();
  });
  beforeEach(async () => {
    await emptyTables(clickhouse);
    topicPrefix = `loader-${randomUUID()}.`;
    log = open();
    await vi.waitFor(() => log.prepareTopics(), { timeout: 120_000 });
  });
  afterEach(async () => {
    await Promise.all(running.map((one) => one.stop()));
    await Promise.all(opened.map((one) => one.close()));
    running = [];
    opened = [];
  });

  it("share the work, hand it over when one comes or goes, and store each event once, client retries among them", async () => {
    const sent: LogRecord[] = [];
    const send = async (count: number): Promise<void> => {
      const fresh = records(count);
      // Of those sent long before, which another loader may have loaded.
      const retries = sent.filter((_, index) => index % 7 === 0);
      sent.push(...fresh);
      await log.append(topic, [...fresh, ...retries]);
    };
    const first = load();
    await send(200);
    await untilLoaded(200);
    const second = load();
    await second.logger.hears(({ message, fields }) => message === "loading a partition" && fields["topic"] === topic);
    // What it was given may be given to another one before anything comes.
    while (second.loader.status().loaded === 0) {
      await send(200);
      await untilLoaded(sent.length);
    }
    const third = load();
    await send(200);
    await third.logger.hears(({ message, fields }) => message === "loading a partition" && fields["topic"] === topic);
    await send(200);
    await first.stop();
    await send(200);
    await untilLoaded(sent.length);
    await second.stop();
    await send(200);
    await expectExactly(sent);
    const loaded = [first, second, third].map(({ loader }) => loader.status());
    expect(loaded.every((each) => each.loaded > 0)).toBe(true);
    expect(loaded.reduce((sum, each) => sum + each.duplicate, 0)).toBeGreaterThan(200);
  });

  it("go on by themselves, exactly, after the broker was killed and started again", async () => {
    const { loader } = load();
    const sent = records(200);
    await log.append(topic, sent);
    await untilLoaded(200);
    for (let round = 0; round < 2; round++) {
      // Some of it is being loaded when the broker dies.
      const more = records(300);
      await log.append(topic, more);
      sent.push(...more);
      await own.kill();
      await own.start();
      await untilLoaded(sent.length);
    }
    const more = records(100);
    await log.append(topic, more);
    sent.push(...more);
    await expectExactly(sent);
    expect(loader.status().blocked).toEqual([]);
  });

  it("are refused the topics of another prefix, and another group's position cannot double anything", async () => {
    const { stop } = load();
    const sent = records(50);
    await log.append(topic, sent);
    await untilLoaded(50);
    const other = open(`other-${randomUUID()}.`);
    await other.append(topic, records(10));
    const wrong = load(other);
    expect(await whyBlocked(wrong.logger)).toContain("POLDER_TOPIC_PREFIX");
    expect(wrong.loader.status().loaded).toBe(0);
    await stop();
    await wrong.stop();
    running = [];
    // As if the group had been made anew: nothing is committed in it.
    const anew = startLoader(open(), createEventStore({ clickhouse }), { group: "polder.another", lingerMs: 100 });
    running.push(anew);
    const more = records(30);
    await log.append(topic, more);
    await vi.waitFor(async () => expect([...(await log.lag(topic, "polder.another")).values()]).toEqual([0, 0, 0, 0]), {
      timeout: 120_000,
    });
    expect(await readTotals(clickhouse)).toEqual(exactly(80, visitorsOf([...sent, ...more])));
  });
});
