import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { expect, it, onTestFinished } from "vitest";

import { createClickHouse } from "./clickhouse.ts";

/** A server that takes every request and answers none until it is told to, and a client of it. */
async function serveSilently(options: { timeoutMs?: number } = {}) {
  const silent: ServerResponse[] = [];
  const server = createServer((request, response) => {
    request.resume();
    silent.push(response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const clickhouse = createClickHouse({
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    username: "default",
    password: "",
    database: "polder",
    logger: { info() {}, warn() {}, error() {} },
    ...options,
  });
  onTestFinished(async () => {
    await clickhouse.close();
    server.closeAllConnections();
    server.close();
  });
  return { silent, server, clickhouse };
}

it("waits for a command that rewrites tables, however long the server says nothing", async () => {
  const { silent, server, clickhouse } = await serveSilently({ timeoutMs: 50 });
  const asked = once(server, "request");
  const long = clickhouse.command("ALTER TABLE events DELETE WHERE 1", { isLong: true });
  await asked;
  // The other one begins later, and by its end the first would have had its time.
  await expect(clickhouse.command("SELECT 1")).rejects.toThrow(/timeout/i);
  silent[0]!.end();
  expect(await long).toBeUndefined();
});

it("waits for the answer of a busy server for as long as it is told to", async () => {
  const { silent, server, clickhouse } = await serveSilently();
  const asked = once(server, "request");
  const patient = clickhouse.isReachable(50_000);
  await asked;
  expect(await clickhouse.isReachable()).toBe(false);
  silent[0]!.end("1\n");
  expect(await patient).toBe(true);
});
