import { defaultIdentityRules } from "@polder/core";
import { buildEventRow } from "@polder/core/contracts";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import type { ClickHouse } from "./clickhouse.ts";
import { createErasureStore } from "./erasure-store.ts";
import { createPersonExport, type ExportedRow, type ExportSection } from "./person-export.ts";
import { createPersonFlagStore } from "./person-flag-store.ts";
import { startTestDatabase, type TestDatabase } from "./test-support/start-test-database.ts";

/** What an erasure or an export of one person may not touch or show: what is of others, however alike their ids are. */

const requestedAt = new Date("2026-11-22T21:00:00Z");
const before = "2026-11-22 20:00:00.000";
const order = { site: "shop", actor: "office", reason: "asked by letter", at: requestedAt };
const rules = () => new Map([["shop", { ...defaultIdentityRules, blocked: ["Counter"] }]]);

let database: TestDatabase;
let clickhouse: ClickHouse;

beforeAll(async () => {
  database = await startTestDatabase();
  clickhouse = database.clickhouse;
});
afterAll(() => database?.stop());
beforeEach(async () => {
  for (const table of [
    "atom",
    "identity",
    "rejected",
    "person_flag",
    "identity_decision",
    "erasure",
    "erasure_receipt",
  ])
    await clickhouse.command(`TRUNCATE TABLE ${table}`);
  await clickhouse.command("SYSTEM RELOAD DICTIONARY identity_dict");
});

const store = () => createErasureStore({ clickhouse, rules });

/** By number: device and user; and of whom they are where that is another number. */
async function know(
  identities: { readonly [atom: number]: readonly [device: string, user: string, person?: number] },
  firstSeen = before,
): Promise<void> {
  const rows = Object.entries(identities).map(([atom, [device, user, person]]) => ({ atom, device, user, person }));
  await clickhouse.insertRows(
    "atom",
    rows.map(({ atom, device, user }) => ({
      site: "shop",
      key: atom,
      atom,
      anonymous_id: device,
      user_id: user,
      first_seen: firstSeen,
    })),
    { settings: { insert_deduplicate: 0 } },
  );
  const joined = rows.filter(({ person }) => person !== undefined);
  await clickhouse.insertRows(
    "identity",
    joined.map(({ atom, person }) => ({ site: "shop", atom, person, version: 1 })),
    { settings: { insert_deduplicate: 0 } },
  );
  await clickhouse.command("SYSTEM RELOAD DICTIONARY identity_dict");
}

let offset = 0;
async function refuse(...bodies: string[]): Promise<void> {
  await clickhouse.insertRows(
    "rejected",
    bodies.map((body) => ({
      site: "shop",
      received_at: before,
      reason: "refused_by_store",
      _partition: 0,
      _offset: offset++,
      body,
    })),
  );
}
const refused = async (): Promise<string[]> =>
  (await clickhouse.query<{ body: string }>("SELECT body FROM rejected ORDER BY _offset")).map(({ body }) => body);

async function exported(person: number, section: ExportSection): Promise<ExportedRow[]> {
  const found: ExportedRow[] = [];
  for await (const row of (await createPersonExport(clickhouse, rules).read("shop", person))!)
    if (row.section === section) found.push(row);
  return found;
}

async function erase(people: readonly number[]): Promise<(string | undefined)[]> {
  const requested = await store().request({ ...order, people });
  await carryOut();
  const receipts = await Promise.all(requested.map(({ id }) => store().receipt(id)));
  return receipts.map((receipt) => receipt?.state);
}

async function carryOut(): Promise<void> {
  const now = (): Date => new Date(requestedAt.getTime() + 1_000_000);
  const erasures = await store().openErasures(100, now);
  await store().begin(erasures, now);
  await store().carryOut(erasures, now);
}

it("knows the device of somebody with more identities than are removed at a time for theirs alone", async () => {
  const many = 5_002;
  // The device without a user is the first of them, and with one the last.
  await clickhouse.command(
    `INSERT INTO atom (site, key, atom, anonymous_id, user_id, first_seen) SELECT 'shop' AS site, number AS key, 10000 + number AS atom, if(number IN (0, ${many - 1}), 'own-device', concat('d', toString(number))) AS anonymous_id,
       if(number = 0, '', 'walt') AS user_id, '${before}' AS first_seen FROM numbers(${many})`,
  );
  await clickhouse.command(
    `INSERT INTO identity (site, atom, person, version) SELECT 'shop' AS site, 10000 + number AS atom, 10000 AS person, 1 AS version FROM numbers(1, ${many - 1})`,
  );
  await know({ 20_000: ["shared", "bob"], 20_001: ["shared", "walt", 10_000] });
  const decided = { site: "shop", at: before, actor: "desk", reason: "asked", action: "dismiss", undoes: "" };
  await clickhouse.insertRows("identity_decision", [
    { ...decided, id: "1", left: "device:own-device", right: "device:shared" },
  ]);
  expect(await erase([10_000])).toEqual(["done"]);
  expect(await clickhouse.query("SELECT left LIKE 'user:erased-%' AS isGone, right FROM identity_decision")).toEqual([
    { isGone: 1, right: "device:shared" },
  ]);
});

