import {
  NotAssignedError,
  type EventLog,
  type LogRange,
  type LogRecord,
  type Logger,
  type StoredRecord,
  type Topic,
} from "@polder/core";
import { createSignal } from "./signal.ts";

export interface SpoolForwarderDeps {
  spool: EventLog;
  topic: Topic;
  group: string;
  append: (topic: Topic, records: readonly LogRecord[]) => Promise<unknown>;
  retryAfterMs: number;
  /** Milliseconds of a clock that only moves forward. */
  clock: () => number;
  logger: Logger;
  /** After each range that the log confirmed. */
  onForwarded: () => void;
}

/** Brings one topic of the spool into the log, in order, range by range. Of all processes that share the spool, one does. */
export interface SpoolForwarder {
  /** The record that the log has to take next, where this process forwards and one waits, and for how long it has been the next one, in milliseconds. */
  oldest(): { record: StoredRecord; waitedMs: number } | undefined;
  /** Offset after the last record of which this process knows that the log has it: a full disk keeps the position from being written, not from being true. */
  confirmedTo(): number;
  /** How long the attempt under way has taken; 0 when none is. */
  attemptMs(): number;
  /** Gives up the attempt under way: its records stay in the spool and are forwarded again by the next life. */
  stop(): Promise<void>;
}

const unnoted =
  "how far the spool is forwarded cannot be written: a restart before it can will forward again from where it could";

// As much as makes a log that takes its time over each request worth asking: requests are cut to size further on.
const maxRecords = 5_000;
const maxBytes = 4 * 2 ** 20;

export function createSpoolForwarder(deps: SpoolForwarderDeps): SpoolForwarder {
  const { spool, topic, group, clock, logger } = deps;
  const stopping = createSignal();
  let isStopping = false;
  let oldest: { record: StoredRecord; from: number } | undefined;
  let attemptAt: number | undefined;
  let isAway = false;
  let confirmedTo = 0;
  /** Where the next life goes on. */
  let notedTo = 0;
  let latest: { commit: LogRange["commit"]; ms: number } | undefined;
  let notingLater: Promise<void> | undefined;

  /** One attempt; the error when it failed, milliseconds when it did not. */
  const attempt = async (records: readonly StoredRecord[]): Promise<number | Error> => {
    const from = (attemptAt = clock());
    const appended = deps.append(topic, records).then(
      () => clock() - from,
      (error: unknown) => (error instanceof Error ? error : new Error(String(error))),
    );
    const outcome = await Promise.race([appended, stopping.wait()]);
    attemptAt = undefined;
    return outcome ?? new Error("The spool is being closed.");
  };

  const forward = async (records: readonly StoredRecord[]): Promise<number> => {
    for (;;) {
      const outcome = await attempt(records);
      if (typeof outcome === "number") {
        if (isAway) logger.info("the log takes what was kept for it", { topic });
        isAway = false;
        return outcome;
      }
      if (isStopping) throw outcome;
      // One line for an outage, not one an attempt.
      if (!isAway) logger.warn("the log does not take what is kept for it yet", { topic, reason: outcome.message });
      isAway = true;
      await stopping.wait(deps.retryAfterMs);
      if (isStopping) throw outcome;
    }
  };

  const note = async (): Promise<void> => {
    const offset = confirmedTo;
    await latest?.commit({ offset, metadata: String(Math.ceil(latest.ms)) });
    notedTo = Math.max(notedTo, offset);
  };

  /** Until it is noted, or the partition went to another process, or the spool is closed. */
  const noteLater = async (): Promise<void> => {
    while (notedTo < confirmedTo && !isStopping) {
      await stopping.wait(deps.retryAfterMs);
      const error = isStopping ? undefined : await note().catch((reason: unknown) => reason);
      if (error instanceof NotAssignedError) return;
    }
  };

  const reader = spool.openReader({ topic, group, maxRecords, maxBytes, lingerMs: 0 });
  const running = reader.run({
    assigned: async (_partition, committed, { start }) => Math.max(committed?.offset ?? start, confirmedTo),
    async consume({ records, commit }) {
      oldest = { record: records[0]!, from: clock() };
      const ms = await forward(records);
      oldest = undefined;
      confirmedTo = records.at(-1)!.offset + 1;
      latest = { commit, ms };
      try {
        await note();
      } catch (error) {
        if (error instanceof NotAssignedError) throw error;
        // A full disk must not keep what follows from a log that is there.
        if (!notingLater) logger.warn(unnoted, { topic, reason: (error as Error).message });
        notingLater ??= noteLater().finally(() => (notingLater = undefined));
      }
      deps.onForwarded();
    },
    revoked() {
      oldest = undefined;
    },
  });

  return {
    oldest: () => oldest && { record: oldest.record, waitedMs: clock() - oldest.from },
    confirmedTo: () => confirmedTo,
    attemptMs: () => (attemptAt === undefined ? 0 : clock() - attemptAt),
    async stop() {
      isStopping = true;
      const stopped = reader.stop();
      stopping.notify();
      await stopped;
      await running;
      await notingLater;
    },
  };
}
