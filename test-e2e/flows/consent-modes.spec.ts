import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test, type BrowserContext, type Page } from "@playwright/test";
import { countDigests, untilDigested } from "../support/digests.ts";
import { rowsOfEngine, untilLoaded } from "../support/operator.ts";
import { startPageServer, type PageServer } from "../support/page-server.ts";
import { eventually, startStack, type Stack } from "../support/stack.ts";
import { untilTaken } from "../support/until-taken.ts";
import { keptBy, nothing, sayNo, sayYes, visit } from "../support/visitor.ts";

// What happens before a choice, as the configuration says it, with the tag that `polder tag` prints for it.

const command = fileURLToPath(new URL("../../apps/polder/bin/polder.mjs", import.meta.url));
const reason = "Counting alone, under the exception of our law: see the file on cookies.";
const modes = { quiet: "silent", waiting: "buffer", counted: "measurement", asking: "silent" } as const;
const texts = {
  purposes: {
    measurement: {
      en: { title: "Count visits", text: "How often a page is seen. </script>" },
      nl: { title: "Bezoeken tellen", text: "Hoe vaak een pagina gezien wordt." },
    },
    profile: {
      en: { title: "Remember", text: "Your visits as one story." },
      nl: { title: "Onthouden", text: "Je bezoeken als één verhaal." },
    },
  },
  notice: {
    en: { title: "Your choice", text: "Jan's shop asks.", links: [{ text: "More", href: "/asking/about" }] },
    nl: { title: "Jouw keuze", text: "Jans winkel vraagt.", links: [] },
  },
};
type SiteId = keyof typeof modes;

let site: PageServer;
let stack: Stack;
test.beforeAll(async () => {
  site = await startPageServer();
  stack = await startStack({
    config: () => ({
      sites: Object.entries(modes).map(([id, mode]) => ({
        id,
        name: id,
        timezone: "UTC",
        origins: [site.otherOrigin],
        writeKeys: [{ key: `pk_modes_${id}` }],
        consent: { beforeChoice: mode === "silent" ? {} : { mode, reason }, ...(id === "asking" && texts) },
      })),
    }),
  });
  for (const id of Object.keys(modes)) {
    const config = join(stack.dataPath, "test.config.json");
    const tag = execFileSync(
      process.execPath,
      [command, "tag", "--site", id, "--collector", stack.collectorUrl, "--config", config],
      { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] },
    );
    for (const path of ["", "/about", "/offer", "/before-the-no", "/after-the-no", "/somebody-else"])
      site.serve(
        `/${id}${path}`,
        `<!doctype html><title>Jan's page</title><link rel="icon" href="data:,">${tag}<h1>${id}</h1>`,
      );
  }
});
test.afterAll(async () => {
  await stack?.remove();
  await site?.close();
});

const open = (page: Page, path: string): Promise<void> => visit(page, site.otherOrigin + path);

interface Row {
  type: string;
  name: string;
  url_path: string;
  atom: number;
  basis: string;
  consent_mask: number;
  time: string;
}
const rowsOf = (id: SiteId): Promise<Row[]> =>
  stack.sql<Row>(
    `SELECT type, name, url_path, atom, basis, consent_mask, toString(e.time) AS time FROM polder.events AS e WHERE site = '${id}' ORDER BY e.time, _offset`,
  );

/** Every place in the database that can say which identity a row is of, and how many rows there do. */
async function rowsWithAnAtom(): Promise<{ [column: string]: number }> {
  const columns = await rowsOfEngine<{ table: string; name: string; type: string }>(
    stack,
    `SELECT table, name, type FROM system.columns WHERE database = 'polder' AND match(name, '^(atoms?|person(_id)?)$')
       AND table IN (SELECT name FROM system.tables WHERE database = 'polder' AND (engine LIKE '%MergeTree' OR engine = 'View'))`,
  );
  const found: { [column: string]: number } = {};
  for (const { table, name, type } of columns) {
    const count = /^(?:UInt\d+|SimpleAggregateFunction\(max, UInt\d+\))$/.test(type)
      ? `countIf(${name} != 0)`
      : type.startsWith("Array(")
        ? `countIf(notEmpty(${name}))`
        : type.startsWith("AggregateFunction(groupBitmap,")
          ? `groupBitmapMerge(${name})`
          : // Of a state nobody can tell whether it holds one: there must be no row.
            "count()";
    const [row] = await rowsOfEngine<{ n: number }>(stack, `SELECT ${count} AS n FROM polder.${table}`);
    found[`${table}.${name}`] = row!.n;
  }
  return found;
}

/** Of these, where a visitor who said yes is found at once. */
const columnsOfVisitors = [
  "events.atom",
  "atom.atom",
  "profile_state.atom",
  "audience_day.atoms",
  "session_state.atom",
  "people.person_id",
];

/** Requests to the collector, but for the scripts themselves. */
function watchRequests(context: BrowserContext): string[] {
  const seen: string[] = [];
  context.on("request", (request) => {
    if (request.url().startsWith(stack.collectorUrl) && !request.url().endsWith(".js"))
      seen.push(`${request.url()} ${request.postData() ?? ""}`);
  });
  return seen;
}

