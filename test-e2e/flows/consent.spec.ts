import { createHash, randomUUID } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test, type BrowserContext, type Page, type Request } from "@playwright/test";
import { accessibilityFaults } from "../support/accessibility-faults.ts";
import { createDeviceRows } from "../support/device-rows.ts";
import { grantedConsent } from "../support/load.ts";
import { createMovableClock, type MovableClock } from "../support/movable-clock.ts";
import { askEngine, findEverywhere, metricOf, runPolder, untilLoaded } from "../support/operator.ts";
import { patienceMs } from "../support/patience.ts";
import { accept, banner, openShop, refuse, reopen, settledDevice } from "../support/shop-visitor.ts";
import { eventually, settlesTo, startStack, type Stack } from "../support/stack.ts";
import { untilTaken } from "../support/until-taken.ts";

// What a visitor chose, from the banner to every table: real browsers, the whole product, and a look into the database afterwards.

let stack: Stack;
let clock: MovableClock;
test.beforeAll(async () => {
  clock = createMovableClock(test.info().outputPath("clock"));
  stack = await startStack({ env: clock.env });
});
test.afterAll(() => stack.remove());
// What a page sends as it is closed is nobody's any more.
test.afterEach(({ context }) => context.unrouteAll({ behavior: "ignoreErrors" }));

const ads = 32;
const yourData = (): string => `${stack.shopUrl}/your-data`;
const flush = (page: Page): Promise<void> => page.evaluate(() => window.polder.flush());
const isBatch = (request: Request): boolean => request.url().endsWith("/v1/batch") && request.method() === "POST";

interface Sent {
  type: string;
  messageId: string;
  properties?: { marker?: string };
}
/** Each id once, however often it was sent. */
const idsMarked = (events: readonly Sent[], marker: string): Set<string> =>
  new Set(events.filter(({ properties }) => properties?.marker === marker).map(({ messageId }) => messageId));
const eventsIn = (body: string | null): Sent[] => (JSON.parse(body ?? "{}") as { batch?: Sent[] }).batch ?? [];

interface Answer {
  accepted: number;
  rejected: { reason: string }[];
}

/** As any program can that knows the public key and an id: no page, no banner, no cookie unless it says so. */
async function post(
  events: object[],
  headers: { [name: string]: string } = { origin: stack.shopUrl },
  path = "/v1/batch",
): Promise<Answer> {
  const sentAt = new Date().toISOString();
  const batch = events.map((event) => ({ messageId: randomUUID(), timestamp: sentAt, ...event }));
  const answer = await untilTaken(() =>
    fetch(`${stack.collectorUrl}${path}`, {
      method: "POST",
      headers: { "content-type": "text/plain", "user-agent": "Mozilla/5.0 Firefox/140.0", ...headers },
      body: JSON.stringify({
        ...(headers["authorization"] === undefined && { writeKey: stack.writeKey }),
        sentAt,
        batch,
      }),
    }),
  );
  expect(answer.status).toBe(200);
  return (await answer.json()) as Answer;
}

/** Full consent, given just now. */
const fullConsent = (): object => ({
  ...grantedConsent,
  id: randomUUID(),
  purposes: { ...grantedConsent.purposes, ads: "granted" },
  at: new Date().toISOString(),
});

interface Row {
  type: string;
  name: string;
  anonymous_id: string;
  user_id: string;
  consent_mask: number;
  consent_id: string;
  click_id: string;
  url_path: string;
  atom: number;
  marker: string;
}
const rowsWhere = (where: string): Promise<Row[]> =>
  stack.sql<Row>(`
    SELECT type, name, anonymous_id, user_id, consent_mask, consent_id, click_id, url_path, atom, properties.marker::String AS marker
    FROM polder.events WHERE ${where} ORDER BY time, _offset`);
const rowsOf = createDeviceRows(rowsWhere);

