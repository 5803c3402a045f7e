import { describe, expect, it } from "vitest";
import { createSampleStore } from "../sample-queries.test-support.ts";
import { createLiveFeed, type Batch, type PersonChange } from "./create-live-feed.ts";

const silent = { info: () => {}, warn: () => {}, error: () => {} };

function build(options: { maxEventsPerBatch?: number; maxHeldEvents?: number } = {}) {
  const store = createSampleStore();
  let moment = 1_795_000_000_000;
  const feed = createLiveFeed({
    queries: store.queries,
    logger: silent,
    now: () => moment,
    feedId: "feed",
    ...options,
  });
  const listen = (after?: string) => {
    const batches: Batch[] = [];
    const changes: PersonChange[] = [];
    const subscription = feed.listen(
      { onBatch: (batch) => batches.push(batch), onPeople: (joined) => changes.push(...joined) },
      after,
    );
    return {
      batches,
      changes,
      ...subscription,
      offsets: () => batches.flatMap(({ events }) => events.map(({ offset }) => offset)),
    };
  };
  return { store, feed, listen, advance: (ms: number) => (moment += ms) };
}
const offsets = (batches: readonly Batch[]) => batches.flatMap(({ events }) => events.map(({ offset }) => offset));

it("gives the newest events to whoever comes, then what is new, once and in order", async () => {
  const { store, feed, listen } = build({ maxEventsPerBatch: 3 });
  store.add({}, {}, {}, {}, {});
  await feed.poll();
  const listener = listen();
  expect(offsets(listener.missed)).toEqual([2, 3, 4]);
  store.add({}, {});
  await feed.poll();
  await feed.poll();
  store.add({});
  await feed.poll();
  expect(listener.offsets()).toEqual([5, 6, 7]);
});

it("asks the store once for all listeners", async () => {
  const { store, feed, listen } = build();
  await feed.poll();
  const listeners = Array.from({ length: 50 }, () => listen());
  const before = store.questions();
  store.add({});
  await Promise.all([feed.poll(), feed.poll(), feed.poll()]);
  expect(store.questions() - before).toBeLessThanOrEqual(3);
  for (const listener of listeners) expect(listener.offsets()).toEqual([0]);
});

it("counts what is too much to show", async () => {
  const { store, feed, listen } = build({ maxEventsPerBatch: 2 });
  await feed.poll();
  const listener = listen();
  store.add(...Array.from({ length: 10 }, () => ({})));
  await feed.poll();
  expect(listener.batches).toMatchObject([{ count: 10, seconds: [{ count: 10 }] }]);
  expect(listener.offsets()).toEqual([8, 9]);
});

it("finds partitions that get their first event later", async () => {
  const { store, feed, listen, advance } = build();
  store.add({ partition: 0 });
  await feed.poll();
  const listener = listen();
  store.add({ partition: 7 }, { partition: 7 });
  advance(1);
  await feed.poll();
  expect(listener.batches.flatMap(({ events }) => events.map(({ partition, offset }) => [partition, offset]))).toEqual([
    [7, 0],
    [7, 1],
  ]);
});

it("goes on after the store was away, and leaves nothing out", async () => {
  const { store, feed, listen } = build();
  await feed.poll();
  const listener = listen();
  store.breakDown();
  store.add({});
  await feed.poll();
  expect(feed.status().isStoreReachable).toBe(false);
  expect(listener.batches).toEqual([]);
  store.repair();
  await feed.poll();
  expect(feed.status().isStoreReachable).toBe(true);
  expect(listener.offsets()).toEqual([0]);
});

it("tells nothing to a listener that has left", async () => {
  const { store, feed, listen } = build();
  await feed.poll();
  const listener = listen();
  listener.leave();
  store.add({});
  await feed.poll();
  expect(listener.batches).toEqual([]);
  expect(feed.status().listeners).toBe(0);
});

