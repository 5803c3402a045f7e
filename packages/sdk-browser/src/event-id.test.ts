import { expect, it } from "vitest";
import { eventId } from "./event-id.ts";

it("is another for every event, and shows no more of a page than one task", async () => {
  const first = [eventId(), eventId()];
  await Promise.resolve();
  const second = [eventId(), eventId()];
  expect(new Set([...first, ...second]).size).toBe(4);
  expect(first[0]).toMatch(/^[\w-]{22}\.0$/);
  expect(second[0]).toMatch(/^[\w-]{22}\.0$/);
  expect(second[0]).not.toBe(first[0]);
});