test("measurement counts page views of nobody: no row anywhere has an atom, until a yes makes a profile", async ({
  page,
  context,
}) => {
  const requests = watchRequests(context);
  await open(page, "/counted?utm_source=letter&email=jan@example.com#s3cret");
  await open(page, "/counted/about");
  await open(page, "/counted/offer?id=s3cret");
  // What a page of ours never sends, somebody else may.
  const forged = {
    type: "page",
    messageId: "s3cret",
    anonymousId: "s3cret",
    userId: "s3cret",
    timestamp: "2026-01-01T00:00:00.000Z",
    name: "s3cret",
    properties: { email: "s3cret" },
    traits: { email: "s3cret" },
    context: {
      page: { url: `${site.otherOrigin}/counted/forged?s3cret#s3cret`, title: "s3cret" },
      session: { id: "s3cret", start: Date.now(), seq: 0 },
      campaign: { source: "s3cret", name: "s3cret" },
    },
  };
  const userAgent = await page.evaluate(() => navigator.userAgent);
  const answer = await untilTaken(() =>
    fetch(`${stack.collectorUrl}/v1/batch`, {
      method: "POST",
      headers: {
        "content-type": "text/plain",
        origin: site.otherOrigin,
        cookie: `polder_id=s3cret.${Math.floor(Date.now() / 1000).toString(36)}; polder_aid=s3cret.1`,
        "user-agent": userAgent,
      },
      body: JSON.stringify({
        writeKey: "pk_modes_counted",
        batch: [forged, { ...forged, type: "track", event: "s3cret" }],
      }),
    }),
  );
  expect(answer.headers.getSetCookie()).toEqual([]);
  expect(await answer.json()).toMatchObject({ accepted: 1, rejected: [{ index: 1, reason: "no_consent" }] });

  const counted = await eventually(
    () => rowsOf("counted"),
    (rows) => rows.length >= 4,
  );
  expect(counted.map(({ url_path }) => url_path).toSorted()).toEqual([
    "/counted",
    "/counted/about",
    "/counted/forged",
    "/counted/offer",
  ]);
  for (const row of counted) expect(row).toMatchObject({ atom: 0, basis: "audience_measurement", consent_mask: 2 });
  expect(requests).toHaveLength(3);
  expect(await keptBy(page)).toEqual(nothing);
  expect(await context.cookies()).toEqual([]);

  await untilLoaded(stack);
  const [day] = await stack.sql<{ events: number; people: number }>(
    "SELECT sum(events) AS events, groupBitmapMerge(atoms) AS people FROM polder.audience_day WHERE site = 'counted' AND dimension = 'all'",
  );
  expect(day).toEqual({ events: 4, people: 0 });
  const atoms = await rowsWithAnAtom();
  for (const column of columnsOfVisitors) expect(Object.keys(atoms)).toContain(column);
  expect(Object.fromEntries(Object.entries(atoms).filter(([, rows]) => rows !== 0))).toEqual({});
  expect(await rowsOfEngine(stack, "SELECT * FROM polder.identity_edge")).toEqual([]);
  const everything = await stack.sql("SELECT * FROM polder.events");
  expect(JSON.stringify([everything, await rowsOfEngine(stack, "SELECT * FROM polder.rejected")])).not.toMatch(
    /s3cret|jan@|Jan's|letter|Chrome\/|AppleWebKit|127\.0\.0/i,
  );

  await page.evaluate(() => {
    window.polder.consent.set("all");
    window.polder.track("Chosen");
    return window.polder.flush();
  });
  // What was counted stays nobody's, and the page it was counted on is not counted again.
  const rows = await eventually(
    () => rowsOf("counted"),
    (found) => ["consent", "Chosen"].every((name) => found.some((row) => row.name === name)),
  );
  expect(rows.filter(({ basis }) => basis === "audience_measurement")).toEqual(counted);
  expect(rows.filter(({ type }) => type === "page")).toHaveLength(4);
  for (const name of ["consent", "Chosen"]) expect(rows.find((row) => row.name === name)!.atom).not.toBe(0);
  await untilLoaded(stack);
  const profiles = await stack.sql("SELECT atom FROM polder.profile_state WHERE site = 'counted' GROUP BY atom");
  expect(profiles).toHaveLength(1);
  const identified = await rowsWithAnAtom();
  for (const column of columnsOfVisitors) expect(identified[column], column).toBeGreaterThan(0);
});

test("measurement ends with a no", async ({ page, browser }) => {
  const viewsOf = async (path: string): Promise<number> =>
    (await rowsOf("counted")).filter(({ url_path }) => url_path === path).length;
  await open(page, "/counted/before-the-no");
  await sayNo(page);
  for (let load = 0; load < 3; load++) await open(page, "/counted/after-the-no");
  const other = await browser.newContext();
  await open(await other.newPage(), "/counted/somebody-else");
  // Views of nobody are in no order.
  await eventually(
    () => Promise.all(["/counted/before-the-no", "/counted/somebody-else"].map(viewsOf)),
    (counts) => counts.every((count) => count === 1),
  );
  await other.close();
  await untilLoaded(stack);
  expect(await viewsOf("/counted/after-the-no")).toBe(0);
});

