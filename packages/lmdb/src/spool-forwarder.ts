import type { EventLog, LogRecord, Logger, StoredRecord, Topic } from "@polder/core";
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
  /** The record that the log has to take next, where this process forwards and one waits. */
  oldest(): StoredRecord | undefined;
  /** How long the attempt under way has taken; 0 when none is. */
  attemptMs(): number;
  /** Gives up the attempt under way: its records stay in the spool and are forwarded again by the next life. */
  stop(): Promise<void>;
}

// As much as makes a log that takes its time over each request worth asking: requests are cut to size further on.
const maxRecords = 5_000;
const maxBytes = 4 * 2 ** 20;

export function createSpoolForwarder(deps: SpoolForwarderDeps): SpoolForwarder {
  const { spool, topic, group, clock, logger } = deps;
  const stopping = createSignal();
  let isStopping = false;
  let oldest: StoredRecord | undefined;
  let attemptAt: number | undefined;
  let isAway = false;
  /** Offset after the last record that the log confirmed in this life: a commit may fail, as on a full disk, and its range comes again. */
  let confirmedTo = 0;

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

  const reader = spool.openReader({ topic, group, maxRecords, maxBytes, lingerMs: 0 });
  const running = reader.run({
    assigned: async (_partition, committed, { start }) => committed?.offset ?? start,
    async consume({ records, commit }) {
      const fresh = records.filter(({ offset }) => offset >= confirmedTo);
      oldest = fresh[0];
      const ms = fresh.length === 0 ? 0 : await forward(fresh);
      oldest = undefined;
      confirmedTo = records.at(-1)!.offset + 1;
      await commit({ offset: confirmedTo, metadata: String(Math.ceil(ms)) });
      deps.onForwarded();
    },
    revoked() {
      oldest = undefined;
    },
  });

  return {
    oldest: () => oldest,
    attemptMs: () => (attemptAt === undefined ? 0 : clock() - attemptAt),
    async stop() {
      isStopping = true;
      const stopped = reader.stop();
      stopping.notify();
      await stopped;
      await running;
    },
  };
}
