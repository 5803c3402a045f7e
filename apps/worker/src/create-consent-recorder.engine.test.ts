import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createClickHouse,
  createConsentQueries,
  createConsentRecordStore,
  migrate,
  type ClickHouse,
} from "@polder/clickhouse";
import { noticeTexts, verifyChain, type ConsentLogRow, type ConsentRecordStore } from "@polder/core";
import { buildEventRow, type LoadedEventRow } from "@polder/core/contracts";
import { startEngine, type Engine } from "@polder/engine";
import { buildSite, emptyTables } from "@polder/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createConsentRecorder, type ConsentRecorder, type ConsentRecorderOptions } from "./create-consent-recorder.ts";

const logger = { info() {}, warn() {}, error() {} };
const folder = mkdtempSync(join(tmpdir(), "polder-consent-"));
const measurement = noticeTexts({ measurement: { en: { title: "Counting", text: "We count visits." } } });
let engine: Engine;
let clickhouse: ClickHouse;
let store: ConsentRecordStore;
let nowMs = 0;

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
  store = createConsentRecordStore(clickhouse);
  nowMs = Date.parse("2026-11-22T20:30:00Z");
});

const newRecorder = (options: Partial<ConsentRecorderOptions> = {}): ConsentRecorder =>
  createConsentRecorder({ store, now: () => new Date(nowMs), ...options });

const buildChoice = (offset: number, fields: Partial<LoadedEventRow> = {}): LoadedEventRow =>
  buildEventRow({
    type: "consent",
    name: "consent",
    message_id: `choice-${fields._partition ?? 0}-${offset}`,
    consent_id: `consent-${fields._partition ?? 0}-${offset}`,
    "choice.purpose": ["measurement", "ads"],
    "choice.state": ["granted", "denied"],
    notice: JSON.stringify({
      version: "3",
      language: "en",
      variant: "bar",
      texts: { measurement: measurement[0]!.hash },
    }),
    _offset: offset,
    ...fields,
  });

const load = (rows: readonly LoadedEventRow[]): Promise<void> => clickhouse.insertRows("events", rows);

async function chain(site = "shop"): Promise<ConsentLogRow[]> {
  const links: ConsentLogRow[] = [];
  for await (const link of createConsentQueries(clickhouse).chain(site)) links.push(link);
  return links;
}
const verify = (site = "shop") => verifyChain(createConsentQueries(clickhouse).chain(site));

