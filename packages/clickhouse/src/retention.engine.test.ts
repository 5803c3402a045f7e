import { defaultRetention, type SiteRetention } from "@polder/core";
import { buildEventRow, rowBytes, type LoadedEventRow } from "@polder/core/contracts";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { createClickHouse, type ClickHouse } from "./clickhouse.ts";
import { createEventStore } from "./event-store.ts";
import { migrate } from "./migrate.ts";
import { viewSelects } from "./migrations/0003-materialized-views.ts";
import { renderMigrations, renderSql } from "./migrations/render-migrations.ts";
import { keptTables, retainedTables, type RetainedTable } from "./retained-tables.ts";
import { createRetentionStore } from "./retention-store.ts";
import { silent, startTestDatabase, type TestDatabase } from "./test-support/start-test-database.ts";

const dayMs = 24 * 3_600_000;
/** Midnight of today in UTC: ages are told from here. */
const today = Math.floor(Date.now() / dayMs) * dayMs;
const textOf = (ms: number): string => new Date(ms).toISOString().slice(0, -1).replace("T", " ");

const shop: SiteRetention = { id: "shop", retention: { anonymousDays: 60, knownDays: 200 } };
const daysOf = ({ site, user_id }: Pick<LoadedEventRow, "site" | "user_id">): number => {
  const { anonymousDays, knownDays } = site === "shop" ? shop.retention : defaultRetention;
  return user_id === "" ? anonymousDays : knownDays;
};
/** Of an event of this age: days until it goes, none or less when it has to be gone. */
const daysLeft = (row: LoadedEventRow): number => {
  const arrived = Math.floor(Date.parse(`${row.received_at.replace(" ", "T")}Z`) / dayMs);
  const monday = arrived - ((arrived + 3) % 7);
  return monday + daysOf(row) - today / dayMs;
};

/** The states, each as what can be compared: from a table of states, or from the question that fills it. */
const finished: { [table in Exclude<RetainedTable, "events" | "rejected" | "identity_edge">]: string } = {
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

let database: TestDatabase;
let clickhouse: ClickHouse;
let made = 0;
beforeAll(async () => {
  database = await startTestDatabase({ migrated: false });
});
afterAll(() => database?.stop());
beforeEach(() => {
  const { engine } = database;
  clickhouse = createClickHouse({ url: engine.url, ...engine.admin, database: `kept_${++made}`, logger: silent });
});
afterEach(async () => {
  await clickhouse.withoutDatabase().command(`DROP DATABASE IF EXISTS ${clickhouse.database} SYNC`);
  await clickhouse.close();
});

const insert = async (token: string, rows: readonly LoadedEventRow[]): Promise<void> =>
  expect(await createEventStore({ clickhouse }).insert("events", token, rowBytes(rows))).toEqual({ ok: true });

/** As the background does within hours of the day. */
async function merge(): Promise<void> {
  for (const table of Object.keys(retainedTables)) await clickhouse.command(`OPTIMIZE TABLE ${table} FINAL`);
}

const compared = (table: keyof typeof finished, from: string): Promise<object[]> =>
  clickhouse.query(`SELECT ${finished[table].replace("FROM states", `FROM ${from}`)} ORDER BY ALL`);

async function expectEqualToRecompute(): Promise<void> {
  for (const table of Object.keys(finished) as (keyof typeof finished)[]) {
    const recompute = `INSERT INTO recomputed (* EXCEPT (week, is_known)) ${viewSelects[table]()}`;
    await clickhouse.command(`CREATE OR REPLACE TABLE recomputed AS ${table} ENGINE = Memory`);
    const [statement] = renderSql(recompute, { database: clickhouse.database, dictionaryCredentials: "" });
    await clickhouse.command(statement!);
    const held = await compared(table, table === "atom" ? "(SELECT * FROM atom WHERE week != toDate(0))" : table);
    expect(held, table).toEqual(await compared(table, "recomputed"));
  }
}

const buildHistory = (events: readonly GeneratedEvent[]): LoadedEventRow[] =>
  events.map(({ site, visitor, user, age, minute, kind }, n) => {
    const at = today - age * dayMs + minute * 60_000;
    const atom = site === "" ? 0 : (["shop", "blog"].indexOf(site) * 20 + visitor * 4 + user + 1) * 64;
    return buildEventRow({
      _offset: n + 1,
      message_id: `m-${n}`,
      site,
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
  });

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
    age: oneOf(below(90), 150 + below(70), 300 + below(1_000)),
    minute: below(1_440),
    kind: oneOf("page", "page", "order", "traits", "bot"),
  }));
}

