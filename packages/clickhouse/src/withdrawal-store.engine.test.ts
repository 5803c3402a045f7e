import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Withdrawal } from "@polder/core";
import { buildEventRow } from "@polder/core/contracts";
import { startEngine, type Engine } from "@polder/engine";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createClickHouse, type ClickHouse } from "./clickhouse.ts";
import { migrate } from "./migrate.ts";
import { createWithdrawalStore } from "./withdrawal-store.ts";

const logger = { info() {}, warn() {}, error() {} };
const folder = mkdtempSync(join(tmpdir(), "polder-withdrawal-store-"));
let engine: Engine;
let clickhouse: ClickHouse;

beforeAll(async () => {
  engine = await startEngine({ dataPath: folder, logger });
  clickhouse = createClickHouse({ url: engine.url, ...engine.admin, database: "withdrawal_store", logger });
  await migrate(clickhouse);
});
afterAll(async () => {
  await clickhouse?.close();
  await engine?.stop();
  rmSync(folder, { recursive: true, force: true });
});

it("removes from the local tables of every shard of a cluster, in words that ClickHouse understands", async () => {
  await clickhouse.insertRows("events", [buildEventRow({ atom: 64, anonymous_id: "phone" })]);
  const [site] = await clickhouse.query<{ site: string }>("SELECT site FROM events");
  const changes: string[] = [];
  // There is no cluster to be had here: what would change one is looked at, and everything else is done.
  const watched: ClickHouse = {
    ...clickhouse,
    async command(sql, options) {
      if (!/^(ALTER|DELETE FROM)/.test(sql)) return clickhouse.command(sql, options);
      await clickhouse.command(`EXPLAIN AST ${sql}`, options);
      changes.push(sql);
    },
  };
  const withdrawal: Withdrawal = {
    site: site!.site,
    n: 1,
    round: 1,
    at: Date.parse("2026-11-22T20:15:00Z"),
    receivedAt: Date.parse("2026-11-22T20:15:01Z"),
    consentId: "choice-1",
    atom: 64,
    person: 64,
    purposes: ["profile"],
  };
  const store = createWithdrawalStore({ clickhouse: watched, cluster: "main" });
  const now = (): Date => new Date("2026-11-22T20:30:00Z");
  await store.begin([withdrawal], now);
  expect(await store.carryOut([withdrawal], now)).toBe(1);
  const heads = changes.map((sql) =>
    /^(?:ALTER TABLE|DELETE FROM) (\w+) ON CLUSTER `main` (UPDATE|DELETE|WHERE) /.exec(sql)?.slice(1),
  );
  expect(heads).toEqual([
    ["trait_state_local", "DELETE"],
    ["profile_state_local", "DELETE"],
    ["atom_event_local", "WHERE"],
    ["events_local", "UPDATE"],
    ["identity_edge_local", "DELETE"],
    ["consent_state_local", "UPDATE"],
    ["atom_local", "DELETE"],
  ]);
});

it("forgets the key of who withdrew after eight days, by itself", async () => {
  const daysAgo = (days: number): string => new Date(Date.now() - days * 86_400_000).toISOString().slice(0, -1);
  const receipt = {
    site: "shop",
    round: 1,
    table_name: "",
    rows: 1,
    is_done: 1,
    atoms: [64],
    keys: ["18446744073709551615"],
  };
  await clickhouse.command("TRUNCATE TABLE consent_receipt");
  await clickhouse.insertRows("consent_receipt", [
    { ...receipt, n: 1, at: daysAgo(9) },
    { ...receipt, n: 2, at: daysAgo(7) },
  ]);
  await clickhouse.command("OPTIMIZE TABLE consent_receipt FINAL");
  expect(
    await clickhouse.query(
      "SELECT n, atoms, arrayMap(key -> toString(key), keys) AS kept FROM consent_receipt ORDER BY n",
    ),
  ).toEqual([
    { n: 1, atoms: [64], kept: [] },
    { n: 2, atoms: [64], kept: receipt.keys },
  ]);
});
