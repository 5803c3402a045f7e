import { openConsentLedger } from "@polder/collector";
import type { ConsentLedger, EventLog, Logger } from "@polder/core";
import { inTime } from "@polder/loader";
import { Registry } from "prom-client";
import { CommandError } from "./exit-code.ts";

/**
 * The ledger as all collectors know it by now, or nothing is replayed: it beats the event.
 * @throws {CommandError} when it is not known within `withinMs`, a minute when not given.
 */
export async function openLedgerOfToday(options: {
  dataPath: string;
  /** The log through which collectors share it; undefined on one machine. */
  sharedBy: EventLog | undefined;
  now: () => Date;
  logger: Logger;
  withinMs?: number;
}): Promise<ConsentLedger> {
  const { dataPath, sharedBy, now, logger, withinMs = 60_000 } = options;
  let complaint: string | undefined;
  const ledger = await openConsentLedger({
    dataPath,
    sharedBy,
    now: () => now().getTime(),
    registry: new Registry(),
    catchUpWithinMs: withinMs,
    logger: {
      ...logger,
      warn(message, fields) {
        complaint ??= message;
        logger.warn(message, fields);
      },
    },
  });
  await inTime(withinMs, ledger.whenReady());
  const missing = ledger.notReady() ?? complaint;
  if (missing === undefined) return ledger;
  await ledger.close();
  throw new CommandError(
    `What visitors have chosen is not known yet (${missing}), so nothing is replayed. Try again when Kafka answers.`,
  );
}
