import { expect, it } from "vitest";
import { createProgressWatch } from "./progress-watch.ts";

function start() {
  const time = { now: 1_000 };
  const watch = createProgressWatch({ what: "nothing was loaded", clock: () => time.now, withinMs: 120_000 });
  return { watch, time };
}

it("is alive for as long as there is nothing to do", () => {
  const { watch, time } = start();
  time.now += 1e9;
  expect(watch.problem()).toBeUndefined();
  watch.hasWork();
  watch.progressed();
  time.now += 1e9;
  expect(watch.problem()).toBeUndefined();
});

it("is dead when it has had work for two minutes and done none of it, counted from the first of it", () => {
  const { watch, time } = start();
  watch.hasWork();
  time.now += 60_000;
  watch.hasWork();
  time.now += 59_999;
  expect(watch.problem()).toBeUndefined();
  time.now += 1;
  expect(watch.problem()).toBe("nothing was loaded for 120 s");
});

it("is alive again once it goes on, however slowly", () => {
  const { watch, time } = start();
  for (let round = 0; round < 5; round++) {
    watch.hasWork();
    time.now += 119_999;
    expect(watch.problem()).toBeUndefined();
    watch.progressed();
  }
  watch.hasWork();
  time.now += 120_000;
  expect(watch.problem()).toBeDefined();
  watch.progressed();
  expect(watch.problem()).toBeUndefined();
});
