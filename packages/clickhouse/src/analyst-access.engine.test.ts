import { readFile } from "node:fs/promises";
import { buildEventRow, rowBytes, type LoadedEventRow } from "@polder/core/contracts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { analystAccess, analystTables, analystViews, withheldTables } from "./analyst-access.ts";
import { createClickHouse, type ClickHouse } from "./clickhouse.ts";
import { createErasureStore } from "./erasure-store.ts";
import { createEventStore } from "./event-store.ts";
import { migrate } from "./migrate.ts";
import { silent, startTestDatabase, type TestDatabase } from "./test-support/start-test-database.ts";

const [erased, stays] = [64, 128];
const secret = "cas-device";

let database: TestDatabase;
let analyst: ClickHouse;

beforeAll(async () => {
  database = await startTestDatabase();
  const { clickhouse, engine } = database;
  analyst = createClickHouse({ url: engine.url, ...engine.analyst, database: "polder", logger: silent });
  const event = (n: number, values: Partial<LoadedEventRow>): LoadedEventRow =>
    buildEventRow({ message_id: `m-${n}`, _offset: n, consent_mask: 63, ...values });
  const stated = {
    "traits.name": ["email"],
    "traits.class": ["identity"],
    "traits.purpose": ["profile"],
    "traits.personal": [1],
  };
  const events = [erased, stays].flatMap((atom, n) => {
    const whose = { atom, anonymous_id: atom === erased ? secret : "ann-device" };
    return [
      event(10 * n + 1, {
        ...whose,
        "choice.purpose": ["profile"],
        "choice.state": ["granted"],
        type: "consent",
        name: "consent",
      }),
      event(10 * n + 2, {
        ...whose,
        ...stated,
        type: "identify",
        name: "identify",
        "traits.value": [`${atom}@shop.test`],
      }),
      event(10 * n + 3, {
        ...whose,
        message_id: `import:s${atom}:k${atom}:0:f:c`,
        library: "polder-import/1",
        device: "server",
        name: "Order Completed",
        type: "track",
        order_id: `o-${atom}`,
        amount: "5",
        currency: "EUR",
      }),
    ];
  });
  const inserted = await createEventStore({ clickhouse }).insert("events", "0", rowBytes(events));
  if (!inserted.ok) throw new Error(JSON.stringify(inserted));
  await clickhouse.insertRows(
    "audience_member",
    [erased, stays].map((person) => ({
      site: "shop",
      audience: "buyers",
      person,
      has_left: 0,
      seq: 1,
      since: "2026-11-22 12:00:00.000",
    })),
  );
});
afterAll(async () => {
  await analyst?.close();
  await database?.stop();
});

const tablesOf = (clickhouse: ClickHouse, engines: string): Promise<{ name: string }[]> =>
  clickhouse.query(
    `SELECT name FROM system.tables WHERE database = 'polder' AND engine ${engines} AND name NOT LIKE '.inner%' ORDER BY name`,
  );

