import { connectionFromEnv, type Connection } from "@polder/clickhouse";

/** What the process is told by its environment. */
export interface ProcessSettings {
  configPath: string;
  clickhouse: Connection;
  host: string;
  port: number;
  adminToken: string | undefined;
  shopUrl: string | undefined;
  sqlUrl: string | undefined;
  collectorUrl: string | undefined;
}

export const usage = `Usage: node main.js

Serves the live page, profiles and counts. It keeps nothing: run as many as you like.

Environment
  CLICKHOUSE_URL       as http://127.0.0.1:8123; has to be given
  CLICKHOUSE_USER, CLICKHOUSE_PASSWORD, CLICKHOUSE_DATABASE   default, empty and polder when not given
  POLDER_CONFIG        configuration file with the sites, polder.config.json when not given
  POLDER_HOST          address to listen on, 127.0.0.1 when not given
  POLDER_API_PORT      port to listen on, 8082 when not given
  POLDER_ADMIN_TOKEN   what callers send as Authorization: Bearer; needed to listen on more than the loopback
  POLDER_SHOP_URL      link on the live page while nothing has happened yet
  POLDER_COLLECTOR_URL a collector, as http://collector:8081: visitors then see and change their own choices at /v1/consent
  POLDER_SQL_URL       where people ask ClickHouse: link on the live page
`;

/** Throws an error with a sentence for the user. */
export function readProcessSettings(env: { readonly [name: string]: string | undefined }): ProcessSettings {
  const clickhouse = connectionFromEnv(env);
  if (!clickhouse)
    throw new Error("CLICKHOUSE_URL is not set: say where ClickHouse answers, as http://127.0.0.1:8123.");
  const port = env["POLDER_API_PORT"] || "8082";
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535)
    throw new Error("POLDER_API_PORT must be a whole number from 0 to 65535.");
  return {
    configPath: env["POLDER_CONFIG"] || "polder.config.json",
    clickhouse,
    host: env["POLDER_HOST"] || "127.0.0.1",
    port: Number(port),
    adminToken: env["POLDER_ADMIN_TOKEN"] || undefined,
    shopUrl: env["POLDER_SHOP_URL"] || undefined,
    sqlUrl: env["POLDER_SQL_URL"] || undefined,
    collectorUrl: env["POLDER_COLLECTOR_URL"] || undefined,
  };
}
