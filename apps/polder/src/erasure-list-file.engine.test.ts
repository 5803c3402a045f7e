import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClickHouse, createErasureStore, migrate, type ClickHouse } from "@polder/clickhouse";
import { buildEventRow } from "@polder/core/contracts";
import { startEngine, type Engine } from "@polder/engine";
import { afterAll, beforeAll, expect, it } from "vitest";
import { erasureListName, replayErasureList, writeErasureList } from "./erasure-list-file.ts";

const logger = { info() {}, warn() {}, error() {} };
const folder = mkdtempSync(join(tmpdir(), "polder-erasures-"));
const now = (): Date => new Date("2026-11-22T22:00:00Z");
let engine: Engine;
const databases: ClickHouse[] = [];

beforeAll(async () => {
  engine = await startEngine({ dataPath: join(folder, "engine"), logger });
});
afterAll(async () => {
  for (const clickhouse of databases) await clickhouse.close();
  await engine?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** As a backup has it: from before the erasure. */
async function restored(database: string): Promise<ClickHouse> {
  const clickhouse = createClickHouse({ url: engine.url, ...engine.admin, database, logger });
  databases.push(clickhouse);
  await migrate(clickhouse);
  await clickhouse.insertRows("events", [
    buildEventRow({ atom: 64, anonymous_id: "an-device", message_id: "m1" }),
    buildEventRow({ atom: 128, anonymous_id: "bo-device", message_id: "m2", _offset: 1 }),
  ]);
  return clickhouse;
}
const people = (clickhouse: ClickHouse) => clickhouse.query("SELECT person_id FROM people ORDER BY person_id");

it("hides who was erased after the backup, before anybody can ask", async () => {
  const before = await restored("before");
  const store = createErasureStore({ clickhouse: before, onRequested: () => writeErasureList(folder, before) });
  expect(await replayErasureList(folder, before, store, now)).toBe(0);
  const at = new Date("2026-11-22T21:00:00Z");
  await store.request({ site: "shop", people: [64], actor: "office", reason: "letter", at });
  expect(readFileSync(join(folder, erasureListName), "utf8")).not.toContain("an-device");
  expect(await replayErasureList(folder, before, store, now)).toBe(0);

  const after = await restored("after");
  expect(await people(after)).toHaveLength(2);
  const other = createErasureStore({ clickhouse: after });
  expect(await replayErasureList(folder, after, other, now)).toBe(1);
  expect(await people(after)).toEqual([{ person_id: 128 }]);
  await other.carryOut(await other.openErasures(10, now), now);
  expect(await after.query("SELECT DISTINCT anonymous_id AS id FROM events")).toEqual([{ id: "bo-device" }]);

  writeFileSync(join(folder, erasureListName), "{");
  await expect(replayErasureList(folder, after, other, now)).rejects.toThrow("cannot be used");
});
