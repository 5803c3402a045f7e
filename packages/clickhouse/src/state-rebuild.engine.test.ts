import { buildEventRow, rowBytes, type LoadedEventRow } from "@polder/core/contracts";
import { afterAll, beforeAll, expect, it } from "vitest";

import { createEventStore } from "./event-store.ts";
import { createStateRebuild } from "./state-rebuild.ts";
import { stateInsert } from "./state-selects.ts";
import { startTestDatabase, type TestDatabase } from "./test-support/start-test-database.ts";
import { createWithdrawalStore } from "./withdrawal-store.ts";

const states = ["profile_state", "trait_state", "session_state", "audience_day"] as const;
const days = { from: new Date("2026-11-22T00:00:00Z"), to: new Date("2026-11-24T00:00:00Z") };
let database: TestDatabase;
let inserts = 0;

beforeAll(async () => {
  database = await startTestDatabase();
  for (const table of states) await command(`CREATE TABLE ${table}_again AS ${table}`);
});
afterAll(() => database?.stop());

const command = (sql: string): Promise<void> => database.clickhouse.command(sql);
const load = async (rows: readonly LoadedEventRow[]): Promise<void> => {
  const store = createEventStore({ clickhouse: database.clickhouse });
  expect(await store.insert("events", `insert-${(inserts += 1)}`, rowBytes(rows))).toEqual({ ok: true });
};

/** Every row of a state, as numbers and texts. */
async function read(table: string): Promise<unknown[]> {
  const columns = await database.clickhouse.query<{ name: string; type: string }>(
    "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {table: String} ORDER BY position",
    { params: { table } },
  );
  const values = columns.map(({ name, type }) => {
    if (type.startsWith("AggregateFunction(groupBitmap")) return `arraySort(bitmapToArray(${name}))`;
    return type.startsWith("AggregateFunction") ? `finalizeAggregation(${name})` : name;
  });
  return database.clickhouse.query(
    `SELECT tuple(${values.join(", ")}) AS row FROM ${table} FINAL ORDER BY toString(row)`,
  );
}

async function expectStatesToBeWhatEventsSay(): Promise<void> {
  for (const table of states) {
    await command(`TRUNCATE TABLE ${table}_again`);
    await command(
      `INSERT INTO ${table}_again ${stateInsert(table, { from: "events", and: table === "profile_state" ? " AND atom != 640" : "" })} SETTINGS insert_deduplicate = 0`,
    );
    const rows = await read(table);
    expect(rows.length, table).toBeGreaterThan(0);
    expect(rows, table).toEqual(await read(`${table}_again`));
  }
}

const differences = () =>
  database.clickhouse.query<{ hour: string; stored: number; difference: number }>(
    "SELECT toString(l.hour) AS hour, stored, difference FROM loss_ledger AS l ORDER BY l.hour",
  );

