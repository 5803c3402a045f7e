import { readdirSync, readFileSync } from "node:fs";
import { buildEventRow, type LoadedEventRow } from "@polder/core/contracts";
import type { Purpose } from "@polder/protocol";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { personConsentOf } from "./consent/person-consent-of.ts";
import { createPersonFlagStore, type FlagDecision } from "./person-flag-store.ts";
import { createSendGate, leftOutReasons } from "./send-gate.ts";
import { startTestDatabase, type TestDatabase } from "./test-support/start-test-database.ts";
import { createWithdrawalStore } from "./withdrawal-store.ts";

const site = "shop";
const now = Date.parse("2026-11-23T12:00:00Z");
const none = Object.fromEntries(leftOutReasons.map((reason) => [reason, 0]));
/** Numbers of identities: a device, and the user who logs in on it. */
const [phone, ada, laptop, adaOnLaptop, bob, guest, otherGuest, silent, old, gone] = [
  64, 128, 192, 256, 320, 384, 448, 512, 576, 640,
];
let database: TestDatabase;
let offset = 0;

const event = (
  atom: number,
  anonymousId: string,
  userId: string,
  fields: Partial<LoadedEventRow> = {},
): LoadedEventRow =>
  buildEventRow({
    atom,
    anonymous_id: anonymousId,
    user_id: userId,
    message_id: `m${(offset += 1)}`,
    _offset: offset,
    ...fields,
  });
const choice = (ads: string, time: string): Partial<LoadedEventRow> => ({
  type: "consent",
  name: "consent",
  time,
  consent_mask: ads === "granted" ? 63 : 31,
  "choice.purpose": ["measurement", "profile", "personalisation", "ads"],
  "choice.state": ["granted", "granted", "granted", ads],
});
const joinPeople = async (...pairs: [atom: number, person: number][]): Promise<void> => {
  version += 1;
  await database.clickhouse.insertRows(
    "identity",
    pairs.map(([atom, person]) => ({ site, atom, person, version })),
  );
  await database.clickhouse.command("SYSTEM RELOAD DICTIONARY identity_dict");
};
let version = 0;

beforeAll(async () => {
  database = await startTestDatabase();
  await database.clickhouse.insertRows("events", [
    event(phone, "phone", "", choice("granted", "2026-11-01 10:00:00.000")),
    event(ada, "phone", "ada", { time: "2026-11-02 10:00:00.000", consent_mask: 63 }),
    event(laptop, "laptop", "", choice("denied", "2026-11-05 10:00:00.000")),
    event(adaOnLaptop, "laptop", "ada", { time: "2026-11-06 10:00:00.000", consent_mask: 31 }),
    event(bob, "tablet", "bob", choice("granted", "2026-11-03 10:00:00.000")),
    event(guest, "kiosk", "guest", choice("granted", "2026-11-03 10:00:00.000")),
    event(otherGuest, "tv", "guest", choice("granted", "2026-11-03 10:00:00.000")),
    event(silent, "silent", "", { consent_mask: 7 }),
    event(old, "old", "", { ...choice("granted", "2025-11-01 10:00:00.000"), received_at: "2025-11-01 10:00:00.000" }),
    event(gone, "gone", "", choice("granted", "2026-11-01 10:00:00.000")),
  ]);
  await joinPeople([ada, phone], [adaOnLaptop, phone], [laptop, phone], [gone, 0]);
});
afterAll(() => database?.stop());

const flags = () => createPersonFlagStore({ clickhouse: database.clickhouse, blockedAt: () => [] });
const decide = (decision: Partial<FlagDecision> & { person: number }): Promise<string | undefined> =>
  flags().decide({
    site,
    flag: "object",
    purposes: ["ads"],
    isSet: true,
    actor: "desk",
    reason: "by letter",
    at: new Date(now),
    ...decision,
  });
const permitted = async (people: readonly number[], purpose: Purpose = "ads"): Promise<number[]> =>
  (await createSendGate(database.clickhouse).permit({ site, people, purpose, now })).people;

