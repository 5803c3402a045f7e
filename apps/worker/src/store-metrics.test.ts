import { Registry } from "prom-client";
import { expect, it } from "vitest";
import { addStoreMetrics } from "./store-metrics.ts";

function start() {
  const state = { now: 1_000_000, newest: 990_000 as number | undefined, isAway: false, asked: 0 };
  const registry = new Registry();
  const answer = async <T>(value: T): Promise<T> => {
    if (state.isAway) throw new Error("away");
    return value;
  };
  addStoreMetrics({
    registry,
    status: {
      newestReceivedAt: () => (state.asked++, answer(state.newest)),
      lossDifference: () => answer([{ site: "shop", difference: -2 }]),
    },
    now: () => new Date(state.now),
    everyMs: 1_000,
  });
  const lines = async (): Promise<string[]> =>
    (await registry.metrics()).split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return { state, lines };
}

it("tells how old the newest event is, and what the loss ledger misses", async () => {
  const { lines } = start();
  expect(await lines()).toEqual([
    "polder_store_newest_event_age_seconds 10",
    'polder_store_loss_difference_events{site="shop"} -2',
  ]);
});

it("asks the store once in a while, and grows older in between", async () => {
  const { state, lines } = start();
  await lines();
  state.now += 999;
  expect((await lines())[0]).toBe("polder_store_newest_event_age_seconds 10.999");
  expect(state.asked).toBe(1);
  state.now += 1;
  state.newest = 1_001_000;
  expect((await lines())[0]).toBe("polder_store_newest_event_age_seconds 0");
  expect(state.asked).toBe(2);
});

it("says nothing, rather than something old, while the store is away or empty", async () => {
  const { state, lines } = start();
  state.isAway = true;
  expect(await lines()).toEqual(["polder_store_newest_event_age_seconds Nan"]);
  state.isAway = false;
  state.newest = undefined;
  state.now += 1_000;
  expect((await lines())[0]).toBe("polder_store_newest_event_age_seconds Nan");
});
