import { defaultRetention, type SiteRetention } from "@polder/core";
import { buildEventRow, rowBytes, type LoadedEventRow } from "@polder/core/contracts";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { createClickHouse, type ClickHouse } from "./clickhouse.ts";
import { createEventStore } from "./event-store.ts";
import type { ViewTable } from "./migrations/0003-materialized-views.ts";
import { renderMigrations, type RenderedMigration } from "./migrations/render-migrations.ts";
import { keptTables, retainedTables } from "./retained-tables.ts";
import { createRetentionStore } from "./retention-store.ts";
import { stateInsert, type StateTable } from "./state-selects.ts";
import { silent, startTestDatabase, type TestDatabase } from "./test-support/start-test-database.ts";
import { createWithdrawalStore } from "./withdrawal-store.ts";

const dayMs = 24 * 3_600_000;
/** Midnight of today in UTC: ages are told from here. */
const today = Math.floor(Date.now() / dayMs) * dayMs;
const textOf = (ms: number): string => new Date(ms).toISOString().slice(0, -1).replace("T", " ");

const shop: SiteRetention = { id: "shop", retention: { anonymousDays: 60, knownDays: 200 } };
const shopOf = (seed: number): SiteRetention => ({ ...shop, id: `shop-${seed}` });
const daysOf = ({ site, user_id }: Pick<LoadedEventRow, "site" | "user_id">): number => {
  const { anonymousDays, knownDays } = site.startsWith("shop") ? shop.retention : defaultRetention;
  return user_id === "" ? anonymousDays : knownDays;
};
/** Of an event of this age: days until it goes, none or less when it has to be gone. */
const daysLeft = (row: LoadedEventRow): number => {
  const arrived = Math.floor(Date.parse(`${row.received_at.replace(" ", "T")}Z`) / dayMs);
  const monday = arrived - ((arrived + 3) % 7);
  return monday + daysOf(row) - today / dayMs;
};

/** The states, each as what can be compared: from a table of states, or from the question that fills it. */
const finished: { [table in Exclude<ViewTable, "identity_edge">]: string } = {
  atom: "site, atom, any(anonymous_id), any(user_id), min(first_seen) FROM states GROUP BY site, atom",
  profile_state: `site, atom, min(first_seen), max(last_seen), sum(events), sum(page_views), sum(clicks), uniqExactMerge(sessions), maxMap(orders),
    sumMap(refunds), argMinMerge(first_touch), argMaxMerge(last_touch), argMaxMerge(device), argMaxMerge(country) FROM states GROUP BY site, atom`,
  trait_state: "site, atom, name, argMaxMerge(last) FROM states GROUP BY site, atom, name",
  session_state: `site, start_date, session_id, min(day), min(started_at), max(ended_at), sum(events), sum(page_views), sum(clicks), maxMap(orders),
    argMaxMerge(atom), argMinMerge(entry_page), argMaxMerge(exit_page), argMinMerge(touch), argMinMerge(device), argMinMerge(country)
    FROM states GROUP BY site, start_date, session_id`,
  audience_day: `site, day, dimension, value, sum(events), arraySort(bitmapToArray(groupBitmapMergeState(atoms)))
    FROM states GROUP BY site, day, dimension, value`,
};
const finishedToday: { [table in StateTable]: string } = {
  ...finished,
  consent_state: `site, atom, max(measurement), max(profile), max(personalisation), max(prediction), max(ads), max(by_choice), max(by_key), max(by_law),
    min(since), max(device), max(user) FROM states GROUP BY site, atom`,
  atom_event: "site, atom, day, type, name, time, session_id, order_id, amount, _partition, _offset FROM states",
};

let database: TestDatabase;
let clickhouse: ClickHouse;
beforeAll(async () => {
  database = await startTestDatabase();
  clickhouse = database.clickhouse;
});
afterAll(() => database?.stop());

const insert = async (token: string, rows: readonly LoadedEventRow[]): Promise<void> =>
  expect(await createEventStore({ clickhouse }).insert("events", token, rowBytes(rows))).toEqual({ ok: true });

/** As the background does within hours of the day. */
async function merge(): Promise<void> {
  for (const table of Object.keys(retainedTables)) await clickhouse.command(`OPTIMIZE TABLE ${table} FINAL`);
}

