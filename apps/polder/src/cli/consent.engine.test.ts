import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSqlProxy } from "@polder/api";
import {
  analystAccess,
  createClickHouse,
  createConsentRecordStore,
  migrate,
  type ClickHouse,
} from "@polder/clickhouse";
import { hashedColumns, noticeTexts, wholeNotice } from "@polder/core";
import { buildEventRow, type LoadedEventRow } from "@polder/core/contracts";
import { startEngine, type Engine } from "@polder/engine";
import { buildSite } from "@polder/testing";
import { createConsentRecorder } from "@polder/worker";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createFakeContext } from "./fake-context.ts";
import { runCli } from "./run-cli.ts";

const logger = { info() {}, warn() {}, error() {} };
const folder = mkdtempSync(join(tmpdir(), "polder-consent-cli-"));
const notice = wholeNotice({
  notice: { nl: { title: "Jouw keuze", text: "De winkel wil tellen." } },
  purposes: {},
});
const texts = noticeTexts({
  measurement: { en: { title: "Counting", text: "We count visits.\nNothing more." } },
  profile: { nl: { title: "Profiel", text: "Wij onthouden uw bezoeken." } },
});
let engine: Engine;
let clickhouse: ClickHouse;
let proxy: ReturnType<typeof createSqlProxy>;
let sqlPort = "";

const choice = (n: number, fields: Partial<LoadedEventRow> = {}): LoadedEventRow =>
  buildEventRow({
    type: "consent",
    name: "consent",
    message_id: `choice-${n}`,
    consent_id: `consent-${n}`,
    atom: n,
    received_at: `2026-11-22 20:15:0${n}.000`,
    "choice.purpose": ["measurement", "profile", "ads"],
    "choice.state": ["granted", "granted", "denied"],
    notice: JSON.stringify({
      version: "3",
      hash: notice.hash,
      language: "nl",
      variant: "bar",
      texts: { measurement: texts[0]!.hash, profile: texts[1]!.hash, ads: "f".repeat(64) },
    }),
    properties: { tcf: "CP1abc" },
    _offset: n,
    ...fields,
  });

