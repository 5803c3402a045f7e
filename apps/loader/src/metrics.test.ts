import { StoreUnavailableError, type EventStore, type LogRange } from "@polder/core";
import { Registry } from "prom-client";
import { expect, it, onTestFinished, vi } from "vitest";
import { createLoaderMetrics } from "./metrics.ts";

function start() {
  const state = { now: Date.UTC(2026, 10, 22, 20, 0, 0), lag: new Map([[0, 0]]), isAway: false, isHanging: false };
  const registry = new Registry();
  const metrics = createLoaderMetrics({
    registry,
    log: {
      lag: () => {
        if (state.isHanging) return new Promise(() => {});
        return state.isAway ? Promise.reject(new Error("away")) : Promise.resolve(state.lag);
      },
    },
    group: "g",
    now: () => new Date(state.now),
    clock: () => state.now,
  });
  const value = async (series: string): Promise<string | undefined> =>
    (await registry.metrics())
      .split("\n")
      .find((line) => line.startsWith(`${series} `))
      ?.slice(series.length + 1);
  return { state, metrics, value };
}

const range = (receivedAt: readonly string[]): LogRange => ({
  topic: "polder.events",
  partition: 0,
  records: receivedAt.map((time, offset) => ({
    offset,
    key: "k",
    value: new TextEncoder().encode(`{"site":"shop","received_at":"${time}"}`),
    headers: { id: "m", site: "shop", anonymousId: "", userId: "" },
  })),
  commit: async () => undefined,
});
const lagSeconds = 'polder_loader_lag_seconds{topic="polder.events",partition="0"}';
const lagRecords = 'polder_loader_lag_records{topic="polder.events",partition="0"}';

it("tells the lag of the partitions that it holds, in records and in seconds, and of no other", async () => {
  const { state, metrics, value } = start();
  metrics.assigned("polder.events", 0);
  state.lag.set(0, 0).set(1, 500);
  expect([await value(lagRecords), await value(lagSeconds)]).toEqual(["0", "0"]);
  expect(await value('polder_loader_lag_records{topic="polder.events",partition="1"}')).toBeUndefined();
  // It came after the last look at which nothing waited.
  state.now += 10_000;
  state.lag.set(0, 40);
  expect([await value(lagRecords), await value(lagSeconds)]).toEqual(["40", "10"]);
  // And after the newest that is stored.
  metrics.consumed(range(["2026-11-22 20:00:01.000", "2026-11-22 20:00:07.500"]), 100);
  expect(await value(lagSeconds)).toBe("2.5");
  state.now += 60_000;
  expect(await value(lagSeconds)).toBe("62.5");
  state.lag.set(0, 0);
  expect(await value(lagSeconds)).toBe("0");
  // An event after a quiet hour has not waited for an hour.
  state.now += 3_600_000;
  await value(lagSeconds);
  state.now += 1_000;
  state.lag.set(0, 1);
  expect(await value(lagSeconds)).toBe("1");
  metrics.revoked("polder.events", 0);
  expect(await value(lagSeconds)).toBeUndefined();
});

it("says that it does not know while the log is away", async () => {
  const { state, metrics, value } = start();
  metrics.assigned("polder.events", 0);
  state.isAway = true;
  expect([await value(lagRecords), await value(lagSeconds)]).toEqual(["Nan", "Nan"]);
  await expect(metrics.look()).rejects.toThrow("away");
  state.isAway = false;
  state.lag.set(0, 3);
  expect(await metrics.look()).toBe(3);
});

it("says that it does not know when the log hangs, and keeps nobody waiting", async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const { state, metrics, value } = start();
  metrics.assigned("polder.events", 0);
  state.isHanging = true;
  const seen = value(lagRecords);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(await seen).toBe("Nan");
});

it("measures from received to queryable by the oldest event of a range", async () => {
  const { metrics, value } = start();
  metrics.assigned("polder.events", 0);
  metrics.consumed(range(["2026-11-22 19:59:57.000", "2026-11-22 19:59:59.900"]), 250);
  expect(await value("polder_loader_event_age_seconds_sum")).toBe("3");
  expect(await value("polder_loader_event_age_seconds_count")).toBe("1");
  expect(await value('polder_loader_range_seconds_sum{topic="polder.events"}')).toBe("0.25");
  expect(await value("polder_loader_progress_timestamp_seconds")).toBe(String(Date.UTC(2026, 10, 22, 20) / 1000));
});

it("times inserts by how they ended, and hands on what they said", async () => {
  const { state, metrics, value } = start();
  const outcomes: (() => Promise<{ ok: true } | { ok: false; message: string }>)[] = [
    async () => ({ ok: true }),
    async () => ({ ok: false, message: "no" }),
    () => Promise.reject(new StoreUnavailableError("away")),
  ];
  const store = metrics.timed({
    insert: async () => {
      state.now += 2_000;
      return outcomes.shift()!();
    },
    isReachable: async () => true,
  } as unknown as EventStore);
  expect(await store.insert("events", "t", [])).toEqual({ ok: true });
  expect(await store.insert("events", "t", [])).toEqual({ ok: false, message: "no" });
  await expect(store.insert("events", "t", [])).rejects.toThrow("away");
  for (const outcome of ["stored", "refused", "unknown"])
    expect(await value(`polder_loader_insert_seconds_sum{table="events",outcome="${outcome}"}`)).toBe("2");
  expect(await store.isReachable()).toBe(true);
});
