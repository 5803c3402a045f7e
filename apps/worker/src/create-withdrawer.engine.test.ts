import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  compileComputedTrait,
  createClickHouse,
  createComputedTraitStore,
  createConsentRecordStore,
  createDecisionStore,
  createEventStore,
  createIdentityStore,
  createPersonExport,
  createPersonFlagStore,
  createReadQueries,
  createSendGate,
  createWithdrawalStore,
  migrate,
  reloadIdentities,
  type ClickHouse,
} from "@polder/clickhouse";
import { createIdentityDesk, type ComputedTrait, type Withdrawal } from "@polder/core";
import { buildEventRow, type LoadedEventRow } from "@polder/core/contracts";
import { startEngine, type Engine } from "@polder/engine";
import { emptyTables } from "@polder/testing";
import { Registry } from "prom-client";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createConsentRecorder } from "./create-consent-recorder.ts";
import { createWithdrawer, type WithdrawerOptions } from "./create-withdrawer.ts";
import { createWorker } from "./create-worker.ts";
import { watchSettling } from "./watch-settling.ts";

const logger = { info() {}, warn() {}, error() {} };
const folder = mkdtempSync(join(tmpdir(), "polder-withdraw-"));
let engine: Engine;
let clickhouse: ClickHouse;
let nowMs = 0;
const now = (): Date => new Date(nowMs);

