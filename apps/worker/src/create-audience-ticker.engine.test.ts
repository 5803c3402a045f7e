import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  ClickHouseQueryError,
  compileAudience,
  compileAudiences,
  createAudienceStore,
  createAudienceTickStore,
  createClickHouse,
  createEventStore,
  createPersonFlagStore,
  migrate,
  reloadIdentities,
  personConsent,
  type Audience,
  type AudienceTickStore,
  type ClickHouse,
} from "@polder/clickhouse";
import type { AudienceDefinition, Withdrawal } from "@polder/core";
import { buildEventRow, rowBytes, type LoadedEventRow } from "@polder/core/contracts";
import { startEngine, type Engine } from "@polder/engine";
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { createAudienceTicker, type AudienceTicker } from "./create-audience-ticker.ts";

const logger = { info() {}, warn: console.warn, error: console.error };
const folder = mkdtempSync(join(tmpdir(), "polder-audiences-"));
const noon = Date.parse("2026-11-22T12:00:00Z");
const day = 86_400_000;
let engine: Engine;
let clickhouse: ClickHouse;
let nowMs: number;
let nextOffset = 0;
let workers = 0;

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
  nowMs = noon;
  const tables = await clickhouse.query<{ name: string }>(
    `SELECT name FROM system.tables WHERE database = 'polder' AND endsWith(engine, 'MergeTree') AND name != 'migration' AND total_rows > 0`,
  );
  for (const { name } of tables) await clickhouse.command(`TRUNCATE TABLE ${name}`);
  await reloadIdentities(clickhouse);
});

const textOf = (at: number): string => new Date(at).toISOString().slice(0, -1).replace("T", " ");

/** Events of identities, each a page view at a moment unless told otherwise. */
async function happened(...rows: (Partial<LoadedEventRow> & { at?: number })[]): Promise<void> {
  const events = rows.map(({ at = nowMs, ...row }) => {
    const offset = nextOffset++;
    return buildEventRow({
      message_id: `message-${offset}`,
      anonymous_id: `device-${row.atom ?? 64}`,
      session_id: `session-${row.atom ?? 64}`,
      _offset: offset,
      time: textOf(at),
      received_at: textOf(at),
      day: textOf(at).slice(0, 10),
      consent_mask: 63,
      ...row,
    });
  });
  expect(await createEventStore({ clickhouse }).insert("events", `test-${nextOffset}`, rowBytes(events))).toEqual({
    ok: true,
  });
}

/** The loader says that all before the next one is in all tables. */
const isLoaded = (): Promise<void> =>
  clickhouse.insertRows("ledger_progress", [{ topic: "polder.events", partition: 0, next_offset: nextOffset }]);

let identityVersion = 1;
/** From now on these atoms belong to these people; 0: to nobody any more. */
async function belongs(...pairs: [atom: number, person: number][]): Promise<void> {
  identityVersion++;
  await clickhouse.insertRows(
    "identity",
    pairs.map(([atom, person]) => ({ site: "shop", atom, person, version: identityVersion })),
  );
  await reloadIdentities(clickhouse);
}

const viewed: AudienceDefinition = { people: { event: "page", within: { days: 7 } } };

async function define(audience: Partial<Audience> & { audience: string }): Promise<void> {
  const saved = await createAudienceStore(clickhouse).save({
    site: "shop",
    revision: 1,
    version: 1,
    name: audience.audience,
    definition: viewed,
    isAnonymous: false,
    purpose: "profile",
    state: "active",
    everySeconds: 10,
    sizeFloor: 50,
    expiresAt: undefined,
    at: nowMs,
    actor: "test",
    reason: "",
    ...audience,
  });
  expect(saved).toBe(true);
}

/** The rule of consent has tests of its own, and takes its time: here everybody may be used for what all of their events allow. */
const consent: typeof personConsent = ({ people } = {}) => `(
  SELECT person(atom) AS person_id, groupBitAnd(consent_mask) AS mask FROM events
  WHERE site = {site:String} AND atom != 0 AND person(atom) != 0${people === undefined ? "" : ` AND person(atom) IN (${people})`} GROUP BY person_id)`;

const newTicker = (
  change: (ticks: AudienceTickStore) => AudienceTickStore = (ticks) => ticks,
  rule: typeof personConsent = consent,
): AudienceTicker =>
  createAudienceTicker({
    store: createAudienceStore(clickhouse),
    ticks: change(createAudienceTickStore({ clickhouse, consent: rule })),
    compile: compileAudiences,
    sites: () => [{ id: "shop", timezone: "Europe/Amsterdam" }],
    workerId: `worker-${++workers}`,
    now: () => new Date(nowMs),
    logger,
  });

/** The next tick that is due. */
async function tick(ticker: AudienceTicker, after = 10_000): Promise<number> {
  nowMs += after;
  return ticker.tick();
}

