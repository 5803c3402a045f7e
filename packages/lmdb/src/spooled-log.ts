import { LogUnavailableError, topics, type EventLog, type Logger, type Topic } from "@polder/core";
import { createLmdbLog } from "./event-log.ts";
import { createSignal } from "./signal.ts";

export interface SpooledLogOptions {
  /** The log whose outages are bridged. {@link EventLog.close} of the result closes it too. */
  log: EventLog;
  /** Folder of the spool; what is in it from an earlier life is forwarded first. */
  path: string;
  /** Appends are refused above this size, 4 GiB when not given. */
  maxBytes?: number;
  /** Pause before a record that the log did not take is forwarded again, 500 ms when not given. */
  retryAfterMs?: number;
  logger: Logger;
}

export interface SpooledLog extends EventLog {
  /** Records that are durable here and not yet in the log. */
  spooled(): Promise<number>;
}

const group = "polder.spool";
/** With no more than this many to forward, new records wait instead of joining them: some ten milliseconds of a log that is well. */
const catchUpRecords = 1_000;
const catchUpLookMs = 50;

const createTopicState = () => ({
  /** The newest records may be in the spool: nothing may overtake them. */
  isSpooling: true,
  /** Appends to the spool under way. */
  writing: 0,
  /** The log took the last range that was forwarded. */
  isFlowing: false,
  /** Told after each range, forwarded or not. */
  forwarded: createSignal(),
});

/**
 * An {@link EventLog} that goes on taking records while the log is away: they are fsynced here, `append` resolves with "spooled", and they are
 * forwarded in order when the log is back, before anything newer. A record that an append lost sight of can be in the log twice, with the same
 * message id; the loader stores it once.
 */
export function createSpooledLog(options: SpooledLogOptions): SpooledLog {
  const { log, logger, maxBytes = 4 * 2 ** 30, retryAfterMs = 500 } = options;
  // Nothing is kept for replays: that is the log's.
  const spool = createLmdbLog({ path: options.path, maxBytes, retainBytes: 0, retainRecords: 0, retryAfterMs, logger });
  const states = new Map(topics.map((topic) => [topic, createTopicState()]));

  const waiting = async (topic: Topic): Promise<number> =>
    [...(await spool.lag(topic, group)).values()].reduce((sum, n) => sum + n, 0);

  const forwarders = topics.map((topic) => {
    const reader = spool.openReader({ topic, group, maxRecords: 500, maxBytes: 900 * 1024, lingerMs: 0 });
    const running = reader.run({
      assigned: async (_partition, committed, { start }) => committed?.offset ?? start,
      async consume({ records, commit }) {
        const state = states.get(topic)!;
        try {
          await log.append(topic, records);
          await commit({ offset: records.at(-1)!.offset + 1, metadata: "" });
          state.isFlowing = true;
        } catch (error) {
          state.isFlowing = false;
          throw error;
        } finally {
          state.forwarded.notify();
        }
      },
      revoked() {},
    });
    return { reader, running };
  });

  return {
    async append(topic, records) {
      const state = states.get(topic)!;
      if (state.isSpooling && state.writing === 0) {
        let left = await waiting(topic);
        // Nearly there: this append waits for the last ones, or under a steady load the spool would never be empty.
        while (left > 0 && left <= catchUpRecords && state.isFlowing && state.writing === 0) {
          await state.forwarded.wait(catchUpLookMs);
          left = await waiting(topic);
        }
        // Another append may have begun to write while we looked.
        if (left === 0 && state.writing === 0) state.isSpooling = false;
      }
      if (!state.isSpooling) {
        try {
          return await log.append(topic, records);
        } catch (error) {
          if (!(error instanceof LogUnavailableError)) throw error;
          if (!state.isSpooling)
            logger.warn("the log is away: events are kept here and forwarded when it is back", { topic });
          state.isSpooling = true;
          state.isFlowing = false;
        }
      }
      state.writing++;
      try {
        await spool.append(topic, records);
        return "spooled";
      } finally {
        state.writing--;
      }
    },
    openReader: (readerOptions) => log.openReader(readerOptions),
    lag: (topic, ofGroup) => log.lag(topic, ofGroup),
    partitionCount: (topic) => log.partitionCount(topic),
    isReachable: async () => (await spool.isReachable()) || log.isReachable(),
    spooled: async () => (await Promise.all(topics.map(waiting))).reduce((sum, n) => sum + n, 0),
    async close() {
      await Promise.all(forwarders.map(({ reader }) => reader.stop()));
      await Promise.all(forwarders.map(({ running }) => running));
      await spool.close();
      await log.close();
    },
  };
}