it("takes what was said of a device of theirs, though somebody is seen on it again by then, and nothing that was said since", async () => {
  await know({ 64: ["own-device", ""], 128: ["shared", "amy", 64], 192: ["shared", "bob"] });
  const since = "2026-11-22 21:00:05.000";
  const decided = { site: "shop", actor: "desk", reason: "asked", action: "merge", undoes: "" };
  await clickhouse.insertRows("identity_decision", [
    { ...decided, id: "1", at: before, left: "device:own-device", right: "user:bob" },
    { ...decided, id: "2", at: before, left: "device:shared", right: "user:bob" },
    { ...decided, id: "3", at: since, left: "device:own-device", right: "user:bob" },
  ]);
  const alias = {
    type: "alias" as const,
    name: "alias",
    previous_id: "own-device",
    user_id: "bob",
    anonymous_id: "shared",
  };
  await clickhouse.insertRows("events", [
    buildEventRow({ ...alias, atom: 192, message_id: "alias-1", time: before, _offset: 900 }),
    buildEventRow({ ...alias, user_id: "cora", atom: 193, message_id: "alias-2", time: since, _offset: 901 }),
  ]);
  const [requested] = await store().request({ ...order, people: [64] });
  await know({ 6_500: ["own-device", ""] }, since);
  await carryOut();
  expect((await store().receipt(requested!.id))?.state).toBe("done");
  expect(
    await clickhouse.query("SELECT id, left LIKE 'user:erased-%' AS isGone FROM identity_decision ORDER BY id"),
  ).toEqual([
    { id: "1", isGone: 1 },
    { id: "2", isGone: 0 },
    { id: "3", isGone: 0 },
  ]);
  expect(
    await clickhouse.query(
      "SELECT message_id AS id, previous_id AS previous FROM events WHERE type = 'alias' ORDER BY id",
    ),
  ).toEqual([
    { id: "alias-1", previous: "" },
    { id: "alias-2", previous: "own-device" },
  ]);
  expect(await clickhouse.query("SELECT user_id AS user FROM identity_edge WHERE kind = 'alias'")).toEqual([
    { user: "cora" },
  ]);
});

describe("an event that was refused", () => {
  const carol = '{"anonymous_id":"carol-device","user_id":"","previous_id":"","traits.value":["carol@x.example"]}';
  const bob = '{"anonymous_id":"shared","user_id":"bob","previous_id":"","traits.value":["bob@x.example"]}';
  const alice = '{"anonymous_id":"shared","user_id":"alice","previous_id":"","name":"Order Completed"}';
  const ofDevice = '{"type":"track","anonymousId":"alice-device","event":"x';
  const guest = '{"anonymousId":"carol-device","userId":"guest"}';
  const counter = '{"anonymousId":"carol-device","userId":"Counter"}';
  const ownCounter = '{"anonymousId":"alice-device","userId":"Counter"}';
  const nameless = '{"anonymousId":"","userId":"","event":"nobody"}';

  beforeEach(async () => {
    await know({
      64: ["alice-device", ""],
      128: ["shared", "alice", 64],
      192: ["shared", "bob"],
      256: ["alice-device", "guest", 64],
      320: ["alice-device", "Counter", 64],
      384: ["carol-device", ""],
      448: ["", "", 64],
    });
    await refuse(carol, bob, alice, ofDevice, guest, counter, ownCounter, nameless);
  });

  it("is in the export of the one who sent it, and of nobody else", async () => {
    const bodiesOf = async (person: number) =>
      (await exported(person, "refused")).map(({ details }) => details["body"]);
    expect(await bodiesOf(64)).toEqual([alice, ofDevice, ownCounter]);
    expect(await bodiesOf(192)).toEqual([bob]);
    expect(await bodiesOf(384)).toEqual([carol, guest, counter]);
  });

  it("goes with the one who sent it, and with nobody else", async () => {
    expect(await erase([64])).toEqual(["done"]);
    expect(await refused()).toEqual([carol, bob, guest, counter, nameless]);
  });
});