/** The worker begins to remove once a minute, which nobody has to wait for: as often as it takes until the look finds it done. */
const carryOutWithdrawals = (look: () => Promise<void>): Promise<void> =>
  expect(() => {
    clock.advance(60_000);
    return look();
  }).toPass({ timeout: patienceMs });

/** A visitor who has said yes to everything, and of whom something is stored. */
async function agreed(page: Page, context: BrowserContext): Promise<{ device: string; stored: string }> {
  const stored = randomUUID();
  await openShop(page, stack.shopUrl);
  await accept(page);
  const device = await settledDevice(context);
  await page.evaluate((marker) => window.polder.track("Marked", { marker }), stored);
  await flush(page);
  // What is stored is found. A collector that took its time is asked once more by the page itself.
  await settlesTo(() => findEverywhere(stack, stored), { atom_event: 1, events: 1 });
  await untilLoaded(stack);
  return { device, stored };
}

test("200 events queued in each of two tabs while the collector is away: after a withdrawal none of them is stored anywhere", async ({
  page,
  context,
}) => {
  const { device } = await agreed(page, context);
  const other = await context.newPage();
  await openShop(other, `${stack.shopUrl}/about`);
  await flush(other);

  const queued = randomUUID();
  const later: Sent[][] = [];
  let isAway = true;
  await context.route(`${stack.collectorUrl}/v1/batch`, async (route) => {
    const events = eventsIn(route.request().postData());
    // It is back at the moment of the withdrawal, so that whatever else would leave from then on does arrive.
    if (events.some(({ type }) => type === "consent")) isAway = false;
    if (isAway) return route.abort("connectionfailed");
    later.push(events);
    return route.continue();
  });
  for (const tab of [page, other])
    await tab.evaluate((marker) => {
      for (let i = 0; i < 200; i++) window.polder.track("Marked", { marker, i });
    }, queued);
  const waiting = (): Promise<number> =>
    page.evaluate(async (marker) => {
      const [{ name }] = (await indexedDB.databases()) as [{ name: string }];
      const database = await new Promise<IDBDatabase>((resolve) => {
        const request = indexedDB.open(name);
        request.addEventListener("success", () => resolve(request.result));
      });
      const kept = await new Promise<unknown[]>((resolve) => {
        const request = database.transaction(name).objectStore(name).getAll();
        request.addEventListener("success", () => resolve(request.result as unknown[]));
      });
      database.close();
      return JSON.stringify(kept).split(marker).length - 1;
    }, queued);
  await eventually(waiting, (count) => count === 400);

  await reopen(page);
  await refuse(page);
  await eventually(
    () => rowsOf(device),
    (rows) => rows.filter(({ type }) => type === "consent").length === 2,
  );
  for (const tab of [page, other]) {
    await tab.evaluate((marker) => window.polder.track("Marked", { marker }), queued);
    await flush(tab);
    await openShop(tab, `${stack.shopUrl}/cart`);
    await flush(tab);
  }
  await untilLoaded(stack);
  // Nothing but the withdrawal; left before it heard the answer, the page says that again, as the same message.
  expect(later.map((events) => events.map(({ type }) => type))).toEqual(later.map(() => ["consent"]));
  expect(new Set(later.flat().map(({ messageId }) => messageId)).size).toBe(1);
  expect(await findEverywhere(stack, queued)).toEqual({});
});

