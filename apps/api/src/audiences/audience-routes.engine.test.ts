import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createAudienceExportStore,
  createAudienceQueries,
  createAudienceStore,
  createClickHouse,
  createEventStore,
  createPersonExport,
  createPersonFlagStore,
  createReadQueries,
  exportLeftOutReasons,
  migrate,
  reloadIdentities,
  type ClickHouse,
} from "@polder/clickhouse";
import { buildEventRow, rowBytes, type LoadedEventRow } from "@polder/core/contracts";
import { startEngine, type Engine } from "@polder/engine";
import { Registry } from "prom-client";
import * as v from "valibot";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createApi, type Api } from "../create-api.ts";
import * as schemas from "./audience-schemas.ts";

const logger = { info() {}, warn() {}, error() {} };
const folder = mkdtempSync(join(tmpdir(), "polder-audience-routes-"));
const noon = Date.parse("2026-11-22T12:00:00Z");
const hour = 3_600_000;
let engine: Engine;
let clickhouse: ClickHouse;
let api: Api;
let nowMs = noon;

beforeAll(async () => {
  engine = await startEngine({ dataPath: folder, logger });
  clickhouse = createClickHouse({ url: engine.url, ...engine.admin, database: "polder", logger });
  await migrate(clickhouse);
  api = createApi({
    queries: createReadQueries(clickhouse),
    sites: () => [
      { id: "shop", name: "Shop", timezone: "Europe/Amsterdam" },
      { id: "blog", name: "Blog", timezone: "Europe/Amsterdam" },
    ],
    logger,
    registry: new Registry(),
    now: () => new Date(nowMs),
    isStoreReachable: async () => true,
    audiences: {
      store: createAudienceStore(clickhouse),
      queries: createAudienceQueries(clickhouse),
      exports: createAudienceExportStore(clickhouse),
      readyMade: [
        { id: "buyers", name: "Buyers", definition: { description: "Ordered.", people: { event: "Order Completed" } } },
        { id: "viewers", name: "Viewers", definition: { description: "Viewed.", ...viewed } },
      ],
    },
  });
});
afterAll(async () => {
  await api?.close();
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

const viewed = { people: { event: "page" } } as const;
const textOf = (at: number): string => new Date(at).toISOString().slice(0, -1).replace("T", " ");

const ask = async (method: string, path: string, body?: unknown): Promise<Response> =>
  api.app.request(`/v1/audiences${path}`, {
    method,
    ...(body !== undefined && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
  });
const json = async <T = Record<string, unknown>>(answer: Promise<Response>, status = 200): Promise<T> => {
  const given = await answer;
  const body = (await given.json()) as T;
  expect([given.status, given.status === status ? undefined : body]).toEqual([status, undefined]);
  return body;
};
const actor = "ann@shop.example";
const define = (id: string, more: object = {}): Promise<Response> =>
  ask("POST", "", { id, name: id, definition: viewed, actor, ...more });

/** As a tick writes it. */
const enter = async (audience: string, ...people: number[]): Promise<void> =>
  clickhouse.insertRows(
    "audience_member",
    people.map((person) => ({ site: "shop", audience, person, since: textOf(noon), version: 1, seq: 1, has_left: 0 })),
  );
const workOut = async (audience: string, version = 1): Promise<void> =>
  clickhouse.insertRows("audience_size", [
    { site: "shop", audience, hour: textOf(noon), at: textOf(noon + version), version, people: 0, is_below_floor: 0 },
  ]);
const belongs = async (...pairs: [atom: number, person: number][]): Promise<void> => {
  await clickhouse.insertRows(
    "identity",
    pairs.map(([atom, person]) => ({ site: "shop", atom, person, version: 1 })),
  );
  await reloadIdentities(clickhouse);
};
let nextOffset = 0;
async function happened(...rows: Partial<LoadedEventRow>[]): Promise<void> {
  const events = rows.map((row) =>
    buildEventRow({
      message_id: `message-${nextOffset}`,
      anonymous_id: `device-${row.atom}`,
      consent_mask: 63,
      time: textOf(noon),
      received_at: textOf(noon),
      _offset: nextOffset++,
      ...row,
    }),
  );
  expect(await createEventStore({ clickhouse }).insert("events", `test-${nextOffset}`, rowBytes(events))).toEqual({
    ok: true,
  });
}
const traits = (values: { [name: string]: string }): Partial<LoadedEventRow> => {
  const names = Object.keys(values);
  return {
    type: "identify",
    name: "identify",
    "traits.name": names,
    "traits.value": Object.values(values),
    "traits.class": names.map(() => "identity"),
    "traits.purpose": names.map(() => "profile"),
    "traits.personal": names.map(() => 1),
  };
};

describe("definitions", () => {
  it("are made, changed and archived, each version kept with who did it and why", async () => {
    const made = await json(define("viewers", { reason: "spring" }), 201);
    expect(v.parse(schemas.audienceAnswer, made)).toMatchObject({
      id: "viewers",
      revision: 1,
      version: 1,
      state: "active",
      purpose: "profile",
      people: null,
    });
    nowMs += hour;
    const other = { people: { event: "Clicked" } };
    expect(await json(ask("PUT", "/viewers", { definition: other, actor: "bo" }))).toMatchObject({
      revision: 2,
      version: 2,
    });
    expect(await json(ask("PUT", "/viewers", { state: "paused", actor: "bo" }))).toMatchObject({
      revision: 3,
      version: 2,
      state: "paused",
    });
    expect(await json(ask("PUT", "/viewers", { definition: other, state: "active", actor: "bo" }))).toMatchObject({
      revision: 4,
      version: 2,
    });
    expect(await json(ask("PUT", "/viewers", { state: "archived", actor: "bo" }))).toMatchObject({ state: "archived" });
    const { revisions } = v.parse(schemas.audienceRevisions, await json(ask("GET", "/viewers/revisions")));
    expect(revisions.map(({ revision, version, actor: who, reason }) => [revision, version, who, reason])).toEqual([
      [5, 2, "bo", ""],
      [4, 2, "bo", ""],
      [3, 2, "bo", ""],
      [2, 2, "bo", ""],
      [1, 1, actor, "spring"],
    ]);
    expect(revisions.at(-1)!.definition).toEqual(viewed);
    const list = v.parse(schemas.audienceList, await json(ask("GET", "")));
    expect(list.audiences.map(({ id, state }) => [id, state])).toEqual([["viewers", "archived"]]);
    expect(await json(ask("GET", "?site=blog"))).toMatchObject({ audiences: [] });
  });

  it("that are wrong are refused with the path of each fault, and nothing is stored", async () => {
    const body = await json<v.InferOutput<typeof schemas.faultsAnswer>>(
      define("viewers", {
        definition: { people: { all: [{ event: "page", withn: { days: 7 } }, { audience: "nobody" }] } },
      }),
      400,
    );
    expect(v.parse(schemas.faultsAnswer, body)).toMatchObject({ code: "audience_invalid" });
    expect(body.faults.map(({ path }) => path)).toEqual(["people.all[0].withn"]);
    const unknown = await json<v.InferOutput<typeof schemas.faultsAnswer>>(
      define("viewers", { definition: { people: { audience: "nobody" } } }),
      400,
    );
    expect(unknown.faults.map(({ path }) => path)).toEqual(["people.audience"]);
    expect(await json(ask("GET", ""))).toMatchObject({ audiences: [] });
  });

  it("do not stand on themselves, also by way of others, and stay while others stand on them", async () => {
    await json(define("a"), 201);
    await json(define("b", { definition: { people: { audience: "a" } } }), 201);
    expect(await json(ask("PUT", "/a", { definition: { people: { audience: "b" } }, actor }), 400)).toMatchObject({
      code: "audience_invalid",
    });
    expect(await json(ask("PUT", "/a", { state: "archived", actor }), 409)).toMatchObject({ code: "audience_in_use" });
    await json(ask("PUT", "/b", { state: "archived", actor }));
    await json(ask("PUT", "/a", { state: "archived", actor }));
    expect(await json(ask("PUT", "/b", { state: "active", actor }), 400)).toMatchObject({ code: "audience_invalid" });
  });

  it("are changed by one at a time", async () => {
    const answers = await Promise.all([define("viewers", { name: "One" }), define("viewers", { name: "Two" })]);
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([201, 409]);
    await json(ask("PUT", "/viewers", { name: "Three", revision: 1, actor }));
    expect(await json(ask("PUT", "/viewers", { name: "Four", revision: 1, actor }), 409)).toMatchObject({
      code: "audience_changed",
    });
    expect(await json(ask("GET", "/viewers"))).toMatchObject({ name: "Three", revision: 2 });
  });

  it("are not written over when the server has forgotten that there was such a revision", async () => {
    await json(define("viewers", { name: "One" }), 201);
    const forgetful = createAudienceStore({
      ...clickhouse,
      insertRows: (table, rows) => clickhouse.insertRows(table, rows, { settings: { insert_deduplicate: 0 } }),
    });
    const one = (await forgetful.find("shop", "viewers"))!;
    expect(await forgetful.save({ ...one, name: "Two" })).toBe(false);
    expect((await forgetful.revisions("shop", "viewers")).map(({ name }) => name)).toEqual(["One"]);
    expect(await forgetful.save({ ...one, revision: 2, name: "Two" })).toBe(true);
  });

  it.each([
    ["POST", "", { id: "today", name: "x", definition: viewed, actor }, 400, "invalid_request"],
    ["POST", "", { id: "Not An Id", name: "x", definition: viewed, actor }, 400, "invalid_request"],
    ["POST", "", { id: "viewers", name: "x", definition: viewed }, 400, "invalid_request"],
    ["POST", "?site=nowhere", { id: "viewers", name: "x", definition: viewed, actor }, 404, "unknown_site"],
    ["GET", "/viewers", undefined, 404, "audience_not_found"],
    ["PUT", "/viewers", { actor }, 404, "audience_not_found"],
    ["POST", "/overlap", { audiences: ["a", "b"] }, 404, "audience_not_found"],
    ["GET", "/viewers/members?limit=0", undefined, 400, "invalid_request"],
  ])("%s %s with %j is answered %i %s", async (method, path, body, status, code) => {
    expect(await json(ask(method, path, body), status)).toMatchObject({ code });
  });

  it("are written by no page of somebody else: only JSON is taken", async () => {
    const body = JSON.stringify({ id: "viewers", name: "x", definition: viewed, actor });
    const answer = await api.app.request("/v1/audiences", {
      method: "POST",
      body,
      headers: { "content-type": "text/plain" },
    });
    expect([answer.status, await answer.json()]).toEqual([415, expect.objectContaining({ code: "json_required" })]);
    expect(await json(ask("GET", ""))).toMatchObject({ audiences: [] });
  });

  it("that come with Polder are switched on once, all or those that are named", async () => {
    const order = (body: object) => json(ask("POST", "/ready-made", { actor, ...body }));
    expect(await order({ audiences: ["buyers"] })).toEqual({ site: "shop", added: ["buyers"], there: [] });
    expect(await order({})).toEqual({ site: "shop", added: ["viewers"], there: ["buyers"] });
    await json(ask("PUT", "/buyers", { state: "archived", actor }));
    expect(await order({})).toEqual({ site: "shop", added: ["buyers"], there: ["viewers"] });
    expect(await json(ask("GET", "/ready-made"))).toMatchObject({
      audiences: [
        { id: "buyers", isOn: true },
        { id: "viewers", isOn: true },
      ],
    });
    expect(await json(ask("POST", "/ready-made", { audiences: ["x"], actor }), 400)).toMatchObject({
      code: "invalid_request",
    });
  });
});

describe("members", () => {
  it("come page by page, as people are known now, and nobody who was erased", async () => {
    await json(define("viewers"), 201);
    await enter("viewers", 64, 128, 192, 256);
    await belongs([128, 64], [256, 0]);
    const first = v.parse(schemas.audienceMembers, await json(ask("GET", "/viewers/members?limit=1")));
    expect(first).toEqual({ site: "shop", id: "viewers", members: [{ person: 64, since: noon }], next: 64 });
    expect(await json(ask("GET", "/viewers/members?limit=2&after=64"))).toMatchObject({
      members: [{ person: 192 }],
      next: null,
    });
  });

  it("in common are counted pair by pair", async () => {
    for (const id of ["a", "b", "c"]) await json(define(id), 201);
    await enter("a", 64, 128, 192, 320);
    await enter("b", 128, 256);
    await belongs([320, 256]);
    expect(v.parse(schemas.overlapAnswer, await json(ask("POST", "/overlap", { audiences: ["a", "b", "c"] })))).toEqual(
      {
        site: "shop",
        audiences: ["a", "b", "c"],
        counts: [
          [4, 2, 0],
          [2, 2, 0],
          [0, 0, 0],
        ],
        shares: [
          [1, 0.5, 0],
          [1, 1, 0],
          [0, 0, 0],
        ],
      },
    );
    const many = Array.from({ length: 21 }, (_, n) => `a${n}`);
    expect(await json(ask("POST", "/overlap", { audiences: many }), 400)).toMatchObject({ code: "invalid_request" });
  });

  it("have a log, of everybody or of one person with all who are part of them now", async () => {
    await json(define("viewers"), 201);
    const row = (seq: number, person: number, change: string, survivor = 0) => ({
      seq,
      site: "shop",
      audience: "viewers",
      person,
      change,
      reason: survivor === 0 ? change : "merged",
      survivor,
      at: textOf(noon),
      version: 1,
    });
    await clickhouse.insertRows("audience_log", [
      row(1, 64, "enter"),
      row(2, 128, "enter"),
      row(3, 128, "exit", 64),
      row(4, 192, "enter"),
    ]);
    await belongs([128, 64]);
    const log = v.parse(schemas.audienceLog, await json(ask("GET", "/viewers/log?limit=3")));
    expect(log.changes.map(({ seq }) => seq)).toEqual([4, 3, 2]);
    expect(log.next).toBe(2);
    expect(log.changes[1]).toEqual({
      seq: 3,
      person: 128,
      change: "exit",
      reason: "merged",
      survivor: 64,
      at: noon,
      version: 1,
    });
    expect(await json(ask("GET", "/viewers/log?before=2"))).toMatchObject({ changes: [{ seq: 1 }], next: null });
    const of64 = v.parse(schemas.audienceLog, await json(ask("GET", "/viewers/log?person=64")));
    expect(of64.changes.map(({ seq }) => seq)).toEqual([3, 2, 1]);
  });

  it("have a size over time, as it was seen and as they are known now", async () => {
    await json(define("viewers"), 201);
    await clickhouse.command(
      `INSERT INTO audience_size SELECT 'shop', 'viewers', toStartOfHour(at), at, 1, people, 0, bitmapBuild(atoms)
       FROM values('at DateTime64(3, ''UTC''), people UInt64, atoms Array(UInt32)', ('${textOf(noon - hour)}', 2, [64, 128]), ('${textOf(noon)}', 3, [64, 128, 192]))`,
    );
    await belongs([128, 64], [192, 0]);
    const sizes = async (query: string) =>
      v.parse(schemas.audienceSizes, await json(ask("GET", `/viewers/sizes${query}`))).sizes;
    expect(await sizes("")).toEqual([
      { at: noon - hour, version: 1, people: 2, restated: null },
      { at: noon, version: 1, people: 3, restated: null },
    ]);
    expect(await sizes("?restated=true")).toMatchObject([{ restated: 1 }, { restated: 1 }]);
    expect(await sizes(`?from=${noon}`)).toMatchObject([{ people: 3 }]);
  });
});

describe("an anonymous audience", () => {
  it("tells nothing but its size, and below the floor only that it is smaller", async () => {
    const made = await json<v.InferOutput<typeof schemas.audienceAnswer>>(define("crowd", { isAnonymous: true }), 201);
    expect(made).toMatchObject({ isAnonymous: true, sizeFloor: 50, expiresAt: noon + 30 * 24 * hour });
    const counted = (at: number, people: number, isBelow: number) =>
      clickhouse.insertRows("audience_size", [
        {
          site: "shop",
          audience: "crowd",
          hour: at / 1_000,
          at: textOf(at),
          version: 1,
          people,
          is_below_floor: isBelow,
        },
      ]);
    await counted(noon, 0, 1);
    expect(await json(ask("GET", "/crowd"))).toMatchObject({ people: null, fewerThan: 50 });
    expect(await json(ask("GET", "/crowd/sizes"))).toMatchObject({ sizes: [{ people: null, restated: null }] });
    await counted(noon + hour, 70, 0);
    expect(await json(ask("GET", "/crowd"))).toMatchObject({ people: 70, fewerThan: null });
    for (const path of ["/crowd/members", "/crowd/log", "/crowd/exports"])
      expect(await json(ask("GET", path), 409), path).toMatchObject({ code: "audience_anonymous" });
    const order = { format: "csv", identifiers: ["user_id"], recipient: "x", actor, reason: "x" };
    expect(await json(ask("POST", "/crowd/exports", order), 409)).toMatchObject({ code: "audience_anonymous" });
    await json(define("viewers"), 201);
    expect(await json(ask("POST", "/overlap", { audiences: ["viewers", "crowd"] }), 409)).toMatchObject({
      code: "audience_anonymous",
    });
    expect(await json(define("small", { isAnonymous: true, sizeFloor: 3 }), 400)).toMatchObject({
      code: "invalid_request",
    });
    expect(await json(define("long", { isAnonymous: true, livesDays: 365 }), 400)).toMatchObject({
      code: "invalid_request",
    });
  });
});

describe("an export", () => {
  const order = { format: "csv", recipient: "Mail Ltd", actor, reason: "spring mailing" };
  const nobody = Object.fromEntries(exportLeftOutReasons.map((reason) => [reason, 0]));
  const exported = async (
    more: object,
  ): Promise<{ text: string; summary: v.InferOutput<typeof schemas.exportSummary> }> => {
    const answer = await ask("POST", "/viewers/exports", { ...order, ...more });
    expect(answer.status).toBe(200);
    expect(answer.headers.get("cache-control")).toBe("no-store");
    const summary = v.parse(schemas.exportSummary, JSON.parse(answer.headers.get("x-polder-export")!));
    return { text: await answer.text(), summary };
  };

  beforeEach(async () => {
    await json(define("viewers"), 201);
    await enter("viewers", 64, 128, 192, 256, 320);
    await workOut("viewers");
    await happened(
      { atom: 64, user_id: "an", ...traits({ email: " An@Example.com " }) },
      { atom: 128, user_id: "=cmd|' /C calc'!A0", ...traits({ email: "+bo@example.com", phone: "0031 6 1234-5678" }) },
      { atom: 192, user_id: "cy", consent_mask: 31, ...traits({ email: "cy@example.com" }) },
      { atom: 256, user_id: "" },
    );
    await belongs([320, 0]);
  });

  it("has who may be used for the purpose at that moment, and says who was left out and why", async () => {
    const { text, summary } = await exported({ identifiers: ["user_id", "email_sha256"], purpose: "ads" });
    const hash = (email: string): string => createHash("sha256").update(email).digest("hex");
    expect(text.trim().split("\n")).toEqual([
      '"user_id","email_sha256"',
      `"an","${hash("an@example.com")}"`,
      `"'=cmd|' /C calc'!A0","${hash("+bo@example.com")}"`,
    ]);
    expect(summary).toMatchObject({
      members: 5,
      exported: 2,
      leftOut: { ...nobody, erased: 1, no_consent: 1, no_identifier: 1 },
      decidedAt: noon,
      purpose: "ads",
      version: 1,
    });
    const profile = await exported({ identifiers: ["email"] });
    expect(profile.summary).toMatchObject({
      members: 5,
      exported: 3,
      leftOut: { ...nobody, erased: 1, no_identifier: 1 },
      purpose: "profile",
    });
    expect(profile.text.trim().split("\n").slice(1)).toEqual([
      '"an@example.com"',
      '"\'+bo@example.com"',
      '"cy@example.com"',
    ]);
  });

  it("waits for the worker: nobody gets the members of another definition, or an empty file of a new one", async () => {
    const refused = async (id: string) =>
      json(ask("POST", `/${id}/exports`, { ...order, identifiers: ["user_id"] }), 409);
    await json(define("fresh"), 201);
    expect(await refused("fresh")).toMatchObject({ code: "audience_not_counted" });
    await json(ask("PUT", "/viewers", { definition: { people: { event: "Order Completed" } }, actor }));
    expect(await refused("viewers")).toMatchObject({ code: "audience_not_counted" });
    expect(await clickhouse.query("SELECT count() AS n FROM audience_export")).toEqual([{ n: 0 }]);
    await workOut("viewers", 2);
    expect((await exported({ identifiers: ["user_id"] })).summary).toMatchObject({ version: 2 });
  });

  it("is decided when it is asked for, and the next one is another", async () => {
    const before = await exported({ identifiers: ["person_id"] });
    expect(before.text.trim().split("\n").slice(1)).toEqual(["64", "128", "192", "256"]);
    nowMs += hour;
    await happened({ atom: 64, user_id: "an", time: textOf(nowMs), consent_mask: 3 });
    const after = await exported({ identifiers: ["person_id"] });
    expect(after.text.trim().split("\n").slice(1)).toEqual(["128", "192", "256"]);
    expect(after.summary).toMatchObject({ leftOut: { ...nobody, erased: 1, no_consent: 1 }, decidedAt: nowMs });
  });

  it("leaves out for every reason of the send gate, each person once", async () => {
    const choice = (ads: string, at: number): Partial<LoadedEventRow> => ({
      type: "consent",
      name: "consent",
      time: textOf(at),
      consent_mask: ads === "granted" ? 63 : 31,
      "choice.purpose": ["measurement", "profile", "personalisation", "ads"],
      "choice.state": ["granted", "granted", "granted", ads],
    });
    await happened(
      { atom: 384, ...choice("granted", noon) },
      { atom: 448, ...choice("granted", noon) },
      { atom: 512, ...choice("denied", noon) },
      { atom: 576, ...choice("granted", noon - 366 * 24 * hour) },
    );
    await enter("viewers", 384, 448, 512, 576, 9_999);
    const flags = createPersonFlagStore({ clickhouse, blockedAt: () => [] });
    const flag = { site: "shop", isSet: true, actor, reason: "by letter", at: new Date(noon) } as const;
    await flags.decide({ ...flag, person: 384, flag: "restrict", purposes: [] });
    await flags.decide({ ...flag, person: 448, flag: "object", purposes: ["ads"] });
    const { text, summary } = await exported({ identifiers: ["user_id", "email"], purpose: "ads" });
    expect(summary).toMatchObject({
      members: 10,
      exported: 2,
      leftOut: {
        erased: 1,
        unknown: 1,
        restricted: 1,
        objected: 1,
        denied: 1,
        expired: 1,
        no_consent: 1,
        no_identifier: 1,
      },
    });
    expect(text.trim().split("\n")).toHaveLength(3);
    expect(v.parse(schemas.exportList, await json(ask("GET", "/viewers/exports"))).exports[0]!.leftOut).toEqual(
      summary.leftOut,
    );
  });

  it("has nothing of somebody who turned out to be part of a member after it was decided, and may not be sent", async () => {
    const exports = createAudienceExportStore(clickhouse);
    const of = { id: "under-way", site: "shop", audience: "viewers", version: 1, at: noon };
    const asked = { ...of, ...order, format: "csv", purpose: "ads", identifiers: ["user_id"] } as const;
    expect(await exports.begin(asked)).toMatchObject({ exported: 2 });
    await belongs([192, 64]);
    await happened({
      atom: 192,
      user_id: "cy",
      type: "consent",
      name: "consent",
      "choice.purpose": ["ads"],
      "choice.state": ["denied"],
      consent_mask: 31,
      time: textOf(noon + 1),
    });
    const bytes: Uint8Array[] = [];
    for await (const part of exports.file(asked)) bytes.push(part);
    await exports.end(asked);
    expect(Buffer.concat(bytes).toString().trim().split("\n")).toEqual(['"user_id"', `"'=cmd|' /C calc'!A0"`]);
  });

  it("gives a spreadsheet nothing to carry out", async () => {
    const { text } = await exported({ identifiers: ["user_id", "phone"] });
    expect(text).toContain(`"'=cmd|' /C calc'!A0","'+31612345678"`);
    for (const line of text.trim().split("\n")) expect(line).not.toMatch(/(^|,)"[=+@-]/);
  });

  it("comes as Parquet too, with the same people", async () => {
    const answer = await ask("POST", "/viewers/exports", {
      ...order,
      format: "parquet",
      identifiers: ["person_id", "user_id"],
      purpose: "ads",
    });
    const bytes = Buffer.from(await answer.arrayBuffer());
    expect(bytes.subarray(0, 4).toString()).toBe("PAR1");
    expect(bytes.subarray(-4).toString()).toBe("PAR1");
    expect(answer.headers.get("content-type")).toBe("application/vnd.apache.parquet");
    // What ClickHouse wrote it can read: sent back as the data of an INSERT.
    await clickhouse.command("CREATE OR REPLACE TABLE parquet (person_id UInt32, user_id String) ENGINE = Memory");
    const sent = await fetch(
      `${engine.url}/?database=polder&query=${encodeURIComponent("INSERT INTO parquet FORMAT Parquet")}`,
      {
        method: "POST",
        body: bytes,
        headers: { "X-ClickHouse-User": engine.admin.username, "X-ClickHouse-Key": engine.admin.password },
      },
    );
    expect(await sent.text()).toBe("");
    expect(await clickhouse.query("SELECT person_id, user_id FROM parquet ORDER BY person_id")).toEqual([
      { person_id: 64, user_id: "an" },
      { person_id: 128, user_id: "=cmd|' /C calc'!A0" },
      { person_id: 256, user_id: "" },
    ]);
    await clickhouse.command("DROP TABLE parquet");
  });

  it("is kept: who, when, for whom, for what and how many, and nobody's data", async () => {
    const { summary } = await exported({ identifiers: ["user_id", "email"] });
    const list = v.parse(schemas.exportList, await json(ask("GET", "/viewers/exports")));
    expect(list.exports).toEqual([
      {
        id: summary.id,
        version: 1,
        at: noon,
        purpose: "profile",
        recipient: "Mail Ltd",
        actor,
        reason: "spring mailing",
        format: "csv",
        identifiers: ["user_id", "email"],
        members: 5,
        exported: 3,
        leftOut: { ...nobody, erased: 1, no_identifier: 1 },
      },
    ]);
    expect(await clickhouse.query("SELECT count() AS n FROM audience_export_person")).toEqual([{ n: 0 }]);
    expect(JSON.stringify(await clickhouse.query("SELECT * FROM audience_export"))).not.toContain("example.com");
  });

  it("is in what somebody is told of them afterwards, also when a number of theirs has left since it was part of another", async () => {
    const row = (seq: number, person: number, change: string, survivor = 0) => ({
      seq,
      site: "shop",
      audience: "viewers",
      person,
      change,
      reason: survivor === 0 ? change : "merged",
      survivor,
      at: textOf(noon - 1_000),
      version: 1,
    });
    await clickhouse.insertRows("audience_log", [
      row(1, 64, "enter"),
      row(2, 128, "enter"),
      row(3, 128, "exit", 64),
      row(4, 192, "enter"),
      row(5, 192, "exit"),
    ]);
    await belongs([128, 64]);
    await exported({ identifiers: ["user_id"] });
    const recipientsOf = async (person: number): Promise<string[]> => {
      const found: string[] = [];
      for await (const { section, recipient } of (await createPersonExport(clickhouse).read("shop", person))!)
        if (section === "recipients") found.push(recipient);
      return found;
    };
    expect(await recipientsOf(64)).toEqual(["Mail Ltd"]);
    expect(await recipientsOf(192)).toEqual([]);
  });

  it("that is broken off forgets who was in it", async () => {
    const answer = await ask("POST", "/viewers/exports", { ...order, identifiers: ["user_id"] });
    await answer.body!.cancel();
    expect(await clickhouse.query("SELECT count() AS n FROM audience_export_person")).toEqual([{ n: 0 }]);
  });
});
