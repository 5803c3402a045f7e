import { expect, it } from "vitest";
import { createHealthHandler } from "./health-handler.ts";

const get = (path: string, problem?: string) =>
  createHealthHandler({ live: () => problem, ready: async () => problem, metrics: async () => "up 1\n" })(
    new Request(`http://127.0.0.1${path}`),
  );

it("answers 200 while nothing is wrong", async () => {
  expect((await get("/livez")).status).toBe(200);
  expect((await get("/readyz")).status).toBe(200);
});

it("answers 503 with the reason when something is", async () => {
  const answer = await get("/readyz", "ClickHouse does not answer");
  expect(answer.status).toBe(503);
  expect(await answer.text()).toBe("ClickHouse does not answer\n");
  expect((await get("/livez", "no progress")).status).toBe(503);
});

it("serves metrics, and nothing else", async () => {
  expect(await (await get("/metrics")).text()).toBe("up 1\n");
  expect((await get("/etc")).status).toBe(404);
});
