import { expect, test, type BrowserContext, type Page } from "@playwright/test";
import { createDeviceRows } from "../support/device-rows.ts";
import { eventually, settlesTo, startStack, type Stack } from "../support/stack.ts";
import { accept, banner, openShop, refuse, reopen, settledDevice } from "../support/shop-visitor.ts";
import { keptBy } from "../support/visitor.ts";

let stack: Stack;
test.beforeAll(async () => {
  stack = await startStack();
});
test.afterAll(() => stack.remove());

interface Row {
  atom: number;
  type: string;
  name: string;
  url_path: string;
  anonymous_id: string;
  user_id: string;
  session_id: string;
  session_seq: number;
  person_id: number;
  origin: string;
  properties: Record<string, unknown>;
  traits: Record<string, string>;
}

const rowsOf = createDeviceRows((where) =>
  stack.sql<Row>(`
    SELECT atom, type, name, url_path, anonymous_id, user_id, session_id, session_seq, person_id, origin, properties, mapFromArrays(traits.name, traits.value) AS traits
    FROM polder.events_v WHERE ${where} ORDER BY session_start, session_seq, _offset`),
);

/** Devices with an event, "" among them; refusals carry none. Of those from before, events may still be on their way. */
const devicesSeen = async (): Promise<string[]> =>
  (
    await stack.sql<{ id: string }>(
      "SELECT DISTINCT id FROM (SELECT anonymous_id AS id FROM polder.events UNION ALL SELECT '' AS id FROM polder.rejected) ORDER BY id",
    )
  ).map(({ id }) => id);

/** Requests of this browser to the collector, but for the script itself. */
function watchRequests(context: BrowserContext): { url: string; body: string }[] {
  const seen: { url: string; body: string }[] = [];
  context.on("request", (request) => {
    if (request.url().startsWith(stack.collectorUrl) && !/\/polder(?:-banner)?\.js$/.test(request.url()))
      seen.push({ url: request.url(), body: request.postData() ?? "" });
  });
  return seen;
}

const open = (page: Page, path = "/"): Promise<void> => openShop(page, stack.shopUrl + path);

/** What a refusal leaves behind: the start of its period of 30 days, the same for everyone. */
const refusal = (): string => `v1.0.${(Math.floor(Date.now() / 2_592_000_000) * 2_592_000).toString(36)}.`;

test("before a choice nothing is sent or stored, and yes and no are equal", async ({ page, context }) => {
  const requests = watchRequests(context);
  await open(page);
  const answers = ["Accept", "Refuse"].map((name) => banner(page).getByRole("button", { name, exact: true }));
  const [yesBox, noBox] = await Promise.all(answers.map((button) => button.boundingBox()));
  expect(yesBox!.height).toBe(noBox!.height);
  expect(Math.abs(yesBox!.width - noBox!.width)).toBeLessThanOrEqual(1);
  const [yesLooks, noLooks] = await Promise.all(
    answers.map((button) =>
      button.evaluate((element) => {
        const { color, backgroundColor, fontWeight, fontSize, borderTopColor } = getComputedStyle(element);
        return { color, backgroundColor, fontWeight, fontSize, borderTopColor };
      }),
    ),
  );
  expect(yesLooks).toEqual(noLooks);
  await page.locator("a[href^='/product']").first().click();
  await page.waitForLoadState();
  expect(requests).toEqual([]);
  expect(await keptBy(page)).toEqual({ cookies: [], local: [], session: [], databases: [] });
});

