import { connectionFromEnv, type Connection } from "@polder/clickhouse";
import { kafkaFromEnv, kafkaUsage, type KafkaSettings } from "@polder/kafka";
import { readAudienceEveryMs } from "./audience-seconds.ts";

/** What the process is told by its environment. */
export interface ProcessSettings {
  clickhouse: Connection;
  /** Undefined: texts of purposes are not put on file, and the retention that was applied last stays. */
  configPath: string | undefined;
  /** Undefined: nobody is told who comes into an audience and who leaves it. */
  kafka: KafkaSettings | undefined;
  audienceEveryMs: number;
  host: string;
  port: number;
}

export const usage = `Usage: node main.js

Works out who is one person and who is in which audience, and keeps the record of choices. One is enough; a second one does no harm.

Environment
  CLICKHOUSE_URL       as http://127.0.0.1:8123; has to be given
  CLICKHOUSE_USER, CLICKHOUSE_PASSWORD, CLICKHOUSE_DATABASE   default, empty and polder when not given
  POLDER_CONFIG        configuration file with the sites, whose texts are put on file and whose retention is applied; neither happens without it
  POLDER_AUDIENCE_SECONDS   how often audiences are worked out, 10 to 60; 10 when not given. Only those of sites in POLDER_CONFIG are
  POLDER_HOST          address of /livez, /readyz and /metrics, 127.0.0.1 when not given
  POLDER_WORKER_PORT   their port, 8084 when not given
${kafkaUsage}`;

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
    kafka: kafkaFromEnv(env),
    audienceEveryMs: readAudienceEveryMs(env),
    host: env["POLDER_HOST"] || "127.0.0.1",
    port,
  };
}