test("events under way when the visitor withdraws: not stored, or as a count of nobody where counting is still allowed", async ({
  page,
  context,
}) => {
  for (const kept of [{}, { measurement: true }]) {
    await context.unrouteAll();
    await context.clearCookies();
    await openShop(page, `${stack.shopUrl}/about`);
    await page.evaluate(() => localStorage.clear());
    const { device } = await agreed(page, context);

    const marker = randomUUID();
    const held: { headers: { [name: string]: string }; body: string; abort: () => Promise<void> }[] = [];
    await context.route(`${stack.collectorUrl}/v1/batch`, async (route) => {
      const request = route.request();
      held.push({ headers: await request.allHeaders(), body: request.postData()!, abort: () => route.abort() });
    });
    await page.evaluate((text) => {
      for (let i = 0; i < 5; i++) window.polder.track("Marked", { marker: text });
      void window.polder.flush();
    }, marker);
    await eventually(
      async () => held.flatMap(({ body }) => eventsIn(body)),
      (events) => idsMarked(events, marker).size === 5,
    );

    // By the visitor's own page: a request of the script would wait for the one that is under way.
    const withdrawal = await page.evaluate(
      async ({ url, body }) => (await fetch(url, { method: "POST", credentials: "include", body })).json(),
      { url: `${stack.apiUrl}/v1/consent`, body: JSON.stringify({ writeKey: stack.writeKey, purposes: kept }) },
    );
    expect(withdrawal).toMatchObject({ state: { profile: "withdrawn" } });

    // The bytes that were under way arrive, with the cookies that they left with.
    const answers: Answer[] = [];
    for (const { headers, body, abort } of held) {
      const { "content-type": contentType, cookie, origin, "user-agent": agent } = headers;
      const answer = await untilTaken(() =>
        fetch(`${stack.collectorUrl}/v1/batch`, {
          method: "POST",
          headers: { "content-type": contentType!, cookie: cookie!, origin: origin!, "user-agent": agent! },
          body,
        }),
      );
      answers.push((await answer.json()) as Answer);
      await abort();
    }
    await untilLoaded(stack);
    const found = await rowsWhere(`properties.marker = '${marker}'`);
    if ("measurement" in kept) {
      expect(found).toHaveLength(5);
      for (const row of found)
        expect(row).toMatchObject({ anonymous_id: "", user_id: "", consent_id: "", atom: 0, consent_mask: 3 });
      expect(await findEverywhere(stack, marker)).toEqual({ events: 5 });
    } else {
      const refusals = answers.flatMap(({ rejected }) => rejected.map(({ reason }) => reason));
      expect(answers.reduce((sum, { accepted }) => sum + accepted, 0)).toBe(0);
      expect(new Set(refusals)).toEqual(new Set(["consent_withdrawn"]));
      expect(await findEverywhere(stack, marker)).toEqual({});
    }
    expect((await rowsOf(device)).filter(({ type }) => type === "consent")).toHaveLength(2);
  }
});

test("events that claim full consent against a recorded no: not stored, and counted by their reason", async ({
  page,
  context,
}) => {
  const { device } = await agreed(page, context);
  const [choice] = await rowsOf(device);
  await reopen(page);
  await refuse(page);
  await eventually(
    () => rowsOf(device),
    (rows) => rows.filter(({ type }) => type === "consent").length === 2,
  );

  const marker = randomUUID();
  const count = (): Promise<number> =>
    metricOf(stack, "polder_collector_events_dropped_total", { site: "shop", reason: "consent_withdrawn" });
  const before = await count();
  const forged = [
    { type: "track", event: "Marked", context: { consent: fullConsent() } },
    { type: "page", context: { consent: { ...fullConsent(), id: choice!.consent_id } } },
    { type: "track", event: "Marked", userId: `customer-${marker}`, context: { consent: fullConsent() } },
    { type: "identify", traits: { email: `${marker}@example.com` }, context: { consent: fullConsent() } },
    // Segment's and RudderStack's words for the same.
    {
      type: "track",
      event: "Marked",
      context: { consent: { categoryPreferences: { measurement: true, profile: true } } },
    },
  ].map((event) => ({ ...event, anonymousId: device, properties: { marker } }));
  const answer = await post(forged);
  expect(answer.accepted).toBe(0);
  expect(answer.rejected.map(({ reason }) => reason)).toEqual(forged.map(() => "consent_withdrawn"));
  expect((await count()) - before).toBe(forged.length);
  await untilLoaded(stack);
  expect(await findEverywhere(stack, marker)).toEqual({});
  // The same from a visitor who said nothing against it is stored: it was the record that stopped it.
  expect(await post(forged.map((event) => ({ ...event, anonymousId: randomUUID() })))).toMatchObject({ accepted: 5 });
});