const log = async (audience = "viewers"): Promise<string[]> =>
  (
    await clickhouse.query<{ person: number; change: string; reason: string; survivor: number }>(
      "SELECT person, change, reason, survivor FROM audience_log WHERE audience = {audience:String} ORDER BY seq",
      { params: { audience } },
    )
  ).map(
    ({ person, change, reason, survivor }) => `${change} ${person} ${reason}${survivor === 0 ? "" : ` ${survivor}`}`,
  );

const members = async (audience = "viewers"): Promise<number[]> =>
  (
    await clickhouse.query<{ person_id: number }>(
      "SELECT person_id FROM audience_members WHERE audience = {audience:String} ORDER BY person_id",
      { params: { audience } },
    )
  ).map(({ person_id: person }) => person);

describe("a tick", () => {
  it("lets people in, and lets them go when a window has slid over them, without any event", async () => {
    await define({ audience: "viewers" });
    await happened({ atom: 64 }, { atom: 128, at: nowMs - 6 * day }, { atom: 192, at: nowMs - 8 * day });
    const ticker = newTicker();
    expect(await tick(ticker)).toBe(2);
    expect(await log()).toEqual(["enter 64 enter", "enter 128 enter"]);
    expect(await tick(ticker)).toBe(0);
    expect(await tick(ticker, day)).toBe(1);
    expect(await log()).toEqual(["enter 64 enter", "enter 128 enter", "exit 128 exit"]);
    expect(await members()).toEqual([64]);
    expect(await clickhouse.query("SELECT people, restated FROM audience_sizes ORDER BY hour")).toEqual([
      { people: 2, restated: 2 },
      { people: 1, restated: 1 },
    ]);
  });

  it("works out what is due and nothing else", async () => {
    await define({ audience: "often" });
    await define({ audience: "seldom", everySeconds: 60 });
    const ticker = newTicker();
    await tick(ticker);
    await happened({ atom: 64 });
    expect(await ticker.tick()).toBe(0);
    expect(await tick(ticker, 9_999)).toBe(0);
    expect(await tick(ticker, 1)).toBe(1);
    expect(await members("seldom")).toEqual([]);
    expect(await tick(ticker, 39_999)).toBe(0);
    expect(await members("seldom")).toEqual([]);
    expect(await tick(ticker, 10_001)).toBe(1);
    expect(await members("seldom")).toEqual([64]);
  });
});

