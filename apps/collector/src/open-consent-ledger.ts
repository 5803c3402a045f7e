import { randomUUID } from "node:crypto";
import { join } from "node:path";
import type { ConsentLedger, EventLog, Logger } from "@polder/core";
import { createSharedConsentLedger } from "@polder/kafka";
import { createLmdbConsentLedger } from "@polder/lmdb";
import { Gauge, type Registry } from "prom-client";
import { within } from "./within.ts";

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
  /** How long a folder that is not new waits for what the others have recorded since, 30,000 ms when not given. */
  catchUpWithinMs?: number;
  /** How long the log may take over a question before it counts as away, 2,000 ms when not given. */
  answerWithinMs?: number;
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
  const { dataPath, sharedBy: log, now, logger, registry, catchUpWithinMs = 30_000, answerWithinMs = 2_000 } = options;
  const ledger = createLmdbConsentLedger({ path: join(dataPath, "consent"), now, logger });
  if (log === undefined) return { ...ledger, notReady: () => undefined, whenReady: async () => {} };

  const isNew = !ledger.hasCaughtUp();
  const shared = createSharedConsentLedger({ ledger, log, instance: randomUUID(), logger });
  addLagGauges({ registry, now, answerWithinMs, lag: () => shared.lag(new Date(now())) });
  let isReady = false;
  const close = new AbortController();
  const ready = (async () => {
    const isThere = (): Promise<boolean> =>
      within(answerWithinMs, log.partitionCount("polder.consent")).then(
        () => true,
        () => false,
      );
    if (isNew) logger.info("the consent ledger is new: events are taken when it knows what the other collectors know");
    const patience = isNew ? [] : [AbortSignal.timeout(catchUpWithinMs)];
    if (isNew || (await isThere())) await shared.caughtUp(AbortSignal.any([close.signal, ...patience]));
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

/** Workers of one machine share the ledger: the greatest of what they say is what holds. */
function addLagGauges({
  registry,
  now,
  answerWithinMs,
  lag,
}: {
  registry: Registry;
  now: () => number;
  answerWithinMs: number;
  lag: () => Promise<number>;
}): void {
  const registers = [registry];
  const aggregator = "max";
  let currentAt = now();
  let looking: Promise<number> | undefined;
  const ask = async (): Promise<number> => {
    const askedAt = now();
    const behind = await lag();
    if (behind === 0) currentAt = askedAt;
    return behind;
  };
  // Metrics are collected beside each other: both gauges show the same look. A log that hangs must not take the other metrics along.
  const look = (): Promise<number> => {
    looking ??= ask().finally(() => (looking = undefined));
    return within(answerWithinMs, looking).catch(() => Number.NaN);
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
