import type { Topic } from "@polder/core";
import { describe, expect, it } from "vitest";
import { createLoadedUntil, type HeldPartition } from "./loaded-until.ts";

function build() {
  const ends = new Map<string, number>();
  const held: HeldPartition[] = [];
  /** Of the log, and held by nobody here. */
  const others: { topic: Topic; partition: number }[] = [];
  let seconds = 0;
  const keyOf = (topic: Topic, partition: number): string => `${topic} ${partition}`;
  const ask = createLoadedUntil({
    log: {
      lag: async (topic) =>
        new Map([
          ...others.filter((one) => one.topic === topic).map(({ partition }) => [partition, 5] as const),
          ...held
            .filter((one) => one.topic === topic)
            .map(({ partition, position }) => [partition, ends.get(keyOf(topic, partition))! - position] as const),
        ]),
    },
    group: "polder.loader",
    held: () => held,
    now: () => new Date(seconds * 1_000),
  });
  return {
    others,
    hold(topic: Topic, partition: number, position: number, end: number) {
      ends.set(keyOf(topic, partition), end);
      held.push({ topic, partition, position });
    },
    move(index: number, { by = 0, append = 0 }: { by?: number; append?: number }) {
      const one = held[index]!;
      one.position += by;
      ends.set(keyOf(one.topic, one.partition), ends.get(keyOf(one.topic, one.partition))! + append);
    },
    nextOffsets: async () =>
      Object.fromEntries(
        (await ask()).map(({ topic, partition, next_offset }) => [keyOf(topic as Topic, partition), next_offset]),
      ),
    async at(second: number) {
      seconds = second;
      return Object.fromEntries(
        (await ask()).map(({ topic, partition, loaded_until }) => [
          `${topic} ${partition}`,
          Date.parse(`${loaded_until.replace(" ", "T")}Z`) / 1_000,
        ]),
      );
    },
  };
}

describe("up to when everything is loaded", () => {
  it("is now where nothing waits", async () => {
    const loader = build();
    loader.hold("polder.events", 0, 7, 7);
    loader.hold("polder.rejected", 0, 0, 0);
    expect(await loader.at(5)).toEqual({ "polder.events 0": 5, "polder.rejected 0": 5 });
    expect(await loader.at(9)).toEqual({ "polder.events 0": 9, "polder.rejected 0": 9 });
  });

  it("is when we asked, once what was behind then is loaded, though the log is never empty", async () => {
    const loader = build();
    loader.hold("polder.events", 0, 100, 150);
    // Known, and loaded up to no time at all: it must hold up the others.
    expect(await loader.at(5)).toEqual({ "polder.events 0": 0 });
    loader.move(0, { by: 49, append: 60 });
    expect(await loader.at(10)).toEqual({});
    loader.move(0, { by: 1, append: 60 });
    expect(await loader.at(15)).toEqual({ "polder.events 0": 5 });
    expect(await loader.at(20)).toEqual({});
    loader.move(0, { by: 200, append: 100 });
    expect(await loader.at(25)).toEqual({ "polder.events 0": 20 });
  });

  it("says nothing of a partition that stands still, whatever the others do", async () => {
    const loader = build();
    loader.hold("polder.events", 0, 0, 1);
    loader.hold("polder.events", 1, 0, 0);
    expect(await loader.at(1)).toEqual({ "polder.events 0": 0, "polder.events 1": 1 });
    for (const second of [2, 3]) expect(await loader.at(second)).toEqual({ "polder.events 1": second });
  });

  it("is not known of a partition that nobody could begin to load, which holds up the others until somebody does", async () => {
    const loader = build();
    loader.hold("polder.events", 0, 7, 7);
    loader.others.push({ topic: "polder.events", partition: 1 }, { topic: "polder.rejected", partition: 0 });
    expect(await loader.at(5)).toEqual({ "polder.events 0": 5, "polder.events 1": 0, "polder.rejected 0": 0 });
    // Said once: the greatest holds.
    expect(await loader.at(6)).toEqual({ "polder.events 0": 6 });
    loader.others.shift();
    loader.hold("polder.events", 1, 3, 3);
    expect(await loader.at(7)).toEqual({ "polder.events 0": 7, "polder.events 1": 7 });
  });

  it("comes with the next record to load of the partitions that are held, and of no others", async () => {
    const loader = build();
    loader.hold("polder.events", 0, 7, 9);
    loader.others.push({ topic: "polder.events", partition: 1 });
    expect(await loader.nextOffsets()).toEqual({ "polder.events 0": 7, "polder.events 1": undefined });
    loader.move(0, { by: 2 });
    expect(await loader.nextOffsets()).toEqual({ "polder.events 0": 9 });
  });

  it("says nothing at all when nothing is held", async () => {
    expect(await build().at(1)).toEqual({});
  });
});
