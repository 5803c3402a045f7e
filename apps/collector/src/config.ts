import { join } from "node:path";
import { parseArgs } from "node:util";
import { kafkaFromEnv, kafkaUsage, type KafkaSettings } from "@polder/kafka";

/** What the process needs to know before it can read its configuration file. */
export interface ProcessSettings {
  configPath: string;
  /** Folder of everything that the process writes. */
  dataPath: string;
  host: string;
  port: number;
  /** Undefined: the embedded log in `dataPath`. */
  kafka: KafkaSettings | undefined;
  workers: number;
  /** Undefined: visitors are not followed from one of a site's hosts to another. */
  linkSecret: string | undefined;
}

export const usage = `Usage: node main.js [--workers n]

Takes events over HTTP and appends them to the log.

  --workers n            processes that share the port, 1 when not given

Environment
  POLDER_CONFIG          configuration file, polder.config.json when not given
  POLDER_DATA            folder for data, .polder when not given
  POLDER_HOST            address to listen on, 127.0.0.1 when not given
  POLDER_COLLECTOR_PORT  port to listen on, 8081 when not given
  POLDER_LINK_SECRET     lets links take a visitor's id from one of a site's hosts to another: at least 32 characters,
                         the same for all collectors
${kafkaUsage}`;

/** Throws an error with a sentence for the user. */
export function readProcessSettings(
  env: { readonly [name: string]: string | undefined },
  args: readonly string[],
): ProcessSettings {
  const { values } = parseArgs({ args: [...args], options: { workers: { type: "string" } } });
  return {
    configPath: env["POLDER_CONFIG"] || "polder.config.json",
    dataPath: env["POLDER_DATA"] || ".polder",
    host: env["POLDER_HOST"] || "127.0.0.1",
    port: wholeNumber("POLDER_COLLECTOR_PORT", env["POLDER_COLLECTOR_PORT"] || "8081", 0, 65_535),
    kafka: kafkaFromEnv(env),
    workers: wholeNumber("--workers", values.workers ?? "1", 1, 64),
    linkSecret: readLinkSecret(env),
  };
}

export const logFolder = (dataPath: string): string => join(dataPath, "log");

/** Where events wait for Kafka while it is away. */
export const spoolFolder = (dataPath: string): string => join(dataPath, "spool");

/** Throws an error with a sentence for the user. */
export function readLinkSecret(env: { readonly [name: string]: string | undefined }): string | undefined {
  const secret = env["POLDER_LINK_SECRET"] || undefined;
  if (secret === undefined || secret.length >= 32) return secret;
  throw new Error("POLDER_LINK_SECRET must have at least 32 characters. Make one with: openssl rand -base64 32");
}

function wholeNumber(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= min && value <= max) return value;
  throw new Error(`${name} must be a whole number from ${min} to ${max}.`);
}
