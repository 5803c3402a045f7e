import { Registry } from "prom-client";
import { afterEach, expect, it, vi } from "vitest";
import { createWorker, type Worker } from "./create-worker.ts";
import { createMemoryIdentityStore, newMemoryIdentity } from "./memory-identity-store.test-support.ts";

let worker: Worker | undefined;
let release = (): void => undefined;
afterEach(async () => {
  release();
  await worker?.stop();
});

const logger = { info() {}, warn() {}, error() {} };

function start(task: "people" | "choices" | "withdrawals" | "retention") {
  const time = { now: 0 };
  const state = { ends: "now" as "now" | "never" | "fails", rounds: 0 };
  const round = async (): Promise<number> => {
    state.rounds++;
    if (state.ends === "fails") throw new Error("away");
    if (state.ends === "never") await new Promise<void>((resolve) => (release = resolve));
    return 0;
  };
  const other = async (): Promise<number> => 0;
  const roundOf = (name: typeof task): (() => Promise<number>) => (name === task ? round : other);
  const registry = new Registry();
  const memory = createMemoryIdentityStore(newMemoryIdentity());
  worker = createWorker({
    store: {
      ...memory,
      changeMark: async () => (await roundOf("people")(), memory.changeMark()),
    },
    consent: { tick: roundOf("choices") },
    withdrawer: { tick: roundOf("withdrawals") },
    retainer: { tick: roundOf("retention") },
    logger,
    registry,
    clock: () => time.now,
    tickMs: 1,
    stopWithinMs: 10,
  });
  void worker.run();
  const nextRound = async (ends: typeof state.ends): Promise<void> => {
    state.ends = ends;
    const before = state.rounds;
    await vi.waitFor(() => expect(state.rounds).toBeGreaterThan(before + 1), { timeout: 120_000 });
  };
  const hang = async (): Promise<void> => {
    const before = state.rounds;
    state.ends = "never";
    await vi.waitFor(() => expect(state.rounds).toBe(before + 1), { timeout: 120_000 });
  };
  return { time, nextRound, hang, state, registry };
}

const minutes = (n: number): number => n * 60_000;

it.each([
  ["people", minutes(2)],
  ["choices", minutes(2)],
  ["withdrawals", minutes(60)],
  ["retention", minutes(60)],
] as const)("is dead when a round of %s does not end, and alive again when it does", async (task, limitMs) => {
  const { time, hang, state } = start(task);
  await vi.waitFor(() => expect(state.rounds).toBeGreaterThan(0), { timeout: 120_000 });
  expect(worker!.problem()).toBeUndefined();
  await hang();
  time.now += limitMs - 1;
  expect(worker!.problem()).toBeUndefined();
  time.now += 1;
  expect(worker!.problem()).toBe(`the task ${task} has not ended for ${limitMs / 1_000} s`);
  state.ends = "now";
  release();
  await vi.waitFor(() => expect(worker!.problem()).toBeUndefined(), { timeout: 120_000 });
});

it("is dead when its rounds have failed for two minutes, and counts them", async () => {
  const { time, nextRound, registry } = start("choices");
  await nextRound("fails");
  time.now += minutes(2);
  expect(worker!.problem()).toContain("choices");
  const failures = await registry.getSingleMetric("polder_worker_failures_total")!.get();
  expect(failures.values.find(({ labels }) => labels["task"] === "choices")?.value).toBeGreaterThan(1);
  expect(failures.values.find(({ labels }) => labels["task"] === "people")?.value).toBe(0);
  await nextRound("now");
  expect(worker!.problem()).toBeUndefined();
});

it("is alive however often it looked in vain", async () => {
  const { time, nextRound } = start("people");
  for (let round = 0; round < 3; round++) {
    time.now += minutes(10);
    await nextRound("now");
    expect(worker!.problem()).toBeUndefined();
  }
});

it("can be stopped while a table is rewritten, which may take hours", async () => {
  const { hang, state } = start("withdrawals");
  await hang();
  const { rounds } = state;
  await worker!.stop();
  // And nothing begins once that has ended.
  release();
  await worker!.run();
  expect(state.rounds).toBe(rounds);
});
