import { parseAudience } from "@polder/core";
import { buildEventRow, rowBytes, type LoadedEventRow } from "@polder/core/contracts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { createAudienceTickStore } from "./audience-tick-store.ts";
import { compileAudience } from "./audiences/compile-audience.ts";
import type { ClickHouse } from "./clickhouse.ts";
import { personConsent } from "./consent/person-consent.ts";
import { readErasureList, restoreErasures } from "./erasure-list.ts";
import { createErasureStore } from "./erasure-store.ts";
import { erasedTables, untouchedTables } from "./erased-tables.ts";
import { createEventStore } from "./event-store.ts";
import { createPersonExport } from "./person-export.ts";
import { createConsentQueries } from "./queries/consent.ts";
import { createReadQueries } from "./queries/create-read-queries.ts";
import { createDuplicateQueries } from "./queries/duplicates.ts";
import { createStateRebuild } from "./state-rebuild.ts";
import { stateInsert, stateKeys, type StateTable } from "./state-selects.ts";
import { compileComputedTrait } from "./traits/compile-computed-trait.ts";
import { startTestDatabase, type TestDatabase } from "./test-support/start-test-database.ts";

const states = Object.keys(stateKeys).filter((table) => table !== "atom") as StateTable[];
const requestedAt = new Date("2026-11-22T21:00:00Z");
const later = (seconds: number) => (): Date => new Date(requestedAt.getTime() + seconds * 1000);
const order = { site: "shop", actor: "office", reason: "asked by letter", at: requestedAt };

let database: TestDatabase;
let clickhouse: ClickHouse;
let offset = 0;
let inserts = 0;

beforeAll(async () => {
  database = await startTestDatabase();
  clickhouse = database.clickhouse;
  for (const table of states) await clickhouse.command(`CREATE TABLE ${table}_again AS ${table}`);
});
afterAll(() => database?.stop());

const ask = <Row = { [column: string]: unknown }>(sql: string): Promise<Row[]> => clickhouse.query<Row>(sql);
const open = (store = createErasureStore({ clickhouse })) => store;

async function load(rows: readonly LoadedEventRow[]): Promise<void> {
  const store = createEventStore({ clickhouse });
  expect(await store.insert("events", `insert-${(inserts += 1)}`, rowBytes(rows))).toEqual({ ok: true });
}

/** Everything of one person says who it is in each of its texts: a device that logs in, an order, traits, a choice. */
function historyOf(name: string, device: number, user: number): LoadedEventRow[] {
  const at = (minute: number): string => `2026-11-22 20:${String(minute).padStart(2, "0")}:00.000`;
  const row = (minute: number, over: Partial<LoadedEventRow>): LoadedEventRow =>
    buildEventRow({
      _offset: offset++,
      message_id: `${name}-message-${offset}`,
      anonymous_id: `${name}-device`,
      session_id: `${name}-visit`,
      time: at(minute),
      received_at: at(minute),
      session_start: at(0),
      consent_mask: 62,
      atom: device,
      ...over,
    });
  const known = { atom: user, user_id: `${name}-user` };
  return [
    row(1, { utm_campaign: "autumn", channel: "mail", country: "BE" }),
    row(2, {
      type: "consent",
      name: "consent",
      "choice.purpose": ["profile", "ads"],
      "choice.state": ["granted", "denied"],
      consent_id: `${name}-choice`,
    }),
    row(3, {
      ...known,
      type: "identify",
      name: "identify",
      "traits.name": ["email", "newsletter", "city"],
      "traits.value": [`${name}@shop.example`, "weekly", `${name}ville`],
      "traits.class": ["identity", "descriptive", "descriptive"],
      "traits.purpose": ["profile", "profile", "profile"],
      "traits.personal": [1, 0, 0],
    }),
    row(4, {
      ...known,
      type: "track",
      name: "Order Completed",
      order_id: `${name}-order`,
      amount: "12.5",
      currency: "EUR",
    }),
    row(5, {
      ...known,
      type: "track",
      name: "Order Refunded",
      order_id: `${name}-order`,
      amount: "-2.5",
      currency: "EUR",
    }),
  ];
}

async function join(atoms: readonly number[], person: number): Promise<void> {
  await clickhouse.insertRows(
    "identity",
    atoms.map((atom) => ({ site: "shop", atom, person, version: 1 })),
  );
  await clickhouse.command("SYSTEM RELOAD DICTIONARY identity_dict");
}