beforeAll(async () => {
  engine = await startEngine({
    dataPath: join(folder, ".polder", "clickhouse"),
    logger,
    analyst: { databases: [analystAccess("polder")] },
  });
  clickhouse = createClickHouse({ url: engine.url, ...engine.admin, database: "polder", logger });
  await migrate(clickhouse);
  proxy = createSqlProxy({ engineUrl: engine.url, admin: engine.admin, analyst: engine.analyst, logger });
  sqlPort = String((await proxy.listen({ host: "127.0.0.1", port: 0 })).port);
  await clickhouse.insertRows("events", [
    ...[1, 2, 3, 4, 5].map((n) => choice(n)),
    choice(6, { site: "blog", atom: 0 }),
    buildEventRow({ message_id: "view-1", _offset: 7, atom: 2, consent_id: "consent-2" }),
    buildEventRow({ message_id: "view-2", _offset: 8, atom: 0, consent_id: "", consent_mask: 3, anonymous_id: "" }),
    buildEventRow({ message_id: "view-3", _offset: 9, consent_id: "consent-lost" }),
    buildEventRow({ message_id: "view-of-another", _offset: 13, atom: 5, consent_id: "consent-2" }),
    buildEventRow({ message_id: "view-of-nobody", _offset: 14, site: "blog", atom: 0, consent_id: "consent-6" }),
    buildEventRow({ message_id: "ad-1", _offset: 15, atom: 2, consent_id: "consent-2", consent_mask: 38 }),
    buildEventRow({ message_id: "guess-1", _offset: 16, atom: 2, consent_id: "consent-2", consent_mask: 22 }),
    buildEventRow({
      message_id: "guess-2",
      _offset: 17,
      atom: 2,
      consent_id: "consent-2",
      consent_mask: 22,
      regime: "opt_out",
    }),
    buildEventRow({
      message_id: "ad-2",
      _offset: 18,
      atom: 2,
      consent_id: "consent-2",
      consent_mask: 38,
      regime: "opt_out",
    }),
    buildEventRow({ message_id: "view-elsewhere", _offset: 19, atom: 4, consent_id: "consent-3" }),
    buildEventRow({
      message_id: "order-1",
      _offset: 10,
      basis: "contract",
      consent_id: "",
      type: "track",
      name: "Order",
    }),
    buildEventRow({ message_id: "both", _offset: 11 }),
    buildEventRow({ message_id: "both", _offset: 12, site: "blog" }),
  ]);
  await createConsentRecorder({
    store: createConsentRecordStore(clickhouse),
    now: () => new Date("2026-11-22T20:30:00Z"),
    sites: () => [buildSite({ notices: [...texts, notice] }), buildSite({ id: "quiet" })],
  }).tick();
});
afterAll(async () => {
  await proxy?.close();
  await clickhouse?.close();
  await engine?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function polder(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  // A yes ends a year after it was said.
  const now = (): Date => new Date("2026-11-23T12:00:00Z");
  const context = { ...createFakeContext({ cwd: folder, env: { POLDER_SQL_PORT: sqlPort } }), now };
  const code = await runCli(["consent", ...args], context);
  return { code, out: context.printed(), err: context.complained() };
}

const change = (sql: string): Promise<void> => clickhouse.command(`${sql} SETTINGS mutations_sync = 1`);

describe("polder consent verify", () => {
  it("finds a record whole, and prints the heads to note down", async () => {
    const { code, out } = await polder("verify");
    expect(out).toMatch(
      /^✓ blog: 1 record, whole\. Head 1:[0-9a-f]{64}\n✓ shop: 5 records, whole\. Head 5:[0-9a-f]{64}\n$/,
    );
    expect(code).toBe(0);
    expect((await polder("verify", "--site", "shop")).out).not.toContain("blog");
  });

  it("says of a site that it has nothing of it, and does not know one that is none", async () => {
    expect(await polder("verify", "--site", "quiet")).toMatchObject({ code: 0, out: "✓ quiet: 0 records, whole.\n" });
    const unknown = await polder("verify", "--site", "shpo");
    expect(unknown).toMatchObject({ code: 1, out: "" });
    expect(unknown.err).toContain("There is no site shpo: known are blog, quiet, shop.");
  });

  it("finds a chain that is gone altogether", async () => {
    await change("CREATE TABLE kept ENGINE = MergeTree ORDER BY n AS SELECT * FROM consent_log");
    try {
      await change("ALTER TABLE consent_log DELETE WHERE site = 'blog'");
      for (const args of [["verify"], ["verify", "--site", "blog"]]) {
        const { code, out } = await polder(...args);
        expect(out).toContain("✗ blog: nothing is on record, and 1 choice is stored");
        expect(code).toBe(1);
      }
      expect((await polder("verify")).out).toContain("✓ shop: 5 records, whole");
    } finally {
      await restore();
    }
  });

  it("asks a server in CLICKHOUSE_URL as well", async () => {
    const { username, password } = engine.admin;
    const env = { CLICKHOUSE_URL: engine.url, CLICKHOUSE_USER: username, CLICKHOUSE_PASSWORD: password };
    const context = createFakeContext({ cwd: folder, env });
    expect(await runCli(["consent", "verify"], context)).toBe(0);
    expect(context.printed()).toContain("shop: 5 records, whole");
  });

  it("says what is missing where the data folder is not at hand", async () => {
    const context = createFakeContext({ cwd: folder, env: { POLDER_SQL_PORT: sqlPort, POLDER_DATA: "elsewhere" } });
    expect(await runCli(["consent", "proof", "view-1"], context)).toBe(1);
    expect(context.complained()).toMatch(/Analysts may not read that.*elsewhere.*POLDER_DATA/);
  });

  // Every column of the record, one byte each: what a text, a number, a list and a time become when they are touched.
  const touched: { [column: string]: string } = {
    hash: "concat(if(substring(hash, 1, 1) = 'a', 'b', 'a'), substring(hash, 2))",
    previous_hash: "concat(if(substring(previous_hash, 1, 1) = 'a', 'b', 'a'), substring(previous_hash, 2))",
    message_id: "'choice-4'",
    _partition: "_partition + 1",
    _offset: "_offset + 1",
    at: "at + toIntervalMillisecond(1)",
    received_at: "received_at + toIntervalMillisecond(1)",
    atom: "atom + 1",
    consent_id: "'consent-4'",
    "choice.purpose": "['measurement', 'profile', 'adz']",
    "choice.state": "['granted', 'granted', 'granted']",
    "text.purpose": "['measurement', 'profile', 'adz']",
    "text.hash": "arrayMap(hash -> concat('0', substring(hash, 2)), `text.hash`)",
    notice_version: "'4'",
    notice_hash: "'page-hasi'",
    language: "'en'",
    variant: "'bas'",
    regime: "'opt_on'",
    gpc: "1",
    country: "'BE'",
    properties: `'{"tcf":"CP1abd"}'`,
  };
  const key = ["site", "n"];

  it("is tried on every column that is hashed, and on the hash", () => {
    expect([...Object.keys(touched), ...key].toSorted()).toEqual(["hash", ...hashedColumns].toSorted());
  });

  it.each(Object.entries(touched))("finds a change of %s, and names the link", async (column, value) => {
    const columns = `\`${column}\``;
    const [before] = await clickhouse.query<{ text: string }>(
      `SELECT toString(${columns}) AS text FROM consent_log WHERE site = 'shop' AND n = 3`,
    );
    await change("CREATE TABLE kept ENGINE = MergeTree ORDER BY n AS SELECT * FROM consent_log");
    try {
      await change(`ALTER TABLE consent_log UPDATE ${columns} = ${value} WHERE site = 'shop' AND n = 3`);
      const [after] = await clickhouse.query<{ text: string }>(
        `SELECT toString(${columns}) AS text FROM consent_log WHERE site = 'shop' AND n = 3`,
      );
      expect(after).not.toEqual(before);
      const { code, out } = await polder("verify");
      expect(out).toContain("✗ shop: broken at 3 (");
      expect(out).toContain("whole up to 2");
      expect(out).toContain("✓ blog: 1 record, whole");
      expect(code).toBe(1);
    } finally {
      await restore();
    }
  });

  async function restore(): Promise<void> {
    await clickhouse.command("TRUNCATE TABLE consent_log");
    await clickhouse.command("INSERT INTO consent_log SELECT * FROM kept SETTINGS insert_deduplicate = 0");
    await clickhouse.command("DROP TABLE kept");
  }

  const keep = "CREATE TABLE kept ENGINE = MergeTree ORDER BY n AS SELECT * FROM consent_log";
  /** `n` and `site` are in the order of the table, where no UPDATE reaches them: the row is taken out and put back elsewhere. */
  const move = async (from: string, site: string, n: string): Promise<void> => {
    await clickhouse.command(
      `INSERT INTO consent_log SELECT * REPLACE (${site} AS site, ${n} AS n) FROM consent_log AS l WHERE ${from} SETTINGS insert_deduplicate = 0`,
    );
  };

  it.each([
    [
      "a removed link",
      [`ALTER TABLE consent_log DELETE WHERE site = 'shop' AND n = 3`],
      /shop: broken at 3 \(missing\), whole up to 2\. Record 3 is not there: after 2 comes 4/,
    ],
    [
      "the first link removed",
      [`ALTER TABLE consent_log DELETE WHERE site = 'shop' AND n <= 2`],
      /shop: broken at 1 \(missing\), whole up to 0\. Records 1 to 2 are not there/,
    ],
  ])("finds %s", async (_, statements, says) => {
    await change(keep);
    try {
      for (const statement of statements) await change(statement);
      const { code, out } = await polder("verify");
      expect(out).toMatch(says);
      expect(code).toBe(1);
    } finally {
      await restore();
    }
  });

  it("finds two links that changed places, one that is there twice, and one that went to another site", async () => {
    await change(keep);
    try {
      await move("l.site = 'shop' AND l.n IN (2, 3)", "l.site", "if(l.n = 2, 1003, 1002)");
      await change("ALTER TABLE consent_log DELETE WHERE site = 'shop' AND n IN (2, 3)");
      await move("l.n > 1000", "l.site", "l.n - 1000");
      await change("ALTER TABLE consent_log DELETE WHERE n > 1000");
      expect((await polder("verify")).out).toContain(
        "shop: broken at 2 (reordered), whole up to 1. Records 2 and 3 have",
      );
    } finally {
      await restore();
    }
    await change(keep);
    try {
      await move("l.site = 'shop' AND l.n = 4", "l.site", "l.n");
      expect((await polder("verify")).out).toContain("shop: broken at 4 (repeated), whole up to 4");
    } finally {
      await restore();
    }
    await change(keep);
    try {
      await move("l.site = 'shop' AND l.n = 5", "'blog'", "toUInt64(2)");
      await change("ALTER TABLE consent_log DELETE WHERE site = 'shop' AND n = 5");
      expect((await polder("verify")).out).toContain("blog: broken at 2 (");
    } finally {
      await restore();
    }
  });

  it("finds newest links that were cut off, and a chain that was written anew, by a head that had been noted", async () => {
    const head = /shop: 5 records, whole\. Head (5:[0-9a-f]{64})/.exec((await polder("verify")).out)![1]!;
    expect((await polder("verify", "--site", "shop", "--head", head)).code).toBe(0);
    await change(keep);
    try {
      await change("ALTER TABLE consent_log DELETE WHERE site = 'shop' AND n = 5");
      expect((await polder("verify")).out).toMatch(/shop: 4 records, whole[^]*1 choice waits for the worker/);
      const found = await polder("verify", "--site", "shop", "--head", head);
      expect(found).toMatchObject({
        code: 1,
        out: expect.stringContaining("The chain ends at 4, and it once had a record 5") as string,
      });
    } finally {
      await restore();
    }
    const forged = `5:${"0".repeat(64)}`;
    expect((await polder("verify", "--site", "shop", "--head", forged)).out).toContain(
      "the chain was written anew up to it",
    );
  });

  it("finds a text on file that is not what was shown", async () => {
    await change(`ALTER TABLE consent_notice UPDATE text = 'We count visits.' WHERE purpose = 'measurement'`);
    const { code, out } = await polder("verify");
    await change(
      `ALTER TABLE consent_notice UPDATE text = 'We count visits.\\nNothing more.' WHERE purpose = 'measurement'`,
    );
    expect(out).toContain(
      `✗ shop: the text for measurement in en on file is not the one of its hash ${texts[0]!.hash}`,
    );
    expect(code).toBe(1);
    expect((await polder("verify")).code).toBe(0);
    await change(`ALTER TABLE consent_notice UPDATE text = replace(text, 'tellen', 'weten') WHERE purpose = ''`);
    expect((await polder("verify")).out).toContain(
      `✗ shop: the notice on file is not the one of its hash ${notice.hash}`,
    );
    await change(`ALTER TABLE consent_notice UPDATE text = replace(text, 'weten', 'tellen') WHERE purpose = ''`);
    expect((await polder("verify")).code).toBe(0);
  });
});

describe("polder consent show", () => {
  it("says what a person may be used for and why, with the device and the time", async () => {
    const { code, out } = await polder("show", "2", "--site", "shop");
    expect(code).toBe(0);
    expect(out).toBe(`Person 2 of shop
✓ necessary: always
✓ measurement: a yes, by device:visitor-1 at 2026-11-22T20:15:00.000Z
✓ profile: a yes, by device:visitor-1 at 2026-11-22T20:15:00.000Z
✗ personalisation: nothing allows it
✗ prediction: nothing allows it
✗ ads: a no that no later yes overrules, by device:visitor-1 at 2026-11-22T20:15:00.000Z
`);
  });

  it("names who filed an objection, and why", async () => {
    await clickhouse.insertRows("person_flag", [
      {
        site: "shop",
        at: "2026-11-22 21:00:00.000",
        id: "f1",
        flag: "object",
        purpose: "profile",
        is_set: 1,
        user_id: "",
        anonymous_id: "visitor-1",
        person: 2,
        actor: "desk",
        reason: "by letter",
      },
    ]);
    try {
      const { out } = await polder("show", "2", "--site", "shop");
      expect(out).toContain("✗ profile: the person objects\n");
      expect(out).toContain("  Objection to profile since 2026-11-22T21:00:00.000Z, filed by desk: by letter\n");
    } finally {
      await change("ALTER TABLE person_flag DELETE WHERE id = 'f1'");
    }
  });

  it("says that nobody has the id", async () => {
    const { code, err } = await polder("show", "nobody");
    expect(code).toBe(1);
    expect(err).toContain("Nobody has the id nobody.");
    expect((await polder("show")).err).toContain("give the id of a person");
  });
});

describe("polder consent proof", () => {
  it("prints what was agreed to for an event, with the exact text and the place in the chain", async () => {
    const { code, out } = await polder("proof", "view-1");
    expect(code).toBe(0);
    const [link] = await clickhouse.query<{ hash: string; previous: string }>(
      "SELECT hash, previous_hash AS previous FROM consent_log WHERE site = 'shop' AND n = 2",
    );
    expect(out).toBe(`Event view-1 of shop: page at 2026-11-22 20:15:00.000 UTC
Stored for measurement, profile; basis consent, regime opt_in.

Choice consent-2, made 2026-11-22 20:15:00.000 UTC, received 2026-11-22 20:15:02.000 UTC
  language nl, variant bar, notice 3, notice hash ${notice.hash}, regime opt_in, country NL
  Said first (nl, on file since 2026-11-22 20:30:00.000 UTC):
    Jouw keuze
    De winkel wil tellen.
  measurement: granted
    Its text (en, on file since 2026-11-22 20:30:00.000 UTC, ${texts[0]!.hash}):
      Counting
      We count visits.
      Nothing more.
  profile: granted
    Its text (nl, on file since 2026-11-22 20:30:00.000 UTC, ${texts[1]!.hash}):
      Profiel
      Wij onthouden uw bezoeken.
  ads: denied
    Its text: one with the hash ${"f".repeat(64)}, which was never in this site's configuration.
  Said besides: {"tcf":"CP1abc"}
  Link 2 of the chain of shop: ${link!.hash}
  after ${link!.previous}
`);
  });

  it.each([
    ["view-of-another", /^The choice consent-2 is on record, but not as made by the visitor of this event/m],
    ["view-of-nobody", /^The choice consent-6 is on record, but not as made by the visitor of this event/m],
    ["ad-1", /^This choice does not allow ads, for which the event is stored\.$/m],
    ["guess-1", /^This choice does not allow prediction, for which the event is stored\.$/m],
    ["ad-2", /^This choice does not allow ads, for which the event is stored\.$/m],
  ])("is none when the choice is not the visitor's, or does not allow it: %s", async (id, says) => {
    const { code, out } = await polder("proof", id);
    expect(out).toMatch(says);
    expect(code).toBe(1);
  });

  it("under a regime that does not ask is a choice that does not refuse", async () => {
    const { code, out } = await polder("proof", "guess-2");
    expect(out).toContain("Choice consent-2, made");
    expect(code).toBe(0);
  });

  it("of a choice itself is that choice alone", async () => {
    const { code, out } = await polder("proof", "choice-3");
    expect(code).toBe(0);
    expect(out.match(/^Choice .*$/gm)).toEqual([expect.stringContaining("consent-3")]);
  });

  it("of a person is every choice of theirs, on every device", async () => {
    await clickhouse.command("INSERT INTO identity (site, atom, person, version) VALUES ('shop', 4, 3, 1)");
    await clickhouse.command("SYSTEM RELOAD DICTIONARY identity_dict");
    const { code, out } = await polder("proof", "4");
    expect(code).toBe(0);
    expect(out).toContain("Person 3 of shop: 2 choices on record");
    expect(out.match(/^Choice \S+/gm)).toEqual(["Choice consent-3,", "Choice consent-4,"]);
    // A choice made on one device holds for what the person does on another.
    expect((await polder("proof", "view-elsewhere")).code).toBe(0);
  });

  it.each([
    ["view-2", /carries no id of a choice, on purpose/],
    ["view-3", /The choice consent-lost is not on record/],
    ["order-1", /rests on no choice of a visitor/],
  ])("says why there is none for %s", async (id, says) => {
    const { code, out } = await polder("proof", id);
    expect(out).toMatch(says);
    expect(code).toBe(1);
  });

  it("asks for the site where two know the id, and says so when nobody does", async () => {
    expect(await polder("proof", "both")).toMatchObject({
      code: 1,
      err: expect.stringContaining("say which with --site") as string,
    });
    expect((await polder("proof", "both", "--site", "blog")).out).toContain("Event both of blog");
    expect((await polder("proof", "nobody")).err).toContain("No event and no person has the id nobody");
  });
});

describe("polder consent texts", () => {
  const title = "Counting";
  const consent = { purposes: { measurement: { en: { title, text: "We count visits.\nNothing more." } } } };
  const config = (id: string, fields: object, key: string) => ({
    id,
    name: id,
    timezone: "UTC",
    origins: ["https://shop.example"],
    writeKeys: [{ key }],
    ...fields,
  });

  it("prints each text with the hash that a choice states for it", async () => {
    const path = join(folder, "texts.config.json");
    writeFileSync(
      path,
      JSON.stringify({ sites: [config("shop", { consent }, "pk_11111111"), config("blog", {}, "pk_22222222")] }),
    );
    const { code, out } = await polder("texts", "--config", path);
    expect(code).toBe(0);
    const text = { title, text: "We count visits.\nNothing more.", hash: texts[0]!.hash };
    expect(JSON.parse(out)).toEqual({ shop: { measurement: { en: text } }, blog: {} });
    expect(JSON.parse((await polder("texts", "--config", path, "--site", "blog")).out)).toEqual({ blog: {} });
    expect((await polder("texts", "--config", path, "--site", "none")).err).toContain("There is no site none");
  });
});

it.each([
  [[], "Say verify, proof, show or texts."],
  [["verify", "x"], "There is no place for “x”."],
  [["verify", "--head", "5:ab"], "--head is of one chain: say --site too."],
  [["verify", "--site", "shop", "--head", "5:ab"], "--head is a number and a hash"],
  [["proof"], "Say of which event or person"],
  [["prove"], "There is no “consent prove”."],
])("polder consent %j is not written as it should be", async (args, says) => {
  const { code, err } = await polder(...args);
  expect(err).toContain(says);
  expect(code).toBe(2);
});