describe("the send gate", () => {
  it("lets through who may be sent for the purpose at that moment, and says why it left out the others", async () => {
    const gate = createSendGate(database.clickhouse);
    const people = [phone, bob, guest, silent, old, gone, 9_999];
    const found = await gate.permit({ site, people, purpose: "ads", now });
    expect(found).toEqual({
      people: [bob, guest],
      permitted: 2,
      leftOut: { ...none, denied: 1, no_consent: 1, expired: 1, erased: 1, unknown: 1 },
    });
    expect(
      await gate.count({
        site,
        people: { sql: "SELECT person_id FROM people WHERE site = {site:String}" },
        purpose: "ads",
        now,
      }),
    ).toEqual({
      permitted: 3,
      leftOut: { ...none, denied: 1, no_consent: 1, expired: 1 },
    });
    expect(await permitted([phone, bob, silent], "profile")).toEqual([phone, bob, silent]);
  });

  it("knows nobody of another site, and nobody at all when nobody is asked about", async () => {
    const gate = createSendGate(database.clickhouse);
    const elsewhere = await gate.permit({ site: "blog", people: [bob], purpose: "profile", now });
    expect(elsewhere).toEqual({ people: [], permitted: 0, leftOut: { ...none, unknown: 1 } });
    expect(await gate.permit({ site, people: [], purpose: "ads", now })).toEqual({
      people: [],
      permitted: 0,
      leftOut: none,
    });
  });

  it("takes an old number for the person whose it is now, once", async () => {
    expect(await permitted([phone, adaOnLaptop, laptop], "personalisation")).toEqual([phone]);
  });

  it("no longer lets anybody through whose yes has grown too old meanwhile", async () => {
    const gate = createSendGate(database.clickhouse);
    const inAYear = { site, people: [bob], purpose: "ads" as const, now: now + 366 * 86_400_000 };
    expect(await gate.permit(inAYear)).toMatchObject({ people: [], leftOut: { expired: 1 } });
  });
});

