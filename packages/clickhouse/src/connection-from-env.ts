export interface Connection {
  url: string;
  username: string;
  password: string;
  database: string;
}

/**
 * Where ClickHouse is, from `CLICKHOUSE_URL`, `CLICKHOUSE_USER`, `CLICKHOUSE_PASSWORD` and `CLICKHOUSE_DATABASE`; undefined when there is no
 * address, which means the embedded engine to a process that has one.
 */
export function connectionFromEnv(env: { readonly [name: string]: string | undefined }): Connection | undefined {
  const url = env["CLICKHOUSE_URL"];
  if (!url) return undefined;
  return {
    url,
    username: env["CLICKHOUSE_USER"] || "default",
    password: env["CLICKHOUSE_PASSWORD"] ?? "",
    database: env["CLICKHOUSE_DATABASE"] || "polder",
  };
}