describe("the reason", () => {
  it("of a merge is told with the survivor, who comes in for it", async () => {
    await define({ audience: "viewers" });
    await happened({ atom: 64, at: nowMs - 8 * day }, { atom: 128 });
    const ticker = newTicker();
    await tick(ticker);
    await belongs([128, 64]);
    await tick(ticker);
    expect(await log()).toEqual(["enter 128 enter", "exit 128 merged 64", "enter 64 merged"]);
    expect(await members()).toEqual([64]);
  });

  it("of a split names who somebody had been part of, on either side", async () => {
    await define({ audience: "viewers" });
    await happened({ atom: 64, at: nowMs - 8 * day }, { atom: 128 }, { atom: 192 });
    await belongs([128, 64]);
    const ticker = newTicker();
    await tick(ticker);
    await belongs([128, 128]);
    await tick(ticker);
    expect(await log()).toEqual(["enter 64 enter", "enter 192 enter", "exit 64 split", "enter 128 split 64"]);
    expect(await members()).toEqual([128, 192]);
    // Nobody was split since.
    await tick(ticker, 7 * day);
    expect((await log()).slice(4)).toEqual(["exit 128 exit", "exit 192 exit"]);
  });

  it("is erased for who is nobody any more, who is in no view from that moment on", async () => {
    await define({ audience: "viewers" });
    await happened({ atom: 64 }, { atom: 128 });
    const ticker = newTicker();
    await tick(ticker);
    await belongs([64, 0]);
    expect(await members()).toEqual([128]);
    await ticker.onErased();
    expect(await log()).toEqual(["enter 64 enter", "enter 128 enter", "exit 64 erased"]);
    await tick(ticker);
    expect(await log()).toHaveLength(3);
    expect(await clickhouse.query("SELECT people, restated FROM audience_sizes")).toEqual([{ people: 1, restated: 1 }]);
  });

  it("is consent for who may not be used any more, and nobody comes in who may not", async () => {
    await define({ audience: "viewers", purpose: "ads" });
    await happened({ atom: 64 }, { atom: 128, consent_mask: 31 });
    const ticker = newTicker();
    await tick(ticker);
    expect(await log()).toEqual(["enter 64 enter"]);
    await happened({ atom: 64, consent_mask: 31 });
    await tick(ticker);
    expect(await log()).toEqual(["enter 64 enter", "exit 64 consent"]);
  });

  it("is consent for who asks for a restriction or objects, though no condition speaks of it, until they take it back", async () => {
    await define({ audience: "viewers" });
    await define({ audience: "advertised", purpose: "ads" });
    await define({ audience: "resting" });
    await happened({ atom: 64 }, { atom: 128 });
    const ticker = newTicker(undefined, personConsent);
    await tick(ticker);
    await define({ audience: "resting", revision: 2, state: "paused" });
    const flags = createPersonFlagStore({ clickhouse, blockedAt: () => [] });
    const decide = async (flag: "restrict" | "object", isSet: boolean): Promise<void> => {
      const purposes = flag === "object" ? (["ads"] as const) : [];
      const decision = { site: "shop", person: 64, flag, purposes, isSet, actor: "desk", reason: "by letter" };
      expect(await flags.decide({ ...decision, at: new Date(nowMs) })).toBeDefined();
      await tick(ticker);
    };
    const of64 = async (audience: string): Promise<string[]> =>
      (await log(audience)).filter((row) => row.includes("64"));

    await decide("object", true);
    expect(await members("advertised")).toEqual([128]);
    expect(await members("viewers")).toEqual([64, 128]);
    await decide("restrict", true);
    for (const audience of ["viewers", "advertised", "resting"])
      expect(await members(audience), audience).toEqual([128]);
    await decide("restrict", false);
    expect(await members("viewers")).toEqual([64, 128]);
    expect(await members("advertised")).toEqual([128]);
    await decide("object", false);
    expect(await of64("viewers")).toEqual(["enter 64 enter", "exit 64 consent", "enter 64 enter"]);
    expect(await of64("advertised")).toEqual(["enter 64 enter", "exit 64 consent", "enter 64 enter"]);
    // A paused audience lets nobody in again.
    expect(await of64("resting")).toEqual(["enter 64 enter", "exit 64 consent"]);
  });

  it("is definition when another version lets people in and out, and after it enter and exit again", async () => {
    await define({ audience: "viewers" });
    await happened({ atom: 64 }, { atom: 128, name: "Clicked", type: "track" });
    const ticker = newTicker();
    await tick(ticker);
    const clicked: AudienceDefinition = { people: { event: "Clicked" } };
    await define({ audience: "viewers", revision: 2, version: 2, definition: clicked });
    await tick(ticker);
    expect(await log()).toEqual(["enter 64 enter", "exit 64 definition", "enter 128 definition"]);
    await happened({ atom: 192, name: "Clicked", type: "track" });
    await tick(ticker);
    expect((await log()).slice(3)).toEqual(["enter 192 enter"]);
  });

  it("is definition for all who leave an audience that is archived", async () => {
    await define({ audience: "viewers" });
    await happened({ atom: 64 });
    const ticker = newTicker();
    await tick(ticker);
    await define({ audience: "viewers", revision: 2, state: "archived" });
    await tick(ticker);
    expect(await log()).toEqual(["enter 64 enter", "exit 64 definition"]);
    await happened({ atom: 128 });
    expect(await tick(ticker)).toBe(0);
  });
});

describe("what identities do", () => {
  it("is seen after an erasure as before it, without any event: a merge takes consent away, a part that goes is told as such", async () => {
    await define({ audience: "viewers" });
    await happened({ atom: 64 }, { atom: 128, consent_mask: 3 }, { atom: 192 });
    await happened({ atom: 256, at: nowMs - 8 * day }, { atom: 320 });
    const ticker = newTicker();
    await tick(ticker);
    // As an erasure writes it.
    await clickhouse.insertRows("identity", [{ site: "shop", atom: 192, person: 0, version: "18446744073709551615" }]);
    await reloadIdentities(clickhouse);
    await tick(ticker);
    const before = ["enter 64 enter", "enter 192 enter", "enter 320 enter", "exit 192 erased"];
    expect(await log()).toEqual(before);
    await belongs([128, 64]);
    await tick(ticker);
    await belongs([320, 256]);
    await tick(ticker);
    await belongs([128, 128], [320, 320]);
    await tick(ticker);
    expect((await log()).slice(before.length)).toEqual([
      "exit 64 consent",
      "exit 320 merged 256",
      "enter 256 merged",
      "exit 256 split",
      "enter 64 enter",
      "enter 320 split 256",
    ]);
  });

  it("is seen in full, when a tick comes between two parts of what was written under one version", async () => {
    await define({ audience: "viewers" });
    await happened({ atom: 64 }, { atom: 128, consent_mask: 3 }, { atom: 192 }, { atom: 256, consent_mask: 3 });
    const ticker = newTicker();
    await tick(ticker);
    await belongs([128, 64]);
    await tick(ticker);
    identityVersion--;
    await belongs([256, 192]);
    await tick(ticker);
    expect((await log()).slice(2)).toEqual(["exit 64 consent", "exit 192 consent"]);
  });

  it("is seen as soon as questions see it, though it was written down before", async () => {
    await define({ audience: "viewers" });
    await happened({ atom: 64 }, { atom: 128, consent_mask: 3 });
    const ticker = newTicker();
    for (const _ of [1, 2]) await tick(ticker);
    await clickhouse.insertRows("identity", [{ site: "shop", atom: 128, person: 64, version: ++identityVersion }]);
    for (const _ of [1, 2]) await tick(ticker);
    expect(await log()).toEqual(["enter 64 enter"]);
    await reloadIdentities(clickhouse);
    await tick(ticker);
    expect(await log()).toEqual(["enter 64 enter", "exit 64 consent"]);
  });

  it("is seen by the next tick when it is done while one is under way, and takes away who has no yes of their own", async () => {
    await define({ audience: "viewers" });
    await happened({ atom: 64, consent_mask: 1 }, { atom: 128, consent_mask: 63 });
    await belongs([128, 64]);
    const anyYes: typeof personConsent = (options) => consent(options).replace("groupBitAnd", "groupBitOr");
    let during = async (): Promise<void> => {};
    const interrupted = (ticks: AudienceTickStore): AudienceTickStore => ({
      ...ticks,
      async writeSizes(...given) {
        await during();
        return ticks.writeSizes(...given);
      },
    });
    const ticker = newTicker(interrupted, anyYes);
    await tick(ticker);
    expect(await members()).toEqual([64]);
    await happened({ atom: 320 }, { atom: 384 });
    await belongs([384, 320]);
    during = () => {
      during = async () => {};
      return belongs([128, 128]);
    };
    await tick(ticker);
    await tick(ticker);
    expect(await members()).toEqual([128, 320]);
    expect((await log()).slice(1)).toEqual(["enter 320 enter", "exit 64 consent", "enter 128 split 64"]);
  });
});

