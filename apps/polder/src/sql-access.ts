import type { Settings } from "./settings.ts";

/** Where SQL is asked from outside: the server in CLICKHOUSE_URL, else the port of a running Polder. */
export function sqlAccess({ clickhouse, host, ports, database, sqlPassword }: Settings): {
  url: URL;
  headers: { [name: string]: string };
} {
  const url = new URL(clickhouse?.url ?? `http://${host.includes(":") ? `[${host}]` : host}:${ports.sql}`);
  url.searchParams.set("database", database);
  const [user, key] = clickhouse === undefined ? ["default", sqlPassword] : [clickhouse.username, clickhouse.password];
  return { url, headers: key === undefined ? {} : { "X-ClickHouse-User": user, "X-ClickHouse-Key": key } };
}
