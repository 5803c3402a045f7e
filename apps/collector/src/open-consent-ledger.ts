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
  /** How long a folder that is not new waits for what the others have recorded since, 30,000 ms when not given. */
  catchUpWithinMs?: number;
}

export interface OpenedConsentLedger extends ConsentLedger {
  /** Undefined when events may be judged by it; else what is missing. Until then a collector would take events that a visitor has said no to. */
  notReady(): string | undefined;
  /** Resolves when nothing is missing, and when it is closed. */
  whenReady(): Promise<void>;
}

/**
 * What visitors chose, in the data folder. Where collectors share it, it is ready when this one knows what the others know. While the log is away,
 * or slow, a folder that knew it once is good enough; a new one never is: it knows of no refusal at all.
 */
export async function openConsentLedger(options: OpenConsentLedgerOptions): Promise<OpenedConsentLedger> {
  const { dataPath, sharedBy: log, now, logger, catchUpWithinMs = 30_000 } = options;
  const ledger = createLmdbConsentLedger({ path: join(dataPath, "consent"), now, logger });
  if (log === undefined) return { ...ledger, notReady: () => undefined, whenReady: async () => {} };

  const isNew = !ledger.hasCaughtUp();
  const shared = createSharedConsentLedger({ ledger, log, instance: randomUUID(), logger });
  let isReady = false;
  const close = new AbortController();
  const ready = (async () => {
    const isThere = log.partitionCount("polder.consent").then(
      () => true,
      () => false,
    );
    if (isNew) logger.info("the consent ledger is new: events are taken when it knows what the other collectors know");
    const patience = isNew ? [] : [AbortSignal.timeout(catchUpWithinMs)];
    if (isNew || (await isThere)) await shared.caughtUp(AbortSignal.any([close.signal, ...patience]));
    if (!shared.isCaughtUp() && !close.signal.aborted)
      logger.warn("the consent ledger is as it was: what the other collectors recorded since is still to be read");
    isReady = true;
  })();

  return {
    ...shared,
    notReady: () => (isReady ? undefined : "what visitors chose is still being read from polder.consent"),
    whenReady: () => ready,
    async close() {
      close.abort();
      await shared.close();
      await ready;
    },
  };
}