it("takes of refused events those that state what is to go, of the person or with the same contact data", async () => {
  const stated = {
    "traits.name": ["email", "city"],
    "traits.value": ["an@shop.example", "Delft"],
    "traits.class": ["identity", "descriptive"],
    "traits.purpose": ["profile", "profile"],
    "traits.personal": [1, 0],
  };
  await clickhouse.insertRows("events", [
    buildEventRow({ ...stated, atom: 6_400, anonymous_id: "an-device", user_id: "an", time: before, type: "identify" }),
  ]);
  const own = '{"userId":"an","traits":{"email":"old@shop.example"}}';
  const ownOrder = '{"userId":"an","event":"Order Completed"}';
  const cutOff = '{"anonymous_id":"an-device","user_id":"an","traits.name":["email"],"traits.value":["an@sho';
  const typed = '{"anonymousId":"form-device","traits":{"mail":"an@shop.example"}}';
  const bob = '{"userId":"bob","traits":{"email":"bob@shop.example"}}';
  await refuse(own, ownOrder, cutOff, typed, bob);
  const [requested] = await store().request({ ...order, people: [6_400], part: { class: "identity" } });
  await carryOut();
  expect(await refused()).toEqual([ownOrder, bob]);
  const receipt = await store().receipt(requested!.id);
  expect(receipt?.state).toBe("done");
  expect(receipt?.rounds[0]!.tables).toContainEqual({ table: "rejected", rows: 3, remaining: 0 });
});

describe("a wish not to be used", () => {
  const flagged = (): Promise<unknown[]> =>
    clickhouse.query("SELECT user_id AS user, anonymous_id AS device FROM person_flag ORDER BY user, device");
  beforeEach(async () => {
    await know({
      64: ["xd", ""],
      128: ["xd", "guest", 64],
      192: ["yd", ""],
      256: ["yd", "guest", 192],
      320: ["zd", "guest"],
      384: ["vd", "Counter"],
      448: ["wd", "walt"],
      512: ["wd2", "walt", 448],
    });
    const flags = createPersonFlagStore({ clickhouse, blockedAt: () => ["Counter"] });
    const at = new Date("2026-11-22T20:30:00Z");
    for (const person of [64, 192, 320, 384, 448])
      await flags.decide({
        site: "shop",
        person,
        flag: "restrict",
        purposes: [],
        isSet: true,
        actor: "desk",
        reason: `of ${person}`,
        at,
      });
  });
  const others = [
    { user: "", device: "yd" },
    { user: "Counter", device: "vd" },
    { user: "guest", device: "yd" },
    { user: "guest", device: "zd" },
    { user: "walt", device: "" },
  ];

  it("stays when somebody is erased who shares a value that stands for nobody", async () => {
    expect(await erase([64])).toEqual(["done"]);
    expect(await flagged()).toEqual(others);
  });

  it("goes with an identity that has such a value and a device, and is counted", async () => {
    const [{ id } = { id: "" }] = await store().request({ ...order, people: [320] });
    expect(await erase([384, 448])).toEqual(["done", "done"]);
    expect(await flagged()).toEqual([
      { user: "", device: "xd" },
      { user: "", device: "yd" },
      { user: "guest", device: "xd" },
      { user: "guest", device: "yd" },
    ]);
    const [{ tables } = { tables: [] }] = (await store().receipt(id))!.rounds;
    expect(tables.find(({ table }) => table === "person_flag")).toEqual({
      table: "person_flag",
      rows: 1,
      remaining: 0,
    });
  });

  it("is in the export of nobody else", async () => {
    const reasonsOf = async (person: number) =>
      (await exported(person, "restrictions")).map(({ details }) => details["reason"]);
    expect(await reasonsOf(64)).toEqual(["of 64"]);
    expect(await reasonsOf(320)).toEqual(["of 320"]);
    expect(await reasonsOf(384)).toEqual(["of 384"]);
    expect(await reasonsOf(448)).toEqual(["of 448"]);
  });
});

it("exports whoever has the same user id, joined or not, as an erasure takes them", async () => {
  await know({ 64: ["d1", "dave"], 128: ["d2", "dave"], 192: ["d2", ""], 256: ["d3", "guest"], 320: ["d4", "guest"] });
  const idsOf = async (person: number) => (await exported(person, "identifiers")).map(({ value }) => value).toSorted();
  expect(await idsOf(128)).toEqual(["d1", "d2", "dave"]);
  expect(await idsOf(256)).toEqual(["d3", "guest"]);
});
