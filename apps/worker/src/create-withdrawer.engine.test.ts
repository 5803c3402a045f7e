import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createClickHouse,
  createConsentRecordStore,
  createEventStore,
  createIdentityStore,
  createReadQueries,
  createWithdrawalStore,
  migrate,
  type ClickHouse,
} from "@polder/clickhouse";
import type { Withdrawal } from "@polder/core";
import { buildEventRow, type LoadedEventRow } from "@polder/core/contracts";
import { startEngine, type Engine } from "@polder/engine";
import { Registry } from "prom-client";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createConsentRecorder } from "./create-consent-recorder.ts";
import { createWithdrawer, type WithdrawerOptions } from "./create-withdrawer.ts";
import { createWorker } from "./create-worker.ts";

const logger = { info() {}, warn() {}, error() {} };
const folder = mkdtempSync(join(tmpdir(), "polder-withdraw-"));
let engine: Engine;
let clickhouse: ClickHouse;
let nowMs = 0;
let made = 0;
const now = (): Date => new Date(nowMs);

beforeAll(async () => {
  engine = await startEngine({ dataPath: folder, logger });
});
afterAll(async () => {
  await clickhouse?.close();
  await engine?.stop();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  await clickhouse?.close();
  clickhouse = createClickHouse({ url: engine.url, ...engine.admin, database: `withdrawal_${(made += 1)}`, logger });
  await migrate(clickhouse);
  nowMs = Date.parse("2026-11-22T20:30:00Z");
  offset = 0;
  return () => clickhouse.withoutDatabase().command(`DROP DATABASE withdrawal_${made}`);
});

let offset = 0;
/** A page view of a phone (atom 64), or what is said instead. */
const row = (fields: Partial<LoadedEventRow> = {}): LoadedEventRow =>
  buildEventRow({
    message_id: `m${(offset += 1)}`,
    _offset: offset,
    atom: 64,
    anonymous_id: "phone",
    group_id: "household",
    click_id: "click",
    click_id_kind: "gclid",
    ...fields,
  });
const asAn = { atom: 128, user_id: "an" };
const traits = (...names: string[]): Partial<LoadedEventRow> => ({
  type: "identify",
  name: "identify",
  "traits.name": names,
  "traits.value": names.map((name) => `${name} of an`),
  "traits.class": names.map(() => "identity"),
  "traits.purpose": names.map(() => "profile"),
  "traits.personal": names.map(() => 1),
});
const choice = (state: string, fields: Partial<LoadedEventRow> = {}): LoadedEventRow =>
  row({
    type: "consent",
    name: "consent",
    consent_id: `choice-${offset + 1}`,
    "choice.purpose": ["measurement", "profile", "ads"],
    "choice.state": [state, state, "denied"],
    ...fields,
  });

async function load(...rows: LoadedEventRow[]): Promise<void> {
  await clickhouse.insertRows("events", rows);
  await createConsentRecorder({ store: createConsentRecordStore(clickhouse), now }).tick();
}
const newWithdrawer = (options: Partial<WithdrawerOptions> = {}) =>
  createWithdrawer({ store: createWithdrawalStore({ clickhouse }), now, everyMs: 0, ...options });
const settlePeople = () =>
  createWorker({ store: createIdentityStore(clickhouse), logger, registry: new Registry() }).tick();

const ask = async <Row>(sql: string): Promise<Row[]> => clickhouse.query<Row>(sql);
const receipts = () =>
  ask<{ table: string; rows: number; remaining: number; done: number }>(
    "SELECT table_name AS table, rows, remaining, is_done AS done FROM consent_receipt FINAL ORDER BY site, n, table",
  );
/** Every table and column in which these texts are found. */
async function placesOf(...texts: string[]): Promise<string[]> {
  const columns = await ask<{ table: string; name: string }>(
    `SELECT table, name FROM system.columns
     WHERE database = currentDatabase() AND table NOT LIKE '%_mv' AND table NOT LIKE '.inner%' AND type NOT LIKE '%AggregateFunction(arg%'
       AND type NOT LIKE 'AggregateFunction%' AND (type LIKE '%String%' OR type LIKE 'JSON%')
       AND table IN (SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree')`,
  );
  const found: string[] = [];
  for (const { table, name } of columns) {
    const [hit] = await ask<{ hits: number }>(
      `SELECT countIf(multiSearchAny(toString(\`${name}\`), [${texts.map((text) => `'${text}'`).join(", ")}])) AS hits FROM ${table}`,
    );
    if (hit!.hits > 0) found.push(`${table}.${name}`);
  }
  return found.toSorted();
}

