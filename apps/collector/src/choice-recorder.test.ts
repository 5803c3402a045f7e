import { LogUnavailableError, type VisitorChoices } from "@polder/core";
import { expect, it } from "vitest";
import { createChoiceRecorder } from "./choice-recorder.ts";

const choices: VisitorChoices[] = [];

/** A ledger whose records end when they are told to. */
function start({ maxUnderWay = 10, answerWithinMs = 60_000 } = {}) {
  const time = { now: 5 };
  const ends: { resolve: (outcome: void | "spooled") => void; reject: (error: unknown) => void }[] = [];
  const recorder = createChoiceRecorder({
    ledger: { record: () => new Promise((resolve, reject) => ends.push({ resolve, reject })) },
    clock: () => time.now,
    answerWithinMs,
    maxUnderWay,
  });
  return { recorder, time, ends };
}

it("says what the ledger says", async () => {
  const { recorder, ends } = start();
  const [one, other, third] = [1, 2, 3].map(() => recorder.record(choices));
  ends[0]!.resolve("spooled");
  ends[1]!.resolve();
  ends[2]!.reject(new TypeError("fault"));
  expect([await one, await other]).toEqual(["spooled", undefined]);
  await expect(third).rejects.toThrow(TypeError);
});

it("does not keep a client waiting for a disk that stands still", async () => {
  const { recorder } = start({ answerWithinMs: 1 });
  await expect(recorder.record(choices)).rejects.toThrow(LogUnavailableError);
});

it("tells how long the oldest that is not durable has taken", async () => {
  const { recorder, time, ends } = start();
  expect(recorder.recordMs()).toBe(0);
  const first = recorder.record(choices);
  time.now += 100;
  const second = recorder.record(choices);
  time.now += 30;
  expect(recorder.recordMs()).toBe(130);
  ends[0]!.resolve();
  await first;
  expect(recorder.recordMs()).toBe(30);
  ends[1]!.resolve();
  await second;
  expect(recorder.recordMs()).toBe(0);
});

it("lets no more wait than it can hold, counting those whose client has been told", async () => {
  const { recorder, ends } = start({ maxUnderWay: 2, answerWithinMs: 1 });
  for (let n = 0; n < 2; n++) await expect(recorder.record(choices)).rejects.toThrow("within 1 ms");
  await expect(recorder.record(choices)).rejects.toThrow(LogUnavailableError);
  expect(ends).toHaveLength(2);
  ends[0]!.resolve();
  await Promise.resolve();
  const next = recorder.record(choices);
  expect(ends).toHaveLength(3);
  ends[2]!.resolve();
  await next;
});