test("silent sends nothing, keeps nothing and stores nothing over 50 page loads", async ({ page, context }) => {
  const requests = watchRequests(context);
  for (let load = 0; load < 50; load++) await open(page, ["/quiet", "/quiet/about", "/quiet/offer"][load % 3]!);
  await page.evaluate(() => window.polder.track("Early"));
  expect(requests).toEqual([]);
  expect(await keptBy(page)).toEqual(nothing);
  expect(await context.cookies()).toEqual([]);
  // Nor is it taken from somebody who sends it as another site may.
  const answer = await fetch(`${stack.collectorUrl}/v1/batch`, {
    method: "POST",
    headers: { "content-type": "text/plain", origin: site.otherOrigin },
    body: JSON.stringify({
      writeKey: "pk_modes_quiet",
      batch: [{ type: "page", context: { page: { url: `${site.otherOrigin}/quiet` } } }],
    }),
  });
  expect(await answer.json()).toMatchObject({ accepted: 0, rejected: [{ reason: "no_consent" }] });
  await sayYes(page);
  await eventually(
    () => rowsOf("quiet"),
    (rows) => rows.some(({ type }) => type === "consent"),
  );
  await page.evaluate(() => window.polder.flush());
  await untilLoaded(stack);
  expect((await rowsOf("quiet")).filter(({ name }) => name === "Early")).toEqual([]);
});

test("buffer sends after a yes what came before it, with its own times, and never after a no", async ({
  page,
  context,
  browser,
}) => {
  const requests = watchRequests(context);
  await page.clock.install();
  await open(page, "/waiting");
  await page.evaluate(() => window.polder.track("Early"));
  expect(requests).toEqual([]);
  expect(await keptBy(page)).toEqual(nothing);
  await page.clock.fastForward("20:00");
  await sayYes(page);
  const rows = await eventually(
    () => rowsOf("waiting"),
    (found) => ["consent", "page", "Early"].every((name) => found.some((row) => row.name === name)),
  );
  const timeOf = (name: string): number =>
    Date.parse(`${rows.find((row) => row.name === name)!.time.replace(" ", "T")}Z`);
  for (const name of ["page", "Early"]) expect((timeOf("consent") - timeOf(name)) / 60_000, name).toBeCloseTo(20, 0);

  const refusing = await browser.newContext();
  const refused = watchRequests(refusing);
  const other = await refusing.newPage();
  await open(other, "/waiting");
  await other.evaluate(() => window.polder.track("Never"));
  await sayNo(other);
  await open(other, "/waiting/about");
  await other.evaluate(() => window.polder.flush());
  expect(refused).toEqual([]);
  await refusing.close();
});

test("the banner that is printed with the tag asks in the configured words, and the record has them", async ({
  page,
}) => {
  await countDigests(page);
  await open(page, "/asking");
  const banner = page.getByRole("dialog", { name: "Your choice" });
  await expect(banner).toContainText("Jan's shop asks.");
  await untilDigested(page);
  await banner.getByRole("button", { name: "Accept" }).click();
  const shown = await eventually(
    () =>
      stack.sql<{ notice_version: string; notice_hash: string; purpose: string; shown: string }>(
        `SELECT l.notice_version, l.notice_hash, shown_for AS purpose, n.text AS shown
         FROM polder.consent_log AS l ARRAY JOIN text.purpose AS shown_for, text.hash AS shown_hash
         JOIN polder.consent_notice AS n ON n.site = l.site AND n.hash = shown_hash
         WHERE l.site = 'asking' ORDER BY purpose`,
      ),
    (rows) => rows.length >= 2,
  );
  const { version, hash } = JSON.parse(await page.locator("#polder-notice").innerHTML()) as { [name: string]: string };
  const notice = { notice_version: version, notice_hash: hash };
  expect(shown).toEqual([
    { ...notice, purpose: "measurement", shown: texts.purposes.measurement.en.text },
    { ...notice, purpose: "profile", shown: texts.purposes.profile.en.text },
  ]);
  expect(hash).toMatch(/^[0-9a-f]{64}$/);
});

test("which mode held, since when and why, is on record", async () => {
  const settings = await eventually(
    () =>
      stack.sql(
        "SELECT site, n, before_choice, reason, grant_days, refusal_days FROM polder.consent_setting ORDER BY site",
      ),
    (rows) => rows.length === 4,
  );
  const terms = { n: 1, grant_days: 365, refusal_days: 184 };
  expect(settings).toEqual([
    { site: "asking", before_choice: "silent", reason: "", ...terms },
    { site: "counted", before_choice: "measurement", reason, ...terms },
    { site: "quiet", before_choice: "silent", reason: "", ...terms },
    { site: "waiting", before_choice: "buffer", reason, ...terms },
  ]);
});