/** As numbers and texts; what was taken out of a count altogether is as if it had never been there. */
async function read(table: string): Promise<unknown[]> {
  const columns = await clickhouse.query<{ name: string; type: string }>(
    "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {table: String} ORDER BY position",
    { params: { table } },
  );
  const values = columns.map(({ name, type }) => {
    if (type.startsWith("AggregateFunction(groupBitmap")) return `arraySort(bitmapToArray(\`${name}\`))`;
    if (type.startsWith("AggregateFunction")) return `finalizeAggregation(\`${name}\`)`;
    return type.startsWith("JSON") ? `toString(\`${name}\`)` : `\`${name}\``;
  });
  const left = table.startsWith("audience_day") ? "WHERE events != 0 OR bitmapCardinality(atoms) != 0" : "";
  return clickhouse.query(
    `SELECT tuple(${values.join(", ")}) AS row FROM ${table} FINAL ${left} ORDER BY toString(row)`,
  );
}

/** The law: every state is what a recompute from the events that are left gives. */
async function expectStatesToBeWhatEventsSay(): Promise<void> {
  for (const table of states) {
    await clickhouse.command(`TRUNCATE TABLE ${table}_again`);
    await clickhouse.command(
      `INSERT INTO ${table}_again ${stateInsert(table, { from: "events", and: "" })} SETTINGS insert_deduplicate = 0`,
    );
    await clickhouse.command(`OPTIMIZE TABLE ${table} FINAL`);
    expect(await read(table), table).toEqual(await read(`${table}_again`));
  }
}