describe("after identities were joined", () => {
  it("tells whose the events are now, once, and has it so for whoever comes later", async () => {
    const { store, feed, listen } = build();
    store.add({ atom: 64, person: 64 }, { atom: 128, person: 128 }, { atom: 0, person: 0 });
    await feed.poll();
    const listener = listen();
    await feed.poll();
    expect(listener.changes).toEqual([]);
    store.assign(128, 64);
    await feed.poll();
    await feed.poll();
    expect(listener.changes).toEqual([{ site: "shop", atom: 128, person: 64 }]);
    expect(listen().missed.flatMap(({ events }) => events.map(({ person }) => person))).toEqual([64, 64, 0]);
  });

  it("tells it also when a newer event of the same atom was read right after", async () => {
    const { store, feed, listen } = build();
    store.add({ atom: 128, person: 128 });
    await feed.poll();
    const listener = listen();
    store.assign(128, 64);
    store.add({ atom: 128, person: 64 });
    await feed.poll();
    expect(listener.changes).toEqual([{ site: "shop", atom: 128, person: 64 }]);
    expect(listen().missed.flatMap(({ events }) => events.map(({ person }) => person))).toEqual([64, 64]);
  });

  it("tells it of a person whose own first events are not held any more", async () => {
    const { store, feed, listen } = build();
    store.add({ atom: 192, person: 128 });
    store.assign(192, 128);
    await feed.poll();
    const listener = listen();
    store.assign(192, 64);
    store.assign(128, 64);
    await feed.poll();
    expect(listener.changes.toSorted((a, b) => a.atom - b.atom)).toEqual([
      { site: "shop", atom: 128, person: 64 },
      { site: "shop", atom: 192, person: 64 },
    ]);
  });

  it("tells it again to a listener that was away meanwhile", async () => {
    const { store, feed, listen } = build();
    store.add({ atom: 128, person: 128 });
    await feed.poll();
    store.assign(128, 64);
    await feed.poll();
    expect(listen("feed.1")).toMatchObject({ missed: [], people: [{ site: "shop", atom: 128, person: 64 }] });
    expect(listen()).toMatchObject({ people: [] });
  });
});

describe("a listener that comes back", () => {
  it("gets what it missed, and nothing twice", async () => {
    const { store, feed, listen } = build();
    store.add({});
    await feed.poll();
    store.add({}, {});
    await feed.poll();
    store.add({});
    await feed.poll();
    expect(offsets(listen("feed.1").missed)).toEqual([1, 2, 3]);
    expect(offsets(listen("feed.2").missed)).toEqual([3]);
    expect(listen("feed.3")).toMatchObject({ missed: [], hasGap: false });
  });

  it("is told of a gap when that is not held any more, or was another feed's", async () => {
    const { store, feed, listen } = build({ maxHeldEvents: 2 });
    for (let index = 0; index < 5; index++) {
      store.add({});
      await feed.poll();
    }
    expect(listen("feed.1")).toMatchObject({ hasGap: true });
    expect(offsets(listen("feed.1").missed)).toEqual([3, 4]);
    expect(listen("feed.4")).toMatchObject({ hasGap: false });
    expect(listen("yesterday.4")).toMatchObject({ hasGap: true });
    expect(listen()).toMatchObject({ hasGap: false });
  });
});

it("keeps three minutes of counts by second and site", async () => {
  const { store, feed, advance } = build();
  await feed.poll();
  const at = 1_795_000_000;
  store.add(
    { receivedAt: at * 1000 },
    { receivedAt: at * 1000 + 999 },
    { receivedAt: (at + 1) * 1000 },
    { site: "other", receivedAt: at * 1000 },
  );
  await feed.poll();
  expect(feed.series("shop")).toEqual([
    [at, 2],
    [at + 1, 1],
  ]);
  expect(feed.series("other")).toEqual([[at, 1]]);
  expect(feed.series("nobody")).toEqual([]);
  expect(feed.newestReceivedAt("shop")).toBe((at + 1) * 1000);
  advance(181_000);
  expect(feed.series("shop")).toEqual([[at + 1, 1]]);
});

it("holds nothing of somebody who was erased: who listens is told, and who comes later sees nothing", async () => {
  const { store, feed, listen, advance } = build();
  store.add({ atom: 64, person: 64 }, { atom: 128, person: 128 }, { atom: 0, person: 0 });
  await feed.poll();
  const here = listen();
  store.assign(64, 0);
  // Nobody asked for a while: whoever comes waits for one question.
  expect(feed.catchUp()).toBeUndefined();
  advance(2_001);
  await feed.catchUp();
  expect(here.changes).toEqual([{ site: "shop", atom: 64, person: 0 }]);
  expect(listen().missed.flatMap(({ events }) => events.map(({ atom }) => atom))).toEqual([128, 0]);
});