describe("a flag", () => {
  it("takes its purposes away whatever was agreed to, and a restriction all", async () => {
    await decide({ person: bob, purposes: ["ads", "prediction"] });
    expect(await permitted([bob])).toEqual([]);
    expect(await permitted([bob], "personalisation")).toEqual([bob]);
    await decide({ person: bob, flag: "restrict", purposes: [] });
    const gate = createSendGate(database.clickhouse);
    for (const purpose of ["necessary", "measurement", "profile", "personalisation", "ads"] as const)
      expect(await gate.count({ site, people: [bob], purpose, now }), purpose).toMatchObject({
        permitted: 0,
        leftOut: { restricted: 1 },
      });
    await decide({ person: bob, flag: "restrict", purposes: [], isSet: false, at: new Date(now + 1) });
    expect(await gate.count({ site, people: [bob], purpose: "ads", now })).toMatchObject({ leftOut: { objected: 1 } });
    await decide({ person: bob, isSet: false, at: new Date(now + 2) });
    expect(await permitted([bob])).toEqual([bob]);
  });

  it("is kept, with who decided it and why, and what was decided before", async () => {
    const filed = await flags().flagsOf(site, bob);
    expect(filed.map(({ flag, purpose, isSet, isInForce }) => [flag, purpose, isSet, isInForce])).toEqual([
      ["object", "ads", false, true],
      ["restrict", "", false, true],
      ...filed.slice(2).map(({ flag, purpose }) => [flag, purpose, true, purpose === "prediction"]),
    ]);
    expect(filed).toHaveLength(5);
    expect(filed[0]).toMatchObject({ actor: "desk", reason: "by letter", at: now + 3 });
  });

  it("of either side holds for who they are together, and each has its own back when they are apart", async () => {
    await decide({ person: bob, flag: "restrict", purposes: [], at: new Date(now + 10) });
    await joinPeople([bob, phone]);
    expect(await permitted([phone], "personalisation")).toEqual([]);
    expect(await permitted([bob], "personalisation")).toEqual([]);
    await joinPeople([bob, bob]);
    expect(await permitted([phone], "personalisation")).toEqual([phone]);
    expect(await permitted([bob], "personalisation")).toEqual([]);
    await decide({ person: bob, flag: "restrict", purposes: [], isSet: false, at: new Date(now + 11) });
    expect(await permitted([bob], "personalisation")).toEqual([bob]);
  });

  it("of a user holds on a device that comes later, and of an id that many send only with its own device", async () => {
    await decide({ person: guest, purposes: ["personalisation"] });
    expect(await permitted([guest, otherGuest], "personalisation")).toEqual([otherGuest]);
    await decide({ person: bob, purposes: ["personalisation"], at: new Date(now + 20) });
    const later = 704;
    await database.clickhouse.insertRows("events", [
      event(later, "watch", "bob", choice("granted", "2026-11-20 10:00:00.000")),
    ]);
    expect(await permitted([later], "personalisation")).toEqual([]);
    await decide({ person: bob, purposes: ["personalisation"], isSet: false, at: new Date(now + 21) });
    expect(await permitted([later], "personalisation")).toEqual([later]);
  });

  it("that is filed last is the last word, also by a machine whose clock is behind", async () => {
    await decide({ person: bob, flag: "restrict", purposes: [], isSet: false, at: new Date(now + 60_000) });
    await decide({ person: bob, flag: "restrict", purposes: [], at: new Date(now + 30) });
    expect(await permitted([bob], "personalisation")).toEqual([]);
    await decide({ person: bob, flag: "restrict", purposes: [], isSet: false, at: new Date(now + 40) });
    expect(await permitted([bob], "personalisation")).toEqual([bob]);
  });

  it("of a device holds on for its person when a withdrawal takes the device's ids away", async () => {
    const [tv, ann, annAtWork] = [768, 832, 896];
    const order = { time: "2026-11-20 10:00:00.000", basis: "contract", consent_mask: 7 } as const;
    await database.clickhouse.insertRows("events", [
      event(tv, "screen", "", choice("granted", "2026-11-02 10:00:00.000")),
    ]);
    await decide({ person: tv, flag: "restrict", purposes: [] });
    await decide({ person: tv, purposes: ["measurement"] });
    await decide({ person: tv, purposes: ["prediction"] });
    await decide({ person: tv, purposes: ["prediction"], isSet: false });
    await database.clickhouse.insertRows("events", [
      event(ann, "screen", "ann", order),
      event(annAtWork, "", "ann", order),
    ]);
    await joinPeople([ann, tv], [annAtWork, tv]);
    expect(await permitted([tv], "profile")).toEqual([]);
    await database.clickhouse.insertRows("consent_log", [
      {
        site,
        n: 1,
        at: "2026-11-21 10:00:00.000",
        received_at: "2026-11-21 10:00:00.000",
        atom: tv,
        "choice.purpose": ["profile"],
        "choice.state": ["withdrawn"],
      },
    ]);
    const store = createWithdrawalStore({ clickhouse: database.clickhouse });
    const at = () => new Date(now);
    const open = await store.openWithdrawals(10, at);
    expect(open.map(({ atom }) => atom)).toEqual([tv]);
    await store.begin(open, at);
    expect(await store.carryOut(open, at)).toBe(1);
    // Again, as after a crash: nothing is filed twice.
    await store.carryOut(open, at);
    await joinPeople([tv, tv], [ann, ann], [annAtWork, ann]);
    const filed = await flags().flagsOf(site, ann);
    expect(filed.map(({ flag, purpose, isSet }) => [flag, purpose, isSet])).toEqual([
      ["object", "measurement", true],
      ["restrict", "", true],
    ]);
    expect(await permitted([ann], "profile")).toEqual([]);
  });

  it("is of nobody where a person has no identifier", async () => {
    expect(await decide({ person: 9_999 })).toBeUndefined();
  });
});

it("explains the consent of a person: which device decided it, and when", async () => {
  const explained = await personConsentOf(database.clickhouse, site, phone, now);
  expect(explained.find(({ purpose }) => purpose === "ads")).toEqual({
    purpose: "ads",
    isAllowed: false,
    why: "denied",
    device: "device:laptop",
    at: Date.parse("2026-11-05T10:00:00Z"),
  });
  expect(explained.find(({ purpose }) => purpose === "personalisation")).toMatchObject({
    isAllowed: true,
    why: "granted",
    device: "device:laptop",
  });
  expect(await personConsentOf(database.clickhouse, site, 9_999, now)).toContainEqual({
    purpose: "profile",
    isAllowed: false,
    why: "no_consent",
  });
});

it("is the only way out: whatever sends people to somebody asks it, and does not judge by itself", () => {
  const folder = new URL(".", import.meta.url);
  const sources = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter(
    (name) => name.endsWith(".ts") && !name.includes("test"),
  );
  const waysOut = sources.filter((name) => /export-store|webhook|destination/.test(name));
  expect(waysOut).toContain("audience-export-store.ts");
  for (const name of waysOut) {
    const text = readFileSync(new URL(name, folder), "utf8");
    expect(text, name).toMatch(/from "\.\/send-gate\.ts"/);
    expect(text, `${name} judges by itself`).not.toMatch(/person-consent\.ts|consent_state|consent_mask/);
  }
});
