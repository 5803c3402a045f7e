import { request } from "node:http";
import { expect, test } from "@playwright/test";
import { startCollector } from "../support/recording-collector.ts";

test("a request that a page leaves in its middle counts as none, and the next one is recorded", async () => {
  const collector = await startCollector();
  try {
    const cut = request(`${collector.origin}/v1/batch`, { method: "POST", headers: { "content-length": 1000 } });
    cut.on("error", () => {});
    await new Promise((resolve) => cut.write('{"batch":[', resolve));
    const left = new Promise((resolve) => cut.once("close", resolve));
    cut.destroy();
    await left;
    const body = JSON.stringify({ batch: [{ type: "track", event: "Seen", messageId: "m-1", context: {} }] });
    const answer = await fetch(`${collector.origin}/v1/batch`, { method: "POST", body });
    expect(answer.status).toBe(200);
    expect(collector.requests.map(({ events }) => events.map(({ event }) => event))).toEqual([["Seen"]]);
  } finally {
    await collector.close();
  }
});

test("what a request should not have been is told when the collector is closed, and to nobody else", async () => {
  const collector = await startCollector();
  await expect(fetch(`${collector.origin}/v1/batch`, { method: "POST", body: "no JSON" })).rejects.toThrow();
  expect(collector.requests).toEqual([]);
  await expect(collector.close()).rejects.toThrow(/JSON/);
});
