import { randomUUID } from "node:crypto";
import { join } from "node:path";
import type { ConsentLedger, EventLog, Logger } from "@polder/core";
import { createSharedConsentLedger } from "@polder/kafka";
import { createLmdbConsentLedger } from "@polder/lmdb";
import { Gauge, type Registry } from "prom-client";

export interface OpenConsentLedgerOptions {
  /** Folder of everything that the process writes. */
  dataPath: string;
  /** By which collectors tell each other what visitors chose; undefined where there is one machine. It stays open. */
  sharedBy: EventLog | undefined;
  /** Milliseconds since 1970. */
  now: () => number;
  logger: Logger;
  /** Where the lag behind the other collectors is shown. */
  registry: Registry;
  /** How long to wait for what the other collectors know, 30,000 ms when not given. */
  catchUpWithinMs?: number;
}

/**
 * What visitors chose, in the data folder. With a log that is there it resolves when this collector knows what the others know: until then it would
 * take events that a visitor has said no to.
 */
export async function openConsentLedger(options: OpenConsentLedgerOptions): Promise<ConsentLedger> {
  const { dataPath, sharedBy: log, now, logger, registry, catchUpWithinMs = 30_000 } = options;
  const ledger = createLmdbConsentLedger({ path: join(dataPath, "consent"), now, logger });
  if (log === undefined) return ledger;
  const shared = createSharedConsentLedger({ ledger, log, instance: randomUUID(), logger });
  addLagGauges({ registry, now, lag: () => shared.lag(new Date(now())) });
  const isThere = await log.partitionCount("polder.consent").then(
    () => true,
    () => false,
  );
  if (isThere && !(await shared.caughtUp(catchUpWithinMs)))
    logger.warn("the consent ledger is not current yet: it goes on reading what the other collectors recorded");
  return shared;
}

/** Workers of one machine share the ledger: the greatest of what they say is what holds. */
function addLagGauges({
  registry,
  now,
  lag,
}: {
  registry: Registry;
  now: () => number;
  lag: () => Promise<number>;
}): void {
  const registers = [registry];
  const aggregator = "max";
  let currentAt = now();
  let looking: Promise<number> | undefined;
  // Metrics are collected beside each other: both gauges show the same look.
  const look = (): Promise<number> => {
    looking ??= lag()
      .catch(() => Number.NaN)
      .then((behind) => {
        if (behind === 0) currentAt = now();
        return behind;
      })
      .finally(() => (looking = undefined));
    return looking;
  };
  const seconds: Gauge = new Gauge({
    name: "polder_consent_ledger_lag_seconds",
    help: "Since all choices of the other collectors counted here, at most; 0 when they do",
    registers,
    aggregator,
    async collect() {
      await look();
      seconds.set((now() - currentAt) / 1000);
    },
  });
  const records: Gauge = new Gauge({
    name: "polder_consent_ledger_lag_records",
    help: "Choices of other collectors that do not count here yet; NaN while the log is away",
    registers,
    aggregator,
    async collect() {
      records.set(await look());
    },
  });
}
