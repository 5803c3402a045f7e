import { buildEventRow, rowBytes, type LoadedEventRow } from "@polder/core/contracts";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { createClickHouse, quoteName, type ClickHouse } from "./clickhouse.ts";
import { createEventStore } from "./event-store.ts";
import { migrate, type MigrationProgress } from "./migrate.ts";
import { edgeSelect } from "./migrations/0011-identity.ts";
import { migrations } from "./migrations/render-migrations.ts";
import { stateInsert, stateKeys, type StateTable } from "./state-selects.ts";
import { silent, startTestDatabase, type TestDatabase } from "./test-support/start-test-database.ts";

const before = 10;
const later = migrations.map(({ number }) => number).filter((number) => number > before);
const options = { quietForMs: 0, maxEventsOfSlice: 20 };
const weeks = ["2026-11-02", "2026-11-09", "2026-11-16"];

let database: TestDatabase;
let clickhouse: ClickHouse;
let made = 0;
let inserts = 0;

beforeAll(async () => {
  database = await startTestDatabase({ migrated: false });
});
afterEach(async () => {
  await clickhouse.withoutDatabase().command(`DROP DATABASE IF EXISTS ${quoteName(clickhouse.database)} SYNC`);
  await clickhouse.close();
});
afterAll(() => database?.stop());

async function load(rows: readonly LoadedEventRow[]): Promise<void> {
  const store = createEventStore({ clickhouse });
  expect(await store.insert("events", `insert-${(inserts += 1)}`, rowBytes(rows))).toEqual({ ok: true });
}

const timeOf = (week: string, minutes: number): string =>
  new Date(Date.parse(`${week}T00:00:00Z`) + minutes * 60_000).toISOString().slice(0, -1).replace("T", " ");

/** Of a week: an hour of 50 events and two with few, of four visitors. One of them logs in during the visit, one is a bot. */
const eventsOf = (week: string): LoadedEventRow[] =>
  Array.from({ length: 60 }, (_, n) => {
    const visitor = n % 4;
    const isLoggedIn = visitor === 1 && n > 30;
    const at = timeOf(week, n < 50 ? n : n * 60);
    return buildEventRow({
      _partition: 2,
      _offset: weeks.indexOf(week) * 1_000 + n,
      message_id: `${week}-${n}`,
      atom: (1 + visitor + (isLoggedIn ? 10 : 0)) * 64 + 2,
      anonymous_id: `visitor-${visitor}`,
      user_id: isLoggedIn ? "ada" : "",
      received_at: at,
      time: at,
      day: at.slice(0, 10),
      session_id: `visit-${week}-${visitor}`,
      session_start: timeOf(week, 0),
      consent_mask: 7,
      ...(visitor === 2 && { bot: "Googlebot" }),
      ...(n % 7 === 0 && {
        type: "track",
        name: "Order Completed",
        order_id: `o-${n % 3}`,
        amount: `${n}`,
        currency: "EUR",
      }),
      ...(n === 41 && {
        "traits.name": ["email"],
        "traits.value": ["ada@shop.example"],
        "traits.class": ["identity"],
        "traits.purpose": ["profile"],
        "traits.personal": [1],
      }),
      ...(n === 44 && { type: "consent", name: "consent", "choice.purpose": ["ads"], "choice.state": ["denied"] }),
    });
  });

const left = { site: "shop", anonymous_id: "visitor-0", user_id: "of events that are gone", kind: "login" };
const goneAtom = 99 * 64 + 2;
/** As the worker of the version before wrote it: one who belongs to somebody, one who does not any more, one who is nobody. */
const belongings = [
  { site: "shop", atom: 12 * 64 + 2, person: 2 * 64 + 2, version: 1 },
  { site: "shop", atom: 3 * 64 + 2, person: 3 * 64 + 2, version: 2 },
  { site: "shop", atom: goneAtom, person: 0, version: 3 },
];