const compared = (table: StateTable, from: string): Promise<object[]> =>
  clickhouse.query(`SELECT ${finishedToday[table].replace("FROM states", `FROM ${from}`)} ORDER BY ALL`);

async function expectEqualToRecompute(): Promise<void> {
  for (const table of Object.keys(finishedToday) as StateTable[]) {
    await clickhouse.command(`CREATE OR REPLACE TABLE recomputed AS ${table} ENGINE = Memory`);
    await clickhouse.command(`INSERT INTO recomputed ${stateInsert(table, { from: "events", and: "" })}`);
    const held = await compared(table, table === "atom" ? "(SELECT * FROM atom WHERE week != toDate(0))" : table);
    expect(held, table).toEqual(await compared(table, "recomputed"));
  }
}

/** What came in to two sites of this seed, without what is near the turn of a day: the server looks at its clock a moment later than this test. */
const buildHistory = (seed: number): LoadedEventRow[] =>
  history(seed)
    .map(({ site, visitor, user, age, minute, kind }, n) => {
      const at = today - age * dayMs + minute * 60_000;
      const atom = (seed * 100 + ["shop", "blog"].indexOf(site) * 20 + visitor * 4 + user + 1) * 64;
      return buildEventRow({
        _offset: seed * 1_000 + n,
        message_id: `m-${seed}-${n}`,
        site: `${site}-${seed}`,
        atom,
        anonymous_id: `visitor-${visitor}`,
        user_id: user === 0 ? "" : `user-${user}`,
        received_at: textOf(at),
        time: textOf(at - 1_000),
        day: textOf(at).slice(0, 10),
        session_id: `visit-${visitor}-${Math.floor(age / 3)}`,
        session_start: textOf(today - Math.floor(age / 3) * 3 * dayMs),
        ...(kind === "order"
          ? { type: "track", name: "Order Completed", order_id: `o-${n % 7}`, amount: `${n}.50`, currency: "EUR" }
          : {}),
        ...(kind === "traits"
          ? {
              type: "identify",
              name: "identify",
              "traits.name": ["plan"],
              "traits.value": [`plan-${n % 3}`],
              "traits.class": ["descriptive"],
              "traits.purpose": ["profile"],
              "traits.personal": [0],
            }
          : {}),
        ...(kind === "bot" ? { bot: "Googlebot", device: "bot" } : {}),
      });
    })
    .filter((row) => Math.abs(daysLeft(row)) > 1);

interface GeneratedEvent {
  site: string;
  visitor: number;
  user: number;
  age: number;
  minute: number;
  kind: string;
}
/** The same numbers for the same seed. */
function createRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function history(seed: number): GeneratedEvent[] {
  const below = createRandom(seed);
  const oneOf = <T>(...values: T[]): T => values[below(values.length)]!;
  return Array.from({ length: 30 + below(90) }, () => ({
    site: oneOf("shop", "blog"),
    visitor: below(5),
    user: oneOf(0, 0, 1, 2),
    // Around the days of the classes, in few months: each is a partition.
    age: oneOf(below(90), 180 + below(40), 380 + below(30), 1_110 + below(30)),
    minute: below(1_440),
    kind: oneOf("page", "page", "order", "traits", "bot"),
  }));
}

