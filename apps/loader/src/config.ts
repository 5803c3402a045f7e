import { join } from "node:path";
import { connectionFromEnv, type Connection } from "@polder/clickhouse";
import { kafkaFromEnv, kafkaUsage, type KafkaSettings } from "@polder/kafka";

/** What the process is told by its environment. */
export interface ProcessSettings {
  /** Folder of the embedded log, when there are no brokers. */
  logPath: string;
  kafka: KafkaSettings | undefined;
  clickhouse: Connection;
  host: string;
  port: number;
}

export const usage = `Usage: node main.js

Loads events from the log into ClickHouse, each exactly once. Any number of loaders share the work.

Environment
${kafkaUsage}  POLDER_DATA            folder of the embedded log, .polder when not given
  CLICKHOUSE_URL         as http://127.0.0.1:8123; has to be given
  CLICKHOUSE_USER, CLICKHOUSE_PASSWORD, CLICKHOUSE_DATABASE   default, empty and polder when not given
  POLDER_HOST            address of /livez, /readyz and /metrics, 127.0.0.1 when not given
  POLDER_LOADER_PORT     their port, 8083 when not given
`;

/** Throws an error with a sentence for the user. */
export function readProcessSettings(env: { readonly [name: string]: string | undefined }): ProcessSettings {
  const clickhouse = connectionFromEnv(env);
  if (!clickhouse)
    throw new Error("CLICKHOUSE_URL is not set: say where ClickHouse answers, as http://127.0.0.1:8123.");
  const port = Number(env["POLDER_LOADER_PORT"] || "8083");
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new Error("POLDER_LOADER_PORT must be a whole number from 0 to 65535.");
  return {
    logPath: join(env["POLDER_DATA"] || ".polder", "log"),
    kafka: kafkaFromEnv(env),
    clickhouse,
    host: env["POLDER_HOST"] || "127.0.0.1",
    port,
  };
}