for (const [how, hasProperty] of [
  ["as the browser says it, by header and property", true],
  ["by the header alone", false],
] as const) {
  test(`Global Privacy Control, ${how}: what it took does not come back when it is turned off, but with a yes`, async ({
    browser,
  }) => {
    const signalled = await browser.newContext({ extraHTTPHeaders: { "Sec-GPC": "1" } });
    if (hasProperty)
      await signalled.addInitScript(() => Object.defineProperty(navigator, "globalPrivacyControl", { value: true }));
    const first = await signalled.newPage();
    await openShop(first, `${stack.shopUrl}/?gclid=first`);
    await accept(first);
    const device = await settledDevice(signalled);
    await flush(first);
    const state = await signalled.storageState();
    await signalled.close();

    // The same browser, without the signal.
    const silent = await browser.newContext({ storageState: state });
    const page = await silent.newPage();
    await openShop(page, `${stack.shopUrl}/?gclid=second`);
    await page.evaluate(() => window.polder.track("Marked", { marker: "without the signal" }));
    await flush(page);
    // … and a client that insists on what the choice said of advertising.
    const [choice] = await eventually(
      () => rowsOf(device),
      (rows) => rows.some(({ marker }) => marker === "without the signal"),
    );
    const at = await stack.sql<{ at: string }>(
      `SELECT formatDateTime(time, '%FT%T.%fZ') AS at FROM polder.events WHERE consent_id = '${choice!.consent_id}' AND type = 'consent'`,
    );
    const claimed = { ...fullConsent(), id: choice!.consent_id, at: at[0]!.at };
    await post([
      {
        type: "page",
        anonymousId: device,
        context: { consent: claimed, page: { url: `${stack.shopUrl}/?gclid=forged` } },
      },
    ]);
    await untilLoaded(stack);
    const rows = await rowsOf(device);
    expect(rows.filter(({ type }) => type === "page")).toHaveLength(3);
    expect(rows.filter(({ consent_mask, click_id }) => (consent_mask & ads) !== 0 || click_id !== "")).toEqual([]);

    await reopen(page);
    await accept(page);
    await openShop(page, `${stack.shopUrl}/about?gclid=third`);
    await flush(page);
    const isLast = ({ type, url_path }: Row): boolean => type === "page" && url_path === "/about";
    const last = await eventually(
      () => rowsOf(device),
      (found) => found.some(isLast),
    );
    expect(last.find(isLast)).toMatchObject({ click_id: "third", consent_mask: 2 + 4 + ads + 1 });
    await silent.close();
  });
}

test("a yes that is a year old is taken neither by the page nor by the collector, and a new one is", async ({
  browser,
}) => {
  const itsClock = createMovableClock(test.info().outputPath("clock"));
  const own = await startStack({ env: itsClock.env });
  try {
    const yearMs = 366 * 86_400_000;
    const visits: BrowserContext[] = [];
    const visit = async (options: Parameters<typeof browser.newContext>[0] = {}): Promise<Page> => {
      visits.push(await browser.newContext(options));
      return visits.at(-1)!.newPage();
    };
    const pagesOf = (path: string): Promise<unknown[]> =>
      own.sql(`SELECT 1 FROM polder.events WHERE type = 'page' AND url_path = '${path}'`);

    const today = await visit();
    await openShop(today, `${own.shopUrl}/about`);
    await accept(today);
    await eventually(
      () => pagesOf("/about"),
      (rows) => rows.length === 1,
    );
    const state = await today.context().storageState();

    // A year later by the clock of the page: it asks again, and says nothing meanwhile.
    const later = await visit({ storageState: state });
    const requests: string[] = [];
    later.on("request", (request) => isBatch(request) && requests.push(request.url()));
    await later.clock.setFixedTime(Date.now() + yearMs);
    await openShop(later, `${own.shopUrl}/privacy`);
    await expect(banner(later)).toBeVisible();
    await flush(later);
    expect(requests).toEqual([]);

    // A year later by the clock of the collector alone: the page still trusts its yes, and is not believed.
    itsClock.advance(yearMs);
    const trusting = await visit({ storageState: state });
    const answered = trusting.waitForResponse((response) => isBatch(response.request()));
    await openShop(trusting, `${own.shopUrl}/privacy`);
    await expect(banner(trusting)).toBeHidden();
    const { accepted, rejected } = (await (await answered).json()) as Answer;
    expect([accepted, new Set(rejected.map(({ reason }) => reason))]).toEqual([0, new Set(["no_consent"])]);
    await untilLoaded(own);
    expect(await pagesOf("/privacy")).toEqual([]);

    // Asked again and answered, by clocks that agree.
    await openShop(later, `${own.shopUrl}/privacy`);
    await accept(later);
    await eventually(
      () => pagesOf("/privacy"),
      (rows) => rows.length === 1,
    );
    await Promise.all(visits.map((context) => context.close()));
  } finally {
    await own.remove();
  }
});