/** An installation of the version before, with three weeks of events, somebody who withdrew, and a log-in whose events have gone. */
async function startBefore(arrivedIn = weeks): Promise<void> {
  const { engine } = database;
  clickhouse = createClickHouse({
    url: engine.url,
    ...engine.admin,
    database: `upgraded_${(made += 1)}`,
    logger: silent,
  });
  expect(await migrate(clickhouse, { upTo: before })).toHaveLength(before);
  for (const week of arrivedIn) await load(eventsOf(week));
  const at = timeOf(weeks[0]!, 5);
  await load([
    buildEventRow({
      _partition: 2,
      _offset: 990,
      message_id: "gone",
      atom: goneAtom,
      anonymous_id: "gone",
      received_at: at,
      time: at,
    }),
  ]);
  const run = (sql: string): Promise<void> => clickhouse.command(`${sql} SETTINGS mutations_sync = 2`);
  await clickhouse.command(
    `INSERT INTO atom (site, key, atom, anonymous_id, user_id, first_seen) SELECT site, 0, atom, '', '', first_seen FROM atom WHERE atom = ${goneAtom}`,
  );
  await run(`ALTER TABLE atom DELETE WHERE atom = ${goneAtom} AND anonymous_id != ''`);
  await run(`ALTER TABLE profile_state DELETE WHERE atom = ${goneAtom}`);
  await run(`ALTER TABLE events UPDATE anonymous_id = '' WHERE atom = ${goneAtom}`);
  await clickhouse.insertRows("identity_edge", [{ ...left, time: at, received_at: at }]);
  await clickhouse.insertRows("identity", belongings);
}

/** Rows of a table or question as texts, with what is in the states in them. */
async function rowsOf(table: string, from = `${table} FINAL`): Promise<unknown[]> {
  const columns = await clickhouse.query<{ name: string; type: string }>(
    "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {table: String} ORDER BY position",
    { params: { table } },
  );
  const values = columns.map(({ name, type }) => {
    if (type.startsWith("AggregateFunction(groupBitmap")) return `arraySort(bitmapToArray(\`${name}\`))`;
    if (type.startsWith("AggregateFunction")) return `finalizeAggregation(\`${name}\`)`;
    return type.startsWith("JSON") ? `toString(\`${name}\`)` : `\`${name}\``;
  });
  return clickhouse.query(`SELECT toString(tuple(${values.join(", ")})) AS row FROM ${from} ORDER BY row`);
}

/** One row an edge, as its first event says it. */
const edges = (from: string): Promise<{ kind: string }[]> =>
  clickhouse.query(
    `SELECT site, anonymous_id, user_id, kind, other, rule, atom, argMin(e.message_id, (e.time, e._offset)) AS first, min(e.time) AS since
     FROM (${from}) AS e GROUP BY site, anonymous_id, user_id, kind, other, rule, atom ORDER BY ALL`,
  );

/** The law: every state is what a recompute from the events gives. */
async function expectStatesToBeWhatEventsSay(): Promise<void> {
  for (const table of Object.keys(stateKeys) as StateTable[]) {
    // Of somebody who withdrew the events go on counting, and what leads to them stays away.
    const staysAway = ["atom", "profile_state", "trait_state", "atom_event"].includes(table);
    const and = staysAway ? ` AND events.atom != ${goneAtom}` : "";
    await clickhouse.command(`CREATE OR REPLACE TABLE again AS ${table}`);
    await clickhouse.command(`INSERT INTO again ${stateInsert(table, { from: "events", and })}`);
    const held = await rowsOf(
      table,
      table === "atom" ? "(SELECT * FROM atom FINAL WHERE week != toDate(0))" : undefined,
    );
    expect(held.length, table).toBeGreaterThan(1);
    expect(held, table).toEqual(await rowsOf("again", "again FINAL"));
    // What was there twice and is merged into one would not be seen above.
    if (table === "atom_event")
      expect(await clickhouse.query("SELECT count() AS n FROM atom_event")).toEqual([{ n: held.length }]);
  }
  const stated = await edges("SELECT * FROM identity_edge WHERE atom != 0");
  expect(stated).toEqual(await edges(edgeSelect({ from: "events", and: "" })));
  expect(stated.map(({ kind }) => kind)).toEqual(["email", "login"]);
  expect(await edges("SELECT * FROM identity_edge WHERE atom = 0")).toEqual([
    expect.objectContaining({ ...left, other: left.user_id, rule: "login", atom: 0 }),
  ]);
  const [{ atom, person }] = belongings as [(typeof belongings)[0]];
  expect(await clickhouse.query("SELECT atom, person FROM person_atom FINAL")).toEqual([{ atom, person }]);
}

