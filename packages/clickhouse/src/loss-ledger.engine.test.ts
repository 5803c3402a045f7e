import { readFile } from "node:fs/promises";
import type { LedgerEntry } from "@polder/core";
import { buildEventRow } from "@polder/core/contracts";
import { checkAsyncProperty } from "@polder/testing";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createEventStore } from "./event-store.ts";
import { createStatusQueries } from "./queries/status.ts";
import { startTestDatabase, type TestDatabase } from "./test-support/start-test-database.ts";

interface Row {
  received: number;
  stored: number;
  rejected: number;
  duplicate: number;
  dropped: number;
  in_flight: number;
  difference: number;
  lost: number;
  doubled: number;
  is_closed: number;
  rejected_by_reason: { [reason: string]: number };
  dropped_by_reason: { [reason: string]: number };
  spooled: number;
  unanswered: number;
}

const hour = "2026-11-22 20:00:00";
let database: TestDatabase;
beforeAll(async () => {
  database = await startTestDatabase();
});
afterAll(() => database?.stop());
beforeEach(async () => {
  for (const table of ["ledger", "ledger_progress", "events"]) await clear(table);
});

const clear = (table: string): Promise<void> => database.clickhouse.command(`TRUNCATE TABLE ${table}`);
const lines = (rows: readonly object[]): Uint8Array =>
  Buffer.from(rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
const entry = (
  outcome: LedgerEntry["outcome"],
  first: number[],
  last: number[] = first,
  more: Partial<LedgerEntry> = {},
) => ({
  site: "shop",
  hour,
  outcome,
  reason: "",
  process: "p",
  first,
  last,
  counted: 0,
  ...more,
});
async function enter(...entries: LedgerEntry[]): Promise<void> {
  const books = createEventStore({ clickhouse: database.clickhouse });
  expect(await books.insertLedger("ledger_entry", lines(entries))).toEqual({ ok: true });
}
async function loadedUntil(...until: string[]): Promise<void> {
  const books = createEventStore({ clickhouse: database.clickhouse });
  const rows = until.map((loaded_until, partition) => ({ topic: "polder.events", partition, loaded_until }));
  expect(await books.insertLedger("ledger_progress", lines(rows))).toEqual({ ok: true });
}
let inserts = 0;
async function store(count: number, over: object = {}): Promise<void> {
  const rows = Array.from({ length: count }, (_, offset) => ({
    ...buildEventRow({ site: "shop", received_at: "2026-11-22 20:59:59.999", ...over }),
    _partition: 0,
    _offset: offset,
    atom: 0,
  }));
  const events = createEventStore({ clickhouse: database.clickhouse });
  expect(await events.insert("events", `rows-${inserts++}`, [lines(rows)])).toEqual({ ok: true });
}
const ask = (columns = "*"): Promise<Row[]> =>
  database.clickhouse.query<Row>(`SELECT ${columns} FROM loss_ledger ORDER BY hour, site`);
const balance = "received, stored, rejected, duplicate, dropped, in_flight, difference, lost, doubled";
/** The tables that are read for a view; one without rows is not. */
const readBy = async (view: string): Promise<string> =>
  (await database.clickhouse.query<{ explain: string }>(`EXPLAIN PLAN SELECT * FROM ${view}`))
    .map(({ explain }) => explain)
    .filter((line) => line.includes("ReadFrom"))
    .join("\n");

describe("the loss ledger", () => {
  it("balances what was received with what became of it", async () => {
    await enter(
      entry("answered", [0], [9]),
      entry("spooled", [10], [11]),
      entry("dropped", [12, 14], [12, 15], { reason: "no_consent" }),
      entry("dropped", [13], [13], { reason: "no_profile_consent" }),
      entry("stored", [0, 10], [5, 11]),
      entry("duplicate", [6], [7]),
      entry("rejected", [8], [8], { reason: "too_deep" }),
      entry("rejected", [9], [9], { reason: "refused_by_store" }),
    );
    await store(8);
    await loadedUntil("2026-11-22 21:01:00.000");
    expect(await ask()).toMatchObject([
      {
        received: 16,
        stored: 8,
        rejected: 2,
        duplicate: 2,
        dropped: 4,
        in_flight: 0,
        difference: 0,
        is_closed: 1,
        rejected_by_reason: { refused_by_store: 1, too_deep: 1 },
        dropped_by_reason: { no_consent: 3, no_profile_consent: 1 },
        spooled: 2,
        unanswered: 0,
      },
    ]);
  });

  it("calls what is answered and not loaded in flight until the hour is loaded, and lost from then on", async () => {
    await enter(entry("answered", [0], [9]), entry("stored", [0], [6]));
    await store(7);
    const open = { received: 10, stored: 7, in_flight: 3, difference: 0, is_closed: 0 };
    expect(await ask()).toMatchObject([open]);
    // One partition is behind.
    await loadedUntil("2026-11-22 21:30:00.000", "2026-11-22 21:00:59.999");
    expect(await ask()).toMatchObject([open]);
    await loadedUntil("2026-11-22 21:30:00.000", "2026-11-22 21:01:00.000");
    expect(await ask()).toMatchObject([{ received: 10, stored: 7, in_flight: 0, difference: 3, is_closed: 1 }]);
    await enter(entry("stored", [7], [9]));
    await store(3);
    expect(await ask()).toMatchObject([{ received: 10, stored: 10, in_flight: 0, difference: 0 }]);
  });

  it("keeps calling it in flight while it may be in the spool of a collector", async () => {
    await enter(entry("spooled", [0], [4]), entry("answered", [5], [6]));
    await loadedUntil("2026-11-23 12:00:00.000");
    expect(await ask()).toMatchObject([{ received: 7, in_flight: 5, difference: 2, spooled: 5 }]);
  });

  it("knows up to where collectors' entries are in it, which holds up no hour", async () => {
    const books = createEventStore({ clickhouse: database.clickhouse });
    const held = (...partitions: number[]) =>
      Promise.all(partitions.map((partition) => books.ledgerPosition(partition)));
    expect(await held(0, 1)).toEqual([undefined, undefined]);
    const rows = [7, 9, 8].map((next_offset) => ({ topic: "polder.ledger", partition: 1, next_offset }));
    for (const row of rows) expect(await books.insertLedger("ledger_progress", lines([row]))).toEqual({ ok: true });
    await enter(entry("answered", [0]));
    await loadedUntil("2026-11-22 21:01:00.000");
    expect(await held(0, 1)).toEqual([undefined, 9]);
    expect(await ask("is_closed")).toEqual([{ is_closed: 1 }]);
  });

  it("says that rows are missing, or there twice, by ClickHouse's own count", async () => {
    await enter(entry("answered", [0], [9]), entry("stored", [0], [9]));
    await store(9);
    expect(await ask(balance)).toMatchObject([{ stored: 9, difference: 1, lost: 1, doubled: 0 }]);
    await store(2);
    expect(await ask(balance)).toMatchObject([{ stored: 11, difference: -1, lost: 0, doubled: 1 }]);
  });

  it("lets no event that is there twice make up for one that is lost, in one hour or over many", async () => {
    const now = Date.now();
    const at = (hoursAgo: number): string =>
      new Date(now - hoursAgo * 3_600_000).toISOString().slice(0, 13).replace("T", " ");
    const [first, second] = [3, 2].map((hoursAgo) => `${at(hoursAgo)}:00:00`) as [string, string];
    await enter(
      entry("answered", [0], [9], { hour: first }),
      entry("stored", [0], [8], { hour: first }),
      entry("answered", [0], [9], { hour: second }),
      entry("stored", [0], [7], { hour: second }),
      entry("answered", [0], [9], { hour: second, site: "blog" }),
      entry("stored", [0], [9], { hour: second, site: "blog" }),
    );
    await store(9, { received_at: `${at(3)}:30:00.000` });
    await store(10, { received_at: `${at(2)}:30:00.000` });
    await store(10, { received_at: `${at(2)}:30:00.000`, site: "blog" });
    const { losses } = createStatusQueries(database.clickhouse);
    // Not closed: what is missing is on its way.
    expect(await losses(25)).toEqual([]);
    await loadedUntil(new Date(now).toISOString().slice(0, 23).replace("T", " "));
    expect(await ask("site, hour, difference, lost, doubled")).toEqual([
      { site: "shop", hour: first, difference: 1, lost: 1, doubled: 0 },
      { site: "blog", hour: second, difference: 0, lost: 0, doubled: 0 },
      { site: "shop", hour: second, difference: 0, lost: 2, doubled: 2 },
    ]);
    expect(await losses(25)).toEqual([
      { site: "blog", lost: 0, doubled: 0 },
      { site: "shop", lost: 3, doubled: 2 },
    ]);
    expect(await losses(1)).toEqual([]);
  });

  it("is asked by alerts without a look at events, of which there may be many", async () => {
    await enter(entry("answered", [0]), entry("stored", [0]));
    await store(1);
    expect(await readBy("loss_balance")).toContain("ledger");
    expect(await readBy("loss_balance")).not.toContain("events");
    expect(await readBy("loss_ledger")).toContain("events");
  });

  it("does not lose what retention and erasure remove from events", async () => {
    await enter(entry("answered", [0], [4]), entry("stored", [0], [4]));
    await store(5);
    await clear("events");
    expect(await ask(balance)).toMatchObject([{ received: 5, stored: 5, difference: 0 }]);
  });

  it("counts as received what was found although nobody answered for it", async () => {
    await enter(entry("answered", [0]), entry("stored", [0], [3]), entry("duplicate", [4]));
    await store(4);
    expect(await ask()).toMatchObject([{ received: 5, stored: 4, duplicate: 1, unanswered: 4, difference: 0 }]);
  });

  it("keeps sites, hours and collectors apart", async () => {
    await enter(
      entry("answered", [0], [1]),
      entry("answered", [0], [1], { process: "q" }),
      entry("answered", [0], [1], { site: "blog" }),
      entry("answered", [0], [1], { hour: "2026-11-22 21:00:00" }),
    );
    await store(1, { received_at: "2026-11-22 21:00:00.000" });
    expect(await ask("site, hour, received, stored")).toEqual([
      { site: "blog", hour, received: 2, stored: 0 },
      { site: "shop", hour, received: 4, stored: 0 },
      { site: "shop", hour: "2026-11-22 21:00:00", received: 2, stored: 1 },
    ]);
  });

  it("adds up what clients say, whatever comes twice", async () => {
    const client = (outcome: LedgerEntry["outcome"], counted: number, more: Partial<LedgerEntry> = {}) =>
      entry(outcome, [], [], { counted, ...more });
    const entries = [
      client("client_queued", 7),
      client("client_queued", 12),
      client("client_sent", 10),
      client("client_retried", 1),
      client("client_dropped", 1, { reason: "too_old" }),
      client("client_dropped", 2, { reason: "full" }),
      client("client_dropped", 3, { reason: "full", process: "q" }),
    ];
    await enter(...entries);
    await enter(...entries.slice(0, 3));
    const [row] = await ask(
      "received, client_queued, client_sent, client_retried, client_dropped, client_dropped_by_reason",
    );
    expect(row).toEqual({
      received: 0,
      client_queued: 12,
      client_sent: 10,
      client_retried: 1,
      client_dropped: 6,
      client_dropped_by_reason: { full: 5, too_old: 1 },
    });
  });

  it("equals a recount of the arrivals, whatever is stated how often, in whatever order and pieces", async () => {
    const outcomes = ["answered", "spooled", "dropped", "stored", "duplicate", "rejected"] as const;
    const statements = fc.record({
      outcome: fc.constantFrom(...outcomes),
      first: fc.nat(60),
      more: fc.nat(12),
      process: fc.constantFrom("p", "q"),
    });
    await checkAsyncProperty(
      fc.asyncProperty(fc.array(statements, { minLength: 1, maxLength: 25 }), fc.nat(40), async (all, rows) => {
        for (const table of ["ledger", "events"]) await clear(table);
        const sets = Object.fromEntries(outcomes.map((outcome) => [outcome, new Set<string>()])) as {
          [O in (typeof outcomes)[number]]: Set<string>;
        };
        // What is dropped has numbers of its own: no collector stores it.
        const shift = (outcome: string): number => (outcome === "dropped" ? 1_000 : 0);
        const entries = all.map(({ outcome, first, more, process }) => {
          const from = first + shift(outcome);
          for (let number = from; number <= from + more; number++) sets[outcome].add(`${process} ${number}`);
          return entry(outcome, [from], [from + more], { process, reason: outcome === "dropped" ? "no_consent" : "" });
        });
        const pieces = [...entries, ...entries.slice(0, 5)];
        while (pieces.length > 0) await enter(...pieces.splice(0, 1 + (pieces.length % 7)));
        if (rows > 0) await store(rows);
        const { answered, spooled, dropped, stored, duplicate, rejected } = sets;
        const union = (...of: Set<string>[]): Set<string> => new Set(of.flatMap((set) => [...set]));
        const without = (set: Set<string>, other: Set<string>): number =>
          [...set].filter((one) => !other.has(one)).length;
        const settled = union(stored, rejected, duplicate);
        const received = union(answered, spooled, dropped, settled).size;
        const expected = {
          received,
          stored: rows,
          rejected: without(rejected, stored),
          duplicate: without(duplicate, union(stored, rejected)),
          dropped: dropped.size,
          in_flight: without(union(answered, spooled), settled),
          spooled: spooled.size,
          unanswered: without(settled, union(answered, spooled)),
        };
        const { rejected: r, duplicate: d, dropped: x, in_flight } = expected;
        const difference = received - rows - r - d - x - in_flight;
        expect(difference).toBe(stored.size - rows);
        const [lost, doubled] = [Math.max(0, difference), Math.max(0, -difference)];
        expect((await ask())[0]).toMatchObject({ ...expected, difference, lost, doubled });
      }),
      12,
    );
  });
});

it("can be asked all that docs/how-to/where-are-my-events.md asks", async () => {
  const page = await readFile(new URL("../../../docs/how-to/where-are-my-events.md", import.meta.url), "utf8");
  const questions = [...page.matchAll(/^```sql\n([\s\S]*?)^```/gm)].map(([, sql]) => sql!);
  expect(questions).toHaveLength(5);
  await enter(entry("answered", [0], [9]), entry("stored", [0, 5], [3, 9]));
  await store(9, { message_id: "the same" });
  await loadedUntil("2026-11-22 21:01:00.000");
  const answers = await Promise.all(questions.map((sql) => database.clickhouse.query(sql)));
  expect(answers.slice(2)).toMatchObject([
    [{ site: "shop", hour, lost: 1, doubled: 0 }],
    [{ process: "p", missing: [4] }],
    [{ message_id: "the same", times: 9 }],
  ]);
});

describe("gaps in sessions", () => {
  it("are numbers that no event has, in the hour of the event after them", async () => {
    const event = (session_id: string, session_seq: number, received_at: string) => ({
      session_id,
      session_seq,
      received_at,
    });
    const rows = [
      event("whole", 0, "2026-11-22 20:00:00.000"),
      event("whole", 1, "2026-11-22 20:10:00.000"),
      event("begins late", 2, "2026-11-22 20:10:00.000"),
      event("over the hour", 0, "2026-11-22 20:50:00.000"),
      event("over the hour", 4, "2026-11-22 21:05:00.000"),
      event("in disorder", 2, "2026-11-22 20:01:00.000"),
      event("in disorder", 0, "2026-11-22 20:02:00.000"),
      event("in disorder", 1, "2026-11-22 22:00:00.000"),
      event("twice a number", 0, "2026-11-22 20:01:00.000"),
      event("twice a number", 0, "2026-11-22 20:02:00.000"),
      event("twice a number", 2, "2026-11-22 20:03:00.000"),
      event("", 7, "2026-11-22 20:00:00.000"),
    ];
    for (const row of rows) await store(1, row);
    expect(await database.clickhouse.query("SELECT * FROM session_gaps ORDER BY hour")).toEqual([
      { site: "shop", hour, sessions: 2, missing: 3 },
      { site: "shop", hour: "2026-11-22 21:00:00", sessions: 1, missing: 3 },
    ]);
  });

  it("stand beside the balance, of the last days", async () => {
    const now = new Date();
    const text = (ms: number): string => new Date(ms).toISOString().slice(0, 23).replace("T", " ");
    const at = text(now.getTime() - 86_400_000);
    const old = text(now.getTime() - 30 * 86_400_000);
    await store(1, { session_id: "new", session_seq: 3, received_at: at, session_start: at });
    await store(1, { session_id: "old", session_seq: 3, received_at: old, session_start: old });
    await store(1, { session_id: "begun long ago", session_seq: 300, received_at: at, session_start: old });
    expect(await ask("sessions_with_gaps, missing_in_sessions")).toEqual([
      { sessions_with_gaps: 0, missing_in_sessions: 0 },
      { sessions_with_gaps: 1, missing_in_sessions: 3 },
    ]);
  });
});
