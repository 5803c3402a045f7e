import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  LogUnavailableError,
  NotAssignedError,
  type EventLog,
  type LogReader,
  type LogRecord,
  type PartitionConsumer,
  type ReaderOptions,
  type Topic,
} from "../ports/event-log.ts";
import {
  commitEnd,
  createRecordingConsumer,
  endOf,
  type RecordingConsumer,
  type RecordingOptions,
} from "./recording-consumer.ts";

/** One empty storage with four partitions a topic. */
export interface EventLogHarness {
  /** A log over the storage. A second one is what another process would have. */
  open(): Promise<EventLog>;
  /** Removes the records of a partition before an offset, which begins an append, as their age would. */
  removeBefore(topic: Topic, partition: number, offset: number): Promise<void>;
  /** Called after every log has been closed. */
  dispose(): Promise<void>;
}

const contractPartitions = 4;
const topic = "polder.events";
const seed = 20_261_122;

/** What every adapter of {@link EventLog} promises. `randomRuns`: how many random histories to try. */
export function describeEventLog(
  adapter: string,
  createHarness: () => Promise<EventLogHarness>,
  { randomRuns }: { randomRuns: number },
): void {
  describe(`${adapter} keeps the promises of an event log`, () => {
    let harness: EventLogHarness;
    let log: EventLog;
    let readers: LogReader[] = [];
    let logs: EventLog[] = [];

    let consumers: RecordingConsumer[] = [];

    const record = (options?: RecordingOptions) => {
      const consumer = createRecordingConsumer(options);
      consumers.push(consumer);
      return consumer;
    };
    const open = async () => {
      const opened = await harness.open();
      logs.push(opened);
      return opened;
    };
    const read = (from: EventLog, consumer: PartitionConsumer, options: Partial<ReaderOptions> = {}) => {
      const defaults = { topic, group: "loader", maxRecords: 1000, maxBytes: 1_000_000, lingerMs: 20 } as const;
      const reader = from.openReader({ ...defaults, ...options });
      readers.push(reader);
      return { reader, done: reader.run(consumer) };
    };
    const closeAll = async () => {
      await Promise.all(readers.map((reader) => reader.stop()));
      await Promise.all(logs.map((opened) => opened.close()));
      readers = [];
      logs = [];
    };

    beforeEach(async () => {
      harness = await createHarness();
      log = await open();
    });
    afterEach(async () => {
      await closeAll();
      await harness.dispose();
      for (const consumer of consumers) {
        expect(consumer.brokenPromise()).toBeUndefined();
        expect(consumer.owned.size).toBe(0);
      }
      consumers = [];
    });

    it("hands over every record as it was given, each key in order and in one partition", async () => {
      const records = Array.from({ length: 200 }, (_, index) => recordOf(`site:visitor-${index % 17}`, `id-${index}`));
      await log.append(topic, records.slice(0, 120));
      await log.append(topic, records.slice(120));
      const consumer = record();
      read(log, consumer);
      await consumer.until(() => consumer.records().length >= records.length);

      for (const [key, sent] of byKey(records)) {
        const ranges = consumer.ranges.filter((range) => range.records.some((one) => one.key === key));
        expect(new Set(ranges.map((range) => range.partition)).size).toBe(1);
        const received = ranges.flatMap((range) => range.records).filter((one) => one.key === key);
        expect(received.map(({ offset: _offset, value, ...rest }) => ({ ...rest, value: text(value) }))).toEqual(
          sent.map(({ value, ...rest }) => ({ ...rest, value: text(value) })),
        );
      }
      expect(consumer.records()).toHaveLength(records.length);
      expect(new Set(consumer.ranges.map((range) => range.topic))).toEqual(new Set([topic]));
    });

    it("sends a key to the same partition in every append and after a reopen", async () => {
      const keys = Array.from({ length: 40 }, (_, index) => `site:${index}`);
      await log.append(
        topic,
        keys.map((key) => recordOf(key, `first ${key}`)),
      );
      const again = await open();
      await again.append(
        topic,
        keys.map((key) => recordOf(key, `second ${key}`)),
      );
      const consumer = record();
      read(again, consumer);
      await consumer.until(() => consumer.records().length >= 80);

      const partitionsOfKey = new Map<string, Set<number>>();
      for (const { partition, records } of consumer.ranges) {
        for (const { key } of records) partitionsOfKey.set(key, (partitionsOfKey.get(key) ?? new Set()).add(partition));
      }
      expect(partitionsOfKey.size).toBe(40);
      for (const [key, partitions] of partitionsOfKey) expect([...partitions]).toEqual([log.partitionOf(key)]);
      expect(new Set(consumer.ranges.map(({ partition }) => partition)).size).toBeGreaterThan(1);
      expect(await log.partitionCount(topic)).toBe(contractPartitions);
    });

    it("keeps the topics apart", async () => {
      await log.append("polder.rejected", [recordOf("site:a", "refused")]);
      await log.append(topic, [recordOf("site:a", "taken")]);
      const events = record();
      const rejected = record();
      read(log, events);
      read(log, rejected, { topic: "polder.rejected" });
      await events.until(() => events.records().length > 0);
      await rejected.until(() => rejected.records().length > 0);
      expect(events.ids()).toEqual(["taken"]);
      expect(rejected.ids()).toEqual(["refused"]);
    });

    it("takes an empty append and stores nothing", async () => {
      await log.append(topic, []);
      expect([...(await log.lag(topic, "loader")).values()].every((lag) => lag === 0)).toBe(true);
    });

    it("keeps any text in keys and headers and any bytes in values", async () => {
      const odd: LogRecord = {
        key: "site:zoë 🧀\u0000\u2028",
        value: Uint8Array.from({ length: 256 }, (_, byte) => byte),
        headers: { id: "ид-1", site: "日本", anonymousId: "🙂".repeat(100), userId: "" },
      };
      const empty: LogRecord = {
        key: "k",
        value: new Uint8Array(),
        headers: { id: "", site: "", anonymousId: "", userId: "" },
      };
      await log.append(topic, [odd]);
      await log.append(topic, [empty]);
      const consumer = record();
      read(log, consumer);
      await consumer.until(() => consumer.records().length >= 2);
      const plain = ({ key, value, headers }: LogRecord) => ({ key, value: [...value], headers });
      expect(consumer.records().map(plain)).toEqual(expect.arrayContaining([plain(odd), plain(empty)]));
    });

    it("takes 10,000 records at once, and values of 30 KB", async () => {
      const many = Array.from({ length: 10_000 }, (_, index) => recordOf(`site:${index % 50}`, `small-${index}`));
      const large = Array.from({ length: 300 }, (_, index) => ({
        ...recordOf(`site:${index % 7}`, `large-${index}`),
        value: Buffer.alloc(30_000, index % 256),
      }));
      await log.append(topic, many);
      await log.append(topic, large);
      const consumer = record();
      read(log, consumer, { maxRecords: 100_000, maxBytes: 50_000_000 });
      await consumer.until(() => consumer.records().length >= 10_300);
      expect(new Set(consumer.ids()).size).toBe(10_300);
      for (const { headers, value } of consumer.records()) {
        if (!headers.id.startsWith("large-")) continue;
        const fill = Number(headers.id.slice("large-".length)) % 256;
        expect(Buffer.alloc(30_000, fill).equals(value)).toBe(true);
      }
    });

    it("hands over no more than maxRecords and maxBytes at a time, but always one", async () => {
      const records = Array.from({ length: 25 }, (_, index) => recordOf("site:a", `small-${index}`));
      await log.append(topic, records);
      await log.append(
        topic,
        Array.from({ length: 6 }, (_, index) => recordOf("site:a", `kilo-${index}`, 1000)),
      );
      await log.append(topic, [recordOf("site:a", "larger than a range", 5000)]);
      const consumer = record();
      read(log, consumer, { maxRecords: 10, maxBytes: 3500 });
      await consumer.until(() => consumer.records().length >= 32);
      for (const { records: inRange } of consumer.ranges) {
        expect(inRange.length).toBeLessThanOrEqual(10);
        const bytes = inRange.reduce((sum, { value }) => sum + value.byteLength, 0);
        if (inRange.length > 1) expect(bytes).toBeLessThanOrEqual(3500);
      }
      expect(consumer.ids()).toEqual([
        ...records.map(({ headers }) => headers.id),
        ...Array.from({ length: 6 }, (_, index) => `kilo-${index}`),
        "larger than a range",
      ]);
    });

    it("gives records that arrive while it reads", async () => {
      const consumer = record();
      read(log, consumer);
      await consumer.until(() => consumer.owned.size === contractPartitions);
      await log.append(topic, [recordOf("site:a", "first")]);
      await consumer.until(() => consumer.ids().length === 1);
      const other = await open();
      await other.append(topic, [recordOf("site:a", "of another process")]);
      await consumer.until(() => consumer.ids().length === 2);
      expect(consumer.ids()).toEqual(["first", "of another process"]);
    });

    it("assigns every partition before there is anything to read, with nothing committed", async () => {
      const consumer = record();
      read(log, consumer);
      await consumer.until(() => consumer.owned.size === contractPartitions);
      for (const { committed, bounds } of consumer.assignments) {
        expect(committed).toBeUndefined();
        expect(bounds).toEqual({ start: 0, end: 0 });
      }
    });

    it("hands the same records over again when they were not consumed, and asks where to start first", async () => {
      await log.append(
        topic,
        Array.from({ length: 5 }, (_, index) => recordOf("site:a", `id-${index}`)),
      );
      let failures = 2;
      const consumer = record({
        async consume(range) {
          if (failures-- > 0) throw new Error("the store is away");
          await commitEnd(range);
        },
      });
      read(log, consumer);
      await consumer.until(() => consumer.ranges.length === 3);
      const [first, second, third] = consumer.ranges;
      expect(second!.records).toEqual(first!.records);
      expect(third!.records).toEqual(first!.records);
      const ofPartition = consumer.assignments.filter(({ partition }) => partition === first!.partition);
      expect(ofPartition).toHaveLength(3);
      expect(consumer.revocations.filter((partition) => partition === first!.partition)).toHaveLength(2);
    });

    it("asks again when assigned fails, or names an offset that the log does not have", async () => {
      await log.append(topic, [recordOf("site:a", "one")]);
      const answers = new Map<number, number>();
      const consumer = record({
        from({ partition, bounds }) {
          const asked = (answers.get(partition) ?? 0) + 1;
          answers.set(partition, asked);
          if (asked === 1) throw new Error("the store is away");
          return asked === 2 ? bounds.end + 5 : bounds.start;
        },
      });
      read(log, consumer);
      await consumer.until(() => consumer.ids().length === 1);
      const { partition } = consumer.ranges[0]!;
      expect(consumer.assignments.filter((assignment) => assignment.partition === partition)).toHaveLength(3);
    });

    it("keeps the committed position and its metadata over a reopen, and goes on from there", async () => {
      await log.append(
        topic,
        Array.from({ length: 10 }, (_, index) => recordOf("site:a", `id-${index}`)),
      );
      const metadata = JSON.stringify({ to: 9, atom: 4_294_967_295, note: "é" });
      const before = record({
        consume: (range) => range.commit({ offset: range.records[0]!.offset + 6, metadata }),
      });
      read(log, before);
      await before.until(() => before.ranges.length === 1);
      const { partition } = before.ranges[0]!;
      await closeAll();

      const after = record();
      read(await open(), after);
      await after.until(() => after.ids().length === 4);
      const assignment = after.assignments.find((candidate) => candidate.partition === partition)!;
      expect(assignment.committed).toEqual({ offset: 6, metadata });
      expect(assignment.bounds).toEqual({ start: 0, end: 10 });
      expect(after.ids()).toEqual(["id-6", "id-7", "id-8", "id-9"]);
    });

    it("hands an uncommitted range over again after a reopen", async () => {
      await log.append(
        topic,
        Array.from({ length: 3 }, (_, index) => recordOf("site:a", `id-${index}`)),
      );
      const before = record({ consume: async () => {} });
      read(log, before);
      await before.until(() => before.ids().length === 3);
      await closeAll();
      const after = record();
      read(await open(), after);
      await after.until(() => after.ids().length === 3);
      expect(after.ids()).toEqual(before.ids());
      expect(after.assignments.every(({ committed }) => committed === undefined)).toBe(true);
    });

    it("reads from where it is told, before or after the committed offset", async () => {
      await log.append(
        topic,
        Array.from({ length: 10 }, (_, index) => recordOf("site:a", `id-${index}`)),
      );
      const first = record();
      const { reader } = read(log, first, { maxRecords: 5 });
      await first.until(() => first.ids().length === 10);
      await reader.stop();

      for (const start of [7, 2, 10]) {
        const again = record({ from: ({ bounds }) => (bounds.end === 10 ? start : bounds.start) });
        const rerun = read(log, again, { group: "loader" });
        await again.until(() => again.owned.size === contractPartitions && again.ids().length === 10 - start);
        expect(again.ids()).toEqual(Array.from({ length: 10 - start }, (_, index) => `id-${start + index}`));
        await rerun.reader.stop();
      }
    });

    it("asks again where to read, with the bounds of now, when what it was to read next has left the log", async () => {
      const batch = (from: number) =>
        Array.from({ length: 20 }, (_, index) => recordOf("site:a", `id-${from + index}`));
      await log.append(topic, batch(0));
      await log.append(topic, batch(20));
      let isRemoved = false;
      const consumer = record({
        from: ({ committed, bounds }) => Math.max(committed?.offset ?? 0, bounds.start),
      });
      const { assigned } = consumer;
      consumer.assigned = async (partition, committed, bounds) => {
        const from = await assigned(partition, committed, bounds);
        // Between the answer and the first record that is read.
        if (bounds.end === 40 && !isRemoved) {
          isRemoved = true;
          await harness.removeBefore(topic, partition, 20);
        }
        return from;
      };
      read(log, consumer);
      await consumer.until(() => consumer.ids().length >= 20);
      expect(consumer.ids()).toEqual(batch(20).map(({ headers }) => headers.id));
      const [before, after] = consumer.assignments.filter(({ bounds }) => bounds.end === 40);
      expect(before!.bounds).toEqual({ start: 0, end: 40 });
      expect(after).toMatchObject({ committed: undefined, bounds: { start: 20, end: 40 } });
    });

    it("names its storage, the same for everyone who has it open and another for every topic", async () => {
      const other = await open();
      expect(await other.identityOf(topic)).toBe(await log.identityOf(topic));
      expect(await log.identityOf("polder.rejected")).not.toBe(await log.identityOf(topic));
      await closeAll();
      const before = await (await open()).identityOf(topic);
      const elsewhere = await createHarness();
      const another = await elsewhere.open();
      expect(await another.identityOf(topic)).not.toBe(before);
      await another.close();
      await elsewhere.dispose();
    });

    it("gives offsets before which nothing was appended since a time", async () => {
      const before = new Date();
      await log.append(
        topic,
        Array.from({ length: 10 }, (_, index) => recordOf(`site:${index}`, `id-${index}`)),
      );
      const starts = await log.offsetsAt(topic, before);
      expect(new Set(starts.keys())).toEqual(new Set([0, 1, 2, 3]));
      expect([...starts.values()]).toEqual([0, 0, 0, 0]);
      const end = [...(await log.lag(topic, "nobody"))];
      const later = await log.offsetsAt(topic, new Date(Date.now() + 60_000));
      for (const [partition, count] of end) expect(later.get(partition)).toBeLessThanOrEqual(count);
    });

    it("commits what it is told, also an offset in the past", async () => {
      await log.append(
        topic,
        Array.from({ length: 4 }, (_, index) => recordOf("site:a", `id-${index}`)),
      );
      const first = record({
        async consume(range) {
          await commitEnd(range);
          await range.commit({ offset: range.records[0]!.offset + 1, metadata: "back" });
        },
      });
      const { reader } = read(log, first);
      await first.until(() => first.ids().length === 4);
      await reader.stop();
      const second = record();
      read(log, second);
      await second.until(() => second.ids().length === 3);
      expect(second.ids()).toEqual(["id-1", "id-2", "id-3"]);
    });

    it("counts the records after the committed position", async () => {
      await log.append(
        topic,
        Array.from({ length: 8 }, (_, index) => recordOf("site:a", `id-${index}`)),
      );
      const total = async () => [...(await log.lag(topic, "loader")).values()].reduce((sum, lag) => sum + lag, 0);
      expect(await total()).toBe(8);
      const consumer = record({
        consume: (range) => range.commit({ offset: range.records[0]!.offset + 3, metadata: "" }),
      });
      read(log, consumer);
      await consumer.until(() => consumer.ids().length === 8);
      expect(await total()).toBe(5);
      // As after the topic was made anew: a lag below none would hide another partition's.
      const ahead = record({ consume: (range) => range.commit({ offset: endOf(range) + 3, metadata: "" }) });
      read(log, ahead, { group: "ahead" });
      await ahead.until(() => ahead.ids().length === 8);
      expect([...(await log.lag(topic, "ahead")).values()]).toEqual(Array(contractPartitions).fill(0));
      expect((await log.lag(topic, "loader")).size).toBe(contractPartitions);
      // Who asks waits for a second only, and a busy machine may take longer once.
      await vi.waitFor(async () => expect(await log.isReachable()).toBe(true), { timeout: 120_000 });
    });

    it("gives every group everything", async () => {
      await log.append(topic, [recordOf("site:a", "one"), recordOf("site:b", "two")]);
      const loader = record();
      const audit = record();
      read(log, loader);
      read(log, audit, { group: "audit" });
      await loader.until(() => loader.ids().length === 2);
      await audit.until(() => audit.ids().length === 2);
      expect(new Set(audit.ids())).toEqual(new Set(["one", "two"]));
    });

    it("never gives a partition to two readers of a group; the second one goes on where the first one stopped", async () => {
      const other = await open();
      const holder = new Map<number, string>();
      const conflicts: number[] = [];
      const watched = (reader: string) => {
        const consumer = record({
          async consume(range) {
            if (holder.has(range.partition)) conflicts.push(range.partition);
            holder.set(range.partition, reader);
            await commitEnd(range);
            holder.delete(range.partition);
          },
        });
        return consumer;
      };
      const first = watched("first");
      const second = watched("second");
      const seen = () => new Set([...first.ids(), ...second.ids()]);
      const { reader, done } = read(log, first);
      await first.until(() => first.owned.size === contractPartitions);
      read(other, second);
      const batch = (from: number) =>
        Array.from({ length: 50 }, (_, index) => recordOf(`site:${index % 13}`, `id-${from + index}`));
      await log.append(topic, batch(0));
      const all = (count: number) => () => seen().size === count;
      await Promise.race([first.until(all(50)), second.until(all(50))]);
      await reader.stop();
      await done;
      expect(first.owned.size).toBe(0);
      await other.append(topic, batch(50));
      await second.until(all(100));
      expect(second.owned.size).toBe(contractPartitions);
      expect(conflicts).toEqual([]);
      const received = [...first.ids(), ...second.ids()];
      expect(received).toHaveLength(100);
    });

    it("lets the range being consumed finish when stopped, then gives everything back", async () => {
      await log.append(
        topic,
        Array.from({ length: 5 }, (_, index) => recordOf("site:a", `id-${index}`)),
      );
      let openGate = () => {};
      const gate = new Promise<void>((resolve) => (openGate = resolve));
      let finished = false;
      const consumer = record({
        async consume(range) {
          await gate;
          await commitEnd(range);
          finished = true;
        },
      });
      const { reader, done } = read(log, consumer, { maxRecords: 2 });
      await consumer.until(() => consumer.begun.length === 1);
      const range = consumer.begun[0]!;
      const stopping = reader.stop();
      openGate();
      await Promise.all([stopping, done]);
      expect(finished).toBe(true);
      expect(consumer.ids()).toEqual(["id-0", "id-1"]);
      expect(consumer.owned.size).toBe(0);
      await expect(range.commit({ offset: endOf(range), metadata: "too late" })).rejects.toThrow(NotAssignedError);

      const next = record();
      read(log, next);
      await next.until(() => next.ids().length === 3);
      expect(next.ids()).toEqual(["id-2", "id-3", "id-4"]);
    });

    it("refuses the commit of a range that was handed over again since", async () => {
      await log.append(topic, [recordOf("site:a", "one")]);
      const consumer = record({
        async consume(range) {
          if (consumer.begun.length === 1) throw new Error("the store is away");
          await commitEnd(range);
        },
      });
      read(log, consumer);
      await consumer.until(() => consumer.ranges.length === 2);
      const [stale] = consumer.ranges;
      await expect(stale!.commit({ offset: 0, metadata: "stale" })).rejects.toThrow(NotAssignedError);
    });

    it("stops while it waits, and a reader that was stopped before it ran does not run", async () => {
      const idle = record();
      const { reader, done } = read(log, idle, { lingerMs: 60_000 });
      await idle.until(() => idle.owned.size === contractPartitions);
      await reader.stop();
      await done;
      const never = record();
      const unused = log.openReader({ topic, group: "g", maxRecords: 1, maxBytes: 1, lingerMs: 1 });
      await unused.stop();
      await unused.run(never);
      expect(never.assignments).toEqual([]);
    });

    it("refuses to append after it was closed", async () => {
      await log.close();
      await expect(log.append(topic, [recordOf("site:a", "late")])).rejects.toThrow(LogUnavailableError);
      expect(await log.isReachable()).toBe(false);
    });

    it(`loses, doubles and reorders nothing in random histories (seed ${seed})`, async () => {
      const append = fc.record({
        kind: fc.constant("append" as const),
        keys: fc.array(fc.integer({ min: 0, max: 12 }), { maxLength: 60 }),
      });
      const readSome = fc.record({
        kind: fc.constant("read" as const),
        maxRecords: fc.integer({ min: 1, max: 40 }),
        failEvery: fc.integer({ min: 2, max: 6 }),
        reopen: fc.boolean(),
      });
      let history = 0;
      const run = fc.asyncProperty(fc.array(fc.oneof(append, readSome), { maxLength: 8 }), async (steps) => {
        const group = `history-${(history += 1)}`;
        const marker = `${group}/`;
        const sent: LogRecord[] = [];
        const committed: { key: string; id: string }[] = [];

        const readAll = async (maxRecords: number, failEvery: number) => {
          let count = 0;
          const consumer = record({
            async consume(range) {
              if (++count % failEvery === 0) throw new Error("as the history wants it");
              await commitEnd(range);
              for (const { key, headers } of range.records) {
                if (headers.id.startsWith(marker)) committed.push({ key, id: headers.id });
              }
            },
          });
          const { reader } = read(log, consumer, { group, maxRecords, lingerMs: 0 });
          await consumer.until(() => committed.length >= sent.length);
          await reader.stop();
        };

        for (const step of steps) {
          if (step.kind === "append") {
            const records = step.keys.map((key, index) => recordOf(`site:${key}`, `${marker}${sent.length + index}`));
            await log.append(topic, records);
            sent.push(...records);
            continue;
          }
          await readAll(step.maxRecords, step.failEvery);
          if (!step.reopen) continue;
          await closeAll();
          log = await open();
        }
        await readAll(1000, 1000);
        const inOrder = (list: { key: string; id: string }[]) => Object.fromEntries(byKey(list));
        expect(inOrder(committed)).toEqual(inOrder(sent.map(({ key, headers }) => ({ key, id: headers.id }))));
      });
      await fc.assert(run, { seed, numRuns: randomRuns, endOnFailure: true });
    });
  });
}

function recordOf(key: string, id: string, valueBytes?: number): LogRecord {
  const json = JSON.stringify({ message_id: id });
  return {
    key,
    value: new TextEncoder().encode(valueBytes === undefined ? json : json.padEnd(valueBytes)),
    headers: {
      id,
      site: "shop",
      anonymousId: key.slice(key.indexOf(":") + 1),
      userId: "",
      arrival: `p.1.${id.length}`,
    },
  };
}

function byKey<T extends { key: string }>(list: readonly T[]): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of list) groups.set(item.key, [...(groups.get(item.key) ?? []), item]);
  return groups;
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