describe("what an analyst may read", () => {
  it("is decided for every table and view", async () => {
    const tables = await tablesOf(database.clickhouse, "NOT IN ('View', 'MaterializedView', 'Dictionary', 'Null')");
    expect(tables.map(({ name }) => name)).toEqual(
      [...Object.keys(analystTables), ...Object.keys(withheldTables)].toSorted(),
    );
    expect((await tablesOf(database.clickhouse, "= 'View'")).map(({ name }) => name)).toEqual(analystViews);
  });

  it("has no table with a number of a person whose rows are not held back", async () => {
    const columns = await database.clickhouse.query<{ table: string; name: string }>(
      "SELECT table, name FROM system.columns WHERE database = 'polder' AND name IN ('atom', 'of_atom', 'person', 'anonymous_id', 'user_id', 'body')",
    );
    const open = columns.filter(({ table, name }) => {
      const given = analystTables[table];
      return given !== undefined && given.of === undefined && given.columns?.includes(name) !== false;
    });
    // Proof that no one may take a link out of. Its number leads nowhere.
    expect(open).toEqual([{ table: "consent_log", name: "atom" }]);
  });

  it.each(Object.keys(withheldTables))("is not %s", async (table) => {
    await expect(analyst.query(`SELECT * FROM ${table} LIMIT 1`)).rejects.toThrow(/Not enough privileges/);
  });

  it("is nothing of what others sent and was refused but why", async () => {
    await expect(analyst.query("SELECT body FROM rejected")).rejects.toThrow(/Not enough privileges/);
    expect(await analyst.query("SELECT reason, any(detail), count() FROM rejected GROUP BY reason")).toEqual([]);
  });

  it("is in the list that a client sees", async () => {
    const tables = await tablesOf(analyst, "!= ''");
    expect(tables.map(({ name }) => name)).toEqual([...Object.keys(analystTables), ...analystViews].toSorted());
  });

  it.each(analystViews)("is %s, and every table below it", async (view) => {
    expect(await analyst.query(`SELECT * FROM ${view} LIMIT 1`)).toBeInstanceOf(Array);
  });

  it("is bounded in views as in tables", async () => {
    await expect(
      analyst.query("SELECT sum(person_id) AS n FROM events_v SETTINGS max_rows_to_read = 1"),
    ).rejects.toThrow(/max_rows_to_read/);
  });

  it("stays so when Polder asks as another user than before", async () => {
    const { clickhouse } = database;
    await clickhouse.command("ALTER TABLE people MODIFY SQL SECURITY DEFINER DEFINER = analyst");
    expect(await migrate(clickhouse)).toEqual([]);
    const [row] = await clickhouse.query<{ sql: string }>(
      "SELECT create_table_query AS sql FROM system.tables WHERE name = 'people' AND database = 'polder'",
    );
    expect(row!.sql).toContain("DEFINER = polder SQL SECURITY DEFINER");
    expect(row!.sql).toContain("COMMENT 'One row a person, without bots'");
  });
});

describe("from the call that erases somebody on", () => {
  const readable = Object.entries(analystTables).filter(([, { of }]) => of !== undefined);
  const countOf = async (client: ClickHouse, table: string, of: string): Promise<number[]> =>
    (
      await client.query<{ atom: number }>(
        `SELECT DISTINCT toUInt32(${of}) AS atom FROM ${table} WHERE ${of} != 0 ORDER BY atom`,
      )
    ).map(({ atom }) => atom);

  it("no table and no view that an analyst may read shows them, before anything is removed", async () => {
    for (const [table, { of }] of readable) expect(await countOf(analyst, table, of!), table).toEqual([erased, stays]);
    await createErasureStore({ clickhouse: database.clickhouse }).request({
      site: "shop",
      people: [erased],
      actor: "desk",
      reason: "asked",
      at: new Date("2026-11-23T12:00:00Z"),
    });
    for (const [table, { of }] of readable) {
      expect(await countOf(database.clickhouse, table, of!), table).toEqual([erased, stays]);
      expect(await countOf(analyst, table, of!), table).toEqual([stays]);
    }
    for (const view of analystViews) {
      const rows = JSON.stringify(await analyst.query(`SELECT * FROM ${view}`));
      expect(rows, view).not.toMatch(
        new RegExp(`${secret}|${erased}@shop|o-${erased}|"(person_id|atom)":${erased}\\b`),
      );
    }
    // Those of another are there.
    expect(await analyst.query("SELECT person_id FROM people")).toEqual([{ person_id: stays }]);
    expect(await analyst.query("SELECT person_id FROM audience_members")).toEqual([{ person_id: stays }]);
  });
});

describe("a server of one's own", () => {
  it("is given the same by the file that comes with Polder", async () => {
    const file = await readFile(new URL("../../../deploy/clickhouse/users.d/analyst.xml", import.meta.url), "utf8");
    const { tables, dictionaries } = analystAccess("polder");
    const columnsOf = (columns: readonly string[] | undefined): string => (columns ? `(${columns.join(", ")})` : "");
    expect(file.match(/GRANT [^<]*/g)?.toSorted()).toEqual(
      [
        ...Object.entries(tables).map(([table, { columns }]) => `GRANT SELECT${columnsOf(columns)} ON polder.${table}`),
        ...dictionaries.map((dictionary) => `GRANT dictGet ON polder.${dictionary}`),
      ].toSorted(),
    );
    const unescaped = file.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
    const filters = [...unescaped.matchAll(/<(\w+)><filter>(.*?)<\/filter><\/\1>/g)].map(([, table, rows]) => [
      table,
      rows,
    ]);
    expect(filters).toEqual(Object.entries(tables).flatMap(([table, { rows }]) => (rows ? [[table, rows]] : [])));
  });
});
