import { randomUUID } from "node:crypto";
import {
  NotAssignedError,
  createGate,
  createProgressWatch,
  errorText,
  type CommittedPosition,
  type EventLog,
  type EventStore,
  type LogReader,
  type Logger,
  type PartitionConsumer,
  type RowTable,
  type Topic,
} from "@polder/core";
import type { Registry } from "prom-client";
import { createEndingAtoms } from "./ending-atoms.ts";
import { createErasedIdCheck } from "./erased-ids.ts";
import { createLedgerConsumer } from "./load-ledger.ts";
import { LoadingBlockedError } from "./find-position.ts";
import { openPartition, type LoadOutcome, type PartitionLoader } from "./load-partition.ts";
import { createLoadedUntil } from "./loaded-until.ts";
import { createLoaderMetrics } from "./metrics.ts";

export interface LoaderOptions {
  log: EventLog;
  store: EventStore;
  logger: Logger;
  registry: Registry;
  now?: () => Date;
  /** Milliseconds of a clock that only moves forward. */
  clock?: () => number;
  /** Consumer group, the same for all loaders of an installation. */
  group?: string;
  /** An insert is made of this many rows at most, … */
  maxRecords?: number;
  /** … of this many bytes, … */
  maxBytes?: number;
  /** … or when its first row has waited this long. */
  lingerMs?: number;
  /** Offsets of a partition over which a client's retry of a stored message is caught. */
  windowSpan?: number;
  maxCachedAtoms?: number;
  /** How often to look whether records wait, 5,000 ms when not given. */
  lookEveryMs?: number;
  /** How often to write down up to when everything is loaded, 5,000 ms when not given. */
  progressEveryMs?: number;
}

export interface Loader {
  /** Loads until {@link stop}. Rejects only when it cannot go on by itself, as when another loader has the log. */
  run(): Promise<void>;
  /** Finishes the inserts under way, gives the partitions back. */
  stop(): Promise<void>;
  status(): LoaderStatus;
  /** Why it should be restarted: it has had something to load for two minutes and loaded nothing. Undefined while it is alive. */
  problem(): string | undefined;
  /** Runs `work` between two ranges: nothing is half loaded while it runs, and loading goes on after it. The log takes records all the time. */
  pausedWhile<T>(work: () => Promise<T>): Promise<T>;
}

export interface LoaderStatus extends LoadOutcome {
  /** Partitions of all topics that are being loaded here. */
  partitions: number;
  lastLoadedAt: Date | undefined;
  /** The next offset that each of them will load, and whether rows are being brought back that the tables have lost. */
  positions: { topic: Topic; partition: number; offset: number; isReadingAgain: boolean }[];
  /** Partitions that stand still until a person decides, and why. They are looked at again all the time. */
  blocked: { topic: Topic; partition: number; reason: string }[];
}

const sayAgainAfterMs = 60_000;
const stalledAfterMs = 120_000;

const sources: readonly { topic: Topic; table: RowTable; isDeduplicated: boolean }[] = [
  { topic: "polder.events", table: "events", isDeduplicated: true },
  { topic: "polder.rejected", table: "rejected", isDeduplicated: false },
];

