import { expect, it } from "vitest";
import { randomId } from "./random-id.ts";

it("is 22 characters of base64url, another every time", () => {
  const ids = Array.from({ length: 1000 }, randomId);
  for (const id of ids) expect(id).toMatch(/^[\w-]{22}$/);
  expect(new Set(ids).size).toBe(1000);
});