/** Tables and views in which a text is, however deep. */
async function placesOf(text: string, kind: "tables" | "views"): Promise<string[]> {
  const isView =
    kind === "views" ? "engine = 'View'" : "endsWith(engine, 'MergeTree') AND NOT endsWith(name, '_again')";
  const tables = await ask<{ name: string }>(
    `SELECT name FROM system.tables WHERE database = currentDatabase() AND ${isView} ORDER BY name`,
  );
  const found: string[] = [];
  for (const { name } of tables) {
    const columns = await clickhouse.query<{ name: string; type: string }>(
      "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {name: String}",
      { params: { name } },
    );
    const texts = columns.map(({ name: column, type }) =>
      type.startsWith("AggregateFunction(groupBitmap")
        ? "''"
        : `toString(${type.startsWith("AggregateFunction") ? `finalizeAggregation(\`${column}\`)` : `\`${column}\``})`,
    );
    const [row] = await clickhouse.query<{ count: number }>(
      `SELECT countIf(position(concat(${texts.join(", ' ', ")}, ''), {text: String}) > 0) AS count FROM ${name}`,
      { params: { text } },
    );
    if (row!.count > 0) found.push(name);
  }
  return found;
}

async function erase(people: readonly number[], more: object = {}): Promise<string[]> {
  const requested = await open().request({ ...order, people, ...more });
  await finish();
  return requested.map(({ id }) => id);
}

async function finish(store = open(), now = later(10)): Promise<void> {
  for (let round = 0; round < 5; round++) {
    const erasures = await store.openErasures(1_000, now);
    if (erasures.length === 0) return;
    await store.begin(erasures, now);
    await store.carryOut(erasures, now);
  }
  throw new Error("there is always something left to erase");
}

it("knows every table: it is emptied, or there is a reason why not", async () => {
  const tables = await ask<{ name: string }>(
    "SELECT name FROM system.tables WHERE database = currentDatabase() AND endsWith(engine, 'MergeTree') AND NOT endsWith(name, '_again') ORDER BY name",
  );
  const known = [...Object.keys(erasedTables), ...Object.keys(untouchedTables)].toSorted();
  expect(known).toEqual(tables.map(({ name }) => name));
  // What says who somebody is may be in no table of which nothing is removed.
  const ids = await ask(
    `SELECT table, name FROM system.columns
     WHERE database = currentDatabase() AND name IN ('anonymous_id', 'user_id', 'previous_id', 'body', 'left', 'right', 'session_id', 'ip', 'click_id')
       AND table IN (${Object.keys(untouchedTables)
         .map((table) => `'${table}'`)
         .join(", ")})`,
  );
  expect(ids).toEqual([]);
});

describe("right after the call, before anything was removed, an erased person", () => {
  const queries = () => createReadQueries(clickhouse);
  beforeAll(async () => {
    await load([...historyOf("zedekia", 64, 128), ...historyOf("amy", 192, 256)]);
    await join([128], 64);
    await join([256], 192);
    expect(await placesOf("zedekia", "views")).toContain("events_v");
    const [erasure] = await open().request({ ...order, people: [64] });
    expect(erasure).toMatchObject({ person: 64, identities: 2, kind: "person" });
  });

  it("is in no view", async () => {
    expect(await placesOf("zedekia", "views")).toEqual([]);
    const counts = await ask(
      "SELECT dimension, people FROM audience_days WHERE day = '2026-11-22' AND dimension IN ('all', 'campaign') ORDER BY dimension",
    );
    expect(counts).toEqual([
      { dimension: "all", people: 1 },
      { dimension: "campaign", people: 1 },
    ]);
    for (const view of ["events_v", "people", "sessions", "page_views", "orders", "consent_choices"])
      expect(await ask(`SELECT DISTINCT person_id FROM ${view}`), view).toEqual([{ person_id: 192 }]);
    expect(await placesOf("amy", "views")).toEqual(
      expect.arrayContaining(["events_v", "orders", "people", "sessions"]),
    );
  });

  it("answers no question of the API", async () => {
    const limits = { timeline: 50, sessions: 20, devices: 20, choices: 20, now: requestedAt };
    const ids = [
      { by: "user", value: "zedekia-user" },
      { by: "anonymous", value: "zedekia-device" },
      { by: "any", value: "64" },
      { by: "any", value: "128" },
      { by: "person", value: 64 },
      { by: "person", value: 128 },
    ] as const;
    for (const id of ids) {
      expect(await queries().findPerson("shop", id), JSON.stringify(id)).toBeUndefined();
      expect(await queries().profile("shop", id, limits), JSON.stringify(id)).toBeUndefined();
      expect(await queries().timeline("shop", id, { limit: 50 }), JSON.stringify(id)).toBeUndefined();
    }
    expect((await open().findPeople("shop", ["zedekia-user", "zedekia-device", "64", "amy-user"], "any")).size).toBe(1);
    expect(await queries().findPerson("shop", { by: "user", value: "amy-user" })).toBe(192);
    const before = new Map([[0, -1]]);
    const live = await queries().newEvents(before, 100);
    expect(live.events.filter(({ person }) => person !== 192)).toEqual([]);
    expect(live.count).toBe(5);
    expect((await queries().audiences("shop", "2026-11-22", 10)).every(({ people }) => people <= 1)).toBe(true);
    const span = { now: Date.parse("2026-11-22T20:30:00Z"), since: Date.parse("2026-11-22T20:00:00Z") };
    const summary = await queries().summary("shop", "2026-11-22", span);
    expect(summary.people).toBe(1);
    expect(summary.seconds.reduce((sum, { count }) => sum + count, 0)).toBe(5);
  });

  it("is in no audience, no computed trait, no consent of people, no list of duplicates and no file", async () => {
    const context = {
      site: "shop",
      now: requestedAt,
      timezone: "UTC",
      audiences: new Map(),
      computedTraits: new Map(),
    };
    const everybody = parseAudience({ people: { any: [{ known: true }, { known: false }] } });
    const nobodyElse = parseAudience({ people: { not: { trait: "city", is: "nowhere" } } });
    for (const parsed of [everybody, nobodyElse]) {
      if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults));
      const { sql, params } = compileAudience(parsed.definition, context);
      expect(await clickhouse.query(sql, { params })).toEqual([{ person_id: 192 }]);
    }
    const trait = compileComputedTrait({ compute: "count", event: "*" }, context);
    expect(
      (await clickhouse.query<{ person_id: number }>(trait.sql, { params: trait.params })).map((row) => row.person_id),
    ).toEqual([192]);
    const consent = await clickhouse.query<{ person_id: number }>(`SELECT person_id FROM ${personConsent()}`, {
      params: { site: "shop", now: requestedAt.getTime() },
    });
    expect(consent).toEqual([{ person_id: 192 }]);
    expect(await createDuplicateQueries(clickhouse).duplicates("shop", { minScore: 0, limit: 10 })).toEqual([]);
    expect(await createPersonExport(clickhouse).read("shop", 64)).toBeUndefined();
    const consents = createConsentQueries(clickhouse);
    expect(await consents.atomsOfDevice("shop", "zedekia-device")).toEqual([]);
    expect(await consents.atomsOf(64)).toEqual([]);
    expect(await consents.eventConsents("zedekia-message-1")).toEqual([]);
    expect(await consents.atomsOf(192)).toEqual([192, 256]);
  });

  it("is gone from every table when it is carried out, with a receipt, and nothing else is", async () => {
    await finish();
    expect(await placesOf("zedekia", "tables")).toEqual([]);
    expect(await placesOf("amy", "tables")).toEqual(
      expect.arrayContaining(["atom", "events", "identity_edge", "trait_state"]),
    );
    await expectStatesToBeWhatEventsSay();
    const [{ id } = { id: "" }] = await open().list({ limit: 10 });
    const receipt = await open().receipt(id);
    expect(receipt).toMatchObject({
      state: "done",
      actor: "office",
      reason: "asked by letter",
      identities: 2,
      person: 64,
    });
    expect(receipt!.keys).toHaveLength(3);
    const [{ tables } = { tables: [] }] = receipt!.rounds;
    expect(tables.filter(({ remaining }) => remaining !== 0)).toEqual([]);
    const rows = Object.fromEntries(tables.map(({ table, rows: count }) => [table, count]));
    expect(rows).toMatchObject({
      events: 5,
      atom: 2,
      profile_state: 2,
      trait_state: 3,
      session_state: 2,
      consent_state: 2,
    });
    expect(await open().openErasures(10, later(20))).toEqual([]);
  });

  it("leaves counts as if they had never been", async () => {
    expect(
      await ask(
        "SELECT dimension, value, events, people FROM audience_days WHERE dimension IN ('all', 'erasure') ORDER BY day",
      ),
    ).toEqual([{ dimension: "all", value: "all", events: 5, people: 1 }]);
    await clickhouse.command("OPTIMIZE TABLE audience_day FINAL");
    expect(await ask("SELECT count() AS n FROM audience_day WHERE toInt64(events) < 0")).toEqual([{ n: 0 }]);
  });

  it("leaves the disk when it is swept, and then nothing is left to sweep", async () => {
    const stored =
      "SELECT count() AS n FROM events WHERE anonymous_id = 'zedekia-device' SETTINGS apply_deleted_mask = 0";
    expect(await ask(stored)).toEqual([{ n: 5 }]);
    expect(await open().sweep()).toBeGreaterThan(0);
    expect(await ask(stored)).toEqual([{ n: 0 }]);
    expect(await open().sweep()).toBe(0);
  });
});

describe("an erasure", () => {
  it("cut off at any step goes on, and comes to the same", async () => {
    const cuts = [1, 2, 3, 5, 7, 9, 11, 14, 17];
    const deviceOf = (cut: number): number => (160 + 2 * cut) * 64;
    await load([0, ...cuts].flatMap((cut) => historyOf(`cut${cut}`, deviceOf(cut), deviceOf(cut) + 64)));
    for (const cut of cuts) await join([deviceOf(cut) + 64], deviceOf(cut));
    for (const failsAt of cuts) {
      const [erasure] = await open().request({ ...order, people: [deviceOf(failsAt)] });
      let writes = 0;
      // In turns it is not done, and done without an answer.
      const failing =
        <Given extends unknown[]>(work: (...given: Given) => Promise<void>) =>
        async (...given: Given): Promise<void> => {
          const isCut = ++writes === failsAt;
          if (isCut && failsAt % 2 === 0) throw new Error("cut off");
          await work(...given);
          if (isCut) throw new Error("cut off");
        };
      const insertRows = failing(clickhouse.insertRows);
      const inTurn = new Set<unknown>();
      const store = createErasureStore({
        clickhouse: {
          ...clickhouse,
          command: failing(clickhouse.command),
          insertRows: (...given) => {
            const [table, [row]] = given as [string, { worker?: string }[]];
            const isKept = table === "erasure_turn" && inTurn.has(row?.worker);
            if (table === "erasure_turn" && row?.worker !== "") inTurn.add(row?.worker);
            // Keeping the turn when it takes long is no step.
            return isKept ? clickhouse.insertRows(...given) : insertRows(...given);
          },
        },
      });
      await expect(finish(store), `step ${failsAt}`).rejects.toThrow("cut off");
      // Where it could not give its turn back, that is over a minute later.
      await clickhouse.command(
        "INSERT INTO erasure_turn (what, n, worker, at) SELECT 'erasures', max(n) + 1, 'gone', now64(3) - INTERVAL 1 MINUTE FROM erasure_turn",
      );
      // Counts that are made anew meanwhile do not count again what was taken out of them.
      if (failsAt === 5 || failsAt === 7) await createStateRebuild(clickhouse).rebuild(["2026-11-16"]);
      await finish();
      expect((await open().receipt(erasure!.id))?.state, `step ${failsAt}`).toBe("done");
    }
    await expectStatesToBeWhatEventsSay();
    expect(await ask("SELECT DISTINCT anonymous_id AS id FROM events WHERE startsWith(anonymous_id, 'cut')")).toEqual([
      { id: "cut0-device" },
    ]);
    expect(await ask("SELECT count() AS n FROM audience_day WHERE dimension = 'erasure'")).toEqual([{ n: 0 }]);
  });

  it("goes on beside loading: nothing of others is lost or counted twice, and what comes under its numbers goes in a further round", async () => {
    await load(historyOf("bob", 40_000 * 64, 40_001 * 64));
    await join([40_001 * 64], 40_000 * 64);
    const [erasure] = await open().request({ ...order, people: [40_000 * 64] });
    let n = 0;
    let writes = 0;
    const beside = async (): Promise<void> => {
      if (++writes % 2 === 0) return;
      const atom = (50_000 + n++) * 64;
      // Of somebody else; and of a loader that had them in its hands all the time.
      await load(historyOf(`other${n}`, atom, atom + 32));
      if (n === 2 || n === 5) await load(historyOf("bob", 40_000 * 64, 40_001 * 64));
    };
    const store = createErasureStore({
      clickhouse: {
        ...clickhouse,
        async command(...given) {
          await beside();
          await clickhouse.command(...given);
        },
        async insertRows(...given) {
          await beside();
          await clickhouse.insertRows(...given);
        },
      },
    });
    const erasures = await store.openErasures(10, later(10));
    await store.begin(erasures, later(10));
    await store.carryOut(erasures, later(10));
    expect(n).toBeGreaterThan(5);
    await finish();
    const receipt = await open().receipt(erasure!.id);
    expect(receipt?.state).toBe("done");
    expect(receipt?.rounds.length).toBeGreaterThan(1);
    expect(await placesOf("bob-", "tables")).toEqual([]);
    expect(
      await ask(
        "SELECT uniqExact(anonymous_id) AS people, count() AS events FROM events WHERE startsWith(anonymous_id, 'other')",
      ),
    ).toEqual([{ people: n, events: 5 * n }]);
    await expectStatesToBeWhatEventsSay();
  });

  it("is carried out again on what a restore brings back, and on what was loaded under another number; who came back since stays", async () => {
    const [device, user, again, back] = [60_000, 60_001, 60_002, 60_003].map((number) => number * 64) as [
      number,
      number,
      number,
      number,
    ];
    const history = historyOf("cleo", device, user);
    await load(history);
    await join([user], device);
    const [id] = await erase([device]);
    expect(await placesOf("cleo-", "tables")).toEqual([]);
    const since = { time: "2026-11-22 21:05:00.000", received_at: "2026-11-22 21:05:01.000" };
    const returned = historyOf("cleo", back, back).map((row) => ({
      ...row,
      user_id: "",
      ...since,
      message_id: `new-${row._offset}`,
    }));
    await load(returned);
    expect(await open().openErasures(10, later(20))).toEqual([]);
    // The same rows, as a backup has them; one that a loader stored without having heard of it; and one in the rows of who came back.
    await load(history);
    await load([{ ...history[0]!, _offset: offset++, atom: again, message_id: "late" }]);
    await load([{ ...history[0]!, _offset: offset++, atom: back, message_id: "later" }]);
    await finish(open(), later(30));
    expect((await open().receipt(id!))?.rounds.map(({ isDone }) => isDone)).toEqual([true, true]);
    expect(await ask("SELECT DISTINCT atom FROM events WHERE anonymous_id = 'cleo-device'")).toEqual([{ atom: back }]);
    expect(await ask("SELECT count() AS n FROM events WHERE anonymous_id = 'cleo-device'")).toEqual([
      { n: returned.length },
    ]);
    expect(await ask(`SELECT person_id FROM people WHERE person_id = ${back}`)).toEqual([{ person_id: back }]);
    await expectStatesToBeWhatEventsSay();
    expect(await open().openErasures(10, later(40))).toEqual([]);
  });

  it("takes what was said of before under a value for nobody, built-in or the site's own, and leaves it on other devices", async () => {
    const number = (n: number): number => (61_000 + n) * 64;
    const at = { time: "2026-11-22 20:30:00.000", received_at: "2026-11-22 20:30:01.000" };
    const say = (n: number, anonymous_id: string, user_id: string): LoadedEventRow =>
      buildEventRow({
        ...at,
        _offset: offset++,
        message_id: `nobody-${n}`,
        atom: number(n),
        anonymous_id,
        user_id,
      });
    await load([say(0, "ned-phone", ""), say(1, "gus-phone", ""), say(2, "ned-phone", "hugo"), say(9, "", "null")]);
    const store = createErasureStore({ clickhouse, rules: () => new Map([["shop", { blocked: ["Counter"] }]]) });
    for (const by of ["any", "user", "anonymous"] as const)
      expect(await store.findPeople("shop", ["null", " NULL", "guest", "counter", "0000-0000"], by)).toEqual(new Map());
    await store.request({ ...order, people: [number(0)] });
    await finish(store);
    // As a loader stores what it has not heard of.
    await load([
      say(3, "ned-phone", " NULL"),
      say(4, "ned-phone", "counter\t"),
      say(5, "gus-phone", "null"),
      say(6, "gus-phone", "counter"),
      say(7, "ned-phone", "somebody"),
      say(8, "null", "counter"),
    ]);
    await finish(store);
    expect(
      await ask("SELECT message_id AS id FROM events WHERE startsWith(message_id, 'nobody-') ORDER BY id"),
    ).toEqual([1, 2, 5, 6, 7, 8, 9].map((n) => ({ id: `nobody-${n}` })));
    expect(await store.openErasures(10, later(40))).toEqual([]);
  });

  it("takes what others and tables without a number say of the person, and leaves the device to who else logs in on it", async () => {
    const [device, user, other, shared] = [70_000, 70_001, 70_002, 70_003].map((number) => number * 64) as [
      number,
      number,
      number,
      number,
    ];
    await load([
      ...historyOf("dora", device, user),
      ...historyOf("eve", other, other).map((row) => ({ ...row, user_id: "eve-user" })),
      // Who else logs in on the second device of dora.
      buildEventRow({
        _offset: offset++,
        message_id: "tablet-1",
        atom: shared,
        anonymous_id: "tablet",
        user_id: "dora-user",
      }),
      buildEventRow({
        _offset: offset++,
        message_id: "tablet-2",
        atom: other + 1,
        anonymous_id: "tablet",
        user_id: "eve-user",
      }),
      buildEventRow({
        _offset: offset++,
        message_id: "alias",
        type: "alias",
        name: "alias",
        atom: other,
        anonymous_id: "",
        user_id: "eve-user",
        previous_id: "dora-device",
      }),
      buildEventRow({
        _offset: offset++,
        message_id: "alias-2",
        type: "alias",
        name: "alias",
        atom: other,
        anonymous_id: "",
        user_id: "eve-user",
        previous_id: "tablet",
      }),
    ]);
    await join([user, shared], device);
    await join([other + 1], other);
    const rejected = { site: "shop", received_at: "2026-11-22 20:30:00.000", reason: "invalid_time", _partition: 0 };
    await clickhouse.insertRows("rejected", [
      { ...rejected, _offset: 1, body: '{"type":"track","anonymousId":"dora-device","event":"x"' },
      { ...rejected, _offset: 2, body: '{"traits": {"email": "dora@shop.example"}}' },
      { ...rejected, _offset: 3, body: '{"anonymousId":"eve-device","event":"dora-user"}' },
    ]);
    const flag = { site: "shop", at: "2026-11-22 20:40:00.000", flag: "restrict", is_set: 1, actor: "a", reason: "r" };
    await clickhouse.insertRows("person_flag", [
      { ...flag, id: "f1", user_id: "dora-user" },
      { ...flag, id: "f2", anonymous_id: "dora-device" },
      { ...flag, id: "f3", user_id: "eve-user" },
      { ...flag, id: "f4", user_id: "dora-user", at: "2026-11-22 22:00:00.000" },
    ]);
    const decision = {
      site: "shop",
      at: "2026-11-22 20:40:00.000",
      actor: "a",
      reason: "r",
      left: "",
      right: "",
      undoes: "",
    };
    await clickhouse.insertRows("identity_decision", [
      { ...decision, id: "d1", action: "dismiss", left: "user:dora-user", right: "user:eve-user" },
      {
        ...decision,
        id: "d2",
        action: "unmerge",
        edges: [
          { kind: "login", node: "device:dora-device", other: "user:dora-user" },
          { kind: "login", node: "device:tablet", other: "user:eve-user" },
          { kind: "alias", node: "user:eve-user", other: "dora-user" },
          { kind: "alias", node: "user:eve-user", other: "tablet" },
        ],
      },
    ]);
    const [id] = await erase([device]);
    // What was decided after it is about who came back.
    await clickhouse.command("DELETE FROM person_flag WHERE id = 'f4'");
    expect(await placesOf("dora", "tables")).toEqual(["rejected"]);
    expect(await ask("SELECT _offset AS at FROM rejected")).toEqual([{ at: 3 }]);
    expect(await ask("SELECT id FROM person_flag")).toEqual([{ id: "f3" }]);
    expect(
      await ask("SELECT startsWith(left, 'user:erased-') AS isGone, right FROM identity_decision WHERE id = 'd1'"),
    ).toEqual([{ isGone: 1, right: "user:eve-user" }]);
    expect(
      await ask(
        "SELECT arrayMap(edge -> (startsWith(edge.node, 'user:erased-') ? 'erased' : edge.node, match(edge.other, '^(user:)?erased-[0-9a-f]{16}$') ? 'erased' : edge.other), edges) AS ties FROM identity_decision WHERE id = 'd2'",
      ),
    ).toEqual([
      {
        ties: [
          ["erased", "erased"],
          ["device:tablet", "user:eve-user"],
          ["user:eve-user", "erased"],
          ["user:eve-user", "tablet"],
        ],
      },
    ]);
    expect(
      await ask(
        "SELECT message_id AS id, previous_id AS previous FROM events WHERE startsWith(message_id, 'alias') ORDER BY id",
      ),
    ).toEqual([
      { id: "alias", previous: "" },
      { id: "alias-2", previous: "tablet" },
    ]);
    expect(await ask("SELECT user_id AS user FROM events WHERE anonymous_id = 'tablet'")).toEqual([
      { user: "eve-user" },
    ]);
    // Of the shared device only what dora did is refused.
    const { keys, hashKey } = await createEventStore({ clickhouse }).erasedIds(undefined);
    expect(hashKey).toHaveLength(4);
    const tables = new Map((await open().receipt(id!))!.rounds[0]!.tables.map(({ table, rows }) => [table, rows]));
    expect([tables.get("rejected"), tables.get("person_flag"), tables.get("identity_decision")]).toEqual([2, 2, 2]);
    expect(keys.size).toBeGreaterThan(0);
    await expectStatesToBeWhatEventsSay();
  });

  it("stays in an audience until those who were told of it have heard, but not for ever", async () => {
    const atom = 80_000 * 64;
    await load([buildEventRow({ _offset: offset++, message_id: "member", atom, anonymous_id: "fay-device" })]);
    const member = { site: "shop", audience: "buyers", person: atom, version: 1 };
    const at = "2026-11-22 20:50:00.000";
    await clickhouse.insertRows("audience_member", [{ ...member, since: at, seq: 1, has_left: 0 }]);
    await clickhouse.insertRows("audience_log", [
      { ...member, seq: 1, change: "enter", reason: "enter", survivor: 0, at },
    ]);
    const [erasure] = await open().request({ ...order, people: [atom] });
    const carryOut = async (seconds: number, store = open()): Promise<string | undefined> => {
      const erasures = await store.openErasures(10, later(seconds));
      await store.begin(erasures, later(seconds));
      await store.carryOut(erasures, later(seconds));
      return (await open().receipt(erasure!.id))?.state;
    };
    expect(await carryOut(10)).toBe("begun");
    // Numbers alone are left.
    expect(await placesOf("fay-", "tables")).toEqual([]);
    // The worker has let go of them.
    await clickhouse.insertRows("audience_member", [
      { ...member, since: "2026-11-22 21:00:20.000", seq: 2, has_left: 1 },
    ]);
    await clickhouse.insertRows("audience_log", [
      { ...member, seq: 2, change: "exit", reason: "erased", survivor: 0, at: "2026-11-22 21:00:20.000" },
    ]);
    expect(await carryOut(30)).toBe("begun");
    expect(await ask("SELECT count() AS n FROM audience_log")).toEqual([{ n: 2 }]);
    // The tick goes on meanwhile, and brings nobody back from the log.
    const { applyLog } = createAudienceTickStore({ clickhouse });
    const besideTicks = createErasureStore({
      clickhouse: {
        ...clickhouse,
        async command(sql, given) {
          await clickhouse.command(sql, given);
          if (sql.includes("audience_")) await applyLog();
        },
      },
    });
    expect(await carryOut(141, besideTicks)).toBe("done");
    expect(await ask("SELECT (SELECT count() FROM audience_log) + (SELECT count() FROM audience_member) AS n")).toEqual(
      [{ n: 0 }],
    );
  });
});

describe("chosen traits", () => {
  it("go from the person, from events and from what ties people together; contact data goes and the newsletter stays", async () => {
    const [device, user] = [90_000 * 64, 90_001 * 64] as const;
    await load(historyOf("gus", device, user));
    await join([user], device);
    const people = { ...order, people: [device] };
    const [requested] = await open().request({ ...people, part: { class: "identity", keep: ["newsletter"] } });
    expect(requested).toMatchObject({ kind: "traits", traits: ["email"], identities: 2 });
    // Nobody is hidden for it.
    expect(await ask(`SELECT count() AS n FROM people WHERE person_id = ${device}`)).toEqual([{ n: 1 }]);
    await finish();
    expect(await placesOf("gus@shop.example", "tables")).toEqual([]);
    expect(await ask(`SELECT traits FROM people WHERE person_id = ${device}`)).toEqual([
      { traits: { city: "gusville", newsletter: "weekly" } },
    ]);
    expect(await ask(`SELECT DISTINCT kind FROM identity_edge WHERE atom IN (${device}, ${user})`)).toEqual([
      { kind: "login" },
    ]);
    const receipt = await open().receipt(requested!.id);
    expect(receipt).toMatchObject({ state: "done", traits: ["email"] });
    expect(receipt!.rounds[0]!.tables).toEqual([
      { table: "events", rows: 1, remaining: 0 },
      { table: "identity_edge", rows: 1, remaining: 0 },
      { table: "rejected", rows: 0, remaining: 0 },
      { table: "trait_state", rows: 1, remaining: 0 },
    ]);
    await expectStatesToBeWhatEventsSay();

    // Loaded late it goes again; stated since, it stays.
    const late = historyOf("gus", device, user)[2]!;
    await load([{ ...late, message_id: "gus-late" }]);
    await load([
      {
        ...late,
        _offset: offset++,
        message_id: "gus-new",
        time: "2026-11-22 21:10:00.000",
        "traits.value": ["gus@new.example", "weekly", "gusville"],
      },
    ]);
    await finish(open(), later(60));
    expect(await placesOf("gus@shop.example", "tables")).toEqual([]);
    expect(await ask(`SELECT traits['email'] AS email FROM people WHERE person_id = ${device}`)).toEqual([
      { email: "gus@new.example" },
    ]);
    await expectStatesToBeWhatEventsSay();
  });
});

it("is known again after an older copy of the tables was restored, whatever numbers are given out there", async () => {
  await load([...historyOf("iris", 92_000 * 64, 92_001 * 64), ...historyOf("jan", 92_002 * 64, 92_002 * 64)]);
  await join([92_001 * 64], 92_000 * 64);
  await erase([92_000 * 64]);
  await erase([92_002 * 64], { part: { traits: ["email"] } });
  const list = await readErasureList(clickhouse);
  expect(list.length).toBeGreaterThan(1);
  expect(JSON.stringify(list)).not.toMatch(/iris|jan/);
  // As before the first erasure; the numbers are of others now.
  for (const table of ["erasure", "erasure_key", "erasure_receipt", "identity"])
    await clickhouse.command(`TRUNCATE TABLE ${table}`);
  await clickhouse.command("SYSTEM RELOAD DICTIONARY identity_dict");
  await load([
    ...historyOf("iris", 95_000 * 64, 95_001 * 64),
    ...historyOf("hal", 64, 128),
    { ...historyOf("jan", 95_002 * 64, 95_002 * 64)[2]!, message_id: "jan-restored" },
  ]);
  expect(await restoreErasures(clickhouse, list, later(3_600)())).toBe(list.length);
  expect(await restoreErasures(clickhouse, list, later(3_600)())).toBe(0);
  await finish(open(), later(3_600));
  expect(await placesOf("iris-", "tables")).toEqual([]);
  expect(await placesOf("jan@shop.example", "tables")).toEqual([]);
  expect(await ask("SELECT uniqExact(message_id) AS n FROM events WHERE anonymous_id = 'hal-device'")).toEqual([
    { n: 5 },
  ]);
  const other = list.map((erasure) => ({ ...erasure, k0: "1", id: `${erasure.id}-2` }));
  await expect(restoreErasures(clickhouse, other, later(0)())).rejects.toThrow("another installation");
  await expectStatesToBeWhatEventsSay();
});

it("leaves every event of somebody else, of this site and of others, whenever it happened and wherever it stands", async () => {
  const number = (n: number): number => (96_000 + n) * 64;
  const early = { time: "2026-11-22 19:00:00.000", received_at: "2026-11-22 19:00:01.000" };
  const one = (n: number, over: Partial<LoadedEventRow>): LoadedEventRow =>
    buildEventRow({
      ...early,
      _offset: offset++,
      message_id: `mine-${n}`,
      atom: number(n),
      anonymous_id: `lea-${n}`,
      ...over,
    });
  await load([
    one(0, {}),
    one(1, {}),
    one(2, { site: "other", anonymous_id: "lea-0" }),
    one(3, { anonymous_id: "lea-0", user_id: "mia" }),
    one(4, { time: "2026-11-22 21:00:00.500", received_at: "2026-11-22 21:00:01.000" }),
  ]);
  const others = `SELECT * FROM events WHERE atom != ${number(0)} ORDER BY site, message_id, _partition, _offset`;
  const before = await ask(others);
  expect(before.length).toBeGreaterThan(4);
  await erase([number(0)]);
  expect(await ask(`SELECT count() AS n FROM events WHERE atom = ${number(0)}`)).toEqual([{ n: 0 }]);
  expect(await ask(others)).toEqual(before);
});

it("removes from every shard of a cluster what is sharded, in words that ClickHouse understands", async () => {
  const atom = 97_000 * 64;
  await load([buildEventRow({ _offset: offset++, message_id: "shard", atom, anonymous_id: "kim-device" })]);
  const changes: string[] = [];
  // There is no cluster to be had here: what would change one is looked at, and everything else is done.
  const store = createErasureStore({
    cluster: "main",
    clickhouse: {
      ...clickhouse,
      async command(sql, options) {
        if (!/^(ALTER|DELETE|SYSTEM|KILL)/.test(sql)) return clickhouse.command(sql, options);
        await clickhouse.command(`EXPLAIN AST ${sql}`, options);
        changes.push(sql);
      },
    },
  });
  await store.request({ ...order, people: [atom] });
  const [erasure] = await store.openErasures(10, later(10));
  await store.begin([erasure!], later(10));
  await store.carryOut([erasure!], later(10));
  expect(changes.every((sql) => sql.includes("ON CLUSTER `main`"))).toBe(true);
  const tables = changes.flatMap((sql) => /^(?:ALTER TABLE|DELETE FROM) (\w+)/.exec(sql)?.[1] ?? []);
  expect(tables).toEqual(
    expect.arrayContaining(["events_local", "atom_event_local", "audience_day_local", "session_state_local"]),
  );
  expect(tables.filter((table) => !table.endsWith("_local"))).toEqual([]);
  // Nothing was removed, so it is not done, and what leads to the rows stays.
  expect((await store.receipt(erasure!.id))?.state).toBe("begun");
  expect(changes.filter((sql) => sql.startsWith("DELETE FROM atom_local"))).toEqual([]);
});