describe("after a withdrawal", () => {
  it("nothing says any more who it was, every count is what it was, and the receipt says what went", async () => {
    await load(
      choice("granted"),
      row(),
      row(asAn),
      row({ ...asAn, ...traits("email", "name") }),
      row({ atom: 192, anonymous_id: "laptop", user_id: "bo", group_id: "", click_id: "" }),
    );
    await settlePeople();
    const counts = (): Promise<unknown[]> =>
      ask(`SELECT day, dimension, value, events, people FROM audiences WHERE dimension != 'event' ORDER BY ALL`);
    const events =
      "SELECT count() AS n, uniqExact(person(atom)) AS people, uniqExact(session_id) AS visits FROM events WHERE type != 'consent'";
    const [countsBefore, eventsBefore] = [await counts(), await ask(events)];
    expect(await placesOf("phone", "email of an")).toEqual([
      "atom.anonymous_id",
      "events.anonymous_id",
      "events.traits.value",
      "identity_edge.anonymous_id",
    ]);

    nowMs += 60_000;
    await load(choice("withdrawn", asAn));
    const countsWith = await counts();
    expect(await newWithdrawer().tick()).toBe(2);
    await settlePeople();

    expect(await placesOf("phone", "email of an", "household", "click")).toEqual([]);
    expect(await ask("SELECT DISTINCT user_id FROM events ORDER BY user_id")).toEqual([
      { user_id: "" },
      { user_id: "bo" },
    ]);
    expect(await ask(events)).toEqual(eventsBefore);
    // The withdrawal itself is an event of the day, of the same person.
    expect(await counts()).toEqual(countsWith);
    expect(countsWith.length).toBe(countsBefore.length);
    expect(await ask("SELECT person_id, user_ids, traits FROM people ORDER BY person_id")).toEqual([
      { person_id: 192, user_ids: ["bo"], traits: {} },
    ]);
    const queries = createReadQueries(clickhouse);
    for (const value of ["phone", "an"]) expect(await queries.findPerson("shop", { by: "any", value })).toBeUndefined();
    expect(await receipts()).toEqual([
      { table: "", rows: 2, remaining: 0, done: 1 },
      { table: "atom", rows: 2, remaining: 0, done: 1 },
      { table: "events", rows: 5, remaining: 0, done: 1 },
      { table: "identity_edge", rows: 1, remaining: 0, done: 1 },
      { table: "profile_state", rows: 2, remaining: 0, done: 1 },
      { table: "trait_state", rows: 2, remaining: 0, done: 1 },
    ]);
    expect(await newWithdrawer().tick()).toBe(0);
  });

  it("a number is never given out again", async () => {
    await load(
      row(),
      choice("granted"),
      row({ atom: 640, anonymous_id: "newest" }),
      choice("withdrawn", { atom: 640, anonymous_id: "newest" }),
    );
    expect(await newWithdrawer().tick()).toBe(1);
    expect(await createEventStore({ clickhouse }).maxAtom(0)).toBe(640);
    const key = { site: "shop", anonymousId: "newest", userId: "" };
    expect(await createEventStore({ clickhouse }).findAtoms([key])).toEqual([undefined]);
  });

  it("what rests on a contract stays, and the rest of the person's browsers", async () => {
    await load(
      row(),
      row(asAn),
      row({ atom: 192, anonymous_id: "laptop", user_id: "an", ...traits("city") }),
      row({ atom: 256, anonymous_id: "", user_id: "an", basis: "contract", ...traits("email") }),
      row({ atom: 320, user_id: "guest", basis: "contract", name: "Order Completed", type: "track" }),
      choice("withdrawn"),
    );
    await settlePeople();
    expect(await newWithdrawer().tick()).toBe(2);
    await settlePeople();
    expect(await ask("SELECT atom, anonymous_id AS a, user_id AS u FROM atom ORDER BY atom")).toEqual([
      { atom: 64, a: "", u: "" },
      { atom: 128, a: "", u: "" },
      { atom: 192, a: "laptop", u: "an" },
      { atom: 256, a: "", u: "an" },
      { atom: 320, a: "phone", u: "guest" },
    ]);
    expect(await ask("SELECT person_id, traits FROM people WHERE has(user_ids, 'an')")).toEqual([
      { person_id: 192, traits: { city: "city of an", email: "email of an" } },
    ]);
  });

  it("nothing goes when the same browser has said yes again, or when profile was not withdrawn", async () => {
    await load(row(), choice("withdrawn"), choice("granted"));
    expect(await newWithdrawer().tick()).toBe(0);
    await load(
      row({ atom: 128, anonymous_id: "b" }),
      choice("granted", { atom: 128, anonymous_id: "b", "choice.state": ["granted", "granted", "withdrawn"] }),
    );
    expect(await newWithdrawer().tick()).toBe(0);
    expect(await placesOf("phone")).not.toEqual([]);
    expect((await receipts()).filter(({ table }) => table === "")).toEqual([
      { table: "", rows: 0, remaining: 0, done: 1 },
      { table: "", rows: 0, remaining: 0, done: 1 },
    ]);
  });

  it("a refusal, which names nobody, removes nobody", async () => {
    await load(row(), choice("withdrawn", { atom: 0, anonymous_id: "" }));
    expect(await newWithdrawer().tick()).toBe(0);
    expect(await receipts()).toEqual([]);
  });

  it("the same is gone and the receipt says the same, wherever it was interrupted", async () => {
    const rows = [row(), row(asAn), row({ ...asAn, ...traits("email") }), choice("withdrawn", asAn)];
    await load(...rows);
    let commands = 0;
    const counting = createWithdrawalStore({
      clickhouse: { ...clickhouse, command: (...args) => ((commands += 1), clickhouse.command(...args)) },
    });
    await newWithdrawer({ store: counting }).tick();
    const [whole, tables] = [await receipts(), await leftOver()];
    expect(commands).toBe(6);
    for (let at = 1; at <= commands; at += 1) {
      for (const side of ["before", "after"] as const) {
        await emptyTables();
        await load(...rows);
        let count = 0;
        const breaking = createWithdrawalStore({
          clickhouse: {
            ...clickhouse,
            async command(...args) {
              count += 1;
              if (count === at && side === "before") throw new Error("the engine went away");
              await clickhouse.command(...args);
              if (count === at) throw new Error("the engine went away");
            },
          },
        });
        await expect(newWithdrawer({ store: breaking }).tick()).rejects.toThrow("the engine went away");
        await newWithdrawer().tick();
        expect(await receipts()).toEqual(whole);
        expect(await leftOver()).toEqual(tables);
      }
    }
  });

  it("two at once do what one does", async () => {
    const rows = [row(), row(asAn), row({ ...asAn, ...traits("email") }), choice("withdrawn", asAn)];
    await load(...rows);
    await newWithdrawer().tick();
    const [whole, tables] = [await receipts(), await leftOver()];
    await emptyTables();
    await load(...rows);
    await Promise.all([newWithdrawer().tick(), newWithdrawer().tick(), newWithdrawer().tick()]);
    expect(await receipts()).toEqual(whole);
    expect(await leftOver()).toEqual(tables);
  });

  const leftOver = async (): Promise<unknown> => [
    await ask("SELECT atom, key, anonymous_id, user_id FROM atom FINAL ORDER BY ALL"),
    await ask("SELECT message_id, atom, anonymous_id, user_id, `traits.name` FROM events ORDER BY message_id"),
    await ask("SELECT count() AS n FROM trait_state"),
    await ask("SELECT count() AS n FROM profile_state"),
    await ask("SELECT count() AS n FROM identity_edge"),
  ];
  async function emptyTables(): Promise<void> {
    const names = await ask<{ name: string }>(
      "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree' AND name != 'migration'",
    );
    for (const { name } of names) await clickhouse.command(`TRUNCATE TABLE ${name}`);
  }
});