beforeAll(async () => {
  engine = await startEngine({ dataPath: folder, logger });
  clickhouse = createClickHouse({ url: engine.url, ...engine.admin, database: "polder", logger });
  await migrate(clickhouse);
});
afterAll(async () => {
  await clickhouse?.close();
  await engine?.stop();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  await emptyTables(clickhouse);
  await reloadIdentities(clickhouse);
  nowMs = Date.parse("2026-11-22T20:30:00Z");
  offset = 0;
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
  createWithdrawer({ store: createWithdrawalStore({ clickhouse }), now, everyMs: 0, graceMs: 0, ...options });
const settlePeople = () =>
  createWorker({ store: createIdentityStore(clickhouse), logger, registry: new Registry() }).tick();

const ask = async <Row>(sql: string): Promise<Row[]> => clickhouse.query<Row>(sql);
const receipts = () =>
  ask<{ table: string; rows: number; remaining: number; done: number }>(
    "SELECT table_name AS table, rows, remaining, is_done AS done FROM consent_receipt FINAL ORDER BY site, n, round, table",
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
      ask(`SELECT day, dimension, value, events, people FROM audience_days WHERE dimension != 'event' ORDER BY ALL`);
    const events =
      "SELECT count() AS n, uniqExact(person(atom)) AS people, uniqExact(session_id) AS visits FROM events WHERE type != 'consent'";
    const [countsBefore, eventsBefore] = [await counts(), await ask(events)];
    expect(await placesOf("phone", "email of an")).toEqual([
      "atom.anonymous_id",
      "atom_event.anonymous_id",
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
      { table: "atom_event", rows: 5, remaining: 0, done: 1 },
      { table: "consent_state", rows: 2, remaining: 0, done: 1 },
      { table: "events", rows: 5, remaining: 0, done: 1 },
      { table: "identity_edge", rows: 2, remaining: 0, done: 1 },
      { table: "profile_state", rows: 2, remaining: 0, done: 1 },
      { table: "trait_state", rows: 2, remaining: 0, done: 1 },
    ]);
    expect(await newWithdrawer().tick()).toBe(0);
  });

  it("no decision says who it was, or that of others stands: also by way of whoever withdrew", async () => {
    await load(
      row(),
      row(asAn),
      row({ atom: 192, anonymous_id: "", user_id: "kim", basis: "contract" }),
      row({ atom: 256, anonymous_id: "", user_id: "lee", basis: "contract" }),
      row({ atom: 320, anonymous_id: "laptop", user_id: "bo" }),
      row({ atom: 384, anonymous_id: "tablet", user_id: "bo", basis: "contract" }),
    );
    const decide = (n: number, fields: object) => ({
      site: "shop",
      id: `decision-${n}`,
      at: `2026-11-22 20:0${n}:00.000`,
      action: "merge",
      actor: "desk",
      reason: "letter",
      ...fields,
    });
    await clickhouse.insertRows("identity_decision", [
      decide(1, { left: "device:phone", right: "user:kim" }),
      decide(2, { left: "device:phone", right: "user:lee" }),
      decide(3, { left: "device:laptop", right: "user:bo" }),
      decide(4, {
        action: "unmerge",
        edges: [
          { kind: "login", node: "user:an", other: "device:phone" },
          { kind: "alias", node: "user:bo", other: "phone" },
        ],
      }),
    ]);
    await settlePeople();
    const persons = () =>
      ask(
        "SELECT groupArray(atom) AS atoms FROM (SELECT DISTINCT atom, person(atom) AS person FROM atom ORDER BY atom) GROUP BY person ORDER BY atoms",
      );
    const before = await persons();
    await load(choice("withdrawn", asAn), choice("withdrawn", { atom: 320, anonymous_id: "laptop", user_id: "bo" }));
    expect(await newWithdrawer().tick()).toBe(3);
    expect(await placesOf("phone", "laptop", "user:an")).toEqual([]);
    const decisions = await ask<{ left: string; right: string; edges: { node: string; other: string }[] }>(
      "SELECT left, right, edges FROM identity_decision ORDER BY id",
    );
    expect(decisions.map(({ right }) => right)).toEqual(["user:kim", "user:lee", "user:bo", ""]);
    const [first, second, , unmerge] = decisions;
    expect(first!.left).toMatch(/^user:erased-[0-9a-f]{16}$/);
    expect(second!.left).toBe(first!.left);
    expect(unmerge!.edges[0]!.other).toBe(first!.left);
    expect(unmerge!.edges[1]).toMatchObject({ node: "user:bo", other: first!.left.slice("user:".length) });
    for (const table of ["identity", "identity_position"]) await clickhouse.command(`TRUNCATE TABLE ${table}`);
    await reloadIdentities(clickhouse);
    await settlePeople();
    expect(await persons()).toEqual(before);
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

  it("the person is one as before, and the no holds for it, also when everything about people is worked out anew", async () => {
    const laptop = { atom: 192, anonymous_id: "laptop", user_id: "an", consent_mask: 38 };
    const toAds = (state: string) => ({ "choice.purpose": ["profile", "ads"], "choice.state": [state, state] });
    await load(row(), row(asAn), choice("granted", { ...laptop, ...toAds("granted") }), row(laptop));
    await settlePeople();
    const persons = () => ask("SELECT DISTINCT atom, person(atom) AS person FROM atom ORDER BY atom");
    const isPermitted = async (): Promise<boolean> => {
      const gate = createSendGate(clickhouse);
      return (await gate.count({ site: "shop", people: [64], purpose: "ads", now: nowMs })).permitted === 1;
    };
    expect(await isPermitted()).toBe(true);
    nowMs += 60_000;
    const at = "2026-11-22 20:31:00.000";
    await load(choice("withdrawn", { ...toAds("withdrawn"), time: at, received_at: at }));
    await settlePeople();
    expect(await isPermitted()).toBe(false);
    expect(await newWithdrawer().tick()).toBe(2);
    for (const isAnew of [false, true]) {
      if (isAnew)
        for (const table of ["identity", "identity_position"]) await clickhouse.command(`TRUNCATE TABLE ${table}`);
      await settlePeople();
      expect(await persons()).toEqual([64, 128, 192].map((atom) => ({ atom, person: 192 })));
      expect(await isPermitted()).toBe(false);
    }
    // A person of its own where nothing ties the laptop any more: the no goes with it.
    expect(await ask("SELECT atom, other FROM identity_tie ORDER BY atom")).toEqual([
      { atom: 64, other: 192 },
      { atom: 128, other: 192 },
    ]);
  });

  describe("of somebody who was merged with somebody else by hand, and is taken out of them", () => {
    const laptop = { atom: 192, anonymous_id: "laptop", user_id: "an", consent_mask: 38 };
    const wims = { atom: 16, anonymous_id: "tablet", user_id: "wim" };
    const toAds = (state: string) => ({ "choice.purpose": ["profile", "ads"], "choice.state": [state, state] });
    const verdictOf = async (person: number): Promise<string | undefined> => {
      const { permitted, leftOut } = await createSendGate(clickhouse).count({
        site: "shop",
        people: [person],
        purpose: "ads",
        now: nowMs,
      });
      return permitted === 1 ? "permitted" : Object.entries(leftOut).find(([, people]) => people > 0)?.[0];
    };
    const signed = { actor: "ada", reason: "she called" };
    let decisions = 0;
    const desk = () =>
      createIdentityDesk({
        identities: createIdentityStore(clickhouse),
        decisions: createDecisionStore(clickhouse),
        rules: () => new Map(),
        now: () => nowMs,
        newId: () => `decision-${(decisions += 1)}`,
      });
    const withdrawMergedAndApart = async (): Promise<void> => {
      expect(await desk().merge("shop", { left: 16, right: 192 }, signed)).toMatchObject({ ok: true });
      await settlePeople();
      nowMs += 60_000;
      const at = "2026-11-22 20:31:00.000";
      // Nobody is logged in on the phone when it withdraws.
      await load(choice("withdrawn", { ...toAds("withdrawn"), time: at, received_at: at }));
      expect(await newWithdrawer().tick()).toBe(2);
      await settlePeople();
      const apart = { users: ["an"], devices: ["laptop"] };
      expect(await desk().unmerge("shop", 16, apart, signed)).toMatchObject({ ok: true });
      await settlePeople();
      expect(await ask("SELECT DISTINCT atom, person(atom) AS person FROM atom ORDER BY atom")).toEqual([
        { atom: 16, person: 16 },
        { atom: 64, person: 192 },
        { atom: 128, person: 192 },
        { atom: 192, person: 192 },
      ]);
    };

    it("the no goes with the one whose it was, and not with the other", async () => {
      const yes = toAds("granted");
      await load(row(), row(asAn), choice("granted", { ...laptop, ...yes }), row(laptop));
      await load(choice("granted", { ...wims, ...yes, consent_mask: 38 }), row({ ...wims, consent_mask: 38 }));
      await settlePeople();
      await withdrawMergedAndApart();
      expect([await verdictOf(192), await verdictOf(16)]).toEqual(["denied", "permitted"]);
    });

    it("the other has none of the restrictions", async () => {
      await load(row(), row(asAn), row(laptop), row(wims));
      await settlePeople();
      const flags = createPersonFlagStore({ clickhouse, blockedAt: () => [] });
      await flags.decide({
        site: "shop",
        person: 64,
        flag: "restrict",
        purposes: [],
        isSet: true,
        at: now(),
        ...signed,
      });
      await withdrawMergedAndApart();
      expect([await verdictOf(192), await verdictOf(16)]).toEqual(["restricted", "no_consent"]);
    });
  });

  it("a computed trait is the same in audiences and in what is known of the person: without what nobody is named in", async () => {
    const laptop = { atom: 192, anonymous_id: "laptop", user_id: "an" };
    const order = (id: string) =>
      ({ type: "track", name: "Order Completed", order_id: id, currency: "EUR", amount: "10" }) as const;
    await load(row(), row(asAn), row({ ...asAn, ...order("a") }), row(laptop), row({ ...laptop, ...order("b") }));
    await settlePeople();
    const definition: ComputedTrait = { compute: "lifetime_value", currency: "EUR" };
    await createComputedTraitStore(clickhouse).save({
      site: "shop",
      name: "spent",
      version: 1,
      definition,
      at: nowMs,
      actor: "desk",
      reason: "to see",
    });
    const spent = async () => {
      const { sql, params } = compileComputedTrait(definition, { site: "shop", now: new Date() });
      const known: string[] = [];
      for await (const { section, value } of (await createPersonExport(clickhouse).read("shop", 64))!)
        if (section === "computed_traits") known.push(value);
      return { ofAll: await clickhouse.query(sql, { params }), known };
    };
    expect(await spent()).toEqual({ ofAll: [{ person_id: 64, value: "20" }], known: ["20"] });
    nowMs += 60_000;
    const at = "2026-11-22 20:31:00.000";
    await load(choice("withdrawn", { time: at, received_at: at }));
    await settlePeople();
    await newWithdrawer().tick();
    await settlePeople();
    expect(await spent()).toEqual({ ofAll: [{ person_id: 192, value: "10" }], known: ["10"] });
  });

  it("a log-in that was not looked at yet is looked at first: the no of the phone holds for whoever logged in on it", async () => {
    const laptop = { atom: 192, anonymous_id: "laptop", user_id: "an", consent_mask: 38 };
    const toAds = (state: string) => ({ "choice.purpose": ["profile", "ads"], "choice.state": [state, state] });
    await load(choice("granted", { ...laptop, ...toAds("granted") }), row(laptop));
    await settlePeople();
    const withdrawer = newWithdrawer({ settling: () => watchSettling(createIdentityStore(clickhouse)) });
    await load(row(), row(asAn), choice("withdrawn", { ...asAn, ...toAds("withdrawn") }));
    for (const _ of [1, 2]) expect(await withdrawer.tick()).toBe(0);
    expect(await placesOf("phone")).not.toEqual([]);
    await settlePeople();
    expect(await withdrawer.tick()).toBe(2);
    expect(await placesOf("phone")).toEqual([]);
    await settlePeople();
    expect(await ask("SELECT atom, person(atom) AS person FROM identity_tie ORDER BY atom")).toEqual([
      { atom: 64, person: 192 },
      { atom: 128, person: 192 },
    ]);
    const gate = createSendGate(clickhouse);
    expect(await gate.count({ site: "shop", people: [192], purpose: "ads", now: nowMs })).toMatchObject({
      permitted: 0,
    });
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
      // Its click ids went.
      { table: "", rows: 1, remaining: 0, done: 1 },
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
    expect(commands).toBe(8);
    for (let at = 1; at <= commands; at += 1) {
      for (const side of ["before", "after"] as const) {
        await emptyTables(clickhouse);
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
    await emptyTables(clickhouse);
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
});

describe("a yes", () => {
  const at = (time: string, receivedAt: string) => ({
    time: `2026-11-22 ${time}.000`,
    received_at: `2026-11-22 ${receivedAt}.000`,
  });
  const outcomes = () =>
    ask("SELECT outcome, rows FROM consent_receipt FINAL WHERE table_name = '' AND is_done = 1 ORDER BY n");

  it.each([
    ["made before the withdrawal and loaded after it", at("20:15:09", "20:15:30"), 6],
    ["that the collectors did not let count", at("20:15:20", "20:15:30"), 3],
  ])("%s keeps nothing from being removed", async (_, times, mask) => {
    await load(choice("granted"), row(), choice("withdrawn", at("20:15:10", "20:15:11")));
    await load(choice("granted", { ...times, consent_mask: mask }));
    expect(await newWithdrawer().tick()).toBe(1);
    expect(await placesOf("phone")).toEqual([]);
    expect(await outcomes()).toEqual([{ outcome: "removed", rows: 1 }]);
  });

  it("made after it keeps everything, also when it was loaded before; and the receipt says so", async () => {
    await load(choice("granted", at("20:15:20", "20:15:30")), row());
    await load(choice("withdrawn", at("20:15:10", "20:15:31")));
    expect(await newWithdrawer().tick()).toBe(0);
    expect(await placesOf("phone")).not.toEqual([]);
    expect(await outcomes()).toEqual([{ outcome: "granted_again", rows: 0 }]);
  });
});

describe("what is loaded late", () => {
  beforeEach(() => {
    // The keys in a receipt end by the clock of the store.
    nowMs = Date.now();
  });
  const newAn = { atom: 256, user_id: "an" };

  it("goes in a round of its own, whatever number it got, though the device was never seen with that user", async () => {
    await load(choice("granted"), row(), choice("withdrawn"));
    const withdrawer = newWithdrawer();
    expect(await withdrawer.tick()).toBe(1);
    expect(await withdrawer.tick()).toBe(0);
    await load(
      row(),
      row({ ...newAn, ...traits("email") }),
      row({
        atom: 320,
        anonymous_id: "",
        user_id: "an",
        type: "alias",
        name: "alias",
        previous_id: "phone",
        click_id: "",
      }),
    );
    nowMs += 7 * 24 * 3_600_000;
    expect(await withdrawer.tick()).toBe(2);
    expect(await placesOf("phone", "email of an")).toEqual([]);
    expect(await receipts()).toEqual([
      ...receiptOf({ "": 1, atom: 1, atom_event: 3, consent_state: 1, events: 3, profile_state: 1 }),
      ...receiptOf({
        "": 2,
        atom: 2,
        atom_event: 2,
        consent_state: 2,
        events: 3,
        identity_edge: 2,
        profile_state: 2,
        trait_state: 1,
      }),
    ]);
    expect(await withdrawer.tick()).toBe(0);
    expect((await receipts()).length).toBe(16);
  });

  it("is no longer looked for after eight days", async () => {
    await load(row(), choice("withdrawn"));
    expect(await newWithdrawer().tick()).toBe(1);
    await load(row());
    nowMs += 8 * 24 * 3_600_000 + 1;
    expect(await newWithdrawer().tick()).toBe(0);
  });

  it("while it is carried out is not called done before it is gone", async () => {
    await load(row(), choice("withdrawn"));
    let isLoaded = false;
    const loadedInBetween = createWithdrawalStore({
      clickhouse: {
        ...clickhouse,
        async command(sql, options) {
          await clickhouse.command(sql, options);
          if (isLoaded || !sql.startsWith("ALTER TABLE events")) return;
          isLoaded = true;
          await clickhouse.insertRows("events", [row()]);
        },
      },
    });
    await newWithdrawer({ store: loadedInBetween }).tick();
    expect((await receipts()).map(({ done }) => done)).toEqual(Array.from({ length: 8 }, () => 0));
    expect((await receipts())[0]!.remaining).toBeGreaterThan(0);
    await newWithdrawer().tick();
    expect(await placesOf("phone")).toEqual([]);
    expect((await receipts()).filter(({ done, remaining }) => done !== 1 || remaining !== 0)).toEqual([]);
  });

  it("stays when it came with a yes that is not on record yet", async () => {
    await load(row(), choice("withdrawn"));
    expect(await newWithdrawer().tick()).toBe(1);
    const since = { atom: 256, received_at: "2026-11-22 21:00:00.000", time: "2026-11-22 21:00:00.000" };
    await clickhouse.insertRows("events", [choice("granted", since), row(since)]);
    expect(await newWithdrawer().tick()).toBe(0);
    expect(await ask("SELECT count() AS n FROM events WHERE anonymous_id = 'phone'")).toEqual([{ n: 2 }]);
    expect((await receipts()).length).toBe(8);
  });

  it("on an identity that goes on loses what was received before the withdrawal, and nothing else", async () => {
    const since = { atom: 256, received_at: "2026-11-22 21:00:00.000", time: "2026-11-22 21:00:00.000" };
    await load(row(), choice("withdrawn"));
    expect(await newWithdrawer().tick()).toBe(1);
    await load(
      choice("granted", since),
      row({ ...since, ...traits("city") }),
      row({ atom: 256, ...traits("email", "city") }),
    );
    expect(await newWithdrawer().tick()).toBe(0);
    expect(await ask("SELECT message_id AS id FROM events WHERE anonymous_id = 'phone' ORDER BY id")).toEqual([
      { id: "m3" },
      { id: "m4" },
    ]);
    expect(await ask("SELECT name, argMaxMerge(last).1 AS value FROM trait_state GROUP BY name")).toEqual([
      { name: "city", value: "city of an" },
    ]);
    expect(await placesOf("email of an")).toEqual([]);
    expect((await receipts()).length).toBe(16);
    await newWithdrawer().tick();
    expect((await receipts()).length).toBe(16);
  });

  const receiptOf = (rows: { [table: string]: number }) =>
    ["", "atom", "atom_event", "consent_state", "events", "identity_edge", "profile_state", "trait_state"].map(
      (table) => ({
        table,
        rows: rows[table] ?? 0,
        remaining: 0,
        done: 1,
      }),
    );
});

describe("a withdrawal", () => {
  it("takes its id from what other identities said of it, unless that stands on a contract", async () => {
    // By the keys in its receipt, which end by the clock of the store.
    nowMs = Date.now();
    const ids = { anonymous_id: "", user_id: "bo", previous_id: "phone" };
    const alias = { ...ids, type: "alias", name: "alias" } as const;
    await load(
      row(),
      row({ ...alias, atom: 128 }),
      row({ ...alias, atom: 192, user_id: "cy", basis: "contract" }),
      row({ ...alias, atom: 320, site: "other" }),
      choice("withdrawn"),
    );
    expect(await newWithdrawer().tick()).toBe(1);
    expect(
      await ask("SELECT atom, previous_id AS id, user_id AS user FROM events WHERE type = 'alias' ORDER BY atom"),
    ).toEqual([
      { atom: 128, id: "", user: "bo" },
      { atom: 192, id: "phone", user: "cy" },
      { atom: 320, id: "phone", user: "bo" },
    ]);
    expect((await receipts()).find(({ table }) => table === "events")).toMatchObject({ rows: 3, remaining: 0 });
  });

  it.each([
    ["opted_out", "opt_out", 1],
    ["denied", "notice", 1],
    ["denied", "opt_in", 0],
  ] as const)("is what %s is under %s: %i", async (state, regime, gone) => {
    await load(row({ regime }), choice(state, { regime, basis: regime }));
    expect(await newWithdrawer().tick()).toBe(gone);
    expect(await placesOf("phone")).toEqual(
      gone === 1 ? [] : ["atom.anonymous_id", "atom_event.anonymous_id", "events.anonymous_id"],
    );
  });

  it("of ads alone takes click ids and the traits for it, and leaves the rest", async () => {
    const mixed = { ...traits("city", "segment"), "traits.purpose": ["profile", "ads"] };
    await load(
      row(asAn),
      row({ ...asAn, ...mixed }),
      row({ atom: 192, user_id: "guest", basis: "contract" }),
      choice("withdrawn", { "choice.state": ["granted", "granted", "withdrawn"], click_id: "", click_id_kind: "" }),
    );
    expect(await newWithdrawer().tick()).toBe(0);
    expect(
      await ask("SELECT DISTINCT atom, anonymous_id AS id FROM events WHERE click_id != '' OR click_id_kind != ''"),
    ).toEqual([{ atom: 192, id: "phone" }]);
    expect(await placesOf("segment")).toEqual([]);
    expect(await placesOf("city of an")).toEqual(["events.traits.value"]);
    expect(await ask("SELECT name FROM trait_state")).toEqual([{ name: "city" }]);
    expect((await receipts()).map(({ table, rows, remaining }) => [table, rows, remaining])).toEqual([
      ["", 2, 0],
      ["atom", 0, 0],
      ["atom_event", 0, 0],
      ["consent_state", 0, 0],
      ["events", 2, 0],
      ["identity_edge", 0, 0],
      ["profile_state", 0, 0],
      ["trait_state", 1, 0],
    ]);
    expect(await newWithdrawer().tick()).toBe(0);
    expect((await receipts()).length).toBe(8);
  });

  it("is announced a while before it is carried out, and anew when that failed", async () => {
    await load(row(), choice("withdrawn"));
    const withdrawer = newWithdrawer({ graceMs: 6_000 });
    expect(await withdrawer.tick()).toBe(0);
    expect((await receipts())[0]).toMatchObject({ table: "", rows: 1, done: 0 });
    nowMs += 5_999;
    expect(await withdrawer.tick()).toBe(0);
    expect(await placesOf("phone")).not.toEqual([]);
    nowMs += 1;
    expect(await withdrawer.tick()).toBe(1);
    // Another worker announces it for itself.
    await load(row({ atom: 192, anonymous_id: "laptop" }), choice("withdrawn", { atom: 192, anonymous_id: "laptop" }));
    await newWithdrawer({ graceMs: 6_000 }).tick();
    nowMs += 60_000;
    const other = newWithdrawer({ graceMs: 6_000 });
    expect(await other.tick()).toBe(0);
    nowMs += 6_000;
    expect(await other.tick()).toBe(1);
  });
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
    const times = { at: Date.parse("2026-11-22T20:15:00Z"), receivedAt: Date.parse("2026-11-22T20:15:01Z") };
    const purposes = ["profile", "ads"];
    const once = { site: "shop", n: 1, round: 1, consentId: "choice-3", ...times, atom: 128, person: 64, purposes };
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
