import type { Erasure } from "@polder/core";
import { expect, it } from "vitest";
import { createEraser } from "./create-eraser.ts";

const erasure: Erasure = {
  site: "shop",
  id: "e1",
  round: 1,
  kind: "person",
  atoms: [64, 128],
  keptAtoms: [],
  traits: [],
  requestedAt: 0,
  at: 0,
};

function start({ failing = 0 } = {}) {
  const time = { now: 1_000_000 };
  const done: string[] = [];
  const sweeping = { takesMs: 0, tables: 0 };
  let left = [erasure];
  let failures = failing;
  const eraser = createEraser({
    now: () => new Date(time.now),
    store: {
      async openErasures(limit) {
        done.push(`open ${limit}`);
        return left;
      },
      async begin(erasures) {
        done.push(`begin ${erasures.length}`);
      },
      async carryOut(erasures) {
        done.push(`carry out ${erasures.length}`);
        if (failures-- > 0) throw new Error("ClickHouse is away");
        left = [];
        return erasures.flatMap(({ atoms }) => atoms).length;
      },
      async sweep() {
        done.push("sweep");
        time.now += sweeping.takesMs;
        return sweeping.tables;
      },
    },
  });
  return { time, done, sweeping, eraser };
}

it("removes six seconds after it has announced: by then every loader has heard", async () => {
  const { time, done, eraser } = start();
  expect(await eraser.tick()).toBe(0);
  expect(done).toEqual(["open 5000", "begin 1"]);
  time.now += 5_999;
  expect(await eraser.tick()).toBe(0);
  time.now += 1;
  expect(await eraser.tick()).toBe(2);
  expect(done).toEqual(["open 5000", "begin 1", "carry out 1"]);
});

it("looks every twenty seconds, so that a person is gone within a minute", async () => {
  const { time, done, eraser } = start();
  await eraser.tick();
  time.now += 6_000;
  await eraser.tick();
  time.now += 13_999;
  await eraser.tick();
  expect(done).toHaveLength(3);
  time.now += 1;
  await eraser.tick();
  expect(done.at(-1)).toBe("open 5000");
});

it("announces anew what failed, at once", async () => {
  const { time, done, eraser } = start({ failing: 1 });
  await eraser.tick();
  time.now += 6_000;
  await expect(eraser.tick()).rejects.toThrow("away");
  expect(await eraser.tick()).toBe(0);
  expect(done.slice(-2)).toEqual(["open 5000", "begin 1"]);
  time.now += 6_000;
  expect(await eraser.tick()).toBe(2);
});

it("takes what was removed off the disk by itself, in a twentieth of the time", async () => {
  const { time, done, sweeping, eraser } = start();
  await eraser.tick();
  time.now += 6_000;
  await eraser.tick();
  expect(done).not.toContain("sweep");
  const sweeps = (): number => done.filter((step) => step === "sweep").length;
  // Nothing was there to be swept: that is asked again.
  await eraser.sweep();
  sweeping.tables = 3;
  sweeping.takesMs = 30_000;
  await eraser.sweep();
  expect(sweeps()).toBe(2);
  time.now += 19 * 30_000 - 1;
  await eraser.sweep();
  expect(sweeps()).toBe(2);
  time.now += 1;
  await eraser.sweep();
  expect(sweeps()).toBe(3);
});

it("sweeps between rounds alone, and looks for no erasure to know that", async () => {
  const { time, done, eraser } = start();
  await eraser.tick();
  await eraser.sweep();
  time.now += 6_000;
  const round = eraser.tick();
  await eraser.sweep();
  await round;
  expect(done).toEqual(["open 5000", "begin 1", "carry out 1"]);
  await eraser.sweep();
  expect(done).toEqual(["open 5000", "begin 1", "carry out 1", "sweep"]);
});
