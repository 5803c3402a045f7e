import { expect, it } from "vitest";
import { createGate } from "./gate.ts";

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve };
}
const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

it("waits for what is under way, and lets nothing begin until the work has ended", async () => {
  const did: string[] = [];
  const gate = createGate();
  const [range, work] = [deferred(), deferred()];
  const first = gate.pass(async () => {
    did.push("first begins");
    await range.promise;
    did.push("first ends");
  });
  const shut = gate.shutWhile(async () => {
    did.push("work");
    await work.promise;
    return "result";
  });
  const second = gate.pass(async () => void did.push("second"));
  await turn();
  expect(did).toEqual(["first begins"]);
  expect(gate.isShut()).toBe(true);
  range.resolve();
  await first;
  await turn();
  expect(did).toEqual(["first begins", "first ends", "work"]);
  work.resolve();
  expect(await shut).toBe("result");
  await second;
  expect(did.at(-1)).toBe("second");
  expect(gate.isShut()).toBe(false);
});

it("opens again after work that failed, and does one piece of work after the other", async () => {
  const did: string[] = [];
  const gate = createGate();
  const work = deferred();
  const failing = gate.shutWhile(async () => {
    await work.promise;
    throw new Error("disk full");
  });
  const next = gate.shutWhile(async () => void did.push("next"));
  await turn();
  expect(did).toEqual([]);
  work.resolve();
  await expect(failing).rejects.toThrow("disk full");
  await next;
  expect(await gate.pass(async () => "passed")).toBe("passed");
  expect(did).toEqual(["next"]);
});

it("is not held up for ever by something that failed", async () => {
  const gate = createGate();
  await expect(gate.pass(() => Promise.reject(new Error("no longer ours")))).rejects.toThrow("no longer ours");
  expect(await gate.shutWhile(async () => "done")).toBe("done");
});
