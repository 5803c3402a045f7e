import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AudienceChange } from "@polder/clickhouse";
import { LogUnavailableError, type EventLog, type StoredRecord } from "@polder/core";
import { createRecordingConsumer } from "@polder/core/contracts";
import { createLmdbLog } from "@polder/lmdb";
import fc from "fast-check";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createAudienceTeller, type AudienceRecord, type AudienceTeller } from "./create-audience-teller.ts";

const logger = { info() {}, warn() {}, error() {} };
const partitions = 3;
let folder: string;
let log: EventLog;
let changes: AudienceChange[];
let marks: Map<number, number>;
let tellers: AudienceTeller[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "polder-teller-"));
  log = createLmdbLog({ path: folder, partitions, logger, pollMs: 1, retryAfterMs: 1 });
  changes = [];
  marks = new Map();
  tellers = [];
});
afterEach(async () => {
  await Promise.all(tellers.map((teller) => teller.stop()));
  await log.close();
  rmSync(folder, { recursive: true, force: true });
});

const happened = (...people: number[]): void => {
  for (const person of people) {
    const isIn = changes.findLast((change) => change.person === person)?.change === "enter";
    const change = isIn ? "exit" : "enter";
    const seq = (changes.at(-1)?.seq ?? 0) + 1;
    changes.push({
      seq,
      site: "shop",
      audience: "viewers",
      person,
      change,
      reason: change,
      survivor: 0,
      at: 1_000 + seq,
      version: 1,
    });
  }
};

/** What can go wrong with the next append, or the note of it. */
type Fault = "none" | "before the append" | "after the append" | "before the mark";
class Crash extends Error {}

/** A worker that starts: nothing of the one before is left but what is in the log and in the store. */
function start(fault: () => Fault = () => "none"): AudienceTeller {
  const teller = createAudienceTeller({
    store: {
      changesAfter: async (seq, limit) => changes.filter((change) => change.seq > seq).slice(0, limit),
      toldUpTo: async () => new Map(marks),
      async markTold(_, seqs) {
        if (fault() === "before the mark") throw new Crash("before the mark");
        for (const [partition, seq] of seqs) marks.set(partition, seq);
      },
    },
    log: {
      ...log,
      async append(topic, records) {
        if (fault() === "before the append") throw new LogUnavailableError("away");
        await log.append(topic, records);
        if (fault() === "after the append") throw new LogUnavailableError("no answer");
      },
    },
    logger,
    maxRecords: 7,
    pause: async () => undefined,
  });
  tellers.push(teller);
  void teller.run();
  return teller;
}

/** Everything is told: waits for a partition to be its own. */
async function tellAll(teller: AudienceTeller): Promise<void> {
  while (!(await teller.tell())) await new Promise((resolve) => void setImmediate(resolve));
}

/** What is in the topic, in its order by partition. */
async function inTopic(): Promise<AudienceRecord[]> {
  const reader = log.openReader({
    topic: "polder.audience",
    group: "test",
    maxRecords: 10_000,
    maxBytes: 2 ** 24,
    lingerMs: 0,
  });
  const consumer = createRecordingConsumer({ from: ({ bounds }) => bounds.start });
  const records = (): StoredRecord[] => consumer.records();
  const done = reader.run(consumer);
  await consumer.until(() => consumer.assignments.length === partitions);
  const total = consumer.assignments.reduce((sum, { bounds }) => sum + bounds.end - bounds.start, 0);
  await consumer.until(() => records().length >= total);
  await reader.stop();
  await done;
  return records().map(({ value }) => JSON.parse(Buffer.from(value).toString()) as AudienceRecord);
}

const byPerson = (records: readonly { person: number; seq: number }[]): Map<number, number[]> => {
  const people = new Map<number, number[]>();
  for (const { person, seq } of records) people.set(person, [...(people.get(person) ?? []), seq]);
  return people;
};

it("tells each change once, those of a person in their order, and of the person nothing but the number", async () => {
  happened(64, 128, 64, 192, 256, 128, 64, 320);
  const teller = start();
  await tellAll(teller);
  happened(64, 384);
  await tellAll(teller);
  await tellAll(teller);
  const told = await inTopic();
  expect(byPerson(told)).toEqual(byPerson(changes));
  expect(told.find(({ seq }) => seq === 3)).toEqual({
    v: 1,
    seq: 3,
    site: "shop",
    audience: "viewers",
    person: 64,
    change: "exit",
    reason: "exit",
    survivor: 0,
    at: 1_003,
    version: 1,
  });
});

it.each(["before the append", "after the append", "before the mark"] as const)(
  "repeats nothing and leaves nothing out when a worker ends %s, and another one starts",
  async (fault) => {
    happened(64, 128);
    await tellAll(start());
    await tellers.pop()!.stop();
    happened(64, 192, 256, 128);
    const broken = start(() => fault);
    await expect(tellAll(broken)).rejects.toThrow();
    await tellers.pop()!.stop();
    happened(320, 64);
    await tellAll(start());
    expect(byPerson(await inTopic())).toEqual(byPerson(changes));
  },
);

it("asks the topic after an append without an answer, in the same process too", async () => {
  let fault: Fault = "after the append";
  happened(64, 128);
  const teller = start(() => fault);
  await expect(tellAll(teller)).rejects.toThrow("no answer");
  fault = "none";
  happened(64);
  await tellAll(teller);
  expect(byPerson(await inTopic())).toEqual(byPerson(changes));
});

it("goes by its marks where the topic has forgotten", async () => {
  happened(64, 128);
  await tellAll(start());
  await tellers.pop()!.stop();
  await log.close();
  rmSync(folder, { recursive: true, force: true });
  log = createLmdbLog({ path: folder, partitions, logger, pollMs: 1, retryAfterMs: 1 });
  happened(192);
  await tellAll(start());
  expect((await inTopic()).map(({ seq }) => seq)).toEqual([3]);
});

it("passes over what somebody else wrote to the topic", async () => {
  const headers = { id: "x", site: "shop", anonymousId: "", userId: "" };
  await log.append("polder.audience", [{ key: "shop:64", value: new TextEncoder().encode("hello"), headers }]);
  happened(64);
  await tellAll(start());
});

it("tells each once whatever fails in whichever order (seed 20261123)", async () => {
  const fault = fc.constantFrom<Fault>("none", "none", "before the append", "after the append", "before the mark");
  const step = fc.record({
    people: fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 20 }),
    fault,
    isRestarted: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 6 }), async (steps) => {
      await Promise.all(tellers.map((teller) => teller.stop()));
      await log.close();
      rmSync(folder, { recursive: true, force: true });
      log = createLmdbLog({ path: folder, partitions, logger, pollMs: 1, retryAfterMs: 1 });
      changes = [];
      marks = new Map();
      let current: Fault = "none";
      let teller = start(() => current);
      for (const { people, fault: next, isRestarted } of steps) {
        if (isRestarted) {
          await teller.stop();
          teller = start(() => current);
        }
        happened(...people.map((person) => person * 64));
        current = next;
        await tellAll(teller).catch(() => undefined);
        current = "none";
      }
      await tellAll(teller);
      expect(byPerson(await inTopic())).toEqual(byPerson(changes));
    }),
    { seed: 20261123, numRuns: 20 },
  );
});