describe("retention", () => {
  it.each([1, 2, 3, 4, 5, 6])(
    "takes what is old from every table by its class, and leaves right figures of the rest (seed %i)",
    async (seed) => {
      await migrate(clickhouse);
      const store = createRetentionStore({ clickhouse });
      await store.applyPolicy([shop], new Date());
      // Nothing near the turn of a day: the server looks at its clock a moment later than this test.
      const rows = buildHistory(history(seed)).filter((row) => Math.abs(daysLeft(row)) > 1);
      for (let n = 0; n < seed; n++)
        await insert(
          `batch-${n}`,
          rows.filter((row) => row._offset % seed === n),
        );
      await merge();
      const left = await clickhouse.query<{ id: string }>("SELECT message_id AS id FROM events ORDER BY _offset");
      const kept = rows.filter((row) => daysLeft(row) > 0);
      expect(left.map(({ id }) => id)).toEqual(kept.map(({ message_id }) => message_id));
      expect(kept.length).toBeGreaterThan(5);
      expect(kept.length).toBeLessThan(rows.length - 5);
      await expectEqualToRecompute();
      const pairs = (table: string, condition: string): Promise<object[]> =>
        clickhouse.query(`SELECT DISTINCT site, anonymous_id, user_id FROM ${table} WHERE ${condition} ORDER BY ALL`);
      expect(await pairs("identity_edge", "1")).toEqual(await pairs("events", "user_id != '' AND bot = ''"));
      expect((await store.kept()).filter(({ rowsOverdue }) => rowsOverdue > 0)).toEqual([]);
    },
  );

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
    await migrate(clickhouse);
    const store = createRetentionStore({ clickhouse });
    await insert("one", [old(100, { _offset: 1 }), old(100, { _offset: 2, site: "blog", atom: 128 })]);
    await merge();
    expect(await countOf("events")).toBe(2);
    expect(await store.applyPolicy([shop], new Date())).toBe(true);
    expect(await store.applyPolicy([shop], new Date())).toBe(false);
    await merge();
    expect(await clickhouse.query("SELECT site FROM events")).toEqual([{ site: "blog" }]);
    expect(await clickhouse.query("SELECT DISTINCT site FROM atom")).toEqual([{ site: "blog" }]);
    expect(await store.applyPolicy([], new Date(Date.now() + 1_000))).toBe(true);
    await insert("two", [old(100, { _offset: 3 })]);
    await merge();
    expect(await countOf("events")).toBe(2);
  });

  it("says by table, site and class what is there and when it goes", async () => {
    await migrate(clickhouse);
    const store = createRetentionStore({ clickhouse });
    await store.applyPolicy([shop], new Date());
    await clickhouse.command("SYSTEM STOP TTL MERGES");
    const known = { user_id: "anna", atom: 128, site: "shop" };
    const rows = [old(10, { _offset: 1 }), old(63, { _offset: 2 }), old(70, { _offset: 3 }), old(70, { ...known })];
    await insert("one", rows);
    const kept = (await store.kept()).filter(({ table }) => table === "events");
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
    await migrate(clickhouse);
    const rows = [old(1_500)];
    await insert("polder.events:0:0-0", rows);
    await merge();
    expect(await countOf("events")).toBe(0);
    await insert("polder.events:0:0-0", rows);
    for (const table of ["events", "atom", "profile_state", "audience_day"]) expect(await countOf(table)).toBe(0);
  });

  it("never lets a number be given out again, however long nobody comes", async () => {
    await migrate(clickhouse);
    const events = createEventStore({ clickhouse });
    await insert("one", [old(1_500, { _offset: 1, atom: 640 })]);
    await insert("two", [old(1_500, { _offset: 2, atom: 65, _partition: 1 })]);
    await merge();
    expect(await countOf("atom")).toBe(0);
    expect([await events.maxAtom(0), await events.maxAtom(1)]).toEqual([640, 65]);
  });

  it("forgets who belonged to whom once they are gone, and nobody else", async () => {
    await migrate(clickhouse);
    const store = createRetentionStore({ clickhouse });
    await insert("one", [old(1_500, { _offset: 1, atom: 128 }), old(10, { _offset: 2, atom: 192, anonymous_id: "b" })]);
    await clickhouse.insertRows("identity", [
      { site: "shop", atom: 128, person: 64, version: 1 },
      { site: "shop", atom: 192, person: 64, version: 1 },
    ]);
    await merge();
    expect(await store.forgetIdentities()).toBe(1);
    expect(await clickhouse.query("SELECT atom FROM identity")).toEqual([{ atom: 192 }]);
    expect(await store.forgetIdentities()).toBe(0);
  });

  it("has every table on a list: those that go by age, and those that stay, with the reason", async () => {
    await migrate(clickhouse);
    const tables = await clickhouse.query<{ name: string; hasTtl: number }>(
      `SELECT name, position(engine_full, ' TTL ') > 0 AS hasTtl FROM system.tables
       WHERE database = {database: String} AND endsWith(engine, 'MergeTree') ORDER BY name`,
      { params: { database: clickhouse.database } },
    );
    expect(tables.filter(({ hasTtl }) => hasTtl).map(({ name }) => name)).toEqual(
      Object.keys(retainedTables).toSorted(),
    );
    expect(tables.filter(({ hasTtl }) => !hasTtl).map(({ name }) => name)).toEqual(Object.keys(keptTables).toSorted());
  });
});

describe("the migration to it", () => {
  /** Everything up to the version before it. */
  async function migrateTo(number: number): Promise<string[]> {
    const target = { database: clickhouse.database, dictionaryCredentials: clickhouse.dictionaryCredentials() };
    await clickhouse.withoutDatabase().command(`CREATE DATABASE ${clickhouse.database}`);
    const all = renderMigrations(target);
    for (const { statements, number: n } of all)
      if (n < number) for (const statement of statements) await clickhouse.command(statement);
    return all.find((migration) => migration.number === number)!.statements;
  }

  it("makes the states anew from the events, wherever a first try was cut off, and leaves out what a withdrawal removed", async () => {
    const statements = await migrateTo(9);
    const rows = buildHistory(history(7)).filter((row) => daysLeft(row) > 30);
    for (let n = 0; n < 3; n++)
      await insert(
        `batch-${n}`,
        rows.filter((row) => row._offset % 3 === n),
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
    const before = await facts();
    // Cut off after each statement in turn: what follows is the whole of it once more.
    for (let cut = 1; cut <= statements.length; cut += 9)
      for (const statement of statements.slice(0, cut)) await clickhouse.command(statement);
    for (const statement of statements) await clickhouse.command(statement);
    expect(await facts()).toEqual(before);
    expect(await countRowsWithoutWeek()).toEqual([1, 0, 0, 0, 0]);

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