describe("whoever withdraws", () => {
  it("leaves the audiences for that purpose at once, by the rule of consent, and no others", async () => {
    await define({ audience: "viewers" });
    await define({ audience: "reached", purpose: "ads" });
    const chosen = { type: "consent", name: "consent", "choice.purpose": ["profile", "ads"] } as const;
    const choice = (ads: string): Partial<LoadedEventRow> => ({
      ...chosen,
      "choice.purpose": [...chosen["choice.purpose"]],
      "choice.state": ["granted", ads],
    });
    await happened(
      { atom: 64, ...choice("granted") },
      { atom: 128, ...choice("granted") },
      { atom: 64 },
      { atom: 128 },
    );
    const ticker = newTicker(undefined, personConsent);
    await tick(ticker);
    expect([await members(), await members("reached")]).toEqual([
      [64, 128],
      [64, 128],
    ]);
    nowMs += 1_000;
    await happened({ atom: 64, consent_mask: 31, ...choice("withdrawn") });
    const times = { at: nowMs, receivedAt: nowMs };
    const withdrawal: Withdrawal = {
      site: "shop",
      n: 1,
      round: 1,
      consentId: "c",
      ...times,
      atom: 64,
      person: 64,
      purposes: ["ads"],
    };
    await ticker.onWithdrawn([withdrawal]);
    expect(await log("reached")).toEqual(["enter 64 enter", "enter 128 enter", "exit 64 consent"]);
    // Told again, as after a failure: nothing more.
    await ticker.onWithdrawn([withdrawal]);
    await tick(ticker);
    expect(await log("reached")).toHaveLength(3);
    expect(await members()).toEqual([64, 128]);
  });
});

describe("an audience that is paused", () => {
  it("stays as it is, but for who is merged, erased or may not be used any more", async () => {
    await define({ audience: "viewers" });
    await happened({ atom: 64 }, { atom: 128 }, { atom: 192 }, { atom: 256 }, { atom: 320 });
    const ticker = newTicker();
    await tick(ticker);
    await define({ audience: "viewers", revision: 2, state: "paused" });
    await happened({ atom: 384 }, { atom: 192, consent_mask: 3 });
    await belongs([128, 64], [256, 0]);
    await tick(ticker, 30 * day);
    expect((await log()).slice(5)).toEqual(["exit 128 merged 64", "exit 192 consent", "exit 256 erased"]);
    expect(await members()).toEqual([64, 320]);
  });

  it("with a new definition is sized as what its members fulfil, until they are worked out by it", async () => {
    const versions = () =>
      clickhouse.query("SELECT version, people FROM audience_size WHERE audience = 'viewers' ORDER BY at");
    await define({ audience: "viewers" });
    await happened({ atom: 64 }, { atom: 128 });
    const ticker = newTicker();
    await tick(ticker);
    const nobody: AudienceDefinition = { people: { event: "page", count: { atLeast: 9 }, within: { days: 7 } } };
    await define({ audience: "viewers", revision: 2, version: 2, definition: nobody, state: "paused" });
    await belongs([128, 64]);
    await tick(ticker);
    expect((await versions()).at(-1)).toEqual({ version: 1, people: 1 });
    await define({ audience: "viewers", revision: 3, version: 2, definition: nobody });
    await tick(ticker);
    expect((await versions()).at(-1)).toEqual({ version: 2, people: 0 });
    expect((await log()).at(-1)).toBe("exit 64 definition");
  });
});