test("after a withdrawal: the receipt on the visitor's page, nobody left in any table, the counts as they were, and the record proves it", async ({
  page,
  context,
}) => {
  const [email, customer] = ["withdrawn@example.com", "customer-withdrawn"];
  const { device } = await agreed(page, context);
  await page.evaluate(([user, mail]) => window.polder.identify(user, { email: mail }), [customer, email] as const);
  await flush(page);
  await importLastMonth(device);
  await untilLoaded(stack);
  for (const text of [device, customer, email])
    expect(Object.keys(await findEverywhere(stack, text)), text).toContain("events");

  const counts = () =>
    stack.sql(`
      SELECT day, value, sum(events) AS events, max(people) AS people FROM polder.audience_days
      WHERE dimension = 'event' AND value != 'consent' GROUP BY day, value ORDER BY day, value`);
  const visits = () =>
    stack.sql("SELECT day, count() AS n, sum(page_views) AS page_views FROM polder.sessions GROUP BY day ORDER BY day");
  const people = () => stack.sql("SELECT day, people FROM polder.audience_days WHERE dimension = 'all' ORDER BY day");
  const before = await Promise.all([counts(), visits(), people()]);
  expect(before[2]!.length, "last month has a day of its own").toBeGreaterThan(1);

  await page.goto(yourData());
  const history = page.locator("#history > li");
  await expect(history).toHaveCount(1);
  await expect(history).toContainText("Remember what I do here: Yes");
  await expect(history).toContainText("as one story under a random number on this device, for a year.");
  await flush(page);
  await untilLoaded(stack);
  const atLast = await Promise.all([counts(), visits(), people()]);
  const choices = await rowsWhere(`anonymous_id = '${device}' AND type = 'consent'`);
  const [{ message_id: messageId } = { message_id: "" }] = await stack.sql<{ message_id: string }>(
    `SELECT message_id FROM polder.events WHERE anonymous_id = '${device}' AND name = 'Marked'`,
  );
  expect(choices).toHaveLength(1);

  await page.getByRole("button", { name: "Withdraw all of it" }).click();
  const receipt = page.getByRole("region", { name: "What was removed" });
  await carryOutWithdrawals(() => expect(receipt).toBeVisible({ timeout: 20_000 }));
  expect(await accessibilityFaults(page)).toEqual([]);
  const lines = await receipt
    .locator("tbody tr")
    .evaluateAll((rows) => rows.map((row) => [...row.children].map((cell) => cell.textContent)));
  expect(lines.map(([, , remaining]) => remaining)).toEqual(lines.map(() => "0"));
  expect(lines.filter(([, rows]) => Number(rows) > 0).map(([table]) => table)).toEqual([
    "The number of this browser",
    "Your visits once more, put in order by visitor",
    "Your last choice for each purpose",
    "Your visits, click by click",
    "What joined this browser to a customer",
    "Your profile: counts, first and last visit",
    "What you told us, as an e-mail address",
  ]);
  await expect(page.locator("#data-state")).not.toContainText("Yes");
  for (const text of [device, customer, email]) expect(await findEverywhere(stack, text), text).toEqual({});
  expect(await Promise.all([counts(), visits(), people()])).toEqual(atLast);
  // All but the day on which it began: it may be another one by now.
  const daysBefore = before[2]!.slice(0, -1);
  expect(atLast[2]!.slice(0, daysBefore.length), "last month").toEqual(daysBefore);
  const atoms = `SELECT atom FROM polder.events WHERE consent_id = '${choices[0]!.consent_id}'`;
  for (const table of ["trait_state", "profile_state"])
    expect(await stack.sql(`SELECT * FROM polder.${table} WHERE atom IN (${atoms})`), table).toEqual([]);

  // Its number opens the receipt again, in a browser that knows nothing.
  const number = await page.locator("#receipt-number").textContent();
  const elsewhere = await context.browser()!.newPage();
  await elsewhere.goto(yourData());
  await elsewhere.fill("#lookup-number", number!);
  await elsewhere.getByRole("button", { name: "Look it up" }).click();
  await expect(elsewhere.locator("#receipt tbody tr")).toHaveCount(lines.length);
  await elsewhere.close();

  const whole = await runPolder(stack, "consent", "verify");
  expect(whole).toMatchObject({ code: 0, out: expect.stringMatching(/^✓ shop: \d+ records, whole\. Head /) });
  const proof = await runPolder(stack, "consent", "proof", messageId);
  expect(proof.code).toBe(0);
  expect(proof.out).toContain(`Choice ${choices[0]!.consent_id}`);
  expect(proof.out).toMatch(
    /profile: granted\n\s+Its text \(en, [^)]*\):\n\s+Remember what I do here\n\s+Your visits, clicks, forms and orders as one story under a random number on this device, for a year\./,
  );

  const [{ n } = { n: 0 }] = await stack.sql<{ n: number }>(
    `SELECT n FROM polder.consent_log WHERE consent_id = '${choices[0]!.consent_id}'`,
  );
  const change = (language: string): Promise<string> =>
    askEngine(stack, `ALTER TABLE consent_log UPDATE language = '${language}' WHERE site = 'shop' AND n = ${n}`);
  await change("eo");
  const broken = await runPolder(stack, "consent", "verify");
  expect(broken).toMatchObject({ code: 1, out: expect.stringContaining(`✗ shop: broken at ${n} (`) });
  await change("en");
  expect(await runPolder(stack, "consent", "verify")).toEqual(whole);
});

