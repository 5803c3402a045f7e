import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { stubDevice } from "./device.test-support.ts";

const url = "https://shop.example/";
const minute = 60_000;
const midnight = new Date(2026, 10, 23).getTime();

beforeEach(() => {
  vi.resetModules();
  stubDevice();
});
afterEach(() => vi.unstubAllGlobals());

/** Each in a task of its own. */
const sessionsAt = async (times: number[], endsAtMidnight: boolean) => {
  const { nextSession } = await import("./session.ts");
  const sessions = [];
  for (const at of times) {
    sessions.push(nextSession(at, url, "v", endsAtMidnight));
    await Promise.resolve();
  }
  return sessions;
};

it("ends at midnight on this device, where a site wants that", async () => {
  const [before, after, later] = await sessionsAt([midnight - minute, midnight, midnight + minute], true);
  expect(after).toMatchObject({ start: midnight, seq: 0 });
  expect(after!.id).not.toBe(before!.id);
  expect(later).toEqual({ ...after, seq: 1 });
});

it("lasts over midnight otherwise", async () => {
  const [before, after] = await sessionsAt([midnight - minute, midnight + minute], false);
  expect(after).toEqual({ ...before, seq: 1 });
});

it("leaves a gap in its numbers where an event was lost", async () => {
  const sessions = await sessionsAt([midnight, midnight + 1, midnight + 2, midnight + 3], false);
  const arrived = sessions.filter((_, i) => i !== 2).map(({ seq }) => seq);
  expect(arrived).toEqual([0, 1, 3]);
});