export function createLoader(options: LoaderOptions): Loader {
  const { log, logger, registry } = options;
  const now = options.now ?? (() => new Date());
  const clock = options.clock ?? (() => performance.now());
  const group = options.group ?? "polder.loader";
  const total: LoadOutcome = { loaded: 0, duplicate: 0, refused: 0, erased: 0 };
  const metrics = createLoaderMetrics({ registry, log, group, now, clock });
  const store = metrics.timed(options.store);
  const ending = createEndingAtoms(store, now, clock);
  const erasedIds = createErasedIdCheck(store, now, clock);
  const gate = createGate();
  /** The same consumer; what it does to the store waits while the gate is shut. */
  const held = (consumer: PartitionConsumer): PartitionConsumer => ({
    assigned: (...given) => gate.pass(() => consumer.assigned(...given)),
    consume: (range) => gate.pass(() => consumer.consume(range)),
    revoked: (partition) => consumer.revoked(partition),
    lost: (partition) => consumer.lost?.(partition),
  });
  const watch = createProgressWatch({
    what: "there is something to load and nothing was loaded",
    clock,
    withinMs: stalledAfterMs,
  });
  const open = new Map<string, { topic: Topic; partition: number; loader: PartitionLoader }>();
  const blocked = new Map<string, LoaderStatus["blocked"][number]>();
  /** By partition and message. */
  const said = new Map<string, { reason: string; at: number }>();
  const stopping = new AbortController();
  let readers: LogReader[] = [];
  let lastLoadedAt: Date | undefined;

  const pause = (ms: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const onAbort = (): void => {
        clearTimeout(timer);
        reject(
          new Error(
            "the loader was stopped while it waited for ClickHouse; the range stays open and is loaded after the next start",
          ),
        );
      };
      const timer = setTimeout(() => {
        stopping.signal.removeEventListener("abort", onAbort);
        resolve();
      }, ms);
      if (stopping.signal.aborted) onAbort();
      else stopping.signal.addEventListener("abort", onAbort, { once: true });
    });

  const loadedUntil = createLoadedUntil({
    log,
    group,
    held: () =>
      [...open.values()].map(({ topic, partition, loader }) => ({ topic, partition, position: loader.position() })),
    now,
  });
  /** Records that wait are work too, when no range of them is ever handed over. */
  async function lookForWork(): Promise<void> {
    const behind = await metrics.look().catch(() => undefined);
    // What is read again after a power cut is behind the committed position.
    if (behind === 0 && consuming === 0) watch.progressed();
    else if (behind !== undefined && behind > 0) watch.hasWork();
  }
  let consuming = 0;
  let work: NodeJS.Timeout | undefined;
  let progress: NodeJS.Timeout | undefined;
  async function writeProgress(): Promise<void> {
    try {
      const rows = await loadedUntil();
      if (rows.length === 0) return;
      const bytes = Buffer.from(rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
      await store.insertLedger("ledger_progress", bytes);
    } catch {
      // Log or store are away, which the loading itself says: it is written down the next time.
    }
  }

  /** Offsets of one log mean nothing in the rows of another. */
  const assertSameLog = async (topic: Topic, table: RowTable): Promise<void> => {
    const own = await log.identityOf(topic);
    const known = await store.sourceOf(table, own);
    if (known === own) return;
    throw new LoadingBlockedError(
      `The table ${table} of this database is loaded from ${known}, and this loader reads ${own}: one of the two is the wrong one. ` +
        "Look at KAFKA_BROKERS, POLDER_TOPIC_PREFIX, POLDER_DATA and CLICKHOUSE_DATABASE, or start with an empty database.",
    );
  };

  const openFor = async (
    topic: Topic,
    table: RowTable,
    partition: number,
    isDeduplicated: boolean,
    committed: CommittedPosition | undefined,
    bounds: { start: number; end: number },
  ) => {
    await assertSameLog(topic, table);
    return openPartition(
      {
        topic,
        table,
        partition,
        store,
        ending,
        erasedIds,
        logger,
        now,
        clock,
        newEpoch: randomUUID,
        pause,
        windowSpan: isDeduplicated ? (options.windowSpan ?? 1_000_000) : 0,
        maxCachedAtoms: options.maxCachedAtoms ?? 100_000,
        onLoaded(outcome) {
          lastLoadedAt = now();
          for (const kind of ["loaded", "duplicate", "refused", "erased"] as const) total[kind] += outcome[kind];
          metrics.loaded(topic, outcome);
          watch.progressed();
        },
      },
      committed,
      bounds,
    );
  };

  /** Once, and again every minute: it is tried again all the time. */
  const say = (level: "warn" | "error", message: string, topic: Topic, partition: number, error: unknown): void => {
    const key = `${topic}:${partition} ${message}`;
    const reason = errorText(error);
    const before = said.get(key);
    if (before?.reason === reason && clock() - before.at < sayAgainAfterMs) return;
    said.set(key, { reason, at: clock() });
    logger[level](message, { topic, partition, reason });
  };
  /** Only what a person has to decide is blocked: what is away comes back. */
  const onNotAssigned = (topic: Topic, partition: number, error: unknown): void => {
    const isBlocked = error instanceof LoadingBlockedError;
    say(isBlocked ? "error" : "warn", "a partition cannot be loaded", topic, partition, error);
    if (!isBlocked) return;
    blocked.set(`${topic}:${partition}`, { topic, partition, reason: error.message });
    metrics.blocked(blocked.size);
  };
  const unblock = (key: string): void => {
    blocked.delete(key);
    metrics.blocked(blocked.size);
  };

  return {
    async run() {
      readers = sources.map(({ topic }) =>
        log.openReader({
          topic,
          group,
          maxRecords: options.maxRecords ?? 20_000,
          maxBytes: options.maxBytes ?? 32 * 1024 * 1024,
          lingerMs: options.lingerMs ?? 200,
          whenTaken: "refuse",
        }),
      );
      const ledgerReader = log.openReader({
        topic: "polder.ledger",
        group,
        maxRecords: 1_000,
        maxBytes: 8 * 1024 * 1024,
        lingerMs: options.lingerMs ?? 200,
      });
      readers.push(ledgerReader);
      progress = setInterval(() => void writeProgress(), options.progressEveryMs ?? 5_000);
      work = setInterval(() => void lookForWork(), options.lookEveryMs ?? 5_000);
      await Promise.all([
        ledgerReader.run(held(createLedgerConsumer({ store, logger, pause }))),
        ...sources.map(({ topic, table, isDeduplicated }, i) =>
          readers[i]!.run(
            held({
              async assigned(partition, committed, bounds) {
                const key = `${topic}:${partition}`;
                const opened = await openFor(topic, table, partition, isDeduplicated, committed, bounds).catch(
                  (error: unknown) => {
                    onNotAssigned(topic, partition, error);
                    throw error;
                  },
                );
                unblock(key);
                open.set(key, { topic, partition, loader: opened.loader });
                metrics.assigned(topic, partition);
                logger.info("loading a partition", { topic, partition, from: opened.offset });
                return opened.offset;
              },
              async consume(range) {
                const loader = open.get(`${topic}:${range.partition}`)?.loader;
                if (!loader) throw new Error(`${topic} ${range.partition} was handed over before it was assigned`);
                watch.hasWork();
                consuming++;
                try {
                  const startedAt = clock();
                  await loader.consume(range);
                  metrics.consumed(range, clock() - startedAt);
                } catch (error) {
                  const isOver = error instanceof NotAssignedError || stopping.signal.aborted;
                  if (!isOver)
                    say("error", "a range was not loaded, and is tried again", topic, range.partition, error);
                  throw error;
                } finally {
                  consuming--;
                }
              },
              revoked(partition) {
                open.delete(`${topic}:${partition}`);
                metrics.revoked(topic, partition);
                if (open.size === 0) watch.progressed();
              },
              lost: (partition) => unblock(`${topic}:${partition}`),
            }),
          ),
        ),
      ]);
    },
    async stop() {
      clearInterval(progress);
      clearInterval(work);
      stopping.abort();
      await Promise.all(readers.map((reader) => reader.stop()));
    },
    status: () => ({
      ...total,
      partitions: open.size,
      lastLoadedAt,
      positions: [...open.values()].map(({ topic, partition, loader }) => ({
        topic,
        partition,
        offset: loader.position(),
        isReadingAgain: loader.isReadingAgain(),
      })),
      blocked: [...blocked.values()],
    }),
    problem: () => (gate.isShut() ? undefined : watch.problem()),
    async pausedWhile(during) {
      try {
        return await gate.shutWhile(during);
      } finally {
        watch.progressed();
      }
    },
  };
}
