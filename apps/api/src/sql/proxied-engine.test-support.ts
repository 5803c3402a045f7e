import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSqlProxy, type SqlProxy, type SqlProxyLimits } from "./create-sql-proxy.ts";
import type { Logger } from "@polder/core";
import { startEngine, type Engine } from "@polder/engine";

const silent: Logger = { info: () => {}, warn: () => {}, error: () => {} };

/** For tests: the real engine with a database `polder` and a table `visit` of 1,000 rows, and a proxy before it. */
export interface ProxiedEngine {
  engine: Engine;
  folder: string;
  /** `http://127.0.0.1:<port>` of the proxy. */
  url: string;
  port: number;
  /** Another proxy before the same engine, closed with it. */
  openProxy(options: {
    analystPassword?: string;
    limits?: Partial<SqlProxyLimits>;
  }): Promise<{ url: string; port: number; proxy: SqlProxy }>;
  asAdmin(statement: string): Promise<string>;
  close(): Promise<void>;
}

export async function startProxiedEngine(): Promise<ProxiedEngine> {
  const folder = await mkdtemp(join(tmpdir(), "polder-sql-"));
  const engine = await startEngine({ dataPath: join(folder, "engine"), logger: silent });
  const proxies: SqlProxy[] = [];
  const openProxy: ProxiedEngine["openProxy"] = async (options) => {
    const proxy = createSqlProxy({
      engineUrl: engine.url,
      admin: engine.admin,
      analyst: engine.analyst,
      logger: silent,
      ...options,
    });
    proxies.push(proxy);
    const { port } = await proxy.listen({ host: "127.0.0.1", port: 0 });
    return { proxy, port, url: `http://127.0.0.1:${port}` };
  };
  const asAdmin = async (statement: string): Promise<string> => {
    const answer = await fetch(engine.url, {
      method: "POST",
      body: statement,
      headers: { "x-clickhouse-user": engine.admin.username, "x-clickhouse-key": engine.admin.password },
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(text);
    return text;
  };
  await asAdmin("CREATE DATABASE polder");
  await asAdmin(
    "CREATE TABLE polder.visit (site String, day Date, views UInt32) ENGINE = MergeTree ORDER BY (site, day)",
  );
  await asAdmin(
    "INSERT INTO polder.visit SELECT 'shop', toDate('2026-01-01') + number % 100, number FROM numbers(1000)",
  );
  const { url, port } = await openProxy({});
  return {
    engine,
    folder,
    url,
    port,
    openProxy,
    asAdmin,
    async close() {
      await Promise.all(proxies.map((proxy) => proxy.close(0)));
      await engine.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
