import { join, resolve } from "node:path";
import { readLinkSecret } from "@polder/collector";
import { kafkaFromEnv, type KafkaSettings } from "@polder/kafka";
import { readAudienceEveryMs } from "@polder/worker";
import { CommandError, messageOf, UsageError } from "./cli/exit-code.ts";

/** Where everything is: from flags, else the environment, else the defaults. */
export interface Settings {
  /** As given; undefined: look for `polder.config.json`. */
  configPath: string | undefined;
  dataPath: string;
  host: string;
  ports: Ports;
  /** Undefined: the embedded log. */
  kafka: KafkaSettings | undefined;
  /** Undefined: the embedded engine. */
  clickhouse: { url: string; username: string; password: string } | undefined;
  database: string;
  /** What analysts give as the password of `default`; needed to listen on more than the loopback. */
  sqlPassword: string | undefined;
  /** What the live page asks for; needed to listen on more than the loopback. */
  adminToken: string | undefined;
  /** Of links between hosts of a site; undefined: they are off. */
  linkSecret: string | undefined;
  /** How often audiences are worked out, in milliseconds. */
  audienceEveryMs: number;
}

export type Part = "shop" | "collector" | "api" | "sql";
export type Ports = { readonly [P in Part]: number };

export const parts: readonly { part: Part; name: string; flag: string; variable: string; port: number }[] = [
  { part: "shop", name: "the demo shop", flag: "shop-port", variable: "POLDER_SHOP_PORT", port: 8080 },
  { part: "collector", name: "the collector", flag: "collector-port", variable: "POLDER_COLLECTOR_PORT", port: 8081 },
  { part: "api", name: "the live page", flag: "api-port", variable: "POLDER_API_PORT", port: 8082 },
  { part: "sql", name: "SQL", flag: "sql-port", variable: "POLDER_SQL_PORT", port: 8123 },
];

/** Options of parseArgs for {@link readSettings}. */
export const settingFlags = {
  config: { type: "string" },
  data: { type: "string" },
  host: { type: "string" },
  "shop-port": { type: "string" },
  "collector-port": { type: "string" },
  "api-port": { type: "string" },
  "sql-port": { type: "string" },
} as const;

type Flags = { readonly [name: string]: string | boolean | undefined | readonly (string | boolean)[] };
type Environment = { readonly [name: string]: string | undefined };

/** @throws {UsageError} for a flag, {@link CommandError} for a variable that makes no sense. */
export function readSettings({ flags, env, cwd }: { flags: Flags; env: Environment; cwd: string }): Settings {
  const given = (flag: string, variable: string): string | undefined => {
    const value = flags[flag];
    return typeof value === "string" ? value : env[variable] || undefined;
  };
  const configPath = given("config", "POLDER_CONFIG");
  const clickhouseUrl = env["CLICKHOUSE_URL"] || undefined;
  if (clickhouseUrl !== undefined && !/^https?:$/.test(protocolOf(clickhouseUrl))) {
    throw new CommandError(
      "CLICKHOUSE_URL is not an address. Write it as http://localhost:8123, with the user in CLICKHOUSE_USER.",
    );
  }
  const database = env["CLICKHOUSE_DATABASE"] || "polder";
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(database)) {
    throw new CommandError("CLICKHOUSE_DATABASE may hold letters, digits and underscores, and starts with a letter.");
  }
  return {
    configPath: configPath === undefined ? undefined : resolve(cwd, configPath),
    dataPath: resolve(cwd, given("data", "POLDER_DATA") ?? ".polder"),
    host: given("host", "POLDER_HOST") ?? "127.0.0.1",
    ports: Object.fromEntries(
      parts.map(({ part, flag, variable, port }) => [
        part,
        readPort(flags[flag], env[variable], { flag, variable, port }),
      ]),
    ) as Ports,
    kafka: readSetting(() => kafkaFromEnv(env)),
    clickhouse:
      clickhouseUrl === undefined
        ? undefined
        : {
            url: clickhouseUrl,
            username: env["CLICKHOUSE_USER"] || "default",
            password: env["CLICKHOUSE_PASSWORD"] ?? "",
          },
    database,
    sqlPassword: env["POLDER_SQL_PASSWORD"] || undefined,
    adminToken: env["POLDER_ADMIN_TOKEN"] || undefined,
    linkSecret: readSetting(() => readLinkSecret(env)),
    audienceEveryMs: readSetting(() => readAudienceEveryMs(env)),
  };
}

/** Where the demo's configuration is kept, so that its keys last. */
export const demoConfigPath = (dataPath: string): string => join(dataPath, "demo.config.json");

function readPort(
  flagValue: Flags[string],
  variableValue: string | undefined,
  { flag, variable, port }: { flag: string; variable: string; port: number },
): number {
  const text = typeof flagValue === "string" ? flagValue : variableValue;
  if (text === undefined || text === "") return port;
  const number = Number(text);
  if (/^\d{1,5}$/.test(text) && number <= 65_535) return number;
  const [name, Kind] = typeof flagValue === "string" ? [`--${flag}`, UsageError] : [variable, CommandError];
  throw new Kind(`${name} is not a port. Give a number from 1 to 65535, or 0 for any that is free.`);
}

/** @throws {CommandError} with what the reader of a variable complains of. */
function readSetting<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new CommandError(messageOf(error));
  }
}

const protocolOf = (url: string): string => {
  try {
    return new URL(url).protocol;
  } catch {
    return "";
  }
};
