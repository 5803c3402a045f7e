import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LogRecord } from "@polder/core";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openEnvironment, type Environment } from "./environment.ts";
import { encodeBatches } from "./record-batch.ts";
import { createRetention } from "./retention.ts";
import { storedBytesOf } from "./stored-bytes.ts";

const topic = "polder.events";
const record: LogRecord = {
  key: "shop:a",
  value: Buffer.alloc(10_000),
  headers: { id: "id", site: "shop", anonymousId: "a", userId: "" },
};
const perBatch = encodeBatches(Array.from({ length: 100 }, () => record))[0]!;
const batchBytes = storedBytesOf(perBatch.bytes.length);
const warnings: string[] = [];
const logger = { info() {}, warn: (text: string) => void warnings.push(text), error() {} };

let path: string;
let environment: Environment;

beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), "polder-retention-"));
  environment = openEnvironment({ path, partitions: 2, maxBytes: 2 ** 30 });
  warnings.length = 0;
});
afterEach(async () => {
  await environment.close();
  await rm(path, { recursive: true });
  expect(warnings).toEqual([]);
});

/** Twenty batches in partition 0. */
async function fill() {
  await environment.write(() => {
    for (let index = 0; index < 20; index++) {
      void environment.records(topic).put([0, index * perBatch.count], perBatch.bytes);
    }
    environment.setNextOffset(topic, 0, 20 * perBatch.count);
    environment.setStoredBytes(20 * batchBytes);
  });
}
const commit = (group: string, batches: number) =>
  environment.write(() => environment.setPosition(topic, group, 0, { offset: batches * perBatch.count, metadata: "" }));
async function retain(options: { retainBytes: number; retainRecords?: number; maxBytes?: number }) {
  const retention = createRetention({ environment, maxBytes: 2 ** 30, retainRecords: 0, logger, ...options });
  retention.check();
  await retention.settled();
  return environment.firstOffset(topic, 0) / perBatch.count;
}

it("removes what every group has committed, and nothing else", async () => {
  await fill();
  await commit("loader", 15);
  await commit("audit", 8);
  expect(await retain({ retainBytes: 0 })).toBe(8);
  expect(environment.storedBytes()).toBe(12 * batchBytes);
  expect(environment.nextOffset(topic, 0)).toBe(20 * perBatch.count);
});

it("removes nothing while the log is small, or when nobody has read it", async () => {
  await fill();
  expect(await retain({ retainBytes: 0 })).toBe(0);
  await commit("loader", 20);
  expect(await retain({ retainBytes: 20 * batchBytes })).toBe(0);
});

it("keeps the batch that a committed position lies in", async () => {
  await fill();
  const offset = 3 * perBatch.count - 1;
  await environment.write(() => environment.setPosition(topic, "loader", 0, { offset, metadata: "" }));
  expect(await retain({ retainBytes: 0 })).toBe(2);
});

it("keeps the last committed records for a replay, until the log is nearly full", async () => {
  await fill();
  await commit("loader", 20);
  expect(await retain({ retainBytes: 0, retainRecords: 5 * perBatch.count })).toBe(15);
  expect(await retain({ retainBytes: 0, retainRecords: 5 * perBatch.count, maxBytes: 5 * batchBytes })).toBe(16);
});

it("stops removing when the log is small enough", async () => {
  await fill();
  await commit("loader", 20);
  expect(await retain({ retainBytes: 7 * batchBytes })).toBe(13);
});

it("can empty a partition, which then goes on with the next offset", async () => {
  await fill();
  await commit("loader", 20);
  expect(await retain({ retainBytes: 0 })).toBe(20);
  expect(environment.storedBytes()).toBe(0);
  expect(environment.firstOffset(topic, 0)).toBe(environment.nextOffset(topic, 0));
});
