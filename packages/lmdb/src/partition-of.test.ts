import { expect, it } from "vitest";
import { partitionOf } from "./partition-of.ts";

it("never changes: what is stored depends on it", () => {
  const keys = ["", "shop:1", "shop:a9Zk3", "shop:日本", "x".repeat(300)];
  expect(keys.map((key) => partitionOf(key, 4))).toEqual([1, 0, 1, 0, 1]);
  expect(keys.map((key) => partitionOf(key, 24))).toEqual([13, 8, 9, 16, 21]);
  expect(keys.map((key) => partitionOf(key, 1))).toEqual([0, 0, 0, 0, 0]);
});

it("spreads keys evenly", () => {
  const counts = new Map<number, number>();
  for (let index = 0; index < 24_000; index++) {
    const partition = partitionOf(`shop:visitor-${index}`, 24);
    counts.set(partition, (counts.get(partition) ?? 0) + 1);
  }
  expect(counts.size).toBe(24);
  for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
});
