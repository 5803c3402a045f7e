import { NotAssignedError, StoreUnavailableError, type EventStore, type LogRange } from "@polder/core";
import { Registry } from "prom-client";
import { afterEach, expect, it, vi } from "vitest";
import { createLoader, type Loader } from "./create-loader.ts";
import { createFakeLog, fakeStore } from "./fakes.test-support.ts";
import { createListeningLogger, record } from "./loader.test-support.ts";

const topic = "polder.events";
const emptyLog = { start: 0, end: 0 };
let loader: Loader | undefined;
afterEach(async () => loader?.stop());

/** Partition 0 of each topic is assigned once; what comes then is the test's. */
async function start(over: Partial<EventStore> = {}) {
  const time = { now: 0 };
  const registry = new Registry();
  const logger = createListeningLogger();
  const { log, consumers } = createFakeLog();
  loader = createLoader({ log, store: fakeStore(over), logger, registry, clock: () => time.now });
  const { status } = loader;
  void loader.run();
  const events = await vi.waitUntil(() => consumers.get(topic), { timeout: 120_000 });
  const gauge = async () => {
    const text = await registry.getSingleMetricAsString("polder_loader_blocked_partitions");
    return Number(text.split(" ").at(-1));
  };
  const reasons = (message: string) =>
    logger.said.filter((line) => line.message === message).map(({ level, fields }) => [level, fields["reason"]]);
  return { time, events, status, gauge, reasons };
}

it("counts a partition as blocked until it is another loader's, and not while it is only tried again", async () => {
  // More was loaded than the log holds.
  const { events, status, gauge } = await start({
    maxOffset: async (table) => (table === "events" ? 41 : undefined),
  });
  expect(status().blocked).toEqual([
    { topic, partition: 0, reason: expect.stringContaining("offsets up to 42 were loaded") },
  ]);
  events.revoked(0);
  expect(await gauge()).toBe(1);
  await expect(events.assigned(0, undefined, emptyLog)).rejects.toThrow("offsets up to 42");
  events.revoked(0);
  expect(status().blocked).toHaveLength(1);
  events.lost!(0);
  expect(status().blocked).toEqual([]);
  expect(await gauge()).toBe(0);
});

it("does not call blocked what waits for ClickHouse, and says why once a minute", async () => {
  const { time, events, status, gauge, reasons } = await start({
    maxOffset: async (table) => {
      if (table === "events") throw new StoreUnavailableError("ClickHouse was not reached (ECONNREFUSED)");
      return undefined;
    },
  });
  const tryAgain = () => expect(events.assigned(0, undefined, emptyLog)).rejects.toThrow("not reached");
  await tryAgain();
  expect(status().blocked).toEqual([]);
  expect(await gauge()).toBe(0);
  time.now += 59_999;
  await tryAgain();
  expect(reasons("a partition cannot be loaded")).toEqual([["warn", "ClickHouse was not reached (ECONNREFUSED)"]]);
  time.now += 1;
  await tryAgain();
  expect(reasons("a partition cannot be loaded")).toHaveLength(2);
});

const range = (over: Partial<LogRange> = {}): LogRange => ({
  topic,
  partition: 0,
  records: [{ ...record(), offset: 0 }],
  commit: async () => undefined,
  ...over,
});
const notLoaded = "a range was not loaded, and is tried again";

it("says once a minute what makes a range fail, in words of ours and none of the record's", async () => {
  let error: Error = new Error("ClickHouse refuses entries of the loss ledger: no such column");
  const { time, events, reasons } = await start({
    insertLedger: () => Promise.reject(error),
  });
  const fail = async () => {
    await expect(events.consume(range())).rejects.toBe(error);
    events.revoked(0);
    await events.assigned(0, undefined, emptyLog);
  };
  await fail();
  await fail();
  expect(reasons(notLoaded)).toEqual([["error", error.message]]);
  time.now += 60_000;
  await fail();
  expect(reasons(notLoaded)).toHaveLength(2);
  error = new TypeError("Ada Lovelace is not a function");
  await fail();
  expect(reasons(notLoaded).at(-1)).toEqual(["error", "TypeError"]);
});

it("says nothing of a range that went to another loader", async () => {
  const { events, reasons } = await start();
  const commit = () => Promise.reject(new NotAssignedError("another loader has it"));
  await expect(events.consume(range({ commit }))).rejects.toThrow(NotAssignedError);
  expect(reasons(notLoaded)).toEqual([]);
});