describe("an anonymous audience", () => {
  it("has nobody in it, tells no size below its floor, and ends with its time", async () => {
    await define({ audience: "crowd", isAnonymous: true, sizeFloor: 3, expiresAt: nowMs + day });
    await happened({ atom: 64 }, { atom: 128 });
    const ticker = newTicker();
    await tick(ticker);
    const size = () =>
      clickhouse.query("SELECT people, is_below_floor, bitmapCardinality(atoms) AS atoms FROM audience_size FINAL");
    expect(await size()).toEqual([{ people: 0, is_below_floor: 1, atoms: 0 }]);
    await happened({ atom: 192 });
    await tick(ticker);
    expect(await size()).toEqual([{ people: 3, is_below_floor: 0, atoms: 0 }]);
    expect(await log("crowd")).toEqual([]);
    expect(await members("crowd")).toEqual([]);
    await tick(ticker, day);
    expect(await size()).toEqual([]);
    const [last] = (await createAudienceStore(clickhouse).revisions("shop", "crowd")).slice(-1);
    expect(last).toMatchObject({ revision: 2, version: 1, state: "archived", actor: "polder" });
    expect(await tick(ticker)).toBe(0);
    expect(await size()).toEqual([]);
  });
});

/** The store, but that one of its calls ends the worker: before it is carried out, or after. */
class Crash extends Error {}
const crashingAt =
  (call: number, when: "before" | "after") =>
  (ticks: AudienceTickStore): AudienceTickStore => {
    let calls = 0;
    const wrapped = Object.entries(ticks).map(([name, method]) => [
      name,
      async (...given: unknown[]) => {
        const isIt = ++calls === call;
        if (isIt && when === "before") throw new Crash(`before ${name}`);
        const answer: unknown = await (method as (...all: unknown[]) => Promise<unknown>)(...given);
        if (isIt) throw new Crash(`after ${name}`);
        return answer;
      },
    ]);
    return Object.fromEntries(wrapped) as AudienceTickStore;
  };

/** Who has to be in an audience now, from scratch. */
async function fulfils(audience: string): Promise<number[]> {
  const { audiences } = await createAudienceStore(clickhouse).list("shop");
  const definitions = new Map(audiences.map((each) => [each.audience, each.definition]));
  const context = {
    site: "shop",
    now: new Date(nowMs),
    timezone: "Europe/Amsterdam",
    audiences: definitions,
    computedTraits: new Map(),
  };
  const { sql, params } = compileAudience(definitions.get(audience)!, context);
  const rows = await clickhouse.query<{ person_id: number }>(
    `SELECT person_id FROM (${sql}) WHERE person_id IN (SELECT person_id FROM ${consent()} WHERE bitTest(mask, 2)) ORDER BY person_id`,
    { params: { ...params, site: "shop" } },
  );
  return rows.map(({ person_id: person }) => person);
}

/** Who is in it by the log alone. Nobody comes in twice, or leaves without having been in. */
async function byLog(audience: string): Promise<number[]> {
  const inside = new Set<number>();
  for (const line of await log(audience)) {
    const [change, person] = line.split(" ");
    expect(inside.has(Number(person)), line).toBe(change === "exit");
    if (change === "enter") inside.add(Number(person));
    else inside.delete(Number(person));
  }
  return [...inside].toSorted((a, b) => a - b);
}

async function expectExact(audience: string): Promise<void> {
  const expected = await fulfils(audience);
  const held = await clickhouse.query<{ person: number }>(
    "SELECT person FROM audience_member FINAL WHERE audience = {audience:String} ORDER BY person",
    { params: { audience } },
  );
  expect(held.map(({ person }) => person)).toEqual(expected);
  expect(await byLog(audience)).toEqual(expected);
  const [size] = await clickhouse.query<{ people: number }>(
    "SELECT argMax(s.people, s.at) AS people FROM audience_size AS s WHERE audience = {audience:String}",
    { params: { audience } },
  );
  expect(size!.people).toBe(expected.length);
}

