import type { CommittedPosition, LogRange, PartitionConsumer, StoredRecord } from "../ports/event-log.ts";

export interface Assignment {
  partition: number;
  committed: CommittedPosition | undefined;
  bounds: { start: number; end: number };
}

/** Writes down what a reader does with it, and fails the test when the reader breaks a promise of the port. */
export interface RecordingConsumer extends PartitionConsumer {
  assignments: Assignment[];
  /** Ranges whose consumption has begun, … */
  begun: LogRange[];
  /** … and those where it has ended, well or not. */
  ranges: LogRange[];
  revocations: number[];
  /** Partitions that are ours at the moment. */
  owned: ReadonlySet<number>;
  records(): StoredRecord[];
  ids(): string[];
  /** Each place of the log once, with what it holds: a reader that was slow may be handed the same again. */
  stored(): (StoredRecord & { partition: number })[];
  /** What the reader did that the port forbids. */
  brokenPromise(): string | undefined;
  /** Resolves as soon as `condition` holds; it is looked at after everything that the reader does. After two minutes it says what there is instead. */
  until(condition: () => boolean): Promise<void>;
}

export interface RecordingOptions {
  /** Where to read from; the committed offset, else the first one, when not given. */
  from?: (assignment: Assignment) => number;
  /** What to do with a range; commits its end when not given. */
  consume?: (range: LogRange) => Promise<void>;
}

const patienceMs = 120_000;

export function createRecordingConsumer(options: RecordingOptions = {}): RecordingConsumer {
  const consume = options.consume ?? commitEnd;
  const owned = new Set<number>();
  const busy = new Set<number>();
  const next = new Map<number, number>();
  const conditions = new Map<() => boolean, { resolve: () => void; reject: (error: Error) => void }>();
  let broken: string | undefined;

  const look = () => {
    for (const [condition, { resolve, reject }] of conditions) {
      if (broken) reject(new Error(`The reader broke a promise: ${broken}`));
      else if (condition()) resolve();
      else continue;
      conditions.delete(condition);
    }
  };
  const must = (holds: boolean, promise: string) => {
    if (!holds) broken ??= promise;
  };
  const seen = () =>
    `Ours: ${[...owned].join(", ") || "no partition"}; assigned ${recorder.assignments.length} times, ${recorder.revocations.length} revoked; ` +
    `${recorder.begun.length} ranges begun, ${recorder.ranges.length} ended, with ${recorder.ids().length} records: ${recorder.ids().slice(-20).join(" ")}.`;

  const recorder: RecordingConsumer = {
    assignments: [],
    begun: [],
    ranges: [],
    revocations: [],
    owned,
    records: () => recorder.ranges.flatMap((range) => range.records),
    ids: () => recorder.records().map((record) => record.headers.id),
    stored() {
      const places = new Map<string, StoredRecord & { partition: number }>();
      for (const { partition, records } of recorder.ranges)
        for (const record of records) places.set(`${partition}/${record.offset}`, { ...record, partition });
      return [...places.values()];
    },

    async assigned(partition, committed, bounds) {
      const assignment = { partition, committed, bounds };
      must(!owned.has(partition), `partition ${partition} was assigned twice without being revoked`);
      must(bounds.start <= bounds.end, `the bounds of partition ${partition} are the wrong way round`);
      owned.add(partition);
      recorder.assignments.push(assignment);
      const from = options.from?.(assignment) ?? committed?.offset ?? bounds.start;
      next.set(partition, from);
      look();
      return from;
    },

    async consume(range) {
      const { partition, records } = range;
      must(owned.has(partition), `a range of partition ${partition} came without an assignment`);
      must(!busy.has(partition), `two ranges of partition ${partition} were handed over at a time`);
      must(records.length > 0, "a range was empty");
      let expected = next.get(partition)!;
      for (const { offset } of records) {
        must(offset >= expected, `offset ${offset} of partition ${partition} came after ${expected - 1}`);
        expected = offset + 1;
      }
      next.set(partition, expected);
      busy.add(partition);
      recorder.begun.push(range);
      look();
      try {
        await consume(range);
      } finally {
        busy.delete(partition);
        recorder.ranges.push(range);
        look();
      }
    },

    revoked(partition) {
      must(owned.delete(partition), `partition ${partition} was revoked without being assigned`);
      recorder.revocations.push(partition);
      look();
    },

    brokenPromise: () => broken,

    until: (condition) =>
      new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => {
          conditions.delete(condition);
          reject(new Error(`Not so within ${patienceMs / 1000} s: ${condition.toString()}. ${seen()}`));
        }, patienceMs);
        conditions.set(condition, {
          resolve() {
            clearTimeout(timer);
            resolve();
          },
          reject(error) {
            clearTimeout(timer);
            reject(error);
          },
        });
        look();
      }),
  };
  return recorder;
}

export function endOf(range: LogRange): number {
  return range.records.at(-1)!.offset + 1;
}

export async function commitEnd(range: LogRange): Promise<void> {
  await range.commit({ offset: endOf(range), metadata: "" });
}
