import { randomUUID } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createClickHouse,
  createErasureStore,
  migrate,
  restoreErasures,
  type ClickHouse,
  type ListedErasure,
} from "@polder/clickhouse";
import { createErasedKeys } from "@polder/core";
import { buildEventRow } from "@polder/core/contracts";
import { startEngine, type Engine } from "@polder/engine";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createErasureList, erasureListName, replayErasureList } from "./erasure-list-file.ts";

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
  const store = createErasureStore({ clickhouse: before, onRequested: createErasureList(folder, before).write });
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

it("has every erasure of those that were asked for at once", async () => {
  const clickhouse = await restored("crowd");
  const data = mkdtempSync(join(folder, "crowd-"));
  const atoms = Array.from({ length: 8 }, (_, n) => 192 + 64 * n);
  await clickhouse.insertRows(
    "events",
    atoms.map((atom) => buildEventRow({ atom, anonymous_id: `device-${atom}`, message_id: `m${atom}`, _offset: atom })),
  );
  const list = createErasureList(data, clickhouse);
  const store = createErasureStore({ clickhouse, onRequested: list.write });
  const at = new Date("2026-11-22T21:00:00Z");
  const asked = await Promise.all(
    atoms.map((atom) => store.request({ site: "shop", people: [atom], actor: "office", reason: "letter", at })),
  );
  const { erasures } = JSON.parse(readFileSync(join(data, erasureListName), "utf8")) as { erasures: { id: string }[] };
  expect(erasures.map(({ id }) => id).toSorted()).toEqual(asked.map(([one]) => one!.id).toSorted());
});

it("hides them also when the start before was cut off after it had written them down", async () => {
  const before = await restored("first");
  const data = mkdtempSync(join(folder, "cut-"));
  const at = new Date("2026-11-22T21:00:00Z");
  await createErasureStore({ clickhouse: before, onRequested: createErasureList(data, before).write }).request({
    site: "shop",
    people: [64],
    actor: "office",
    reason: "letter",
    at,
  });
  const after = await restored("second");
  const { erasures } = JSON.parse(readFileSync(join(data, erasureListName), "utf8")) as { erasures: ListedErasure[] };
  expect(await restoreErasures(after, erasures, now())).toBe(1);
  expect(await people(after)).toHaveLength(2);
  expect(await replayErasureList(data, after, createErasureStore({ clickhouse: after }), now)).toBe(0);
  expect(await people(after)).toEqual([{ person_id: 128 }]);
});

it("is given back to a ClickHouse server by what the page on rights says", async () => {
  const page = readFileSync(new URL("../../../docs/rights.md", import.meta.url), "utf8");
  const commands = [...page.matchAll(/--query "([^"]+)" ([<>]) (\S+)$/gm)];
  expect(commands.map(([, , direction]) => direction)).toEqual([">", ">", "<", "<"]);
  const [before] = databases;
  const after = await restored("given_back");
  const files = new Map<string, ArrayBuffer>();
  for (const [, query = "", direction, name = ""] of [...commands, ...commands.slice(2)]) {
    const isOut = direction === ">";
    const parameters = new URLSearchParams({ database: (isOut ? before! : after).database, query });
    const response = await fetch(`${engine.url}/?${parameters}`, {
      method: "POST",
      headers: { authorization: `Basic ${btoa(`${engine.admin.username}:${engine.admin.password}`)}` },
      ...(!isOut && { body: files.get(name)! }),
    });
    expect(response.status, response.ok ? "" : await response.text()).toBe(200);
    if (isOut) files.set(name, await response.arrayBuffer());
  }
  expect(await after.query("SELECT count() AS n FROM erasure_key")).toEqual([{ n: 1 }]);
  expect(await after.query("SELECT count() AS n FROM erasure")).toEqual([{ n: 1 }]);

  const store = createErasureStore({ clickhouse: after });
  await store.begin(await store.openErasures(10, now), now);
  expect(await people(after)).toEqual([{ person_id: 128 }]);
});

it("hides all of a list that is longer than what is looked for at a time", async () => {
  const many = 5_100;
  const clickhouse = await restored("many");
  await clickhouse.command(
    `INSERT INTO events (site, atom, anonymous_id, message_id, type, name, time, received_at, _offset)
     SELECT 'shop', toUInt32(1000 + number), concat('device-', toString(number)), toString(number), 'page', 'page', '2026-11-22 20:00:00', '2026-11-22 20:00:00', 10 + number
     FROM numbers(${many})`,
  );
  const data = mkdtempSync(join(folder, "many-"));
  const keys = createErasedKeys(new Uint32Array([1, 0, 2, 0]));
  const erasures = Array.from({ length: many }, (_, n): ListedErasure => ({
    k0: "1",
    k1: "2",
    site: "shop",
    id: randomUUID(),
    kind: "person",
    keys: [String(keys.device("shop", `device-${n}`))],
    traits: [],
    requested_at: "2026-11-22 21:00:00.000",
    actor: "office",
    reason: "letter",
  }));
  writeFileSync(join(data, erasureListName), JSON.stringify({ format: 1, erasures }));
  expect(await replayErasureList(data, clickhouse, createErasureStore({ clickhouse }), now)).toBe(many);
  expect(await people(clickhouse)).toEqual([{ person_id: 64 }, { person_id: 128 }]);
});