describe("after a crash", () => {
  it("between any two writes the next worker has all of it, and each change once", async () => {
    await define({ audience: "viewers" });
    await happened({ atom: 64 }, { atom: 128 });
    await tick(newTicker());
    // Calls of a whole tick with a change in it, one after the other.
    for (let call = 1; ; call++) {
      const when = call % 2 === 0 ? "before" : "after";
      await happened({ atom: 64 * (call + 2) });
      await belongs([128 + 64 * (call % 3), 64]);
      const failed = await tick(newTicker(crashingAt(call, when))).catch((error: unknown) => error);
      await tick(newTicker());
      await expectExact("viewers");
      if (!(failed instanceof Crash)) {
        expect(call).toBeGreaterThan(8);
        break;
      }
    }
  });

  it("of a statement that is refused when a part of it is in the table, each change is told once", async () => {
    await define({ audience: "viewers" });
    await define({ audience: "others" });
    await happened({ atom: 64 }, { atom: 128 });
    let isFirst = true;
    const ticker = newTicker((ticks) => ({
      ...ticks,
      async logChanges(turn, works, options) {
        if (!isFirst) return ticks.logChanges(turn, works, options);
        isFirst = false;
        await clickhouse.command(
          "INSERT INTO audience_log SELECT 1, 'shop', 'viewers', 64, 'enter', 'enter', 0, fromUnixTimestamp64Milli({at:Int64}), 1",
          { params: { at: options.at } },
        );
        throw new ClickHouseQueryError(159, "Timeout exceeded");
      },
    }));
    await tick(ticker);
    for (const audience of ["viewers", "others"]) await expectExact(audience);
  });

  it("of the server in the middle of a statement, nothing of an earlier turn is written", async () => {
    await define({ audience: "viewers" });
    await happened({ atom: 64 });
    const ticks = createAudienceTickStore({ clickhouse, consent });
    const options = { standbyMs: 0, isForced: false, isDoubted: false };
    const frozen = (await ticks.takeTurn("frozen", nowMs, options))!;
    await ticks.workOutConsent(frozen, "shop", nowMs);
    await tick(newTicker());
    const { audiences } = await createAudienceStore(clickhouse).list();
    const compiled = compileAudiences([viewed], {
      site: "shop",
      now: new Date(nowMs),
      timezone: "UTC",
      audiences: new Map(),
      computedTraits: new Map(),
    });
    await happened({ atom: 128 });
    const works = [{ audience: audiences[0]!, by: "definition" as const, isNewVersion: false }];
    await ticks.logChanges(frozen, works, { compiled, at: nowMs, hasMoved: false });
    expect(await log()).toEqual(["enter 64 enter"]);
  });

  it("another worker worked meanwhile, and one that withdraws somebody between two ticks goes by nothing of before", async () => {
    await define({ audience: "viewers" });
    await happened({ atom: 64 }, { atom: 128 });
    const [one, other] = [newTicker(), newTicker()];
    await tick(one);
    // What arrived long ago is not looked at again.
    for (const atom of [192, 256, 320]) {
      await happened({ atom });
      await tick(one);
    }
    await happened({ atom: 384 });
    expect(await tick(other, 151_000)).toBe(1);
    await clickhouse.command("OPTIMIZE TABLE audience_permit FINAL");
    await one.onWithdrawn([{ site: "shop", person: 128 } as Withdrawal]);
    await happened({ atom: 448 });
    await tick(one);
    expect(await members()).toEqual([64, 128, 192, 256, 320, 384, 448]);
    expect((await log()).filter((line) => line.startsWith("exit"))).toEqual([]);
  });

  it("another worker stands by while one works, and takes over when that one says nothing", async () => {
    await define({ audience: "viewers" });
    const [one, other] = [newTicker(), newTicker()];
    await tick(one);
    await tick(other);
    await happened({ atom: 64 });
    expect(await tick(one)).toBe(0);
    expect(await tick(other)).toBe(1);
    await happened({ atom: 128 });
    expect(await tick(one, 151_000)).toBe(1);
    expect(await tick(other)).toBe(0);
    await expectExact("viewers");
  });
});