describe("the record", () => {
  it("holds everything that was said and shown, chained in the order of arrival", async () => {
    await load([
      buildChoice(7, { received_at: "2026-11-22 20:15:03.000" }),
      buildChoice(4, {
        _partition: 1,
        received_at: "2026-11-22 20:15:02.000",
        notice: JSON.stringify({ gpc: true }),
        properties: { tcf: "CP1abc", n: 1 },
      }),
      buildEventRow({ message_id: "page", _offset: 8 }),
    ]);
    expect(await newRecorder().tick()).toBe(2);
    const [first, second] = await chain();
    expect(first).toMatchObject({ n: 1, previous_hash: "", _partition: 1, gpc: 1, notice_version: "" });
    expect(JSON.parse(first!.properties)).toEqual({ tcf: "CP1abc", n: 1 });
    expect(second).toEqual({
      site: "shop",
      n: 2,
      previous_hash: first!.hash,
      hash: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
      message_id: "choice-0-7",
      _partition: 0,
      _offset: 7,
      at: "2026-11-22 20:15:00.000",
      received_at: "2026-11-22 20:15:03.000",
      atom: 64,
      consent_id: "consent-0-7",
      "choice.purpose": ["measurement", "ads"],
      "choice.state": ["granted", "denied"],
      "text.purpose": ["measurement"],
      "text.hash": [measurement[0]!.hash],
      notice_version: "3",
      notice_hash: "",
      language: "en",
      variant: "bar",
      regime: "opt_in",
      gpc: 0,
      country: "NL",
      properties: "{}",
    });
    expect(await verify()).toEqual({ ok: true, links: 2, head: second!.hash });
  });

  it("gives what is loaded later the next number, whenever it had been received", async () => {
    const recorder = newRecorder();
    await load([buildChoice(1, { received_at: "2026-11-22 20:20:00.000" })]);
    await recorder.tick();
    await load([buildChoice(1, { _partition: 3, received_at: "2026-11-22 20:15:00.000" })]);
    expect(await recorder.tick()).toBe(1);
    expect((await chain()).map(({ n, _partition }) => [n, _partition])).toEqual([
      [1, 0],
      [2, 3],
    ]);
    expect(await recorder.tick()).toBe(0);
  });

  it("has a choice once, also one whose row was lost and loaded again from another place, or is there twice", async () => {
    const recorder = newRecorder();
    const choice = buildChoice(1, { message_id: "said-once" });
    const again = buildChoice(9, { message_id: "said-once", _partition: 2 });
    await load([choice, { ...choice, _offset: 2 }, buildChoice(3, { message_id: "said-once", site: "blog" })]);
    expect(await recorder.tick()).toBe(2);
    await clickhouse.command("ALTER TABLE events DELETE WHERE site = 'shop' SETTINGS mutations_sync = 2");
    await load([again]);
    expect(await recorder.tick()).toBe(0);
    expect((await chain()).map(({ _partition, _offset }) => [_partition, _offset])).toEqual([[0, 1]]);
    expect(await createConsentQueries(clickhouse).countUnrecorded()).toBe(0);
  });

  it("finds choices of any age when it starts and every hour, and those of the last days on every tick", async () => {
    const recorder = newRecorder();
    const old = { day: "2026-10-01", time: "2026-10-01 12:00:00.000", received_at: "2026-11-10 20:15:00.000" };
    await load([buildChoice(1, old)]);
    expect(await recorder.tick()).toBe(1);
    await load([buildChoice(2, old), buildChoice(3)]);
    expect(await recorder.tick()).toBe(1);
    nowMs += 3_600_000;
    expect(await recorder.tick()).toBe(1);
    expect((await chain()).map(({ _offset }) => _offset)).toEqual([1, 3, 2]);
  });

  it("finds what came today on the next tick, however long ago it was chosen", async () => {
    const recorder = newRecorder();
    await recorder.tick();
    const old = { day: "2026-10-01", time: "2026-10-01 12:00:00.000", received_at: "2026-11-22 20:15:00.000" };
    await load([buildChoice(1, old)]);
    expect(await recorder.tick()).toBe(1);
  });

  it("keeps one chain a site", async () => {
    await load([buildChoice(1), buildChoice(2, { site: "blog" }), buildChoice(3)]);
    await newRecorder().tick();
    expect((await chain("blog")).map(({ n }) => n)).toEqual([1]);
    expect((await chain()).map(({ n }) => n)).toEqual([1, 2]);
    expect((await verify("blog")).ok).toBe(true);
  });

  it("never forks: of two workers that saw the same, one writes", async () => {
    await load(Array.from({ length: 40 }, (_, i) => buildChoice(i + 1)));
    const recorders = Array.from({ length: 4 }, () => newRecorder({ maxChoices: 7 }));
    await Promise.all(recorders.map((recorder) => recorder.tick()));
    await load([buildChoice(41)]);
    await Promise.all(recorders.map((recorder) => recorder.tick()));
    expect((await chain()).map(({ n }) => n)).toEqual(Array.from({ length: 41 }, (_, i) => i + 1));
    expect(new Set((await chain()).map(({ message_id }) => message_id)).size).toBe(41);
    expect(await verify()).toMatchObject({ ok: true, links: 41 });
  });

  it.each(["before", "after"])("goes on after an insert that broke off %s it was carried out", async (moment) => {
    let breaks = 1;
    const broken: ConsentRecordStore = {
      ...store,
      async appendLinks(...args) {
        if (moment === "after") await store.appendLinks(...args);
        if (breaks-- > 0) throw new Error("the connection was cut");
        if (moment === "before") await store.appendLinks(...args);
      },
    };
    await load([buildChoice(1), buildChoice(2)]);
    const recorder = newRecorder({ store: broken });
    await expect(recorder.tick()).rejects.toThrow("the connection was cut");
    await load([buildChoice(3)]);
    await recorder.tick();
    expect((await chain()).map(({ message_id }) => message_id)).toEqual(["choice-0-1", "choice-0-2", "choice-0-3"]);
    expect(await verify()).toMatchObject({ ok: true, links: 3 });
  });

  it("says that its newest links were removed, and goes on only when that has lasted", async () => {
    const recorder = newRecorder();
    await load([buildChoice(1), buildChoice(2)]);
    await recorder.tick();
    await load([buildChoice(3)]);
    await recorder.tick();
    await clickhouse.command("ALTER TABLE consent_log DELETE WHERE n = 3 SETTINGS mutations_sync = 1");
    await expect(recorder.tick()).rejects.toThrow("had a link 3 and does not have it any more");
    nowMs += 599_000;
    await expect(recorder.tick()).rejects.toThrow("had a link 3");
    nowMs += 1_000;
    expect(await recorder.tick()).toBe(1);
    expect(await verify()).toMatchObject({ ok: true, links: 3 });
  });
});

