import { Registry } from "prom-client";
import { afterEach, expect, it } from "vitest";
import type { EventLog } from "@polder/core";
import { watchLag, type LagWatch } from "./lag.ts";

let watch: LagWatch | undefined;
afterEach(() => watch?.stop());

const watched = () => {
  const state = { behind: 0, now: 1000, isAway: false };
  const log = {
    lag: async (topic: string) => {
      if (state.isAway) throw new Error("away");
      return new Map([
        [0, topic === "polder.events" ? state.behind : 0],
        [1, 0],
      ]);
    },
  } as Partial<EventLog> as EventLog;
  const registry = new Registry();
  watch = watchLag({ log, registry, clock: () => state.now });
  return { state, registry, watch };
};

it("is none while nothing waits, and grows from the last moment when nothing did", async () => {
  const { state, watch: lag } = watched();
  expect(await lag.ageMs()).toBe(0);
  state.now = 3000;
  expect(await lag.ageMs()).toBe(0);
  state.behind = 7;
  state.now = 4500;
  expect(await lag.ageMs()).toBe(1500);
  state.behind = 0;
  expect(await lag.ageMs()).toBe(0);
});

it("is exported by topic, and is no number when the log is away", async () => {
  const { state, registry, watch: lag } = watched();
  state.behind = 7;
  state.now = 1500;
  const text = await registry.metrics();
  expect(text).toContain('polder_log_lag_records{topic="polder.events"} 7\n');
  expect(text).toContain('polder_log_lag_records{topic="polder.rejected"} 0\n');
  expect(text).toContain("polder_log_lag_seconds 0.5\n");
  state.isAway = true;
  expect(await lag.ageMs()).toBeUndefined();
  expect(await registry.metrics()).toContain('polder_log_lag_records{topic="polder.events"} Nan');
});

it("is no number where the log answers nothing, which keeps no other metric waiting", async () => {
  const registry = new Registry();
  const log = { lag: () => new Promise(() => {}) } as Partial<EventLog> as EventLog;
  watch = watchLag({ log, registry, clock: () => 0, answerWithinMs: 1 });
  const text = await registry.metrics();
  expect(text).toContain('polder_log_lag_records{topic="polder.events"} Nan');
  expect(text).toContain("polder_log_lag_seconds Nan");
  expect(await watch.ageMs()).toBeUndefined();
});
