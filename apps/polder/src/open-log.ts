import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { LogUnavailableError, type EventLog, type Logger, type PolderConfig } from "@polder/core";
import { createKafkaLog } from "@polder/kafka";
import { createLmdbLog } from "@polder/lmdb";
import { CommandError, messageOf } from "./cli/exit-code.ts";
import type { Settings } from "./settings.ts";

/** Kafka where brokers are given, else the embedded log in the data folder. */
export async function openLog({
  settings,
  config,
  logger,
}: {
  settings: Settings;
  config: PolderConfig;
  logger: Logger;
}): Promise<EventLog> {
  try {
    if (settings.kafka !== undefined) return await openKafka(settings.kafka, logger);
    const path = join(settings.dataPath, "log");
    await mkdir(path, { recursive: true, mode: 0o700 });
    return createLmdbLog({ path, retainBytes: config.retention.logBytes, logger });
  } catch (error) {
    throw new CommandError(messageOf(error));
  }
}

async function openKafka(kafka: NonNullable<Settings["kafka"]>, logger: Logger): Promise<EventLog> {
  const log = createKafkaLog({ ...kafka, clientId: "polder", createTopics: true, logger });
  // A cluster that is away comes back, and clients hear 503 until it does; topics that are wrong stay wrong.
  await log.prepareTopics().catch(async (error: unknown) => {
    if (error instanceof LogUnavailableError)
      return logger.warn("Kafka is away: events are refused until it is back", { reason: error.message });
    await log.close();
    throw error;
  });
  return log;
}