describe("who may be used for what", () => {
  // A yes on record or the last event by a yes, for a year; not who has a flag, and not for ads who is named in a decision.
  const yes = (bit: number, word: string): string =>
    `if(max(if(bitTest(s.${word}, 0), 0, intDiv(s.${word}, 2))) + 31536000000 >= {now:Int64} OR max(if(bitTest(s.by_choice, 6), intDiv(s.by_choice, 128), 0)) + 31536000000 >= {now:Int64}, ${1 << bit}, 0)`;
  const rule: typeof personConsent = ({ people } = {}) => `(
    SELECT person(s.atom) AS person_id, toUInt8(
      if(person_id IN (SELECT person(a.atom) FROM atom AS a JOIN person_flag AS f ON f.anonymous_id = a.anonymous_id AND f.user_id = a.user_id), 0,
        ${yes(2, "profile")} + if(person_id IN (
          SELECT person(a.atom) FROM atom AS a JOIN (SELECT arrayJoin(arrayConcat([left, right], arrayFlatten(arrayMap(edge -> [edge.node, edge.other], edges)))) AS node FROM identity_decision) AS d
            ON d.node = if(a.user_id = '', concat('device:', a.anonymous_id), concat('user:', a.user_id))), 0, ${yes(5, "ads")}))) AS mask
    FROM consent_state AS s WHERE s.site = {site:String} AND person(s.atom) != 0${people === undefined ? "" : ` AND person(s.atom) IN (${people})`} GROUP BY person_id)`;
  const ask = async (): Promise<unknown> =>
    clickhouse.query(
      `SELECT arraySort(groupArrayIf(person_id, bitTest(mask, 2))) AS profile, arraySort(groupArrayIf(person_id, bitTest(mask, 5))) AS ads FROM ${rule()}`,
      { params: { site: "shop", now: nowMs } },
    );
  const known = async (): Promise<unknown> =>
    clickhouse.query(
      `SELECT arraySort(bitmapToArray(groupBitmapMergeStateIf(people, purpose = 'profile'))) AS profile, arraySort(bitmapToArray(groupBitmapMergeStateIf(people, purpose = 'ads'))) AS ads
       FROM audience_permit WHERE site = 'shop' AND n = (SELECT max(n) FROM audience_permit)`,
    );

  /** What a turn does before it works audiences out, by a store that counts how often it asks about everybody. */
  const newTurns = () => {
    let everybody = 0;
    const counting: typeof personConsent = (options) => {
      if (options?.people === undefined) everybody++;
      return rule(options);
    };
    const ticks = createAudienceTickStore({ clickhouse, consent: counting });
    let n = 0;
    let seen: string | undefined;
    return {
      timesOfAll: () => everybody,
      async next() {
        const turn = { n: ++n, worker: "worker", seq: 0 };
        const { signature } = await ticks.identityMoves(turn, seen);
        await ticks.workOutConsent(turn, "shop", nowMs);
        if (signature !== seen) await ticks.rememberIdentities(turn);
        seen = signature;
      },
    };
  };

  it("is no as soon as a no is in its table, however long ago its insert broke off before that", async () => {
    const choice = (given: string): Partial<LoadedEventRow> => ({
      type: "consent",
      name: "consent",
      basis: "consent",
      "choice.purpose": ["profile"],
      "choice.state": [given],
    });
    await define({ audience: "viewers" });
    await happened({ atom: 64 }, { atom: 64, ...choice("granted") });
    await isLoaded();
    const ticker = newTicker(undefined, personConsent);
    await tick(ticker);
    expect(await members()).toEqual([64]);

    // As after a crash between two views of an insert: the loader brings it to an end by the same once more.
    await clickhouse.command("DETACH TABLE consent_state_mv");
    const mend = () => clickhouse.command("ATTACH TABLE IF NOT EXISTS consent_state_mv");
    onTestFinished(mend);
    const denied = buildEventRow({
      message_id: "denial",
      anonymous_id: "device-64",
      _offset: nextOffset++,
      atom: 64,
      time: textOf(nowMs + 1),
      received_at: textOf(nowMs + 1),
      day: textOf(nowMs).slice(0, 10),
      consent_mask: 1,
      ...choice("denied"),
    });
    const insertDenial = () =>
      createEventStore({ clickhouse }).insert("events", `test-${nextOffset}`, rowBytes([denied]));
    expect(await insertDenial()).toEqual({ ok: true });
    for (let turn = 0; turn < 3; turn++) await tick(ticker);
    expect(await members()).toEqual([64]);
    await mend();
    expect(await insertDenial()).toEqual({ ok: true });
    await isLoaded();
    await tick(ticker);
    expect(await log()).toEqual(["enter 64 enter", "exit 64 consent"]);
  });

  it("asks about nobody while nothing arrives and all of it is loaded", async () => {
    const asked: string[] = [];
    const listening: typeof personConsent = (options) => {
      asked.push(options?.people ?? "everybody");
      return rule(options);
    };
    const ticks = createAudienceTickStore({ clickhouse, consent: listening });
    await happened({ atom: 64 });
    await isLoaded();
    for (let n = 1; n <= 3; n++) {
      const turn = { n, worker: "worker", seq: 0 };
      await ticks.identityMoves(turn, undefined);
      await ticks.workOutConsent(turn, "shop", nowMs);
      expect(asked).toEqual(["everybody"]);
    }
  });

  it("is worked out of those of whom something changed or whose yes became too old, and comes to the same as of all (seed 20261124)", async () => {
    let state = 20_261_124;
    const below = (n: number): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * n);
    };
    const anyAtom = (): number => 64 * (1 + below(8));
    const identityOf = (atom: number): Partial<LoadedEventRow> => ({
      atom,
      anonymous_id: `device-${(atom / 64) % 4}`,
      user_id: atom > 256 ? `user-${atom}` : "",
    });
    /** A little less than a year ago, so that it is over soon. */
    const old = (): number => nowMs - 365 * day + below(40 * 60_000) - 60_000;
    const chosen = (given: string): Partial<LoadedEventRow> => ({
      type: "consent",
      name: "consent",
      "choice.purpose": ["profile", "ads"],
      "choice.state": [given, given],
    });
    await happened(...Array.from({ length: 8 }, (_, n) => ({ ...identityOf(64 * (n + 1)), at: old() })));
    const turns = newTurns();
    const flags = createPersonFlagStore({ clickhouse, blockedAt: () => [] });
    const later = async (): Promise<unknown> => (nowMs += below(10 * 60_000));
    const operations: (() => Promise<unknown>)[] = [
      () => happened({ ...identityOf(anyAtom()), at: old() }, { ...identityOf(anyAtom()), at: old() }),
      () => happened({ ...identityOf(anyAtom()), ...chosen("granted"), at: old() }),
      () => belongs([anyAtom(), anyAtom()]),
      later,
      () => belongs(...Array.from({ length: 8 }, (_, n): [number, number] => [64 * (n + 1), 64 * (n + 1)])),
      // What holds for good is seldom, so that there is something left.
      () => happened({ ...identityOf(anyAtom()), ...chosen("granted"), at: nowMs }),
      () => happened({ ...identityOf(anyAtom()), ...chosen("denied"), consent_mask: 1 }),
      () =>
        flags.decide({
          site: "shop",
          person: anyAtom(),
          flag: "restrict",
          purposes: [],
          isSet: true,
          actor: "desk",
          reason: "by letter",
          at: new Date(nowMs),
        }),
      () =>
        clickhouse.insertRows("identity_decision", [
          {
            site: "shop",
            id: `d-${nowMs}`,
            at: textOf(nowMs),
            action: "unmerge",
            edges: [["manual", `device:device-${below(4)}`, `user:user-${anyAtom()}`]],
          },
        ]),
    ];
    const seen = new Set<string>();
    for (let step = 0; step < 24; step++) {
      if (step % 2 === 0) await later();
      await operations[below(step % 5 === 4 ? operations.length : 5)]!();
      if (below(2) === 0) await isLoaded();
      await turns.next();
      const found = await known();
      expect(found, `step ${step}`).toEqual(await ask());
      seen.add(JSON.stringify(found));
    }
    // Everybody at the start and when an hour was over; and who may was somebody else again and again.
    expect(turns.timesOfAll()).toBe(2);
    expect(seen.size).toBeGreaterThan(9);
  });

  it("is worked out of all again when a yes counts for another time, and after an erasure", async () => {
    await happened({ atom: 64, at: nowMs - 40 * day });
    const turns = newTurns();
    const twice = async (): Promise<number> => {
      for (const _ of [1, 2]) await turns.next();
      return turns.timesOfAll();
    };
    expect(await twice()).toBe(1);
    await clickhouse.insertRows("consent_setting", [{ site: "shop", n: 1, since: textOf(nowMs), grant_days: 30 }]);
    expect(await twice()).toBe(2);
    await clickhouse.insertRows("erasure_receipt", [{ site: "shop", id: "e", round: 1, table_name: "" }]);
    expect(await twice()).toBe(3);
  });
});

