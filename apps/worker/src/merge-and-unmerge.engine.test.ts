import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createClickHouse,
  createDecisionStore,
  createErasureStore,
  createEventStore,
  createIdentityStore,
  migrate,
  type ClickHouse,
} from "@polder/clickhouse";
import { buildEventRow, rowBytes, type LoadedEventRow } from "@polder/core/contracts";
import { createIdentityDesk, defaultIdentityRules, emailHash, phoneHash, type IdentityDesk } from "@polder/core";
import { startEngine, type Engine } from "@polder/engine";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createPeopleSettler } from "./create-people-settler.ts";

const logger = { info() {}, warn() {}, error() {} };
const folder = mkdtempSync(join(tmpdir(), "polder-merge-"));
let engine: Engine;
let clickhouse: ClickHouse;
let desk: IdentityDesk;
let ids = 0;
let offset = 0;

beforeAll(async () => {
  engine = await startEngine({ dataPath: folder, logger });
  clickhouse = createClickHouse({ url: engine.url, ...engine.admin, database: "polder", logger });
  await migrate(clickhouse);
  desk = createIdentityDesk({
    identities: createIdentityStore(clickhouse),
    decisions: createDecisionStore(clickhouse),
    rules: () => new Map(),
    now: () => Date.UTC(2026, 10, 23),
    newId: () => `decision-${++ids}`,
  });
});
afterAll(async () => {
  await clickhouse?.close();
  await engine?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const tables = [
  "events",
  "atom",
  "profile_state",
  "trait_state",
  "session_state",
  "identity_edge",
  "identity_decision",
  "erasure",
  "erasure_receipt",
];
beforeEach(async () => {
  for (const table of [...tables, "identity", "identity_position"]) await clickhouse.command(`TRUNCATE TABLE ${table}`);
});

const signed = { actor: "ada", reason: "she called" };
const load = async (...rows: Partial<LoadedEventRow>[]): Promise<void> => {
  const some = rows.map((row) => buildEventRow({ _offset: ++offset, message_id: `message-${offset}`, ...row }));
  const outcome = await createEventStore({ clickhouse }).insert("events", `insert-${offset}`, rowBytes(some));
  expect(outcome).toEqual({ ok: true });
};
const traits = (...some: [name: string, value: string][]): Partial<LoadedEventRow> => ({
  type: "identify",
  name: "identify",
  "traits.name": some.map(([name]) => name),
  "traits.value": some.map(([, value]) => value),
  "traits.class": some.map(() => "identity"),
  "traits.purpose": some.map(() => "profile"),
  "traits.personal": some.map(() => 1),
});
const settle = (): Promise<unknown> =>
  createPeopleSettler({ store: createIdentityStore(clickhouse), logger, now: () => new Date(0) }).tick();
const people = (): Promise<unknown[]> =>
  clickhouse.query("SELECT person_id, user_ids, devices, events, revenue, traits FROM people ORDER BY person_id");

const anOnPhone = { atom: 64, anonymous_id: "phone", user_id: "an" };
const boOnTablet = { atom: 128, anonymous_id: "tablet", user_id: "bo" };
const order = { type: "track", name: "Order Completed", currency: "EUR" } as const;
const loadTwo = (): Promise<void> =>
  load(
    { ...anOnPhone, ...order, order_id: "o-1", amount: "10" },
    { ...boOnTablet, ...traits(["city", "Delft"]) },
    { ...boOnTablet, ...order, order_id: "o-2", amount: "5" },
  );

describe("two people that are merged by hand", () => {
  it("are one with the sums of both, and two as before when they are unmerged, with who decided and why", async () => {
    await loadTwo();
    await settle();
    const before = await people();
    expect(before).toHaveLength(2);

    const merged = await desk.merge("shop", { left: 128, right: 64 }, signed);
    if (!merged.ok) throw new Error(merged.fault);
    expect(await desk.isSettled(merged.decision.id)).toBe(false);
    await settle();
    expect(await desk.isSettled(merged.decision.id)).toBe(true);
    expect(await people()).toEqual([
      { person_id: 64, user_ids: ["an", "bo"], devices: 2, events: 3, revenue: { EUR: 15 }, traits: { city: "Delft" } },
    ]);
    expect(await desk.merge("shop", { left: 64, right: 128 }, signed)).toEqual({ ok: false, fault: "same_person" });
    const why = await desk.why("shop", 128);
    expect(why?.person).toBe(64);
    expect(why?.edges.map(({ kind, outcome, decision }) => [kind, outcome, decision?.actor])).toContainEqual([
      "manual",
      "followed",
      "ada",
    ]);

    const unmerged = await desk.unmerge("shop", 64, { person: 128 }, signed);
    expect(unmerged).toMatchObject({
      ok: true,
      decision: { edges: [{ kind: "manual", node: "user:an", other: "user:bo" }], reason: "she called" },
    });
    await settle();
    expect(await people()).toEqual(before);
    expect((await desk.decisions("shop")).map(({ action, isInForce }) => [action, isInForce])).toEqual([
      ["merge", false],
      ["unmerge", true],
    ]);
    expect(await desk.unmerge("shop", 64, { person: 128 }, signed)).toEqual({ ok: false, fault: "nothing_to_unmerge" });
  });

  it("are two again when the decision is undone, once", async () => {
    await loadTwo();
    await settle();
    const before = await people();
    const merged = await desk.merge("shop", { left: 64, right: 128 }, signed);
    if (!merged.ok) throw new Error(merged.fault);
    await settle();
    expect(await desk.undo("shop", merged.decision.id, signed)).toMatchObject({ ok: true });
    await settle();
    expect(await people()).toEqual(before);
    expect(await desk.undo("shop", merged.decision.id, signed)).toEqual({ ok: false, fault: "decision_undone" });
    expect(await desk.undo("blog", merged.decision.id, signed)).toEqual({ ok: false, fault: "decision_not_found" });
  });

  it("are not found by numbers of another site, or of nobody", async () => {
    await loadTwo();
    await settle();
    for (const pair of [
      { left: 64, right: 999 },
      { left: 999, right: 64 },
    ])
      expect(await desk.merge("shop", pair, signed)).toEqual({ ok: false, fault: "person_not_found" });
    expect(await desk.merge("blog", { left: 64, right: 128 }, signed)).toEqual({
      ok: false,
      fault: "person_not_found",
    });
    expect(await desk.why("blog", 64)).toBeUndefined();
  });
});

describe("somebody who is erased", () => {
  const requestedAt = new Date(Date.UTC(2026, 10, 24));
  const erase = (...persons: number[]) =>
    createErasureStore({ clickhouse }).request({ site: "shop", people: persons, at: requestedAt, ...signed });
  const carryOut = async (): Promise<void> => {
    const store = createErasureStore({ clickhouse });
    const now = (): Date => new Date(requestedAt.getTime() + 1_000_000);
    const erasures = await store.openErasures(100, now);
    await store.begin(erasures, now);
    await store.carryOut(erasures, now);
  };
  /** Merged and taken apart again: only the second decision keeps them apart. */
  async function tieAndUntie(left: number, right: number): Promise<void> {
    expect(await desk.merge("shop", { left, right }, signed)).toMatchObject({ ok: true });
    expect(await desk.unmerge("shop", left, { person: right }, signed)).toMatchObject({ ok: true });
  }

  it("is named by no decision about others from the moment in which it is asked for, and ties nobody when all is gone", async () => {
    await loadTwo();
    await load({ atom: 192, anonymous_id: "desktop", user_id: "cy" });
    await settle();
    await tieAndUntie(64, 128);
    await tieAndUntie(128, 192);
    await desk.dismiss("shop", { left: 64, right: 128 }, signed);
    await settle();
    const idsOf = async (): Promise<unknown> => [await desk.why("shop", 64), await desk.decisions("shop")];
    expect(JSON.stringify(await idsOf())).toContain("user:bo");

    await erase(128);
    const hidden = await idsOf();
    expect(JSON.stringify(hidden)).not.toMatch(/user:bo|tablet/);
    expect((await desk.decisions("shop")).at(-1)).toMatchObject({
      left: "user:an",
      right: expect.stringMatching(/^user:erased-[0-9a-f]{16}$/) as unknown,
    });
    await carryOut();
    expect(await idsOf()).toEqual(hidden);
    await settle();
    expect(await people()).toMatchObject([{ user_ids: ["an"] }, { user_ids: ["cy"] }]);
  });

  it("leaves decisions about others as they are: of another site, of whom they shared a device with, and of who comes back", async () => {
    const shared = { atom: 192, anonymous_id: "tablet" };
    await loadTwo();
    await load(shared, { ...shared, atom: 256, user_id: "cy" });
    await load(
      { atom: 320, site: "blog", user_id: "bo" },
      { atom: 384, site: "blog", user_id: "di", anonymous_id: "x" },
    );
    await desk.dismiss("shop", { left: 192, right: 64 }, signed);
    const ofBlog = await desk.merge("blog", { left: 320, right: 384 }, signed);
    await desk.unmerge("blog", 320, { person: 384 }, signed);
    await settle();
    await erase(128);
    await clickhouse.insertRows("atom", [
      { site: "shop", key: 1, atom: 448, user_id: "bo", first_seen: "2026-11-24 08:00:00" },
    ]);
    const later = createIdentityDesk({
      identities: createIdentityStore(clickhouse),
      decisions: createDecisionStore(clickhouse),
      rules: () => new Map(),
      now: () => requestedAt.getTime() + 1_000,
      newId: () => `decision-${++ids}`,
    });
    await later.dismiss("shop", { left: 64, right: 448 }, signed);
    const named = async (site: string) => (await desk.decisions(site)).map(({ left, right }) => [left, right]);
    for (const isDone of [false, true]) {
      if (isDone) await carryOut();
      expect(await named("shop")).toEqual([
        ["device:tablet", "user:an"],
        ["user:an", "user:bo"],
      ]);
      expect(await desk.decisions("blog")).toMatchObject([
        { id: ofBlog.ok ? ofBlog.decision.id : "", isInForce: false },
        { edges: [{ kind: "manual", node: "user:bo", other: "user:di" }], isInForce: true },
      ]);
    }
  });
});

describe("a device that is unmerged from the user who logged in on it", () => {
  it("is a person of its own, also when they log in there again; what was done under the user id stays the user's", async () => {
    await load({ atom: 64, anonymous_id: "phone" }, { atom: 128, anonymous_id: "phone", user_id: "an" });
    await settle();
    expect(await people()).toMatchObject([{ person_id: 64, events: 2 }]);
    const unmerged = await desk.unmerge("shop", 64, { users: [], devices: ["phone"] }, signed);
    expect(unmerged).toMatchObject({
      decision: { edges: [{ kind: "login", node: "device:phone", other: "user:an" }] },
    });
    await settle();
    await load({ atom: 128, anonymous_id: "phone", user_id: "an" });
    await settle();
    expect(await people()).toMatchObject([
      { person_id: 64, user_ids: [], events: 1 },
      { person_id: 128, user_ids: ["an"], events: 2 },
    ]);
    const why = await desk.why("shop", 128);
    expect(why?.edges.map(({ outcome, messageId }) => [outcome, messageId])).toEqual([
      ["revoked", expect.stringContaining("message-")],
    ]);
  });
});

describe("edges", () => {
  const hash = (kind: string, value: string): string => (kind === "email" ? emailHash(value) : phoneHash(value));

  it("are stated by events as the core hashes and blocks values", async () => {
    const contacts: [trait: string, kind: string, value: string][] = [
      ["email", "email", " An@Shop.Example\t"],
      ["E-Mail", "email", "an@shop.example"],
      ["phone", "phone", "+31 (0)6-12 34"],
      ["mobile", "phone", "0031 6 1234"],
      ["Mobile", "phone", "06 1234"],
      ["email", "email", "ÄN@shop.example"],
    ];
    for (const [trait, kind, value] of contacts) {
      await clickhouse.command("TRUNCATE TABLE identity_edge");
      await load({ ...traits([trait, value]), basis: "contract" });
      expect(await clickhouse.query("SELECT kind, other, rule FROM identity_edge")).toEqual([
        { kind, other: hash(kind, value), rule: "server" },
      ]);
    }
    await clickhouse.command("TRUNCATE TABLE identity_edge");
    const nobody = ["", " ", "NULL", "guest", "000", "test@shop.example", "[object Object]", "-1"];
    for (const value of nobody) await load(traits(["email", value], ["phone", value]));
    await load(traits(["phone", "none at all"], ["city", "Delft"]));
    await load({ ...traits(["email", "office@shop.example"]), type: "group", name: "group" });
    await load({ ...traits(["email", "bot@shop.example"]), user_id: "bot", bot: "Googlebot" });
    await load({ ...traits(["email", "nobody@shop.example"]), atom: 0, anonymous_id: "" });
    expect(await clickhouse.query("SELECT * FROM identity_edge")).toEqual([]);
  });

  it("say who said so: a server, a login or a form; and log-ins of an import are its own", async () => {
    const email = traits(["email", "an@shop.example"]);
    await load({ ...email, basis: "consent" });
    await load({ ...email, basis: "opt_out", user_id: "an", atom: 128 });
    await load({ ...email, basis: "legitimate_interest", user_id: "an", atom: 128 });
    await load({ ...email, basis: "consent_elsewhere" });
    await load({ user_id: "an", atom: 128, library: "polder-import/1" });
    await load({ ...email, basis: "consent", user_id: " Null", atom: 192 });
    await load({ user_id: "an", atom: 128, type: "alias", name: "alias", previous_id: "anna" });
    expect(
      await clickhouse.query(
        "SELECT kind, rule, user_id, _offset - (SELECT min(_offset) FROM identity_edge) AS n FROM identity_edge ORDER BY _offset, kind",
      ),
    ).toEqual([
      { kind: "email", rule: "form", user_id: "", n: 0 },
      { kind: "email", rule: "login", user_id: "an", n: 1 },
      { kind: "login", rule: "login", user_id: "an", n: 1 },
      { kind: "email", rule: "server", user_id: "an", n: 2 },
      { kind: "login", rule: "login", user_id: "an", n: 2 },
      { kind: "email", rule: "form", user_id: "", n: 3 },
      { kind: "import", rule: "import", user_id: "an", n: 4 },
      { kind: "email", rule: "form", user_id: " Null", n: 5 },
      { kind: "login", rule: "login", user_id: " Null", n: 5 },
      { kind: "alias", rule: "alias", user_id: "an", n: 6 },
      { kind: "login", rule: "login", user_id: "an", n: 6 },
    ]);
  });

  it("join a newsletter's reader to who they are once the site's server says the same", async () => {
    expect(defaultIdentityRules.trustsForms).toBe(false);
    await load({ atom: 64, anonymous_id: "phone", ...traits(["email", "an@shop.example"]) });
    await load({
      atom: 128,
      anonymous_id: "",
      user_id: "an",
      ...traits(["email", "An@shop.example"]),
      basis: "contract",
    });
    await settle();
    expect(await people()).toHaveLength(2);
    await load({ atom: 64, anonymous_id: "phone", ...traits(["email", "an@shop.example"]), basis: "contract" });
    await settle();
    expect(await people()).toMatchObject([{ person_id: 64, user_ids: ["an"], events: 3 }]);
  });
});
