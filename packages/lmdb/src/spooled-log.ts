import {
  LogUnavailableError,
  topics,
  type EventLog,
  type Logger,
  type LogRecord,
  type SpoolStatus,
  type Topic,
} from "@polder/core";
import { createLmdbLog } from "./event-log.ts";
import { createSignal } from "./signal.ts";
import { createSpoolForwarder } from "./spool-forwarder.ts";

export interface SpooledLogOptions {
  /** The log whose outages are bridged. It answers an append well within the time in which a client is answered. Closed with the result. */
  log: EventLog;
  /**
   * The same log with more patience, by which the spool is forwarded; `log` when not given. A log that answers after seconds would otherwise be sent
   * the same records again and again, each time to store them. Closed with the result, too.
   */
  patientLog?: EventLog;
  /** Folder of the spool; what is in it from an earlier life is forwarded first. Any number of processes may share it. */
  path: string;
  /** Appends are refused above this size, 4 GiB when not given. */
  maxBytes?: number;
  /** An append of more milliseconds than this shows a log that is slow: the next ones go to the spool until one is fast again. 250 when not given. */
  slowAfterMs?: number;
  /** Pause before records that the log did not take are forwarded again, 100 ms when not given. */
  retryAfterMs?: number;
  /** How long {@link EventLog.close} waits for what the log is still asked, 2,000 ms when not given. */
  closeWithinMs?: number;
  /** Milliseconds of a clock that only moves forward. */
  clock?: () => number;
  /** Milliseconds since 1970. */
  now?: () => number;
  logger: Logger;
}

export interface SpooledLog extends EventLog {
  spool(): Promise<SpoolStatus>;
}

/** For `log` to answer an append, in milliseconds: well under the second in which a client is answered, so that what it does not confirm is in the spool by then. */
export const spoolAfterMs = 600;
/** For `patientLog`: what Kafka's own clients wait for a broker. */
export const forwardWithinMs = 30_000;

const group = "polder.spool";
/** With no more than this many to forward, and forwarding going on, new records wait a moment instead of joining them. */
const catchUpRecords = 1_000;
const catchUpWithinMs = 100;
const catchUpLookMs = 5;
/** Forwarding goes on when another range was confirmed in this time. */
const flowingWithinMs = 250;

const createTopicState = (now: number) => ({
  /** This process saw the log fail or take its time when the spool was forwarded up to here, and nothing was forwarded quickly since. */
  doubtedAt: undefined as number | undefined,
  /** Appends to the spool under way. */
  writing: 0,
  /** Up to where the spool was forwarded when we last looked, and when that had changed. */
  position: -1,
  progressAt: now - flowingWithinMs,
  /** Told after each range that this process forwarded. */
  forwarded: createSignal(),
});

/**
 * An {@link EventLog} that goes on taking records while the log is away or slow: they are fsynced here, `append` resolves with "spooled", and they are
 * forwarded in order, before anything newer of any process that shares the folder. A record that an append lost sight of can be in the log twice,
 * with the same message id; the loader stores it once.
 */
