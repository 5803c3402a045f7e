import type { EventLog, LogRange, PartitionConsumer, StoredRecord } from "@polder/core";
import { expect, it } from "vitest";
import { createSpoolForwarder } from "./spool-forwarder.ts";

const logger = { info() {}, warn() {}, error() {} };

const record = (offset: number): StoredRecord => ({
  offset,
  key: "shop:v",
  value: Buffer.from("{}"),
  headers: { id: `m${offset}`, site: "shop", anonymousId: "v", userId: "" },
});

it("sends nothing twice when the position could not be written, as on a full disk", async () => {
  let consumer: PartitionConsumer | undefined;
  const spool = {
    openReader: () => ({
      run: (given: PartitionConsumer) => ((consumer = given), Promise.resolve()),
      stop: () => Promise.resolve(),
    }),
  } as unknown as EventLog;
  const sent: string[] = [];
  let forwarded = 0;
  const forwarder = createSpoolForwarder({
    spool,
    topic: "polder.events",
    group: "spool",
    append: async (_topic, records) => void sent.push(...records.map(({ headers }) => headers.id)),
    retryAfterMs: 1,
    clock: () => performance.now(),
    logger,
    onForwarded: () => forwarded++,
  });
  const positions: number[] = [];
  let isDiskFull = true;
  const range = (offsets: number[]): LogRange => ({
    topic: "polder.events",
    partition: 0,
    records: offsets.map(record),
    async commit({ offset }) {
      if (isDiskFull) throw new Error("no space left");
      positions.push(offset);
    },
  });
  await expect(consumer!.consume(range([0, 1, 2]))).rejects.toThrow("no space left");
  consumer!.revoked(0);
  await expect(consumer!.consume(range([0, 1, 2, 3]))).rejects.toThrow("no space left");
  isDiskFull = false;
  await consumer!.consume(range([0, 1, 2, 3]));
  expect(sent).toEqual(["m0", "m1", "m2", "m3"]);
  expect(positions).toEqual([4]);
  expect(forwarded).toBe(1);
  await forwarder.stop();
});