describe("texts", () => {
  const filed = () => createConsentQueries(clickhouse).filedTexts("shop");

  it("are filed once, before the first choice, and stay when the configuration has others", async () => {
    let sites = [buildSite({ notices: measurement })];
    const recorder = newRecorder({ sites: () => sites });
    await recorder.tick();
    await newRecorder({ sites: () => sites }).tick();
    const changed = noticeTexts({ measurement: { en: { title: "Counting", text: "We count visits and clicks." } } });
    sites = [buildSite({ notices: changed })];
    nowMs += 1000;
    await recorder.tick();
    expect(await filed()).toEqual([
      { site: "shop", ...measurement[0], firstSeen: "2026-11-22 20:30:00.000" },
      { site: "shop", ...changed[0], firstSeen: "2026-11-22 20:30:01.000" },
    ]);
  });
});

describe("what the owner has set", () => {
  const onFile = () =>
    clickhouse.query("SELECT * EXCEPT since, toString(s.since) AS since FROM consent_setting AS s ORDER BY site, n");
  const counting = { mode: "measurement" as const, reason: "Article 11.7a, third paragraph." };

  it("is on file from when it is first found, each time that it changes, with the reason", async () => {
    let sites = [buildSite()];
    const recorder = newRecorder({ sites: () => sites });
    await recorder.tick();
    // Neither a restart nor a change of something else is a change of this.
    await newRecorder({ sites: () => [buildSite({ name: "Another name" })] }).tick();
    for (const beforeChoice of [counting, { mode: "silent" as const }, counting]) {
      nowMs += 1000;
      sites = [buildSite({ beforeChoice })];
      await recorder.tick();
      await recorder.tick();
    }
    const common = { site: "shop", regimes: { default: "opt_in" }, grant_days: 365, refusal_days: 184 };
    const silent = { ...common, before_choice: "silent", reason: "" };
    const counted = { ...common, before_choice: "measurement", reason: counting.reason };
    expect(await onFile()).toEqual([
      { ...silent, n: 1, since: "2026-11-22 20:30:00.000" },
      { ...counted, n: 2, since: "2026-11-22 20:30:01.000" },
      { ...silent, n: 3, since: "2026-11-22 20:30:02.000" },
      { ...counted, n: 4, since: "2026-11-22 20:30:03.000" },
    ]);
  });

  it("is on file once when several workers find it, for each site, with its regimes and terms", async () => {
    const regimes = new Map([
      ["US", "opt_out" as const],
      ["CA", "notice" as const],
    ]);
    const day = 86_400_000;
    const terms = { grantLifetimeMs: 180 * day, refusalLifetimeMs: 365 * day };
    const sites = [buildSite({ id: "blog", regimes, ...terms }), buildSite()];
    await Promise.all(Array.from({ length: 4 }, () => newRecorder({ sites: () => sites }).tick()));
    await newRecorder({ sites: () => sites }).tick();
    expect(await onFile()).toMatchObject([
      {
        site: "blog",
        n: 1,
        regimes: { CA: "notice", US: "opt_out", default: "opt_in" },
        grant_days: 180,
        refusal_days: 365,
      },
      { site: "shop", n: 1 },
    ]);
  });
});
