import type { LogRecord } from "@polder/core";
import { expect, it } from "vitest";
import { decodeBatch, encodeBatches } from "./record-batch.ts";

const recordOf = (text: string, valueBytes: number): LogRecord => ({
  key: text,
  value: Buffer.alloc(valueBytes, valueBytes),
  headers: {
    id: `${text}id`,
    site: "",
    anonymousId: text.repeat(3),
    userId: `${text} `,
    arrival: valueBytes % 2 === 0 ? undefined : `${text}.1.z`,
  },
});

it("gives back what was put in, for texts and values around every length that changes the encoding", () => {
  const lengths = [0, 1, 42, 43, 127, 128, 129, 16_383, 16_384, 16_385, 70_000];
  const texts = ["a", "é", "日", "🙂"].flatMap((unit) => lengths.slice(0, -1).map((length) => unit.repeat(length)));
  const records = texts.flatMap((text) => lengths.map((length) => recordOf(text, length)));
  const batches = encodeBatches(records);
  let offset = 1000;
  for (const { count, bytes } of batches) {
    const decoded = decodeBatch(bytes, offset);
    expect(decoded).toHaveLength(count);
    for (const record of decoded) {
      const { value, ...sent } = records[offset - 1000]!;
      expect(record.offset).toBe(offset);
      expect({ key: record.key, headers: record.headers }).toEqual(sent);
      expect(Buffer.compare(record.value, value)).toBe(0);
      offset += 1;
    }
  }
  expect(offset - 1000).toBe(records.length);
});

it("turns half a surrogate pair into the replacement character and keeps the fields apart", () => {
  const [batch] = encodeBatches([recordOf("\ud83d|", 1)]);
  const [record] = decodeBatch(batch!.bytes, 0);
  expect(record!.key).toBe("\ufffd|");
  expect(record!.headers).toEqual({
    id: "\ufffd|id",
    site: "",
    anonymousId: "\ufffd|".repeat(3),
    userId: "\ufffd| ",
    arrival: "\ufffd|.1.z",
  });
});

it("reads the batches of earlier versions, which know no arrivals", () => {
  // As version 0.1 wrote { key: "k", id: "i", site: "s", anonymousId: "", userId: "u" } with the value 7, twice.
  const record = [1, 1, 1, 0, 1, 4, ...Buffer.from("kisu"), 1, 7];
  const decoded = decodeBatch(Buffer.from([...record, ...record]), 5);
  expect(decoded.map(({ offset, key }) => ({ offset, key }))).toEqual([
    { offset: 5, key: "k" },
    { offset: 6, key: "k" },
  ]);
  expect(decoded[1]!.headers).toEqual({ id: "i", site: "s", anonymousId: "", userId: "u" });
  expect([...decoded[1]!.value]).toEqual([7]);
});

it("keeps batches small, and a large record alone", () => {
  const small = encodeBatches(Array.from({ length: 1000 }, () => recordOf("key", 850)));
  for (const { bytes } of small) expect(bytes.length).toBeLessThan(68_000);
  expect(small.reduce((sum, { count }) => sum + count, 0)).toBe(1000);
  expect(encodeBatches([recordOf("key", 300_000), recordOf("key", 1)]).map(({ count }) => count)).toEqual([1, 1]);
  expect(encodeBatches([])).toEqual([]);
});