describe("an upgrade of tables that have rows", () => {
  it("makes states anew in slices of the events, says how far it is, and ends with what a recompute gives", async () => {
    await startBefore();
    const told: MigrationProgress[] = [];
    expect(await migrate(clickhouse, { ...options, onProgress: (progress) => told.push(progress) })).toEqual(later);
    const of = (table: string): number[] => told.filter((one) => one.table === table).map(({ slice }) => slice);
    // Of each week an hour in three parts, and two times of few.
    const all = Array.from({ length: told[0]!.slices }, (_, index) => index + 1);
    expect(all.length).toBeGreaterThanOrEqual(weeks.length * 4);
    for (const table of ["identity_edge", "consent_state", "session_state", "atom_event"])
      expect(of(table)).toEqual(all);
    expect(told.map(({ migration }) => migration)).toEqual([11, 12, 14, 15].flatMap((number) => all.map(() => number)));
    await expectStatesToBeWhatEventsSay();
    expect(await migrate(clickhouse, options)).toEqual([]);
  });

  it("goes on from wherever it was cut off, with nothing lost and nothing there twice", async () => {
    await startBefore(weeks.slice(0, 2));
    const seen = new Set<string>();
    // Each step of moving rows is come to once, and in turn not carried out, or carried out and not heard of. Of consent_state it is as of the others.
    const dying = (client: ClickHouse): ClickHouse => ({
      ...client,
      withoutDatabase: () => dying(client.withoutDatabase()),
      command: async (sql, given) => {
        const isStep =
          !sql.includes("consent_state") &&
          /^(INSERT INTO \S+\.(?!migration )|ALTER TABLE \S+ +(DELETE|UPDATE|MATERIALIZE))/.test(sql);
        const step = JSON.stringify([sql.slice(0, 120), given?.params]);
        if (isStep && !seen.has(step)) {
          seen.add(step);
          if (seen.size % 2 === 0) await client.command(sql, given);
          throw new Error("killed");
        }
        await client.command(sql, given);
      },
    });
    const slicesOf = new Map<string, number[]>();
    for (;;) {
      const died = await migrate(dying(clickhouse), {
        ...options,
        maxEventsOfSlice: 30,
        onProgress: ({ table, slice }) => slicesOf.set(table, [...(slicesOf.get(table) ?? []), slice]),
      }).then(
        () => false,
        (error: unknown) => {
          expect(String(error)).toContain("killed");
          return true;
        },
      );
      if (!died) break;
    }
    expect(seen.size).toBeGreaterThan(25);
    // A week that is done is not done again.
    const firsts = slicesOf.get("session_state")!.filter((slice) => slice === 1);
    expect(firsts.length).toBeLessThan(slicesOf.get("session_state")!.length / 3);
    await expectStatesToBeWhatEventsSay();
  });

  it("stops when something is stored meanwhile, and counts it once all the same", async () => {
    await startBefore();
    const extra = (week: string, n: number): LoadedEventRow => ({
      ...eventsOf(week)[n]!,
      _offset: 5_000 + (made += 1),
      message_id: `meanwhile-${made}`,
    });
    for (const table of ["identity_edge", "session_state", "atom_event"]) {
      let [isDue, isLoaded] = [false, false];
      // When it was looked whether anybody stores, and before the slice is made.
      const beside = (client: ClickHouse): ClickHouse => ({
        ...client,
        withoutDatabase: () => beside(client.withoutDatabase()),
        command: async (sql, given) => {
          if (isDue && !isLoaded && sql.startsWith("INSERT INTO")) {
            isLoaded = true;
            // Of a week that is done, of the one that is under way, and of one to come.
            await load(weeks.map((week) => extra(week, 33)));
          }
          await client.command(sql, given);
        },
      });
      const dying = migrate(beside(clickhouse), {
        ...options,
        onProgress: (progress) => void (isDue ||= progress.table === table && progress.slice === 8),
      });
      await expect(dying).rejects.toThrow(/got \d rows meanwhile/);
      expect(isLoaded).toBe(true);
    }
    await migrate(clickhouse, options);
    await expectStatesToBeWhatEventsSay();
  });
});
