import { StoreUnavailableError, type LogRange } from "@polder/core";
import { expect, it } from "vitest";
import { createLedgerConsumer } from "./load-ledger.ts";

function build(
  answers: (rows: string[]) => { ok: true } | { ok: false; message: string },
  heldBefore: () => number | undefined = () => Number.POSITIVE_INFINITY,
) {
  const stored: string[] = [];
  const positions: object[] = [];
  const said: string[] = [];
  const lines: object[] = [];
  const say = (message: string, fields: object = {}): void => {
    said.push(message);
    lines.push({ message, ...fields });
  };
  const commits: number[] = [];
  const consumer = createLedgerConsumer({
    store: {
      async insertLedger(table, bytes) {
        const rows = Buffer.from(bytes).toString().split("\n").slice(0, -1);
        if (table === "ledger_progress") {
          // Never ahead of what the ledger holds.
          expect(stored.length).toBeGreaterThan(0);
          positions.push(...rows.map((row) => JSON.parse(row) as object));
          return { ok: true };
        }
        const answer = answers(rows);
        if (answer.ok) stored.push(...rows);
        return answer;
      },
      ledgerPosition: async () => heldBefore(),
    },
    logger: { info() {}, warn: say, error: say },
    pause: async () => {},
  });
  let next = 0;
  const range = (...rows: string[]): LogRange => ({
    topic: "polder.ledger",
    partition: 0,
    records: rows.map((row) => ({
      offset: next++,
      key: "p",
      value: Buffer.from(row),
      headers: { id: row, site: "shop", anonymousId: "", userId: "" },
    })),
    commit: async ({ offset }) => {
      expect(positions.at(-1)).toMatchObject({ next_offset: offset });
      commits.push(offset);
    },
  });
  return { consumer, range, stored, said, lines, commits, positions };
}

it("sends again what was not confirmed, and commits after that", async () => {
  let failures = 2;
  const { consumer, range, stored, commits, said } = build(() => {
    if (failures-- > 0) throw new StoreUnavailableError("away");
    return { ok: true };
  });
  await consumer.consume(range("a", "b"));
  expect(stored).toEqual(["a", "b"]);
  expect(commits).toEqual([2]);
  expect(said).toHaveLength(2);
});

it("leaves out an entry that ClickHouse refuses, and nothing else", async () => {
  const { consumer, range, stored, commits, said } = build((rows) =>
    rows.includes("bad") ? { ok: false, message: "no" } : { ok: true },
  );
  await consumer.consume(range("a", "b", "bad", "c", "d"));
  expect(stored).toEqual(["a", "b", "c", "d"]);
  expect(commits).toEqual([5]);
  expect(said).toEqual(["ClickHouse refused an entry of the loss ledger: it is left out"]);
});

it("begins where it committed, or where the log begins now", async () => {
  const { consumer, said } = build(() => ({ ok: true }));
  const bounds = { start: 10, end: 20 };
  expect(await consumer.assigned(0, undefined, bounds)).toBe(10);
  expect(await consumer.assigned(0, { offset: 15, metadata: "" }, bounds)).toBe(15);
  expect(await consumer.assigned(0, { offset: 20, metadata: "" }, bounds)).toBe(20);
  expect(said).toEqual([]);
});

it("says what left the log before it was loaded, and goes on after it", async () => {
  const { consumer, lines } = build(() => ({ ok: true }));
  expect(await consumer.assigned(3, { offset: 5, metadata: "" }, { start: 10, end: 20 })).toBe(10);
  expect(lines).toEqual([
    { message: expect.stringContaining("left the log"), topic: "polder.ledger", partition: 3, from: 5, to: 9 },
  ]);
});

it("reads a topic that was made anew from its start, and says so", async () => {
  const { consumer, lines } = build(() => ({ ok: true }));
  // Whatever the table says of the old one.
  for (const { assigned } of [
    consumer,
    build(
      () => ({ ok: true }),
      () => 15,
    ).consumer,
  ])
    expect(await assigned(3, { offset: 21, metadata: "" }, { start: 10, end: 20 })).toBe(10);
  expect(lines).toEqual([
    { message: expect.stringContaining("made anew"), topic: "polder.ledger", partition: 3, read: 21, end: 20 },
  ]);
});

it.each([
  ["of which it holds a part", 12, 12, []],
  ["of which it holds nothing that is known", undefined, 10, []],
  ["of which some has left the log", 4, 10, [{ from: 4, to: 9 }]],
])("reads again what a restored table does not hold, %s", async (_, heldBefore, from, left) => {
  const { consumer, lines } = build(
    () => ({ ok: true }),
    () => heldBefore,
  );
  expect(await consumer.assigned(0, { offset: 15, metadata: "" }, { start: 10, end: 20 })).toBe(from);
  expect(lines).toMatchObject(left);
});

it("writes down how far the table is, after it holds that and before the commit", async () => {
  const { consumer, range, positions, commits } = build(() => ({ ok: true }));
  const row = (next_offset: number) => ({ topic: "polder.ledger", partition: 0, next_offset });
  await consumer.consume(range("a", "b"));
  await consumer.consume(range("c"));
  expect(positions).toEqual([row(2), row(3)]);
  expect(commits).toEqual([2, 3]);
});