export function createSpooledLog(options: SpooledLogOptions): SpooledLog {
  const { log, patientLog = log, logger, maxBytes = 4 * 2 ** 30, slowAfterMs = 250, retryAfterMs = 100 } = options;
  const { closeWithinMs = 2_000, clock = () => performance.now(), now = () => Date.now() } = options;
  // Nothing is kept for replays: that is the log's.
  const spool = createLmdbLog({ path: options.path, maxBytes, retainBytes: 0, retainRecords: 0, retryAfterMs, logger });
  const states = new Map(topics.map((topic) => [topic, createTopicState(clock())]));
  const stateOf = (topic: Topic) => states.get(topic)!;

  const forwarders = new Map(
    topics.map((topic) => [
      topic,
      createSpoolForwarder({
        spool,
        topic,
        group,
        append: patientLog.append,
        retryAfterMs,
        clock,
        logger,
        onForwarded: stateOf(topic).forwarded.notify,
      }),
    ]),
  );

  /** Records of the topic that every process together still has to forward, as far as it is noted; what this one forwarded, it knows. */
  const waiting = async (topic: Topic): Promise<number> => {
    const behind = [...(await spool.lag(topic, group)).values()].reduce((sum, n) => sum + n, 0);
    const unnoted = forwarders.get(topic)!.confirmedTo() - progress(topic).offset;
    return Math.max(0, behind - Math.max(0, unnoted));
  };

  /** How far all processes together are, and how many milliseconds the log took for the last range. */
  const progress = (topic: Topic): { offset: number; ms: number } => {
    const { offset, metadata } = spool.position(topic, group, 0) ?? { offset: 0, metadata: "" };
    return { offset, ms: Number(metadata) };
  };

  /** Whether the spool is on its way to be empty soon: another process may be the one that forwards. */
  const isFlowing = (topic: Topic): boolean => {
    const state = stateOf(topic);
    const { offset, ms } = progress(topic);
    if (offset !== state.position) {
      // What was forwarded before we first looked is no progress.
      if (state.position !== -1) state.progressAt = clock();
      state.position = offset;
    }
    return clock() - state.progressAt < flowingWithinMs && ms <= slowAfterMs;
  };

  /** Whether nothing would be overtaken by an append to the log. */
  const isEmpty = async (topic: Topic): Promise<boolean> => {
    const state = stateOf(topic);
    let left = await waiting(topic);
    const until = clock() + catchUpWithinMs;
    // Nearly there: this append waits for the last ones, or under a steady load the spool would never be empty.
    while (left > 0 && left <= catchUpRecords && state.writing === 0 && isFlowing(topic) && clock() < until) {
      await state.forwarded.wait(catchUpLookMs);
      left = await waiting(topic);
    }
    return left === 0 && state.writing === 0;
  };

  const isDoubted = (topic: Topic): boolean => {
    const state = stateOf(topic);
    if (state.doubtedAt === undefined) return false;
    const { offset, ms } = progress(topic);
    if (offset <= state.doubtedAt || ms > slowAfterMs) return true;
    logger.info("the log is there and quick again", { topic });
    state.doubtedAt = undefined;
    return false;
  };

  const doubt = (topic: Topic, message: string, fields: { [name: string]: string | number }): void => {
    const state = stateOf(topic);
    if (state.doubtedAt === undefined)
      logger.warn(`${message}: events are kept here and forwarded in order`, { topic, ...fields });
    state.doubtedAt = progress(topic).offset;
  };

  const appendDirectly: EventLog["append"] = async (topic, records) => {
    const from = clock();
    try {
      await log.append(topic, records);
    } catch (error) {
      if (error instanceof LogUnavailableError) doubt(topic, "the log is away", { reason: error.message });
      throw error;
    }
    const ms = Math.round(clock() - from);
    if (ms > slowAfterMs) doubt(topic, "the log is slow", { ms });
  };

  const appendToSpool = async (topic: Topic, records: readonly LogRecord[]): Promise<"spooled"> => {
    const state = stateOf(topic);
    state.writing++;
    try {
      await spool.append(topic, records);
      return "spooled";
    } finally {
      state.writing--;
    }
  };

  return {
    async append(topic, records) {
      if (records.length === 0) return;
      const isFree = await isEmpty(topic);
      if (isFree && !isDoubted(topic)) {
        return appendDirectly(topic, records).catch((error: unknown) => {
          if (error instanceof LogUnavailableError) return appendToSpool(topic, records);
          throw error;
        });
      }
      return appendToSpool(topic, records).catch((error: unknown) => {
        // A spool that cannot be written must not keep us from a log that is back.
        if (isFree && error instanceof LogUnavailableError) return appendDirectly(topic, records);
        throw error;
      });
    },
    openReader: log.openReader,
    lag: log.lag,
    partitionCount: log.partitionCount,
    partitionOf: log.partitionOf,
    identityOf: log.identityOf,
    offsetsAt: log.offsetsAt,
    isReachable: async () => (await spool.isReachable()) || log.isReachable(),
    async spool() {
      const records = (await Promise.all(topics.map(waiting))).reduce((sum, n) => sum + n, 0);
      const waitingSince = [...forwarders.values()].flatMap((forwarder) => {
        const oldest = forwarder.oldest();
        // A choice, or a count, does not say when it came: it came before it was the next one.
        return oldest ? [receivedAt(oldest.record.value) ?? now() - oldest.waitedMs] : [];
      });
      return {
        records,
        bytes: records === 0 ? 0 : spool.storedBytes(),
        oldestReceivedAt: waitingSince.length === 0 ? undefined : Math.min(...waitingSince),
        attemptMs: Math.max(...[...forwarders.values()].map((forwarder) => forwarder.attemptMs())),
      };
    },
    async close() {
      await Promise.all([...forwarders.values()].map((forwarder) => forwarder.stop()));
      await spool.close();
      // A request that a slow log is still asked may take its time; what it is about is in the spool.
      const closed = Promise.all([log.close(), patientLog === log ? undefined : patientLog.close()]);
      let timer: NodeJS.Timeout | undefined;
      await Promise.race([closed, new Promise((resolve) => (timer = setTimeout(resolve, closeWithinMs)))]);
      clearTimeout(timer);
    },
  };
}

/** Of a row in the log, milliseconds since 1970. */
function receivedAt(value: Uint8Array): number | undefined {
  const { received_at: text } = JSON.parse(Buffer.from(value).toString()) as { received_at?: unknown };
  const at = typeof text === "string" ? Date.parse(`${text.replace(" ", "T")}Z`) : Number.NaN;
  return Number.isNaN(at) ? undefined : at;
}
