import { loadedTopics, type EventLog, type Topic } from "@polder/core";

/** One partition that this loader holds, and where it is: the next offset that it will load. */
export interface HeldPartition {
  topic: Topic;
  partition: number;
  position: number;
}

export interface ProgressRow {
  topic: string;
  partition: number;
  loaded_until: string;
  /** Of a partition that this loader holds: everything before it is in every table. */
  next_offset?: number;
}

/**
 * Finds out up to when everything is loaded, also where the log is never empty: what was behind at some moment has been loaded once the position
 * has moved on by as much. Loss in an hour is told from lag in it by this.
 */
export function createLoadedUntil(deps: {
  log: Pick<EventLog, "lag">;
  group: string;
  held: () => readonly HeldPartition[];
  now: () => Date;
}): () => Promise<ProgressRow[]> {
  /** By partition: since when, and which position it takes. */
  let marks = new Map<string, { at: Date; target: number }>();
  /** Partitions of which something was said: one that nobody speaks of would hold up nothing. */
  const known = new Set<string>();

  /** Asked now and then; resolves with what is known since the last time. */
  return async () => {
    const held = deps.held();
    const at = deps.now();
    const lags = new Map<Topic, Map<number, number>>(
      await Promise.all(loadedTopics.map(async (topic) => [topic, await deps.log.lag(topic, deps.group)] as const)),
    );
    // Positions of after the question: they may only make us wait longer.
    const positions = new Map(deps.held().map((one) => [`${one.topic} ${one.partition}`, one.position]));
    const rows: ProgressRow[] = [];
    const next: typeof marks = new Map();
    for (const { topic, partition } of held) {
      const key = `${topic} ${partition}`;
      const position = positions.get(key);
      const lag = lags.get(topic)?.get(partition);
      if (position === undefined || lag === undefined) continue;
      const mark = lag === 0 ? { at, target: position } : (marks.get(key) ?? { at, target: position + lag });
      const isLoaded = position >= mark.target;
      if (!isLoaded) next.set(key, mark);
      if (isLoaded || !known.has(key))
        rows.push({
          topic,
          partition,
          loaded_until: timeText(isLoaded ? mark.at : never),
          next_offset: position,
        });
      known.add(key);
    }
    // One that stands still from the start, or that another loader has: for its rows the greatest holds, whoever wrote it.
    for (const [topic, partitions] of lags)
      for (const partition of partitions.keys()) {
        const key = `${topic} ${partition}`;
        if (!known.has(key)) rows.push({ topic, partition, loaded_until: timeText(never) });
        known.add(key);
      }
    marks = next;
    return rows;
  };
}

const never = new Date(0);

const timeText = (time: Date): string => time.toISOString().slice(0, 23).replace("T", " ");
