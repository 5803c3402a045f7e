import { mkdirSync } from "node:fs";
import { LogMisconfiguredError, LogUnavailableError, type EventLog, type Logger } from "@polder/core";
import { createKafkaLog, type KafkaSettings } from "@polder/kafka";
import { createLmdbLog, createSpooledLog, forwardWithinMs, spoolAfterMs } from "@polder/lmdb";
import { logFolder, spoolFolder } from "./config.ts";
import { within } from "./within.ts";

export interface OpenLogOptions {
  /** Undefined: the embedded log. */
  kafka: KafkaSettings | undefined;
  /** Folder of everything that the process writes. */
  dataPath: string;
  /** Of loaded events that the embedded log keeps. */
  retainBytes: number;
  /** How long Kafka may take to say that its topics are fit before the spool takes what comes, 1,000 ms when not given. */
  patienceMs?: number;
  logger: Logger;
}

export interface OpenedLog {
  log: EventLog;
  /** Resolves when Kafka says later that its topics are not what they have to be, which no waiting mends. */
  misconfigured: Promise<LogMisconfiguredError>;
}

/**
 * Kafka where it is given, with a spool in the data folder for when it is away; else the embedded log in the data folder.
 * @throws {LogMisconfiguredError} when the log is there and a person has to decide.
 */
export async function openLog(options: OpenLogOptions): Promise<OpenedLog> {
  const { kafka, dataPath, retainBytes, logger } = options;
  if (kafka !== undefined) return openKafka(kafka, options);
  const path = logFolder(dataPath);
  mkdirSync(path, { recursive: true });
  return { log: createLmdbLog({ path, retainBytes, logger }), misconfigured: new Promise(() => {}) };
}

async function openKafka(kafka: KafkaSettings, options: OpenLogOptions): Promise<OpenedLog> {
  const { dataPath, patienceMs = 1_000, logger } = options;
  const open = (appendTimeoutMs: number) =>
    createKafkaLog({ ...kafka, clientId: "polder-collector", createTopics: true, appendTimeoutMs, logger });
  const log = open(spoolAfterMs);
  const prepared = log.prepareTopics();
  // A cluster that is away comes back, and the spool takes what comes until it does; topics that are wrong stay wrong.
  const misconfigured = new Promise<LogMisconfiguredError>((resolve) => {
    prepared.catch((error: unknown) => error instanceof LogMisconfiguredError && resolve(error));
  });
  try {
    // One that hangs takes connections, and answers nothing for as long as it is asked.
    await within(patienceMs, prepared);
  } catch (error) {
    if (!(error instanceof LogUnavailableError)) {
      await log.close();
      throw error;
    }
    logger.warn("Kafka is away: events are kept here until it is back", { error: error.message });
  }
  const path = spoolFolder(dataPath);
  mkdirSync(path, { recursive: true });
  return { log: createSpooledLog({ log, patientLog: open(forwardWithinMs), path, logger }), misconfigured };
}