describe("the law", () => {
  it("members are who fulfils the definition, after every tick of any history (seed 20261123)", async () => {
    let state = 20_261_123;
    const below = (n: number): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * n);
    };
    const anyAtom = (): number => 64 * (1 + below(8));
    await define({ audience: "viewers" });
    await define({
      audience: "buyers",
      definition: { people: { event: "Order Completed", count: { atLeast: 2 }, within: { days: 30 } } },
    });
    await define({
      audience: "others",
      definition: { people: { all: [{ audience: "viewers" }, { not: { audience: "buyers" } }] } },
    });
    let ticker = newTicker();
    let versions = 1;
    const operations: (() => Promise<unknown>)[] = [
      () => happened(...Array.from({ length: 4 }, () => ({ atom: anyAtom(), at: nowMs - below(10) * day }))),
      () =>
        happened(
          ...Array.from({ length: 3 }, () => ({
            atom: anyAtom(),
            type: "track" as const,
            name: "Order Completed",
            at: nowMs - below(35) * day,
          })),
        ),
      () => happened({ atom: anyAtom(), consent_mask: 3 }),
      () => belongs([anyAtom(), anyAtom()]),
      () => belongs(...Array.from({ length: 8 }, (_, n): [number, number] => [64 * (n + 1), 64 * (n + 1)])),
      () => belongs([anyAtom(), 0]),
      async () => (nowMs += below(12) * day),
      async () => (ticker = newTicker()),
      async () => {
        const days = 5 + below(5);
        versions += 1;
        await define({
          audience: "viewers",
          revision: versions,
          version: versions,
          definition: { people: { event: "page", within: { days } } },
        });
      },
      async () => {
        const crashing = newTicker(crashingAt(1 + below(14), below(2) === 0 ? "before" : "after"));
        await tick(crashing).catch(() => undefined);
        ticker = newTicker();
      },
    ];
    for (let step = 0; step < 25; step++) {
      await operations[below(operations.length)]!();
      await tick(ticker);
      for (const audience of ["viewers", "buyers", "others"]) await expectExact(audience);
    }
    expect((await log("others")).length).toBeGreaterThan(5);
  });
});