test("after a yes every page, click, form and order is queryable, with what was typed where it belongs", async ({
  page,
  context,
}) => {
  await open(page, "/?utm_source=letter&utm_campaign=spring");
  await accept(page);
  const device = await settledDevice(context);
  const answeredAt = performance.now();
  await eventually(
    () => rowsOf(device),
    (rows) => rows.some(({ type }) => type === "consent") && rows.some(({ type }) => type === "page"),
  );
  test
    .info()
    .annotations.push({ type: "yes to queryable", description: `${Math.round(performance.now() - answeredAt)} ms` });

  await page.locator("a[data-polder-event='Product Clicked']").first().click();
  await page.waitForURL(/\/product/);
  await page
    .locator("form[data-polder-event='Product Added'] button[type=submit], button[data-polder-event='Product Added']")
    .first()
    .click();
  await page.waitForURL(/\/cart/);
  await page
    .locator("footer form[data-polder-identify] input[type=email], form.letter input[type=email]")
    .first()
    .fill("  Letter@Example.COM ");
  await page.locator("form.letter button").first().click();
  await page.waitForLoadState();
  await open(page, "/checkout");
  await page.fill("#name", "Jan de Vries");
  await page.fill("#email", "jan@example.com");
  await page.fill("#street", "Geheimstraat 7");
  await page.fill("#city", "Edam");
  await page.locator("form[action='/checkout'] button").click();
  await expect(page.locator("h1")).toHaveText("It is on its way");

  const expected = [
    "consent:consent",
    "page:page",
    "track:Product Clicked",
    "track:Product Added",
    "track:Checkout Started",
    "track:Order Completed",
    "identify:identify letter@example.com",
    "identify:identify jan@example.com",
  ];
  const namesIn = (found: readonly Row[]): Set<string> =>
    new Set(found.map(({ type, name, traits }) => `${type}:${name} ${traits["email"] ?? ""}`.trim()));
  // A page that is left sends beside the next one: the order is not the last to arrive.
  const rows = await eventually(
    () => rowsOf(device),
    (found) => expected.every((name) => namesIn(found).has(name)),
  );
  expect(rows.filter(({ name }) => name === "Order Completed")).toHaveLength(1);
  const traits = rows.filter(({ type }) => type === "identify");
  expect(traits.every(({ origin }) => origin === "declared")).toBe(true);
  expect(JSON.stringify(rows), "what is marked private is never read").not.toContain("Geheimstraat");
  // The views of an insert are filled some milliseconds after its table.
  const person = `person_id = (SELECT any(person_id) FROM polder.events_v WHERE anonymous_id = '${device}')`;
  await settlesTo(
    () => stack.sql(`SELECT currency, amount > 0 AS paid, times_sent FROM polder.orders WHERE ${person}`),
    [{ currency: "EUR", paid: 1, times_sent: 1 }],
  );
  await settlesTo(
    () => stack.sql(`SELECT orders, first_source, traits['name'] AS name FROM polder.people WHERE ${person}`),
    [{ orders: 1, first_source: "letter", name: "Jan de Vries" }],
  );
});

test("the single-page section counts each route once, also on the way back", async ({ page, context }) => {
  await open(page, "/bouquet");
  await accept(page);
  const device = await settledDevice(context);
  const next = page.locator("#step-links a.button").last();
  await next.click();
  await page.locator("#step-links a.button").last().click();
  const last = await page.evaluate(() => location.pathname);
  await page.goBack();
  const rows = await eventually(
    () => rowsOf(device),
    (found) => found.filter(({ type }) => type === "page").length >= 4,
  );
  const paths = rows.filter(({ type }) => type === "page").map(({ url_path }) => url_path);
  expect(paths[0]).toBe("/bouquet");
  expect(paths[2]).toBe(last);
  expect(paths[3]).toBe(paths[1]);
  expect(paths).toHaveLength(4);
});

test("after a no nothing is sent, nothing is stored but the same constant for everyone, and the live page says so", async ({
  page,
  context,
}) => {
  const before = await devicesSeen();
  const requests = watchRequests(context);
  await open(page);
  await refuse(page);
  await page.locator("a[href^='/product']").first().click();
  await page.waitForLoadState();
  await page.locator("form.letter input[type=email]").first().fill("secret@example.com");
  await page.locator("form.letter button").first().click();
  await page.waitForLoadState();
  expect(requests).toEqual([]);
  const kept = await keptBy(page);
  expect(kept.cookies).toEqual([`polder_consent=${refusal()}`]);
  expect([...kept.local.filter((entry) => !entry.endsWith(refusal())), ...kept.session, ...kept.databases]).toEqual([]);
  expect(await devicesSeen()).toEqual(before);

  const live = await context.newPage();
  await live.goto(stack.apiUrl);
  await expect(live.getByText(/This browser said no/)).toBeVisible();
});