describe("retention", () => {
  const store = () => createRetentionStore({ clickhouse });
  let applied = 0;
  /** A policy of its own for each test: the greatest time holds. */
  const apply = (...sites: SiteRetention[]): Promise<boolean> =>
    store().applyPolicy(sites, new Date(Date.now() + ++applied * 1_000));

  afterEach(async () => {
    for (const table of [...Object.keys(retainedTables), ...loaded])
      await clickhouse.command(`TRUNCATE TABLE ${table}`);
  });
  const loaded = ["identity", "log_position", "ledger", "consent_receipt"];

  it("takes nothing before a policy was applied, and says that there is none", async () => {
    await insert("before any policy", [old(5_000)]);
    await merge();
    expect(await countOf("events")).toBe(1);
    expect(await countOf("atom")).toBe(1);
    expect((await store().kept()).filter(({ table }) => table === "events")).toEqual([
      expect.objectContaining({ days: 0, rows: 1, oldestGoesOn: "1970-01-01", rowsNextWeek: 0, rowsOverdue: 0 }),
    ]);
    expect(await apply()).toBe(true);
    await merge();
    expect(await countOf("events")).toBe(0);
  });

  it("takes what is old from every table by its class, and leaves right figures of the rest (seeds 1 to 6)", async () => {
    const seeds = [1, 2, 3, 4, 5, 6];
    await apply(...seeds.map(shopOf));
    const rows = seeds.flatMap(buildHistory);
    for (let n = 0; n < 3; n++)
      await insert(
        `batch-${n}`,
        rows.filter((row) => row._offset % 3 === n),
      );
    await merge();
    const left = await clickhouse.query<{ id: string }>("SELECT message_id AS id FROM events ORDER BY _offset");
    const kept = rows.filter((row) => daysLeft(row) > 0);
    expect(left.map(({ id }) => id)).toEqual(kept.map(({ message_id }) => message_id));
    for (const seed of seeds) {
      const isOfSeed = ({ site }: LoadedEventRow): boolean => site.endsWith(`-${seed}`);
      expect(kept.filter(isOfSeed).length).toBeGreaterThan(5);
      expect(kept.filter(isOfSeed).length).toBeLessThan(rows.filter(isOfSeed).length - 5);
    }
    await expectEqualToRecompute();
    const pairs = (table: string, condition: string): Promise<object[]> =>
      clickhouse.query(`SELECT DISTINCT site, anonymous_id, user_id FROM ${table} WHERE ${condition} ORDER BY ALL`);
    expect(await pairs("identity_edge", "1")).toEqual(await pairs("events", "user_id != '' AND bot = ''"));
    expect((await store().kept()).filter(({ rowsOverdue }) => rowsOverdue > 0)).toEqual([]);
  });

  it("keeps what a known customer did at the time of the known, also after a withdrawal", async () => {
    await apply();
    const row = { anonymous_id: "phone", user_id: "anna", atom: 640, basis: "consent" };
    await insert("withdrawn", [old(500, { _offset: 1, ...row }), old(10, { _offset: 2, ...row })]);
    const counted = (): Promise<object[]> =>
      clickhouse.query("SELECT sum(events) AS events FROM audience_day WHERE dimension = 'all'");
    const withdrawals = createWithdrawalStore({ clickhouse });
    const now = (): Date => new Date();
    const withdrawal = { site: "shop", n: 1, round: 1, at: Date.now(), receivedAt: Date.now(), consentId: "c" };
    const carriedOut = [{ ...withdrawal, atom: 640, person: 640, purposes: ["profile"] }];
    await withdrawals.begin(carriedOut, now);
    expect(await withdrawals.carryOut(carriedOut, now)).toBe(1);
    await merge();
    expect(await clickhouse.query("SELECT user_id, is_known FROM events")).toEqual([
      { user_id: "", is_known: 1 },
      { user_id: "", is_known: 1 },
    ]);
    expect(await counted()).toEqual([{ events: 2 }]);
    // Both go together in the end.
    await apply({ id: "shop", retention: { anonymousDays: 30, knownDays: 400 } });
    await merge();
    expect(await countOf("events")).toBe(1);
    expect(await counted()).toEqual([{ events: 1 }]);
  });

  const old = (age: number, more: Partial<LoadedEventRow> = {}): LoadedEventRow =>
    buildEventRow({
      received_at: textOf(today - age * dayMs),
      time: textOf(today - age * dayMs),
      day: textOf(today - age * dayMs).slice(0, 10),
      ...more,
    });
  const countOf = async (table: string): Promise<number> =>
    (await clickhouse.query<{ n: number }>(`SELECT count() AS n FROM ${table}`))[0]!.n;

  it("counts a changed policy for what is there too, and says so once", async () => {
    await apply();
    await insert("changed-1", [old(100, { _offset: 1 }), old(100, { _offset: 2, site: "blog", atom: 128 })]);
    await merge();
    expect(await countOf("events")).toBe(2);
    expect(await apply(shop)).toBe(true);
    expect(await apply(shop)).toBe(false);
    await merge();
    expect(await clickhouse.query("SELECT site FROM events")).toEqual([{ site: "blog" }]);
    expect(await clickhouse.query("SELECT DISTINCT site FROM atom")).toEqual([{ site: "blog" }]);
    expect(await apply()).toBe(true);
    await insert("changed-2", [old(100, { _offset: 3 })]);
    await merge();
    expect(await countOf("events")).toBe(2);
  });

  it("gives a table that a new version has brought the same policy", async () => {
    await apply(shop);
    await clickhouse.command("ALTER TABLE audience_log REMOVE TTL");
    expect(await apply(shop)).toBe(true);
    expect(await apply(shop)).toBe(false);
    const [log] = await clickhouse.query<{ engine: string }>(
      "SELECT engine_full AS engine FROM system.tables WHERE name = 'audience_log'",
    );
    expect(log!.engine).toContain(" TTL ");
  });

  it("says by table, site and class what is there and when it goes", async () => {
    await apply(shop);
    await clickhouse.command("SYSTEM STOP TTL MERGES");
    const known = { user_id: "anna", atom: 128, site: "shop" };
    const rows = [old(10, { _offset: 1 }), old(63, { _offset: 2 }), old(70, { _offset: 3 }), old(70, { ...known })];
    await insert("said", rows);
    const kept = (await store().kept()).filter(({ table }) => table === "events");
    const due = rows.slice(0, 3).map(daysLeft);
    expect(kept).toEqual([
      {
        table: "events",
        site: "shop",
        class: "anonymous",
        days: 60,
        rows: 3,
        oldestWeek: textOf(today + (due[2]! - 60) * dayMs).slice(0, 10),
        oldestGoesOn: textOf(today + due[2]! * dayMs).slice(0, 10),
        rowsNextWeek: due.filter((days) => days > 0 && days <= 7).length,
        rowsOverdue: due.filter((days) => days <= 0).length,
      },
      expect.objectContaining({ class: "known", days: 200, rows: 1, rowsOverdue: 0 }),
    ]);
    await clickhouse.command("SYSTEM START TTL MERGES");
  });

  it("does not let a second send bring back what has gone", async () => {
    await apply();
    const rows = [old(1_500)];
    await insert("polder.events:0:0-0", rows);
    await merge();
    expect(await countOf("events")).toBe(0);
    await insert("polder.events:0:0-0", rows);
    for (const table of ["events", "atom", "profile_state", "audience_day"]) expect(await countOf(table)).toBe(0);
  });

  it("never lets a number be given out again, however long nobody comes", async () => {
    const events = createEventStore({ clickhouse });
    await apply();
    await insert("numbers-1", [old(1_500, { _offset: 1, atom: 640 })]);
    await insert("numbers-2", [old(1_500, { _offset: 2, atom: 65, _partition: 1 })]);
    await merge();
    expect(await countOf("atom")).toBe(0);
    expect([await events.maxAtom(0), await events.maxAtom(1)]).toEqual([640, 65]);
  });

  it("forgets who belonged to whom once they are gone, and nobody else", async () => {
    await apply();
    await insert("forgotten", [
      old(1_500, { _offset: 1, atom: 128 }),
      old(10, { _offset: 2, atom: 192, anonymous_id: "b" }),
    ]);
    await clickhouse.insertRows("identity", [
      { site: "shop", atom: 128, person: 64, version: 1 },
      { site: "shop", atom: 192, person: 64, version: 1 },
    ]);
    await merge();
    expect(await store().forgetIdentities()).toBe(1);
    expect(await clickhouse.query("SELECT atom FROM identity")).toEqual([{ atom: 192 }]);
    expect(await store().forgetIdentities()).toBe(0);
  });

  it("has every table on a list: those that go by age, and those that stay, with the reason", async () => {
    await apply();
    const tables = await clickhouse.query<{ name: string; hasTtl: number }>(
      `SELECT name, position(engine_full, ' TTL ') > 0 AS hasTtl FROM system.tables
       WHERE database = {database: String} AND endsWith(engine, 'MergeTree') ORDER BY name`,
      { params: { database: clickhouse.database } },
    );
    // Whatever was configured, its rows go within the hour.
    const goesByItself = (name: string): boolean => name === "audience_export_person";
    expect(tables.filter(({ name, hasTtl }) => hasTtl && !goesByItself(name)).map(({ name }) => name)).toEqual(
      Object.keys(retainedTables).toSorted(),
    );
    expect(tables.filter(({ name, hasTtl }) => !hasTtl || goesByItself(name)).map(({ name }) => name)).toEqual(
      Object.keys(keptTables).toSorted(),
    );
  });
});

