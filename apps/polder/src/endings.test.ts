import { expect, it } from "vitest";
import { createEndings } from "./endings.ts";

it("ends everything once, the last one first, whatever one of them does", async () => {
  const told: string[] = [];
  const logger = { info: () => undefined, warn: () => undefined, error: (message: string) => void told.push(message) };
  const endings = createEndings(logger);
  endings.add(() => void told.push("first"));
  endings.add(async () => {
    throw new Error("stuck");
  });
  endings.add(async () => void told.push("last"));
  await endings.run();
  await endings.run();
  expect(told).toEqual(["last", "a part did not end well", "first"]);
});
