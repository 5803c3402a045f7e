import { seed as seedOfTheSuite } from "@polder/testing";
import fc from "fast-check";
import { afterAll, beforeAll, it } from "vitest";
import { operations, runOperations, type Operation } from "./operations.test-support.ts";
import { startProduct, type Product } from "./product.test-support.ts";

// `npm run torture -- people` sets these for a long run.
const { POLDER_TORTURE_MINUTES, POLDER_TORTURE_SEED, POLDER_TORTURE_OPERATIONS } = process.env;
const isLong = POLDER_TORTURE_MINUTES !== undefined;
const longMs = Number(POLDER_TORTURE_MINUTES ?? 0) * 60_000;
const seed = Number(POLDER_TORTURE_SEED ?? seedOfTheSuite);
/** A failure is made smaller for as long as this. */
const shrinkMs = isLong ? 300_000 : 60_000;

let product: Product;
beforeAll(async () => {
  product = await startProduct(Date.UTC(2026, 10, 23, 12));
});
afterAll(async () => {
  await product?.stop();
});

it.runIf(POLDER_TORTURE_OPERATIONS !== undefined)("answers as a recompute does, after these operations", async () => {
  await runOperations(product, JSON.parse(POLDER_TORTURE_OPERATIONS ?? "[]") as Operation[]);
});

it.skipIf(POLDER_TORTURE_OPERATIONS !== undefined)(
  "answers as a recompute of everything does, after any order of what can happen",
  async () => {
    const begunAt = performance.now();
    const isOver = (): boolean => performance.now() - begunAt > longMs;
    let runs = 0;
    let failedAt: number | undefined;
    const property = fc.asyncProperty(operations(isLong ? 25 : 10), async (list) => {
      // A failure that was made smaller for long enough is small enough.
      if (failedAt !== undefined && performance.now() - failedAt > shrinkMs) return;
      runs++;
      try {
        await runOperations(product, list);
      } catch (error) {
        if (failedAt === undefined) console.error(`Fails, and is made smaller: ${JSON.stringify(list)}`, error);
        failedAt ??= performance.now();
        throw error;
      }
    });
    for (let first = seed; first === seed || (isLong && !isOver()); first++) {
      console.info(`Operations on people at random, with the seed ${first}.`);
      await fc.assert(property, { seed: first, numRuns: isLong ? 5 : 6 });
    }
    console.info(`${runs} sequences, and the product answered as the reference model each time.`);
  },
  longMs + shrinkMs + 300_000,
);
