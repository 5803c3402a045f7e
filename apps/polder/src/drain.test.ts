import { expect, it } from "vitest";
import { drain } from "./drain.ts";

/** A log whose backlog follows a list; the clock goes on by 1,000 with each look. */
const watched = async (behind: (number | Error)[], withinMs: number) => {
  let [now, looks] = [0, 0];
  const said: number[] = [];
  const left = await drain({
    recordsBehind: async () => {
      now += 1000;
      const found = behind[Math.min(looks++, behind.length - 1)]!;
      if (found instanceof Error) throw found;
      return found;
    },
    withinMs,
    clock: () => now,
    say: (count) => said.push(count),
  });
  return { left, said, looks };
};

it("waits until everything is loaded, and tells how far it is", async () => {
  expect(await watched([300, 20, 0], 10_000)).toEqual({ left: 0, said: [300, 20], looks: 3 });
});

it("gives up in time, and says what is left", async () => {
  expect(await watched([300, 200, 150], 3000)).toEqual({ left: 150, said: [300, 200], looks: 3 });
});

it("does not know what is left when the log is away", async () => {
  expect(await watched([new Error("away")], 2000)).toEqual({ left: undefined, said: [], looks: 2 });
});