/** Page views of last month, by this visitor and by another one, sent by the shop's server under their own consent. */
async function importLastMonth(device: string): Promise<void> {
  const serverKey = `sk_${randomUUID()}`;
  const path = join(stack.dataPath, "demo.config.json");
  const config = JSON.parse(readFileSync(path, "utf8")) as { sites: { serverKeys?: object[] }[] };
  config.sites[0]!.serverKeys = [{ name: "importer", hash: createHash("sha256").update(serverKey).digest("hex") }];
  writeFileSync(path, JSON.stringify(config));

  const at = Date.now() - 40 * 86_400_000;
  const consent = { ...fullConsent(), at: new Date(at - 1000).toISOString() };
  const views = [device, device, randomUUID()].map((anonymousId, i) => ({
    type: "page",
    anonymousId,
    timestamp: new Date(at + i).toISOString(),
    context: {
      consent,
      session: { id: `last-month-${i >> 1}`, start: at, seq: i },
      page: { url: `${stack.shopUrl}/about` },
    },
  }));
  // The file is followed: the key is taken once it has been read.
  const answer = await eventually(
    () => post(views, { authorization: `Basic ${btoa(`${serverKey}:`)}` }, "/v1/import"),
    ({ accepted }) => accepted === views.length,
  );
  expect(answer.rejected).toEqual([]);
}

