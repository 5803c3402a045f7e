import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, it } from "vitest";
import { CommandError } from "./cli/exit-code.ts";
import type { Progress } from "./cli/progress.ts";
import { openStore } from "./open-store.ts";
import type { Settings } from "./settings.ts";

const server = createServer((request, response) => {
  // There a moment ago, and gone before the first statement.
  if (request.url?.includes("SELECT") || request.method === "GET") response.end("1\n");
  else request.socket.destroy();
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

it("says in a sentence that ClickHouse went away during the start, and not in a stack", async () => {
  await once(server.listen(0, "127.0.0.1"), "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const settings = { clickhouse: { url, username: "default", password: "" }, database: "polder" } as Settings;
  const progress = { step: (_: string, work: (say: () => void) => unknown) => work(() => {}) } as unknown as Progress;
  const loggerOf = () => ({ info() {}, warn() {}, error() {} });
  const failed = await openStore({ settings, progress, loggerOf }).catch((error: unknown) => error);
  expect(failed).toBeInstanceOf(CommandError);
  expect((failed as Error).message).toContain("ClickHouse went away while its tables and views were looked at");
});
