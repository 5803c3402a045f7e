import { generatePeople, readHistory, seed as seedOfTheSuite, uniquePeople } from "@polder/testing";
import { afterAll, beforeAll, expect, it } from "vitest";
import { drawOperations, findFault, findFaultAfter, shrink, type Operation } from "./operations.test-support.ts";
import { startProduct, type Product } from "./product.test-support.ts";

// `npm run torture -- people` sets these for a long run, and to run a failure again.
const { POLDER_TORTURE_MINUTES, POLDER_TORTURE_SEED, POLDER_TORTURE_OPERATIONS } = process.env;
const longMs = Number(POLDER_TORTURE_MINUTES ?? 0) * 60_000;
const isLong = longMs > 0;
const sequences = isLong ? Infinity : 3;
const maxLength = isLong ? 24 : 8;
const firstSeed = Number(POLDER_TORTURE_SEED ?? seedOfTheSuite);
const given = POLDER_TORTURE_OPERATIONS && (JSON.parse(POLDER_TORTURE_OPERATIONS) as Operation[]);
const shrinkMs = isLong ? 300_000 : 60_000;

let product: Product;
beforeAll(async () => {
  product = await startProduct(Date.UTC(2026, 10, 23, 12));
});
afterAll(async () => {
  await product?.stop();
});

it.skipIf(given)("finds people again who were made up, as they were made", async () => {
  const { history, truth } = generatePeople({ seed: firstSeed, visitors: 60, until: product.now() - 1, days: 60 });
  expect(uniquePeople(readHistory(history))).toBe(new Set(truth.values()).size);
  expect(await findFaultAfter(product, history)).toBeUndefined();
});

it(
  "answers as a recompute of everything does, after any order of what can happen to people",
  async () => {
    const begunAt = performance.now();
    const find = (list: readonly Operation[]) => findFault(product, list);
    if (given) return expect((await find(given))?.says).toBeUndefined();
    for (let n = 0; n < sequences && (!isLong || performance.now() - begunAt < longMs); n++) {
      const seed = firstSeed + n;
      console.info(`Operations on people at random, with the seed ${seed}.`);
      const list = drawOperations(seed, maxLength);
      const fault = await find(list);
      if (fault === undefined) continue;
      console.error(`With the seed ${seed} ${fault.says}\nIt is made smaller.`);
      const failedAt = performance.now();
      const least = await shrink(list, fault, find, () => performance.now() - failedAt < shrinkMs);
      throw new Error(`With the seed ${seed}, made smaller: ${least.fault.says}\n${JSON.stringify(least.list)}`);
    }
  },
  longMs + shrinkMs + 300_000,
);
