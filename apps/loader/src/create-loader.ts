import type { EventLog, EventStore, LogReader, Logger, RowTable, Topic } from "@polder/core";
import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import { createEndingAtoms } from "./ending-atoms.ts";
import { openPartition, type LoadOutcome, type PartitionLoader } from "./load-partition.ts";

export interface LoaderOptions {
  log: EventLog;
  store: EventStore;
  logger: Logger;
  registry: Registry;
  now?: () => Date;
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
}

export interface Loader {
  /** Loads until {@link stop}. Rejects only when it cannot go on by itself. */
  run(): Promise<void>;
  /** Finishes the inserts under way, gives the partitions back. */
  stop(): Promise<void>;
  status(): LoaderStatus;
}

export interface LoaderStatus extends LoadOutcome {
  /** Partitions of all topics that are being loaded here. */
  partitions: number;
  lastLoadedAt: Date | undefined;
}

const sources: readonly { topic: Topic; table: RowTable; isDeduplicated: boolean }[] = [
  { topic: "polder.events", table: "events", isDeduplicated: true },
  { topic: "polder.rejected", table: "rejected", isDeduplicated: false },
];

export function createLoader(options: LoaderOptions): Loader {
  const { log, store, logger, registry } = options;
  const now = options.now ?? (() => new Date());
  const group = options.group ?? "polder.loader";
  const total: LoadOutcome = { loaded: 0, duplicate: 0, refused: 0 };
  const ending = createEndingAtoms(store, now);
  const metrics = createMetrics(registry);
  const open = new Map<string, PartitionLoader>();
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

  return {
    async run() {
      readers = sources.map(({ topic }) =>
        log.openReader({
          topic,
          group,
          maxRecords: options.maxRecords ?? 20_000,
          maxBytes: options.maxBytes ?? 32 * 1024 * 1024,
          lingerMs: options.lingerMs ?? 200,
        }),
      );
      await Promise.all(
        sources.map(({ topic, table, isDeduplicated }, i) =>
          readers[i]!.run({
            async assigned(partition, committed, bounds) {
              const opened = await openPartition(
                {
                  topic,
                  table,
                  partition,
                  store,
                  ending,
                  logger,
                  now,
                  pause,
                  windowSpan: isDeduplicated ? (options.windowSpan ?? 1_000_000) : 0,
                  maxCachedAtoms: options.maxCachedAtoms ?? 100_000,
                  onLoaded(outcome) {
                    lastLoadedAt = now();
                    for (const kind of ["loaded", "duplicate", "refused"] as const) {
                      total[kind] += outcome[kind];
                      metrics.rows.inc({ topic, outcome: kind }, outcome[kind]);
                    }
                  },
                },
                committed,
                bounds,
              ).catch((error: unknown) => {
                logger.error("a partition cannot be loaded", {
                  topic,
                  partition,
                  reason: error instanceof Error ? error.message : String(error),
                });
                throw error;
              });
              open.set(`${topic}:${partition}`, opened.loader);
              metrics.partitions.set(open.size);
              logger.info("loading a partition", { topic, partition, from: opened.offset });
              return opened.offset;
            },
            async consume(range) {
              const loader = open.get(`${topic}:${range.partition}`);
              if (!loader) throw new Error(`${topic} ${range.partition} was handed over before it was assigned`);
              const done = metrics.seconds.startTimer({ topic });
              await loader.consume(range);
              done();
            },
            revoked(partition) {
              open.delete(`${topic}:${partition}`);
              metrics.partitions.set(open.size);
            },
          }),
        ),
      );
    },
    async stop() {
      stopping.abort();
      await Promise.all(readers.map((reader) => reader.stop()));
    },
    status: () => ({ ...total, partitions: open.size, lastLoadedAt }),
  };
}

function createMetrics(registry: Registry) {
  const registers = [registry];
  return {
    rows: new Counter({
      name: "polder_loader_rows_total",
      help: "Rows by topic and outcome: loaded, duplicate, refused",
      labelNames: ["topic", "outcome"],
      registers,
    }),
    partitions: new Gauge({ name: "polder_loader_partitions", help: "Partitions that this loader holds", registers }),
    seconds: new Histogram({
      name: "polder_loader_range_seconds",
      help: "Time from a range handed over to its commit",
      labelNames: ["topic"],
      buckets: [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 60],
      registers,
    }),
  };
}