describe("whoever leaves audiences", () => {
  it("is told of each withdrawn purpose while the person is still known, and told again when that failed", async () => {
    await load(
      row(),
      row(asAn),
      choice("withdrawn", { ...asAn, "choice.state": ["granted", "withdrawn", "withdrawn"] }),
    );
    await settlePeople();
    const told: Withdrawal[] = [];
    let fails = true;
    const withdrawer = newWithdrawer({
      async onWithdrawn(withdrawals) {
        expect(await ask("SELECT atom FROM atom WHERE anonymous_id = 'phone' ORDER BY atom")).toEqual([
          { atom: 64 },
          { atom: 128 },
        ]);
        told.push(...withdrawals);
        if (fails) throw new Error("audiences are away");
      },
    });
    await expect(withdrawer.tick()).rejects.toThrow("audiences are away");
    expect(await receipts()).toEqual([]);
    fails = false;
    await withdrawer.tick();
    await withdrawer.tick();
    const once = { site: "shop", n: 1, consentId: "choice-3", atom: 128, person: 64, purposes: ["profile", "ads"] };
    expect(told).toEqual([once, once]);
  });

  it("waits for the next round", async () => {
    const withdrawer = newWithdrawer({ everyMs: 60_000 });
    expect(await withdrawer.tick()).toBe(0);
    await load(row(), choice("withdrawn"));
    nowMs += 59_999;
    expect(await withdrawer.tick()).toBe(0);
    nowMs += 1;
    expect(await withdrawer.tick()).toBe(1);
  });
});