test("a change of mind: one last request says so, then nothing, and what was on the device is gone", async ({
  page,
  context,
}) => {
  await open(page);
  await accept(page);
  const device = await settledDevice(context);
  await eventually(
    () => rowsOf(device),
    (rows) => rows.some(({ type }) => type === "page"),
  );
  await reopen(page);
  // The click itself was allowed, and may leave before the no.
  await page.evaluate(() => window.polder.flush());
  const requests = watchRequests(context);
  await refuse(page);
  const rows = await eventually(
    () => rowsOf(device),
    (found) => found.filter(({ type }) => type === "consent").length === 2,
  );
  // Until the page has heard the answer: left before, it would rightly say it again.
  await page.evaluate(() => window.polder.flush());
  await page.locator("a[href^='/product']").first().click();
  await page.waitForLoadState();
  expect(requests).toHaveLength(1);
  expect(JSON.parse(requests[0]!.body).batch.map(({ type }: { type: string }) => type)).toEqual(["consent"]);
  const kept = await keptBy(page);
  expect(kept.cookies).toEqual([`polder_consent=${refusal()}`]);
  expect([...kept.local.filter((entry) => !entry.endsWith(refusal())), ...kept.session]).toEqual([]);
  expect((await context.cookies()).map(({ name }) => name).filter((name) => name.startsWith("polder"))).toEqual([
    "polder_consent",
  ]);
  expect(await rowsOf(device)).toHaveLength(rows.length);
});

test("two tabs are one visit, and a no in one silences the other", async ({ page, context }) => {
  await open(page);
  await accept(page);
  const device = await settledDevice(context);
  const other = await context.newPage();
  await open(other, "/about");
  const rows = await eventually(
    () => rowsOf(device),
    (found) => found.some(({ url_path }) => url_path === "/about"),
  );
  expect(new Set(rows.map(({ session_id }) => session_id)).size).toBe(1);
  const places = rows.map(({ session_seq }) => session_seq);
  expect(new Set(places).size, "each event has its own place in the visit").toBe(places.length);

  await reopen(page);
  await refuse(page);
  await eventually(
    () => rowsOf(device),
    (found) => found.filter(({ type }) => type === "consent").length === 2,
  );
  const requests = watchRequests(context);
  await other.evaluate(() => window.polder.track("Too late"));
  await other.evaluate(() => window.polder.flush());
  await other.locator("a[href='/']").first().click();
  await other.waitForLoadState();
  expect(requests).toEqual([]);
  expect((await rowsOf(device)).some(({ name }) => name === "Too late")).toBe(false);
});

test("a second device that logs in as the same customer is the same person, and the password stays where it was typed", async ({
  browser,
}) => {
  const customer = `customer-${Date.now()}`;
  const devices: string[] = [];
  for (const [device, viewport] of [
    ["laptop", { width: 1200, height: 800 }],
    ["phone", { width: 390, height: 800 }],
  ] as const) {
    const context = await browser.newContext({ viewport });
    const page = await context.newPage();
    await open(page, device === "laptop" ? "/" : "/about");
    await accept(page);
    devices.push(await settledDevice(context));
    await open(page, "/account");
    await page.fill("#customer", customer);
    await page.fill("#password", "hunter2-hunter2");
    await page.locator("form[action='/account/login'] button").click();
    await page.waitForLoadState();
    await eventually(
      () => rowsOf(devices.at(-1)!),
      (rows) => rows.some(({ user_id }) => user_id === customer),
    );
    await context.close();
  }
  expect(devices[0]).not.toBe(devices[1]);
  // The table of an insert is filled before its views are.
  const { person, rows } = await eventually(
    async () => {
      const [found] = await stack.sql<{ devices: number; user_ids: string[]; page_views: number }>(
        `SELECT devices, user_ids, page_views FROM polder.people WHERE has(user_ids, '${customer}')`,
      );
      return { person: found, rows: (await Promise.all(devices.map(rowsOf))).flat() };
    },
    (found) =>
      found.person?.devices === 2 &&
      found.person.page_views === found.rows.filter(({ type }) => type === "page").length &&
      new Set(found.rows.map(({ person_id }) => person_id)).size === 1,
  );
  expect(person).toMatchObject({ devices: 2, user_ids: [customer] });
  expect(new Set(rows.map(({ person_id }) => person_id)).size, "events before the login too").toBe(1);
  expect(JSON.stringify(await stack.sql("SELECT * FROM polder.events"))).not.toContain("hunter2");

  await eventually(
    async () => (await fetch(`${stack.apiUrl}/v1/people/${customer}?site=shop`)).text(),
    (profile) => devices.every((device) => profile.includes(device)),
  );
});
