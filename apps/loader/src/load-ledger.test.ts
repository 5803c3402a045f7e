import { StoreUnavailableError, type LogRange } from "@polder/core";
import { expect, it } from "vitest";
import { createLedgerConsumer } from "./load-ledger.ts";

function build(answers: (rows: string[]) => { ok: true } | { ok: false; message: string }) {
  const stored: string[] = [];
  const said: string[] = [];
  const commits: number[] = [];
  const consumer = createLedgerConsumer({
    store: {
      async insertLedger(table, bytes) {
        expect(table).toBe("ledger_entry");
        const rows = Buffer.from(bytes).toString().split("\n").slice(0, -1);
        const answer = answers(rows);
        if (answer.ok) stored.push(...rows);
        return answer;
      },
    },
    logger: { info() {}, warn: (message) => void said.push(message), error: (message) => void said.push(message) },
    pause: async () => {},
  });
  const range = (...rows: string[]): LogRange => ({
    topic: "polder.ledger",
    partition: 0,
    records: rows.map((row, offset) => ({
      offset,
      key: "p",
      value: Buffer.from(row),
      headers: { id: row, site: "shop", anonymousId: "", userId: "" },
    })),
    commit: async ({ offset }) => {
      expect(stored.length).toBeGreaterThan(0);
      commits.push(offset);
    },
  });
  return { consumer, range, stored, said, commits };
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
  const { consumer } = build(() => ({ ok: true }));
  const bounds = { start: 10, end: 20 };
  expect(await consumer.assigned(0, undefined, bounds)).toBe(10);
  expect(await consumer.assigned(0, { offset: 15, metadata: "" }, bounds)).toBe(15);
  expect(await consumer.assigned(0, { offset: 5, metadata: "" }, bounds)).toBe(10);
});