describe("the migration to it", () => {
  let before: ClickHouse;
  beforeAll(() => {
    const { engine } = database;
    before = clickhouse;
    clickhouse = createClickHouse({ url: engine.url, ...engine.admin, database: "migrated", logger: silent });
  });
  afterAll(async () => {
    await clickhouse.close();
    clickhouse = before;
  });

  /** Everything up to the version before it. */
  async function migrateTo(number: number): Promise<RenderedMigration> {
    const target = { database: clickhouse.database, dictionaryCredentials: clickhouse.dictionaryCredentials() };
    await clickhouse.withoutDatabase().command(`CREATE DATABASE ${clickhouse.database}`);
    const all = renderMigrations(target);
    for (const { statements, number: n } of all)
      if (n < number) for (const statement of statements) await clickhouse.command(statement);
    return all.find((migration) => migration.number === number)!;
  }

  it("makes the states anew from the events, wherever a first try was cut off, and leaves out what a withdrawal removed", async () => {
    const { statements, fill } = await migrateTo(9);
    const rows = buildHistory(7).filter(({ received_at }) => received_at > textOf(today - 40 * dayMs));
    for (let n = 0; n < 2; n++)
      await insert(
        `batch-${n}`,
        rows.filter((row) => row._offset % 2 === n),
      );
    // As a withdrawal leaves it: the events without ids, the number held, no state.
    const gone = rows.find(({ bot }) => bot === "")!.atom;
    for (const table of ["profile_state", "trait_state"])
      await clickhouse.command(`ALTER TABLE ${table} DELETE WHERE atom = ${gone} SETTINGS mutations_sync = 1`);
    await clickhouse.command(
      `INSERT INTO atom SELECT site, 0, atom, '', '', first_seen FROM atom WHERE atom = ${gone}`,
    );
    await clickhouse.command(
      `ALTER TABLE atom DELETE WHERE atom = ${gone} AND anonymous_id != '' SETTINGS mutations_sync = 1`,
    );
    const facts = async (): Promise<object> => {
      const found: { [table: string]: object } = {};
      for (const table of Object.keys(finished) as (keyof typeof finished)[])
        found[table] = await compared(table, table);
      return found;
    };
    const factsBefore = await facts();
    const run = async (some: readonly string[]): Promise<void> => {
      for (const statement of some) await clickhouse.command(statement);
    };
    // Cut off within the shape, with the rows of a state there twice, and between two states: what follows is the whole of it once more.
    await run(statements.slice(0, 10));
    await run(statements);
    const endOf = (pattern: RegExp): number => fill.findIndex((statement) => pattern.test(statement)) + 1;
    for (const end of [endOf(/^INSERT INTO \S+profile_state/), endOf(/session_state\s.*DELETE WHERE week =/)]) {
      expect(end).toBeGreaterThan(0);
      await run(fill.slice(0, end));
    }
    await run([...statements, ...fill]);
    expect(await facts()).toEqual(factsBefore);
    expect(await countRowsWithoutWeek()).toEqual([1, 0, 0, 0, 0]);

    // The class is stored, so that it stays when a withdrawal empties what it was made from.
    const known = rows.filter(({ user_id }) => user_id !== "").length;
    await clickhouse.command("ALTER TABLE events UPDATE user_id = '' WHERE 1 SETTINGS mutations_sync = 1");
    expect(await clickhouse.query("SELECT count() AS n FROM events WHERE is_known = 1")).toEqual([{ n: known }]);

    // And the views go on from there.
    await insert("after", [buildEventRow({ _offset: 1_000, message_id: "after", atom: 64_000, anonymous_id: "new" })]);
    expect(await clickhouse.query("SELECT is_known, events FROM profile_state WHERE atom = 64000")).toEqual([
      { is_known: 0, events: 1 },
    ]);
  });

  const countRowsWithoutWeek = async (): Promise<number[]> =>
    Promise.all(
      Object.keys(finished).map(
        async (table) =>
          (await clickhouse.query<{ n: number }>(`SELECT count() AS n FROM ${table} WHERE week = toDate(0)`))[0]!.n,
      ),
    );
});
