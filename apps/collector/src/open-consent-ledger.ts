import { randomUUID } from "node:crypto";
import { join } from "node:path";
import type { ConsentLedger, EventLog, Logger } from "@polder/core";
import { createSharedConsentLedger } from "@polder/kafka";
import { createLmdbConsentLedger } from "@polder/lmdb";

export interface OpenConsentLedgerOptions {
  /** Folder of everything that the process writes. */
  dataPath: string;
  /** By which collectors tell each other what visitors chose; undefined where there is one machine. It stays open. */
  sharedBy: EventLog | undefined;
  /** Milliseconds since 1970. */
  now: () => number;
  logger: Logger;
  /** How long to wait for what the other collectors know, 30,000 ms when not given. */
  catchUpWithinMs?: number;
}

/**
 * What visitors chose, in the data folder. With a log that is there it resolves when this collector knows what the others know: until then it would
 * take events that a visitor has said no to.
 */
export async function openConsentLedger(options: OpenConsentLedgerOptions): Promise<ConsentLedger> {
  const { dataPath, sharedBy: log, now, logger, catchUpWithinMs = 30_000 } = options;
  const ledger = createLmdbConsentLedger({ path: join(dataPath, "consent"), now, logger });
  if (log === undefined) return ledger;
  const shared = createSharedConsentLedger({ ledger, log, instance: randomUUID(), logger });
  const isThere = await log.partitionCount("polder.consent").then(
    () => true,
    () => false,
  );
  if (isThere && !(await shared.caughtUp(catchUpWithinMs)))
    logger.warn("the consent ledger is not current yet: it goes on reading what the other collectors recorded");
  return shared;
}
