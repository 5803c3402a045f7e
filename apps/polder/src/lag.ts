import { loadedTopics, type EventLog, type Topic } from "@polder/core";
import { inTime } from "@polder/loader";
import { Gauge, type Registry } from "prom-client";

/** The group that `createLoader` reads as when none is given. */
const loaderGroup = "polder.loader";

const lookEveryMs = 1_000;

/** Events, rejected ones, and what is counted of them. */
const everyTopic: readonly Topic[] = [...loadedTopics, "polder.ledger"];

/** Records that wait to be loaded. */
export async function recordsBehind(log: EventLog, topics: readonly Topic[] = everyTopic): Promise<number> {
  const counts = await Promise.all(topics.map((topic) => behindIn(log, topic)));
  return counts.reduce((sum, count) => sum + count, 0);
}

export interface LagWatch {
  /** How long the oldest record that waits has been waiting, at most, in milliseconds; undefined when the log does not say. */
  ageMs(): Promise<number | undefined>;
  stop(): void;
}

/** The log counts what waits and not since when: what is behind now came after the last moment when nothing was. */
export function watchLag({
  log,
  registry,
  clock,
  answerWithinMs = 2_000,
}: {
  log: EventLog;
  registry: Registry;
  clock: () => number;
  /** How long the log may take over a question before it counts as away. */
  answerWithinMs?: number;
}): LagWatch {
  let emptyAt = clock();
  const ageMs = async (): Promise<number | undefined> => {
    const askedAt = clock();
    const behind = await inTime(answerWithinMs, recordsBehind(log, loadedTopics));
    if (behind === 0) emptyAt = Math.max(emptyAt, askedAt);
    if (behind === undefined) return undefined;
    return behind === 0 ? 0 : clock() - emptyAt;
  };
  const timer = setInterval(() => void ageMs(), lookEveryMs).unref();
  const registers = [registry];
  const records = new Gauge({
    name: "polder_log_lag_records",
    help: "Records in the log that wait to be loaded, by topic",
    labelNames: ["topic"],
    registers,
    async collect() {
      const behind = loadedTopics.map((topic) => inTime(answerWithinMs, behindIn(log, topic)));
      for (const [n, topic] of loadedTopics.entries()) records.set({ topic }, (await behind[n]) ?? Number.NaN);
    },
  });
  const seconds = new Gauge({
    name: "polder_log_lag_seconds",
    help: "How long the oldest record that waits has been waiting, at most",
    registers,
    async collect() {
      seconds.set(((await ageMs()) ?? Number.NaN) / 1000);
    },
  });
  return { ageMs, stop: () => clearInterval(timer) };
}

async function behindIn(log: EventLog, topic: Topic): Promise<number> {
  let sum = 0;
  for (const count of (await log.lag(topic, loaderGroup)).values()) sum += count;
  return sum;
}
