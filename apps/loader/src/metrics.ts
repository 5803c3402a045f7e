import { StoreUnavailableError, type EventLog, type EventStore, type LogRange, type Topic } from "@polder/core";
import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import { inTime } from "./in-time.ts";
import type { LoadOutcome } from "./load-partition.ts";
import { receivedAtOf } from "./received-at.ts";

/** How long the log may take over a question before it counts as away. */
const answerWithinMs = 2_000;

export interface LoaderMetrics {
  assigned(topic: Topic, partition: number): void;
  revoked(topic: Topic, partition: number): void;
  /** How many partitions stand still until a person decides. */
  blocked(partitions: number): void;
  loaded(topic: Topic, outcome: LoadOutcome): void;
  /** A range is in the store and committed. */
  consumed(range: LogRange, milliseconds: number): void;
  /** The same store; its inserts are timed. */
  timed(store: EventStore): EventStore;
  /** Looks at how much waits in the partitions that are held here. Resolves with the number of records; rejects when the log is away. */
  look(): Promise<number>;
}

interface Held {
  topic: Topic;
  partition: number;
  /** Of the newest record that is in the store: what waits came later. */
  receivedAt: number | undefined;
  behind: number;
  /** When nothing was behind for the last time, by the clock. */
  emptyAt: number;
}

const seconds = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 1_800];

export function createLoaderMetrics(deps: {
  registry: Registry;
  log: Pick<EventLog, "lag">;
  group: string;
  now: () => Date;
  /** Milliseconds of a clock that only moves forward. */
  clock: () => number;
}): LoaderMetrics {
  const { log, group, now, clock } = deps;
  const registers = [deps.registry];
  const held = new Map<string, Held>();
  const rows = new Counter({
    name: "polder_loader_rows_total",
    help: "Rows by topic and outcome: loaded, duplicate, refused, erased",
    labelNames: ["topic", "outcome"],
    registers,
  });
  const partitions = new Gauge({
    name: "polder_loader_partitions",
    help: "Partitions that this loader holds",
    registers,
  });
  const blockedPartitions = new Gauge({
    name: "polder_loader_blocked_partitions",
    help: "Partitions that stand still until a person decides; the loader's log says why",
    registers,
  });
  const rangeSeconds = new Histogram({
    name: "polder_loader_range_seconds",
    help: "Time from a range handed over to its commit",
    labelNames: ["topic"],
    buckets: seconds,
    registers,
  });
  const insertSeconds = new Histogram({
    name: "polder_loader_insert_seconds",
    help: "Time of one insert, by outcome: stored, refused, unknown (the same is sent again)",
    labelNames: ["table", "outcome"],
    buckets: seconds,
    registers,
  });
  const ageSeconds = new Histogram({
    name: "polder_loader_event_age_seconds",
    help: "From received by a collector to queryable, of the oldest event of each range",
    buckets: seconds,
    registers,
  });
  const progressAt = new Gauge({
    name: "polder_loader_progress_timestamp_seconds",
    help: "When a range had last been loaded; 0 when none was",
    registers,
  });
  const lagRecords = new Gauge({
    name: "polder_loader_lag_records",
    help: "Records that wait in a partition that this loader holds",
    labelNames: ["topic", "partition"],
    registers,
    async collect() {
      await shared();
      lagRecords.reset();
      for (const { topic, partition, behind } of held.values()) lagRecords.set({ topic, partition }, behind);
    },
  });
  const lagSeconds: Gauge = new Gauge({
    name: "polder_loader_lag_seconds",
    help: "For how long the oldest record that waits in a partition has been waiting, at most",
    labelNames: ["topic", "partition"],
    registers,
    async collect() {
      await shared();
      lagSeconds.reset();
      for (const each of held.values())
        lagSeconds.set({ topic: each.topic, partition: each.partition }, waitedMs(each) / 1000);
    },
  });

  /** What waits came after the newest that is stored, and after the last moment when nothing waited. */
  function waitedMs({ behind, receivedAt, emptyAt }: Held): number {
    if (behind === 0 || Number.isNaN(behind)) return behind;
    const sinceEmpty = clock() - emptyAt;
    return receivedAt === undefined ? sinceEmpty : Math.max(0, Math.min(sinceEmpty, now().getTime() - receivedAt));
  }

  async function look(): Promise<number> {
    const askedAt = clock();
    let sum = 0;
    for (const topic of new Set([...held.values()].map((each) => each.topic))) {
      const lag = await log.lag(topic, group);
      for (const each of held.values()) {
        if (each.topic !== topic) continue;
        each.behind = lag.get(each.partition) ?? 0;
        if (each.behind === 0) each.emptyAt = Math.max(each.emptyAt, askedAt);
        sum += each.behind;
      }
    }
    return sum;
  }

  let looking: Promise<void> | undefined;
  /** Metrics are collected beside each other: both gauges show the same look. */
  function shared(): Promise<void> {
    looking ??= inTime(answerWithinMs, look())
      .then((sum) => {
        if (sum === undefined) for (const each of held.values()) each.behind = Number.NaN;
      })
      .finally(() => (looking = undefined));
    return looking;
  }

  return {
    assigned(topic, partition) {
      held.set(`${topic}:${partition}`, { topic, partition, receivedAt: undefined, behind: 0, emptyAt: clock() });
      partitions.set(held.size);
    },
    revoked(topic, partition) {
      held.delete(`${topic}:${partition}`);
      partitions.set(held.size);
    },
    blocked: (count) => blockedPartitions.set(count),
    loaded(topic, outcome) {
      for (const kind of ["loaded", "duplicate", "refused", "erased"] as const)
        rows.inc({ topic, outcome: kind }, outcome[kind]);
    },
    consumed({ topic, partition, records }, milliseconds) {
      rangeSeconds.observe({ topic }, milliseconds / 1000);
      progressAt.set(now().getTime() / 1000);
      const each = held.get(`${topic}:${partition}`);
      const newest = receivedAtOf(records.at(-1)!.value);
      if (each !== undefined && newest !== undefined) each.receivedAt = newest;
      const oldest = topic === "polder.events" ? receivedAtOf(records[0]!.value) : undefined;
      if (oldest !== undefined) ageSeconds.observe(Math.max(0, now().getTime() - oldest) / 1000);
    },
    timed: (store) => ({
      ...store,
      async insert(table, token, chunks) {
        const startedAt = clock();
        const took = (outcome: string): void => insertSeconds.observe({ table, outcome }, (clock() - startedAt) / 1000);
        try {
          const result = await store.insert(table, token, chunks);
          took(result.ok ? "stored" : "refused");
          return result;
        } catch (error) {
          if (error instanceof StoreUnavailableError) took("unknown");
          throw error;
        }
      },
    }),
    look,
  };
}
