import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { LogUnavailableError, type EventLog, type Logger, type PolderConfig } from "@polder/core";
import { createKafkaLog } from "@polder/kafka";
import { createLmdbLog, createSpooledLog, forwardWithinMs, spoolAfterMs } from "@polder/lmdb";
import { CommandError, messageOf } from "./cli/exit-code.ts";
import type { Settings } from "./settings.ts";

/** Kafka where brokers are given, with a spool in the data folder for when it is away; else the embedded log in the data folder. */
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
    if (settings.kafka !== undefined) return await openKafka(settings.kafka, join(settings.dataPath, "spool"), logger);
    const path = join(settings.dataPath, "log");
    await mkdir(path, { recursive: true, mode: 0o700 });
    return createLmdbLog({ path, retainBytes: config.retention.logBytes, logger });
  } catch (error) {
    throw new CommandError(messageOf(error));
  }
}

/** One in which a record is when `append` has resolved, and once: the log itself, without the spool. */
export function openUnspooledLog(kafka: NonNullable<Settings["kafka"]>, logger: Logger): EventLog {
  return createKafkaLog({
    ...kafka,
    clientId: "polder-worker",
    createTopics: true,
    appendTimeoutMs: forwardWithinMs,
    logger,
  });
}

async function openKafka(kafka: NonNullable<Settings["kafka"]>, path: string, logger: Logger): Promise<EventLog> {
  const open = (appendTimeoutMs: number) =>
    createKafkaLog({ ...kafka, clientId: "polder", createTopics: true, appendTimeoutMs, logger });
  const log = open(spoolAfterMs);
  // A cluster that is away comes back, and the spool takes what comes until it does; topics that are wrong stay wrong.
  await log.prepareTopics().catch(async (error: unknown) => {
    if (error instanceof LogUnavailableError)
      return logger.warn("Kafka is away: events are kept here until it is back", { reason: error.message });
    await log.close();
    throw error;
  });
  await mkdir(path, { recursive: true, mode: 0o700 });
  return createSpooledLog({ log, patientLog: open(forwardWithinMs), path, logger });
}