test.describe("who the visitor is, said before or after the choice, in two browsers, in every order", () => {
  test("is known where the choice allows it, and nowhere else", async ({ browser }) => {
    const orders = ordersOf(["identify A", "choose A", "identify B", "choose B"]);
    expect(orders).toHaveLength(24);
    const known: { [customer: string]: string[] } = {};
    const nameless: string[] = [];

    /** The first browser says yes. @param second what the other one says. */
    const tellAll = async (second: "yes" | "no" | "withdrawn"): Promise<void> => {
      const contexts = { A: await browser.newContext(), B: await browser.newContext() };
      const pages = { A: await contexts.A.newPage(), B: await contexts.B.newPage() };
      const requests: Request[] = [];
      pages.B.on("request", (request) => isBatch(request) && requests.push(request));
      for (const [i, order] of orders.entries()) {
        const customer = `order-${second}-${i}`;
        for (const name of ["A", "B"] as const) {
          // As good as another browser, and opened sooner.
          await contexts[name].clearCookies();
          if (i > 0) await pages[name].evaluate(() => localStorage.clear());
          await openShop(pages[name], `${stack.shopUrl}/cart`);
        }
        for (const step of order) {
          const [act, name] = step.split(" ") as [string, "A" | "B"];
          const page = pages[name];
          if (act === "identify") await page.evaluate((user) => window.polder.identify(user, { plan: user }), customer);
          else if (name === "B" && second === "no") await refuse(page);
          else await accept(page);
        }
        for (const name of ["A", "B"] as const) {
          await flush(pages[name]);
          if (name === "B" && second === "no") continue;
          const device = await settledDevice(contexts[name]);
          if (name === "B" && second === "withdrawn") {
            nameless.push(device);
            await reopen(pages.B);
            await refuse(pages.B);
            await flush(pages.B);
          } else if (order.indexOf(`identify ${name}`) > order.indexOf(`choose ${name}`))
            known[customer] = [...(known[customer] ?? []), device].toSorted();
        }
      }
      if (second === "no") expect(requests).toEqual([]);
      await Promise.all(Object.values(contexts).map((context) => context.close()));
    };
    await Promise.all((["yes", "no", "withdrawn"] as const).map(tellAll));
    expect(nameless).toHaveLength(orders.length);
    await untilLoaded(stack);

    const customers = Object.keys(known).toSorted();
    const devices = nameless.map((device) => `'${device}'`).join(", ");
    const left = () => stack.sql(`SELECT count() AS n FROM polder.atom WHERE anonymous_id IN (${devices})`);
    await carryOutWithdrawals(() => expect.poll(left, { timeout: 20_000 }).toEqual([{ n: 0 }]));
    // Tables are cleared one after the other, and people are joined by a worker of their own: what is right stays so.
    await settlesTo(
      () =>
        stack.sql(
          `SELECT user_id, arraySort(groupUniqArray(anonymous_id)) AS devices FROM polder.atom WHERE user_id LIKE 'order-%' GROUP BY user_id ORDER BY user_id`,
        ),
      customers.map((customer) => ({ user_id: customer, devices: known[customer] })),
    );
    await settlesTo(
      () =>
        stack.sql(
          "SELECT user_ids[1] AS customer, devices FROM polder.people WHERE length(user_ids) = 1 AND user_ids[1] LIKE 'order-%' ORDER BY customer",
        ),
      customers.map((customer) => ({ customer, devices: known[customer]!.length })),
    );
    await settlesTo(
      () =>
        stack.sql(
          "SELECT arraySort(groupUniqArray(traits['plan'])) AS users FROM polder.people WHERE traits['plan'] LIKE 'order-%'",
        ),
      [{ users: customers }],
    );
  });

  const ordersOf = <T>(items: readonly T[]): T[][] =>
    items.length < 2
      ? [[...items]]
      : items.flatMap((item, i) => ordersOf(items.filter((_, j) => j !== i)).map((rest) => [item, ...rest]));
});
