import { describe, expect, it } from "vitest";

import { inSlice } from "../event-slices.ts";
import { retainedTables } from "../retained-tables.ts";
import { allStatementsOf } from "../test-support/all-statements-of.ts";
import { migrations, renderMigrations, renderSql } from "./render-migrations.ts";

const credentials = "USER 'polder' PASSWORD 'x'";
const single = { database: "polder", dictionaryCredentials: credentials };
const clustered = { ...single, cluster: "main" };
const statementsOf = (options: typeof single & { cluster?: string }): string[] =>
  renderMigrations(options).flatMap(allStatementsOf);

describe("migrations", () => {
  it("are numbered from 1 without a gap", () => {
    expect(migrations.map(({ number }) => number)).toEqual(migrations.map((_, index) => index + 1));
  });

  it("leave no place unfilled", () => {
    for (const statement of [...statementsOf(single), ...statementsOf(clustered)]) {
      const parameters = /\{(shard|replica|database|table|done: Array\(Date\)|(from|to): Int64|parts?: UInt32)\}/g;
      expect(statement.replaceAll(parameters, "")).not.toMatch(/\{\w+/);
    }
  });

  it("can all be run twice", () => {
    // What an INSERT of a migration would add again, a DELETE before it removes, or its own condition keeps out.
    for (const statement of statementsOf(single))
      expect(statement).toMatch(
        /DROP VIEW IF EXISTS|CREATE (OR REPLACE|TABLE IF NOT EXISTS|MATERIALIZED VIEW IF NOT EXISTS)|ADD INDEX IF NOT EXISTS|MODIFY SETTING|DETACH TABLE IF EXISTS|ATTACH TABLE IF NOT EXISTS|ADD COLUMN IF NOT EXISTS|COMMENT COLUMN|MODIFY QUERY|DELETE WHERE|MATERIALIZE (COLUMN|INDEX)|UPDATE other = user_id|^INSERT|^SELECT count/,
      );
  });

  it("give every table that an insert reaches a deduplication window", () => {
    const tables = statementsOf(single).filter(
      // A table that keeps nothing has nothing to compare with.
      (sql) => /CREATE TABLE/.test(sql) && !/identity /.test(sql.split("(")[0] ?? "") && !/ENGINE = Null/.test(sql),
    );
    expect(tables).toHaveLength(42);
    for (const table of tables) expect(table).toContain("non_replicated_deduplication_window = 10000");
  });

  it("tell of every table that has a time to go, once, and as that time is told", () => {
    const view = statementsOf(single).findLast((sql) => /VIEW \S+\.retention /.test(sql))!;
    const told = [
      ...view.matchAll(/SELECT '(\w+)' AS table_name, site, toUInt8\((.+)\) AS is_known, (.+) AS arrived/g),
    ];
    expect(told).toHaveLength(Object.keys(retainedTables).length);
    expect(Object.fromEntries(told.map(([, table, isKnown, week]) => [table, { week, isKnown }]))).toEqual(
      retainedTables,
    );
  });

  it("quote the name of the database", () => {
    expect(renderSql("SELECT * FROM {db}.events; ", { ...single, database: "my`db" })).toEqual([
      "SELECT * FROM `my\\`db`.events",
    ]);
  });
});

describe("migrations for a cluster", () => {
  const statements = statementsOf(clustered);

  it("run everywhere", () => {
    // Rows go where the Distributed table puts them.
    for (const statement of statements)
      if (!/^(INSERT|SELECT)/.test(statement)) expect(statement).toContain("ON CLUSTER `main`");
  });

  it("make a table anew through the Distributed ones, a slice at a time, and remove from every shard what is not done", () => {
    const refills = renderMigrations(clustered).flatMap(({ refill }) => refill ?? []);
    expect(refills.map(({ table }) => table)).toEqual([
      "identity_edge",
      "consent_state",
      "session_state",
      "atom_event",
    ]);
    for (const { table, insert, removeUndone, countUndone } of refills) {
      expect(insert).toMatch(new RegExp(`^INSERT INTO \`polder\`\\.${table} `));
      expect(insert).toContain("FROM `polder`.events AS events");
      expect(insert).toContain(inSlice);
      expect(removeUndone).toContain(`ALTER TABLE \`polder\`.${table}_local ON CLUSTER \`main\` DELETE WHERE`);
      expect(countUndone).toContain(`FROM \`polder\`.${table} WHERE`);
    }
  });

  it("replicate every table that holds rows", () => {
    const engines = statements.flatMap((statement) => statement.match(/ENGINE = \w+/g) ?? []);
    expect(new Set(engines)).toEqual(
      new Set([
        "ENGINE = ReplicatedMergeTree",
        "ENGINE = ReplicatedAggregatingMergeTree",
        "ENGINE = ReplicatedReplacingMergeTree",
        "ENGINE = Distributed",
        "ENGINE = Null",
      ]),
    );
  });

  it("put a Distributed table before every sharded one", () => {
    const created = statements.flatMap(
      (statement) => statement.match(/CREATE TABLE IF NOT EXISTS `polder`\.(\w+)/)?.[1] ?? [],
    );
    const sharded = created.filter((name) => name.endsWith("_local"));
    expect(sharded).toHaveLength(14);
    for (const name of sharded) expect(created).toContain(name.replace(/_local$/, ""));
  });

  it("hang materialized views on the tables that inserts reach, on the same shard", () => {
    const materialized = statements.filter((statement) => statement.includes("MATERIALIZED"));
    expect(materialized).toHaveLength(14);
    // What every node has is filled on the node that is told, and replicated.
    for (const statement of materialized.filter((each) => !each.includes("person_atom_mv"))) {
      expect(statement).toMatch(/TO `polder`\.\w+_local AS/);
      expect(statement).toMatch(/FROM `polder`\.(events_local|rejected_local|ledger_entry)/);
    }
  });

  it("let people's questions reach all shards", () => {
    const views = statements.filter((statement) => /CREATE OR REPLACE VIEW/.test(statement));
    expect(views).toHaveLength(30);
    for (const view of views) expect(view).not.toContain("_local");
  });
});
