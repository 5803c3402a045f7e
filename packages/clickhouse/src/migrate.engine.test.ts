import { buildEventRow } from "@polder/core/contracts";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";

import { createClickHouse, quoteName, type ClickHouse } from "./clickhouse.ts";
import { migrate } from "./migrate.ts";
import { migrations, renderMigrations } from "./migrations/render-migrations.ts";
import { allStatementsOf } from "./test-support/all-statements-of.ts";
import { silent, startTestDatabase, type TestDatabase } from "./test-support/start-test-database.ts";

describe("migrate", () => {
  let database: TestDatabase;
  let clients: ClickHouse[] = [];
  let made = 0;
  const numbers = migrations.map(({ number }) => number);

  const connect = (name: string): ClickHouse => {
    const { engine } = database;
    const client = createClickHouse({ url: engine.url, ...engine.admin, database: name, logger: silent });
    clients.push(client);
    return client;
  };
  const newDatabase = (): string => `test_${(made += 1)}`;
  const server = (): ClickHouse => database.clickhouse.withoutDatabase();

  // With all migrations. Whoever changes it puts it back.
  let migrated: ClickHouse;

  beforeAll(async () => {
    database = await startTestDatabase();
    migrated = database.clickhouse;
  });
  afterEach(async () => {
    for (const client of clients) {
      await server().command(`DROP DATABASE IF EXISTS ${quoteName(client.database)} SYNC`);
      await client.close();
    }
    clients = [];
  });
  afterAll(() => database?.stop());

  it("applies every migration once, in order", async () => {
    const client = connect(newDatabase());
    expect(await migrate(client)).toEqual(numbers);
    expect(await migrate(client)).toEqual([]);
    expect(await client.query("SELECT number FROM migration ORDER BY number")).toEqual(
      numbers.map((number) => ({ number })),
    );
  });

  it("goes on where an earlier version stopped", async () => {
    const client = connect(newDatabase());
    await migrate(client);
    await client.command("DROP VIEW people");
    await client.command("ALTER TABLE migration DELETE WHERE number = 4 SETTINGS mutations_sync = 1");
    expect(await migrate(client)).toEqual([4]);
    expect(await client.query("SELECT * FROM people")).toEqual([]);
  });

  it("lets one process work while the others wait", async () => {
    const name = newDatabase();
    const applied = await Promise.all(Array.from({ length: 4 }, () => migrate(connect(name))));
    expect(applied.flat()).toEqual(numbers);
    const [lock] = await server().query<{ n: number }>(
      "SELECT count() AS n FROM system.tables WHERE name = 'migration_lock'",
    );
    expect(lock).toEqual({ n: 0 });
  });

  it("gives the lock back when it fails, and says which migration failed", async () => {
    const name = newDatabase();
    const client = connect(name);
    await server().command(`CREATE DATABASE ${name}`);
    await server().command(`CREATE TABLE ${name}.events (number UInt8) ENGINE = Memory`);
    for (let round = 0; round < 2; round += 1) {
      await expect(migrate(client)).rejects.toMatchObject({
        code: "migration_failed",
        message: expect.stringContaining("Migration 3 (materialized-views)"),
      });
    }
    expect(await client.query("SELECT number FROM migration ORDER BY number")).toEqual([{ number: 1 }, { number: 2 }]);
  });

  it("ends what one that was cut off left running, and says how far the log was loaded from what is stored", async () => {
    const name = newDatabase();
    const client = connect(name);
    await migrate(client);
    await client.insertRows("events", [
      buildEventRow({ _partition: 3, _offset: 7, atom: 64 + 3, anonymous_id: "a" }),
      buildEventRow({ _partition: 3, _offset: 9, atom: 128, anonymous_id: "moved" }),
      buildEventRow({ _partition: 4, _offset: 2, atom: 0 }),
    ]);
    // Of somebody whose events have gone.
    await client.insertRows("atom", [{ site: "shop", key: 1, atom: 1_280 + 3 }]);
    const rejected = { site: "shop", _partition: 5 };
    await client.insertRows("rejected", [
      { ...rejected, _offset: 1, reason: "not_json" },
      { ...rejected, _offset: 8, reason: "refused_by_store" },
    ]);
    await client.command("TRUNCATE TABLE log_position");
    await client.command("ALTER TABLE migration DELETE WHERE number = 10 SETTINGS mutations_sync = 1");
    const left = client
      .query("SELECT sleepEachRow(0.05) FROM numbers(1000)", {
        settings: { log_comment: `polder migrates ${name}`, max_block_size: 1 },
      })
      .catch((error: unknown) => error);
    await vi.waitUntil(
      async () => {
        const [running] = await server().query<{ n: number }>(
          `SELECT count() AS n FROM system.processes WHERE Settings['log_comment'] = 'polder migrates ${name}'`,
        );
        return running!.n === 1;
      },
      { timeout: 120_000 },
    );
    expect(await migrate(client, { quietForMs: 0 })).toEqual([10]);
    expect(await left).toMatchObject({ code: 394 });
    expect(
      await client.query(
        "SELECT table_name, _partition, _offset, atom FROM log_position FINAL ORDER BY table_name, _partition",
      ),
    ).toEqual([
      { table_name: "events", _partition: 3, _offset: 9, atom: 1_283 },
      { table_name: "events", _partition: 4, _offset: 2, atom: 0 },
      { table_name: "rejected", _partition: 5, _offset: 1, atom: 0 },
    ]);
  });

  it("brings log-ins from before to their new shape and loses none, and reads from the events what was never written down, also twice", async () => {
    const client = connect(newDatabase());
    await migrate(client);
    const an = { atom: 128, user_id: "an", message_id: "m-1", _offset: 1 };
    const bo = {
      atom: 192,
      anonymous_id: "",
      user_id: "bo",
      type: "alias",
      name: "alias",
      previous_id: "an",
      _offset: 2,
    } as const;
    await client.insertRows("events", [
      buildEventRow({
        ...an,
        "traits.name": ["email"],
        "traits.value": ["an@shop.example"],
        "traits.class": ["identity"],
        "traits.purpose": ["profile"],
        "traits.personal": [1],
      }),
      buildEventRow(bo),
    ]);
    const now = () =>
      client.query(
        "SELECT kind, user_id, other != '' AS has_other, rule, atom, _offset FROM identity_edge ORDER BY ALL",
      );
    const stated = await now();
    await client.command("TRUNCATE TABLE identity_edge");
    const before = { site: "shop", anonymous_id: "visitor-1", kind: "login", time: an._offset, received_at: 1 };
    await client.insertRows("identity_edge", [
      { ...before, user_id: "an", _offset: 1 },
      { ...before, user_id: "of events that are gone", _offset: 0 },
    ]);
    const gone = {
      kind: "login",
      user_id: "of events that are gone",
      has_other: 1,
      rule: "login",
      atom: 0,
      _offset: 0,
    };
    for (let round = 0; round < 2; round += 1) {
      await client.command("ALTER TABLE migration DELETE WHERE number = 11 SETTINGS mutations_sync = 1");
      expect(await migrate(client, { quietForMs: 0 })).toEqual([11]);
      expect(await now()).toEqual([...stated, gone]);
    }
    expect(stated).toEqual([
      { kind: "alias", user_id: "bo", has_other: 1, rule: "alias", atom: 192, _offset: 2 },
      { kind: "email", user_id: "an", has_other: 1, rule: "login", atom: 128, _offset: 1 },
      { kind: "login", user_id: "an", has_other: 1, rule: "login", atom: 128, _offset: 1 },
    ]);
  });

  it("refuses a database that a newer version made", async () => {
    await migrated.command("INSERT INTO migration (number, name, checksum) VALUES (9999, 'later', '')");
    await expect(migrate(migrated)).rejects.toThrow(/9999.*newer/s);
    await migrated.command("ALTER TABLE migration DELETE WHERE number = 9999 SETTINGS mutations_sync = 1");
    expect(await migrate(migrated)).toEqual([]);
  });

  it("refuses a database whose migration had another text", async () => {
    const change = (checksum: string): Promise<void> =>
      migrated.command(`ALTER TABLE migration UPDATE checksum = ${checksum} WHERE number = 1`, {
        settings: { mutations_sync: 1 },
      });
    await change("reverse(checksum)");
    await expect(migrate(migrated)).rejects.toThrow(/Migration 1 .*another text/s);
    await change("reverse(checksum)");
    expect(await migrate(migrated)).toEqual([]);
  });

  it("gives the dictionary the password of today", async () => {
    // The function `person` is the server's, and asks the database that was migrated last.
    const client = connect(newDatabase());
    await migrate(client);
    await client.command(
      "CREATE OR REPLACE DICTIONARY identity_dict (atom UInt32, person UInt32) PRIMARY KEY atom " +
        "SOURCE(CLICKHOUSE(USER 'polder' PASSWORD 'old' TABLE 'identity')) LAYOUT(HASHED()) LIFETIME(0)",
    );
    await expect(client.query("SELECT person(toUInt32(1)) AS person")).rejects.toThrow();
    await migrate(client);
    expect(await client.query("SELECT person(toUInt32(1)) AS person")).toEqual([{ person: 1 }]);
  });

  it("makes the table of events with exactly the columns of an event's row, and the class that follows from it", async () => {
    const columns = await migrated.query<{ name: string }>(
      "SELECT name FROM system.columns WHERE database = {name: String} AND table = 'events'",
      {
        params: { name: migrated.database },
      },
    );
    expect(columns.map(({ name }) => name).toSorted()).toEqual(
      [...Object.keys(buildEventRow()), "is_known"].toSorted(),
    );
  });

  it("explains every table, every view and every one of their columns", async () => {
    const params = { name: migrated.database };
    const mute = await migrated.query(
      `SELECT table, name FROM system.columns
       WHERE database = {name: String} AND comment = '' AND NOT endsWith(table, '_mv') AND table != 'identity_dict'`,
      { params },
    );
    expect(mute).toEqual([]);
    const muteTables = await migrated.query(
      "SELECT name FROM system.tables WHERE database = {name: String} AND comment = '' AND NOT endsWith(name, '_mv')",
      { params },
    );
    expect(muteTables).toEqual([]);
    const [views] = await migrated.query<{ names: string[] }>(
      "SELECT arraySort(groupArray(name)) AS names FROM system.tables WHERE database = {name: String} AND engine = 'View'",
      { params },
    );
    expect(views?.names).toEqual([
      "audience_days",
      "audience_members",
      "audience_sizes",
      "audiences",
      "consent_choices",
      "events_v",
      "imports",
      "loss_balance",
      "loss_ledger",
      "orders",
      "page_views",
      "people",
      "retention",
      "session_gaps",
      "sessions",
    ]);
  });

  it("renders SQL for a cluster that ClickHouse understands", async () => {
    const credentials = "USER 'polder' PASSWORD 'x'";
    const statements = renderMigrations({
      database: "polder",
      cluster: "main",
      dictionaryCredentials: credentials,
    }).flatMap(allStatementsOf);
    for (const statement of statements) {
      const [formatted] = await server().query<{ text: string }>(
        "SELECT formatQuerySingleLine({statement: String}) AS text",
        {
          params: { statement },
        },
      );
      // Rows are spread by the Distributed table, everything else has to be done by every node.
      if (!/^(INSERT|SELECT)/.test(statement)) expect(formatted?.text).toContain("ON CLUSTER main");
      await server().command(`EXPLAIN AST ${statement}`, {
        params: { done: ["2026-11-16"], from: 0, to: 3_600, part: 0, parts: 1 },
      });
    }
  });
});
