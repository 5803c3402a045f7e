import { Registry } from "prom-client";
import { expect, it } from "vitest";
import { addStoreMetrics } from "./store-metrics.ts";

function start() {
  const state = {
    now: 1_000_000,
    newest: 990_000 as number | undefined,
    losses: [{ site: "shop", lost: 0, doubled: 2 }],
    isAway: false,
    asked: 0,
    waitFor: Promise.resolve(),
  };
  const registry = new Registry();
  const answer = async <T>(value: T): Promise<T> => {
    await state.waitFor;
    if (state.isAway) throw new Error("away");
    return value;
  };
  addStoreMetrics({
    registry,
    status: {
      newestReceivedAt: () => (state.asked++, answer(state.newest)),
      losses: () => answer(state.losses),
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
    'polder_store_loss_difference_events{site="shop",kind="lost"} 0',
    'polder_store_loss_difference_events{site="shop",kind="doubled"} 2',
    "polder_store_loss_read_timestamp_seconds 1000",
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
  expect(await lines()).toEqual([
    "polder_store_newest_event_age_seconds Nan",
    "polder_store_loss_read_timestamp_seconds 0",
  ]);
  state.isAway = false;
  state.newest = undefined;
  state.now += 1_000;
  expect((await lines())[0]).toBe("polder_store_newest_event_age_seconds Nan");
});

it("never lets a loss ledger that cannot be read look like one that balances", async () => {
  const { state, lines } = start();
  state.losses = ["blog", "shop"].map((site) => ({ site, lost: 0, doubled: 0 }));
  await lines();
  state.isAway = true;
  state.now += 1_000;
  const away = [
    'polder_store_loss_difference_events{site="blog",kind="lost"} Nan',
    'polder_store_loss_difference_events{site="blog",kind="doubled"} Nan',
    'polder_store_loss_difference_events{site="shop",kind="lost"} Nan',
    'polder_store_loss_difference_events{site="shop",kind="doubled"} Nan',
    "polder_store_loss_read_timestamp_seconds 1000",
  ];
  expect((await lines()).slice(1)).toEqual(away);
  state.now += 1_000;
  expect((await lines()).slice(1)).toEqual(away);
  state.isAway = false;
  state.now += 1_000;
  state.losses = [{ site: "shop", lost: 3, doubled: 0 }];
  expect((await lines()).slice(1)).toEqual([
    'polder_store_loss_difference_events{site="shop",kind="lost"} 3',
    'polder_store_loss_difference_events{site="shop",kind="doubled"} 0',
    "polder_store_loss_read_timestamp_seconds 1003",
  ]);
});

it("does not ask a store again that has not answered yet", async () => {
  const { state, lines } = start();
  let answer = (): void => {};
  state.waitFor = new Promise((resolve) => (answer = resolve));
  const first = lines();
  state.now += 5_000;
  const second = lines();
  expect(state.asked).toBe(1);
  answer();
  expect(await first).toEqual(await second);
  expect(state.asked).toBe(1);
  await lines();
  expect(state.asked).toBe(2);
});
