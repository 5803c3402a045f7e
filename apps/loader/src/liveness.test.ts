import { createHealthHandler } from "@polder/core";
import { Registry } from "prom-client";
import { afterEach, expect, it, vi } from "vitest";
import { createLoader, type Loader } from "./create-loader.ts";
import { createFakeLog, fakeStore } from "./fakes.test-support.ts";
import { record, silent } from "./loader.test-support.ts";

let loader: Loader | undefined;
afterEach(async () => loader?.stop());

/** A log that hands over what it is told to, and a store whose inserts end when they are told to. */
function start() {
  const time = { now: 0 };
  const inserts: (() => void)[] = [];
  const { log, lag, consumers } = createFakeLog();
  const store = fakeStore({ insert: () => new Promise((resolve) => inserts.push(() => resolve({ ok: true }))) });
  loader = createLoader({
    log,
    store,
    logger: silent,
    registry: new Registry(),
    clock: () => time.now,
    lookEveryMs: 1,
  });
  const running = loader.run();
  const health = createHealthHandler({ live: loader.problem, ready: async () => undefined, metrics: async () => "" });
  const livez = async (): Promise<number> => (await health(new Request("http://127.0.0.1/livez"))).status;
  const assigned = vi.waitFor(() => expect(consumers.size).toBe(3), { timeout: 120_000 });
  return { time, lag, consumers, inserts, livez, running, assigned };
}

it("is alive while there is nothing to load, for however long", async () => {
  const { time, livez, assigned } = start();
  await assigned;
  time.now += 1e9;
  expect(await livez()).toBe(200);
});

it("is dead when a range has not been loaded for two minutes, and alive again when it is", async () => {
  const { time, consumers, inserts, livez, assigned } = start();
  await assigned;
  const consuming = consumers.get("polder.events")!.consume({
    topic: "polder.events",
    partition: 0,
    records: [{ ...record(), offset: 0 }],
    commit: async () => undefined,
  });
  await vi.waitFor(() => expect(inserts).toHaveLength(1), { timeout: 120_000 });
  time.now += 119_999;
  expect(await livez()).toBe(200);
  time.now += 1;
  expect(await livez()).toBe(503);
  inserts[0]!();
  await consuming;
  expect(await livez()).toBe(200);
  time.now += 1e9;
  expect(await livez()).toBe(200);
});

it("is dead when records wait for two minutes and are never handed over", async () => {
  const { time, lag, livez, assigned } = start();
  await assigned;
  lag.set(0, 7);
  // The clock stands until it has seen them.
  await vi.waitFor(
    async () => {
      time.now += 120_000;
      expect(await livez()).toBe(503);
    },
    { timeout: 120_000 },
  );
  lag.set(0, 0);
  await vi.waitFor(async () => expect(await livez()).toBe(200), { timeout: 120_000 });
});

it("is not dead while it is held up on purpose, and is given its two minutes again after that", async () => {
  const { time, lag, livez, assigned } = start();
  await assigned;
  lag.set(0, 7);
  await loader!.pausedWhile(async () => {
    time.now += 1e6;
    expect(await livez()).toBe(200);
  });
  expect(await livez()).toBe(200);
});
