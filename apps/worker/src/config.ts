import { connectionFromEnv, type Connection } from "@polder/clickhouse";

/** What the process is told by its environment. */
export interface ProcessSettings {
  clickhouse: Connection;
  /** Undefined: texts of purposes are not put on file, and the retention that was applied last stays. */
  configPath: string | undefined;
  host: string;
  port: number;
}

export const usage = `Usage: node main.js

Works out who is one person, and keeps the record of choices. One is enough; a second one does no harm.

Environment
  CLICKHOUSE_URL       as http://127.0.0.1:8123; has to be given
  CLICKHOUSE_USER, CLICKHOUSE_PASSWORD, CLICKHOUSE_DATABASE   default, empty and polder when not given
  POLDER_CONFIG        configuration file with the sites, whose texts are put on file and whose retention is applied; neither happens without it
  POLDER_HOST          address of /livez, /readyz and /metrics, 127.0.0.1 when not given
  POLDER_WORKER_PORT   their port, 8084 when not given
`;

/** Throws an error with a sentence for the user. */
export function readProcessSettings(env: { readonly [name: string]: string | undefined }): ProcessSettings {
  const clickhouse = connectionFromEnv(env);
  if (!clickhouse)
    throw new Error("CLICKHOUSE_URL is not set: say where ClickHouse answers, as http://127.0.0.1:8123.");
  const port = Number(env["POLDER_WORKER_PORT"] || "8084");
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new Error("POLDER_WORKER_PORT must be a whole number from 0 to 65535.");
  return {
    clickhouse,
    configPath: env["POLDER_CONFIG"] || undefined,
    host: env["POLDER_HOST"] || "127.0.0.1",
    port,
  };
}
