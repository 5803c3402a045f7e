import { checkAsyncProperty } from "@polder/testing";
import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { operations, runOperations } from "./operations.test-support.ts";
import { startProduct, type Product } from "./product.test-support.ts";

let product: Product;
beforeAll(async () => {
  product = await startProduct(Date.UTC(2026, 10, 23, 12));
});
afterAll(async () => {
  await product?.stop();
});

it("answers as a recompute of everything does, after any order of what can happen", async () => {
  await checkAsyncProperty(
    fc.asyncProperty(operations, async (list) => {
      await runOperations(product, list);
    }),
    8,
  );
});
