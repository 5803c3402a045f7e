import { expect, it } from "vitest";
import { createAccount } from "../sdk-loss/account.mjs";

const account = (...seen: [mark: string, at: number, status: number, mayRetryAt?: number, id?: string][]) => {
  const made = createAccount();
  for (const [mark, at, status, mayRetryAt = at, id = mark] of seen) made.see(mark, { at, status, mayRetryAt, id });
  return made;
};

it("counts an event once, and only when it was accepted", () => {
  expect(account(["a", 1, 200], ["a", 2, 200], ["b", 3, 500], ["c", 4, 202]).summary()).toMatchObject({
    arrived: 2,
    duplicates: 1,
  });
});

it("calls a second copy needless unless the first came while the tab went away", () => {
  const twice = account(["a", 10_000, 200], ["a", 20_000, 200]);
  expect(twice.summary().needlessDuplicates).toBe(1);
  expect(twice.summary([9_990]).needlessDuplicates).toBe(0);
  expect(twice.summary([7_000]).needlessDuplicates).toBe(1);
  expect(twice.summary([20_000]).needlessDuplicates).toBe(1);
  expect(account(["a", 10_000, 500], ["a", 20_000, 200]).summary().needlessDuplicates).toBe(0);
});

it("finds an event that came again under another id", () => {
  expect(account(["a", 1, 500, 1, "x"], ["a", 2, 200, 2, "y"]).summary().changedIds).toBe(1);
  expect(account(["a", 1, 500, 1, "x"], ["a", 2, 200, 2, "x"]).summary().changedIds).toBe(0);
});

it("counts requests that came before the time that the answer had asked for", () => {
  const refused = account(
    ["a", 0, 429, 6_000],
    ["b", 0, 429, 6_000],
    ["a", 5_000, 429, 6_000],
    ["b", 5_000, 429, 6_000],
  );
  expect(refused.retries()).toEqual({ earlyRetries: 1, firstRetryMs: 5_000 });
  refused.see("a", { at: 6_000, status: 200, mayRetryAt: 6_000, id: "a" });
  expect(refused.retries()).toEqual({ earlyRetries: 1, firstRetryMs: 5_000 });
  expect(account(["a", 0, 429, 6_000]).retries()).toEqual({ earlyRetries: 0 });
});