it("makes what was counted twice right again, and nothing else: as a recompute from events, with the ledger at zero", async () => {
  const { clickhouse } = database;
  const rebuild = createStateRebuild(clickhouse, 15);
  const row = (n: number, over: Partial<LoadedEventRow> = {}): LoadedEventRow =>
    buildEventRow({
      message_id: `m${n}`,
      _offset: n,
      atom: 64 * (1 + (n % 3)),
      anonymous_id: `visitor-${n % 3}`,
      session_id: `session-${n % 5}`,
      time: `2026-11-22 20:15:${String(n % 60).padStart(2, "0")}.000`,
      received_at: `2026-11-22 ${n < 20 ? 20 : n < 28 ? 21 : 22}:15:59.000`,
      ...over,
    });
  const order = { type: "track", name: "Order Completed", order_id: "o1", amount: "10.5", currency: "EUR" } as const;
  const refund = { ...order, name: "Order Refunded", amount: "-2.5" };
  const traits = {
    "traits.name": ["city"],
    "traits.class": ["descriptive"],
    "traits.purpose": ["profile"],
    "traits.personal": [0],
  };
  const sunday = Array.from({ length: 30 }, (_, n) => {
    if (n === 5) return row(n, order);
    if (n === 6) return row(n, refund);
    return n % 7 === 0 ? row(n, { ...traits, "traits.value": [`city-${n}`] }) : row(n);
  });
  const gone = row(30, { atom: 640, anonymous_id: "gone" });
  const monday = [31, 32, 33].map((n) => row(n, { received_at: "2026-11-23 09:00:00.000", user_id: "ada", atom: 704 }));
  await load([...sunday, gone, ...monday]);
  const entry = (hour: string, outcome: string, last: number) => ({
    site: "shop",
    hour,
    outcome,
    reason: "",
    process: "p",
    first: [0],
    last: [last],
    counted: 0,
  });
  // Of the last four of Sunday one was never stored: that stays to be seen.
  for (const outcome of ["answered", "stored"])
    await clickhouse.insertRows("ledger_entry", [
      entry("2026-11-22 20:00:00", outcome, 19),
      entry("2026-11-22 21:00:00", outcome, 7),
      entry("2026-11-22 22:00:00", outcome, 3),
      entry("2026-11-23 09:00:00", outcome, 2),
    ]);
  await clickhouse.insertRows(
    "ledger_progress",
    ["polder.events", "polder.rejected"].map((topic) => ({ topic, partition: 0, loaded_until: "2026-12-01 00:00:00" })),
  );
  const withdrawals = createWithdrawalStore({ clickhouse });
  const at = Date.parse("2026-11-22T21:00:00Z");
  const withdrawal = { site: "shop", n: 1, round: 1, atom: 640, person: 640, consentId: "c", at, receivedAt: at };
  await withdrawals.begin([{ ...withdrawal, purposes: ["profile"] }], () => new Date(at));
  await withdrawals.carryOut([{ ...withdrawal, purposes: ["profile"] }], () => new Date(at));
  await expectStatesToBeWhatEventsSay();
  expect(await rebuild.weeksThatDisagree(days)).toEqual([]);
  const balanced = [
    { hour: "2026-11-22 20:00:00", stored: 20, difference: 0 },
    { hour: "2026-11-22 21:00:00", stored: 8, difference: 0 },
    { hour: "2026-11-22 22:00:00", stored: 3, difference: 1 },
    { hour: "2026-11-23 09:00:00", stored: 3, difference: 0 },
  ];
  expect(await differences()).toEqual(balanced);

  await command("ALTER TABLE events DELETE WHERE _offset >= 3 AND _offset < 13 SETTINGS mutations_sync = 2");
  await load(sunday.slice(3, 13).map((lost) => ({ ...lost, _offset: lost._offset + 100 })));
  expect(await differences()).toEqual([{ ...balanced[0], stored: 30, difference: -10 }, ...balanced.slice(1)]);
  expect(await rebuild.weeksThatDisagree(days)).toEqual(["2026-11-16"]);
  expect(await rebuild.weeksThatDisagree({ ...days, from: days.to })).toEqual([]);

  for (const time of ["once", "and once more"]) {
    await rebuild.rebuild(["2026-11-16"]);
    await expectStatesToBeWhatEventsSay();
    expect(await differences(), time).toEqual(balanced);
    expect(await rebuild.weeksThatDisagree(days)).toEqual([]);
  }
  // The ledger is the last: a run may have been stopped before it.
  await clickhouse.insertRows("ledger", [{ site: "shop", hour: "2026-11-22 20:00:00", outcome: "row", rows: 7 }]);
  expect(await rebuild.weeksThatDisagree(days)).toEqual(["2026-11-16"]);
  await rebuild.rebuild(["2026-11-16"]);
  expect(await differences()).toEqual(balanced);
  expect(await clickhouse.query("SELECT atom FROM profile_state WHERE atom = 640")).toEqual([]);
});

it("sees what it had not made anew when it was stopped", async () => {
  const rebuild = createStateRebuild(database.clickhouse);
  expect(await rebuild.weeksThatDisagree(days)).toEqual([]);
  for (const table of ["session_state", "audience_day", "profile_state", "consent_state"]) {
    await command(`CREATE TABLE ${table}_whole AS ${table}`);
    await command(`INSERT INTO ${table}_whole SELECT * FROM ${table}`);
    await command(`ALTER TABLE ${table} DELETE WHERE week = '2026-11-16' SETTINGS mutations_sync = 2`);
    expect(await rebuild.weeksThatDisagree(days), table).toEqual(["2026-11-16"]);
    await command(`TRUNCATE TABLE ${table}`);
    await command(`INSERT INTO ${table} SELECT * FROM ${table}_whole SETTINGS insert_deduplicate = 0`);
    expect(await rebuild.weeksThatDisagree(days), table).toEqual([]);
  }
});

it("brings back what was chosen where that is gone, and no id that a withdrawal took out", async () => {
  const rebuild = createStateRebuild(database.clickhouse);
  const columns =
    "site, atom, measurement, profile, personalisation, prediction, ads, by_choice, by_key, by_law, device, user, week";
  const held = () => database.clickhouse.query(`SELECT ${columns} FROM consent_state FINAL ORDER BY atom, week`);
  const before = await held();
  expect(before.length).toBeGreaterThan(3);
  expect(before).toContainEqual(expect.objectContaining({ atom: 640, device: 0, user: 0 }));
  await command("ALTER TABLE consent_state DELETE WHERE week = '2026-11-16' SETTINGS mutations_sync = 2");
  expect(await held()).not.toEqual(before);
  for (let time = 0; time < 2; time++) {
    await rebuild.rebuild(["2026-11-16"]);
    expect(await held()).toEqual(before);
    expect(await rebuild.weeksThatDisagree(days)).toEqual([]);
  }
});
