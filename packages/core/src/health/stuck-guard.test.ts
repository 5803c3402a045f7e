import { expect, it } from "vitest";
import { createStuckGuard } from "./stuck-guard.ts";

function start() {
  const time = { now: 1_000 };
  const state: { problem: string | undefined; missing: string | undefined } = {
    problem: undefined,
    missing: undefined,
  };
  const ends: string[] = [];
  const guard = createStuckGuard({
    problem: () => state.problem,
    missing: async () => state.missing,
    clock: () => time.now,
    withinMs: 60_000,
    end: (reason) => void ends.push(reason),
  });
  const later = async (ms: number): Promise<void> => {
    time.now += ms;
    await guard.look();
  };
  return { state, ends, later };
}

it("ends a process that has been stuck for as long as it was given, and not before", async () => {
  const { state, ends, later } = start();
  await later(1e9);
  state.problem = "nothing was loaded for 120 s";
  await later(10_000);
  await later(59_999);
  expect(ends).toEqual([]);
  await later(1);
  expect(ends).toEqual(["nothing was loaded for 120 s"]);
});

it("leaves one alone that went on in between", async () => {
  const { state, ends, later } = start();
  for (let round = 0; round < 5; round++) {
    state.problem = "stuck";
    await later(1_000);
    await later(59_000);
    state.problem = undefined;
    await later(1_000);
  }
  expect(ends).toEqual([]);
});

it("leaves one alone that waits for something it needs, and gives it all of the time when that is back", async () => {
  const { state, ends, later } = start();
  state.problem = "stuck";
  state.missing = "ClickHouse does not answer";
  for (let minute = 0; minute < 60; minute++) await later(60_000);
  state.missing = undefined;
  await later(1_000);
  await later(59_999);
  expect(ends).toEqual([]);
  await later(1);
  expect(ends).toEqual(["stuck"]);
});

it("leaves one alone that cannot say how it is, as while it ends", async () => {
  const ends: string[] = [];
  const problem = () => Promise.reject(new Error("closed"));
  const guard = createStuckGuard({ problem, clock: () => 0, withinMs: 0, end: (reason) => void ends.push(reason) });
  await guard.look();
  expect(ends).toEqual([]);
});

it("takes a look that fails for one that found nothing missing: what hangs there may be what is stuck", async () => {
  const time = { now: 0 };
  const ends: string[] = [];
  const guard = createStuckGuard({
    problem: async () => "stuck",
    missing: () => Promise.reject(new Error("closed")),
    clock: () => time.now,
    withinMs: 10,
    end: (reason) => void ends.push(reason),
  });
  await guard.look();
  time.now += 10;
  await guard.look();
  expect(ends).toEqual(["stuck"]);
});
