import { expect, test } from "@playwright/test";
import { startPageServer, type PageServer } from "../support/page-server.ts";
import { patientSecondMs } from "../support/patience.ts";
import { startCollector, startSite, type RecordingCollector, type Site } from "../support/recording-collector.ts";
import { keptBy, nothing, onlyRefusal, refusal, sayNo, sayYes, visit } from "../support/visitor.ts";

let collector: RecordingCollector;
let site: Site;
test.beforeEach(async () => {
  collector = await startCollector();
  site = await startSite(collector.origin);
});
test.afterEach(async () => {
  await site.close();
  await collector.close();
});

test("before a choice nothing is sent and nothing is stored", async ({ page }) => {
  await visit(page, `${site.origin}/shop.html`);
  await page.evaluate(() => window.polder.track("Early"));
  await page.click("#add");
  await page.evaluate(() => window.polder.flush());
  expect(await keptBy(page)).toEqual(nothing);
  await page.goto(`${site.origin}/blank.html`);
  expect(await keptBy(page)).toEqual(nothing);
  expect(collector.requests).toEqual([]);
});

test("a yes sends the choice and then one page view, and events carry it from then on", async ({ page }) => {
  await visit(page, `${site.origin}/shop.html`);
  await page.evaluate(() =>
    window.polder.consent.set({ measurement: true, profile: true }, { notice: { version: "7" } }),
  );
  await page.evaluate(() => window.polder.track("After"));
  await page.evaluate(() => window.polder.flush());
  const events = collector.accepted();
  expect(events.map(({ type, event }) => event ?? type)).toEqual(["consent", "page", "After"]);
  const [choice, view] = events;
  expect(choice!.context.consent).toMatchObject({
    purposes: {
      measurement: "granted",
      profile: "granted",
      personalisation: "denied",
      prediction: "denied",
      ads: "denied",
    },
    notice: { version: "7" },
  });
  expect(view!.anonymousId).toMatch(/^[\w-]{22}$/);
  for (const event of events) {
    expect(event.anonymousId).toBe(view!.anonymousId);
    expect(event.context.consent.id).toBe(choice!.context.consent.id);
  }
  expect(new Set(events.map(({ context }) => context.session!.seq)).size).toBe(3);
  expect((await keptBy(page)).cookies).toEqual([expect.stringMatching(/^polder_consent=v1\.6\./)]);

  await visit(page, `${site.origin}/next.html`);
  // Beside it the page that is left may tell how long it was seen.
  const views = () => collector.accepted().filter(({ type }) => type === "page");
  await collector.until(() => views().length === 2);
  const later = views()[1]!;
  expect(later.anonymousId).toBe(view!.anonymousId);
  expect(later.context.consent.id).toBe(choice!.context.consent.id);
  expect(later.context.session!.id).toBe(view!.context.session!.id);
});

test("a first no leaves the constant that is the same for everyone, and sends nothing", async ({ page }) => {
  await visit(page, `${site.origin}/shop.html`);
  await sayNo(page);
  await page.click("#add");
  await page.evaluate(() => window.polder.flush());
  await visit(page, `${site.origin}/next.html`);
  await page.evaluate(() => window.polder.flush());
  const kept = await keptBy(page);
  expect(kept).toEqual(onlyRefusal);
  expect(await page.evaluate(() => window.polder.consent.get().status)).toBe("denied");
  expect(collector.requests).toEqual([]);
});

test("a withdrawal is one request, leaves only the constant, and silences every tab", async ({ page, context }) => {
  await visit(page, `${site.origin}/shop.html`);
  await sayYes(page);
  await page.evaluate(() => window.polder.flush());
  const second = await context.newPage();
  await visit(second, `${site.origin}/next.html`);
  await collector.until(() => collector.accepted().length === 3);
  const before = collector.requests.length;
  const { anonymousId } = collector.accepted()[0]!;

  await second.evaluate(() => {
    const here = window as never as {
      polder: { consent: { onChange(run: (status: unknown) => void): void } };
      told: Promise<unknown>;
    };
    here.told = new Promise((resolve) => here.polder.consent.onChange(resolve));
  });
  await page.evaluate(() => {
    window.polder.track("Never sent");
    window.polder.consent.withdraw();
  });
  expect(await second.evaluate(() => (window as never as { told: Promise<unknown> }).told)).toMatchObject({
    status: "denied",
  });
  for (const tab of [page, second]) {
    await tab.evaluate(() => window.polder.track("Never sent"));
    await tab.evaluate(() => window.polder.flush());
  }
  await collector.until(() => collector.requests.length > before);
  await page.goto(`${site.origin}/blank.html`);
  await second.close();
  expect(collector.requests.length).toBe(before + 1);
  const last = collector.requests[before]!;
  expect(last.events).toHaveLength(1);
  expect(last.events[0]).toMatchObject({ type: "consent", anonymousId });
  expect(last.events[0]!.context.consent.purposes).toMatchObject({ measurement: "withdrawn", profile: "withdrawn" });
  await expect.poll(() => keptBy(page)).toEqual(onlyRefusal);
});

for (const [what, say] of [
  ["details that are null", 'polder.consent.set("none", null)'],
  ["a choice that is null", "polder.consent.set(null)"],
  ["no choice at all", "polder.consent.set()"],
  ["texts that are null", "polder.consent.set({ measurement: true }, { texts: null })"],
  ["texts in a circle", 'polder.consent.set("none", { texts: circle, notice: { version: "8" } })'],
  ["words of a platform in a circle", 'polder.consent.set("none", { raw: circle, notice: { version: "8" } })'],
  ["words of a platform that no JSON has", 'polder.consent.set("none", { raw: { a: 1n }, notice: { version: "8" } })'],
  ["a notice in a circle", 'polder.consent.set("none", { notice: Object.assign({ version: "7" }, circle) })'],
  ["a notice that no database takes", 'polder.consent.set("none", { notice: { version: "8", run() {} } })'],
] as const)
  test(`what is odd about a no does not keep it from being obeyed and told: ${what}`, async ({ page }) => {
    await visit(page, `${site.origin}/shop.html`);
    await sayYes(page);
    await page.evaluate(() => window.polder.flush());
    const before = collector.requests.length;
    await page.addScriptTag({ content: `{ const circle = {}; circle.own = circle; ${say}; }` });
    await page.evaluate(() => {
      window.polder.track("After");
      return window.polder.flush();
    });
    await collector.until(() => collector.requests.length > before);
    const [withdrawal, ...more] = collector.requests.slice(before).flatMap(({ events }) => events);
    expect(withdrawal).toMatchObject({
      type: "consent",
      context: { consent: { purposes: { profile: "withdrawn", ads: "withdrawn" } } },
    });
    if (say.includes('"8"')) expect(withdrawal!.context.consent.notice).toEqual({ version: "8" });
    else expect(withdrawal!.context.consent.notice ?? null).toBeNull();
    const { status } = await page.evaluate(() => window.polder.consent.get());
    const isYes = say.includes("measurement: true");
    expect(status).toBe(isYes ? "granted" : "denied");
    expect(more.map(({ event }) => event)).toEqual(isYes ? ["After"] : []);
  });

test.describe("two sites of one origin", () => {
  let origin: PageServer;
  test.beforeEach(async () => {
    origin = await startPageServer();
    for (const name of ["pk_a", "pk_ab"])
      origin.serve(
        `/${name}`,
        `<!doctype html><title>Shop</title><link rel="icon" href="data:,"><script src="${collector.origin}/polder.js" data-site="${name}" data-capture=""></script>`,
      );
    origin.serve("/blank", `<!doctype html><title>Blank</title><link rel="icon" href="data:,">`);
    collector.answer(({ body }) => (body.writeKey === "pk_a" ? "cut" : { status: 200 }));
  });
  test.afterEach(() => origin.close());
  const named = (): string[] =>
    collector.requests.flatMap(({ body, events }) =>
      events.map(({ event, type }) => `${body.writeKey} ${event ?? type}`),
    );

  test("send what the other one left on the device with its own key alone", async ({ page }) => {
    // Without a database, what waits is handed from page to page.
    await page.addInitScript(() => Object.defineProperty(window, "indexedDB", { value: undefined }));
    await visit(page, `${origin.origin}/pk_a`);
    await sayYes(page);
    await page.evaluate(() => window.polder.track("Of a"));
    await page.goto(`${origin.origin}/blank`);
    const left =
      (await keptBy(page).catch(() => undefined))?.local ?? (await page.evaluate(() => Object.keys(localStorage)));
    expect(left.filter((key) => key.startsWith("polder_out."))).toHaveLength(1);
    await visit(page, `${origin.origin}/pk_ab`);
    await page.evaluate(() => {
      window.polder.track("Of ab");
      return window.polder.flush();
    });
    expect(named().filter((each) => each.startsWith("pk_ab "))).toEqual(["pk_ab Of ab"]);
    collector.answer(() => ({ status: 200 }));
    await visit(page, `${origin.origin}/pk_a`);
    await page.evaluate(() => window.polder.flush());
    expect(collector.accepted().map(({ event, type }) => event ?? type)).toEqual(["Of ab", "consent", "Of a"]);
  });

  test("lose what waits on the device with a withdrawal from either of them", async ({ page }) => {
    await visit(page, `${origin.origin}/pk_a`);
    await sayYes(page);
    await page.evaluate(() => {
      window.polder.track("Of a");
      return window.polder.flush();
    });
    await visit(page, `${origin.origin}/pk_ab`);
    await page.evaluate(() => {
      window.polder.track("Of ab");
      return window.polder.flush();
    });
    expect((await keptBy(page)).databases.toSorted()).toEqual(["polder_pk_a", "polder_pk_ab"]);
    await page.evaluate(
      () =>
        new Promise((resolve) => {
          const other = indexedDB.open("of_the_page");
          other.addEventListener("success", () => resolve(other.result.close()));
        }),
    );
    await page.evaluate(() => window.polder.consent.withdraw());
    await expect.poll(async () => (await keptBy(page)).databases).toEqual(["of_the_page"]);
  });
});

for (const where of ["this tab", "another tab"])
  test(`a withdrawal does not wait for a request of ${where} that gets no answer`, async ({ page, context }) => {
    await visit(page, `${site.origin}/shop.html`);
    await sayYes(page);
    await page.evaluate(() => window.polder.flush());
    const sender = where === "this tab" ? page : await context.newPage();
    if (sender !== page) {
      await visit(sender, `${site.origin}/next.html`);
      await sender.evaluate(() => window.polder.flush());
    }
    const before = collector.requests.length;
    collector.answer(({ events }) => (events.some(({ event }) => event === "Held") ? "silence" : { status: 200 }));
    await sender.evaluate(() => {
      window.polder.track("Held");
      void window.polder.flush();
    });
    await collector.until(() => collector.requests.length === before + 1);
    const withdrawnAt = Date.now();
    await page.evaluate(() => window.polder.consent.withdraw());
    await collector.until(() => collector.requests.length > before + 1);
    expect(collector.requests[before + 1]!.events.map(({ type }) => type)).toEqual(["consent"]);
    expect(collector.requests[before + 1]!.at - withdrawnAt).toBeLessThan(patientSecondMs);
    // Nor does what was left behind by it hold up anything later, or come again.
    await sayYes(page);
    await collector.until(() => collector.requests.length > before + 2);
    expect(collector.requests[before + 2]!.events.map(({ type }) => type)).toContain("consent");
    expect(
      collector.requests.slice(before + 2).flatMap(({ events }) => events.map(({ event }) => event)),
    ).not.toContain("Held");
  });

test("a withdrawal that the collector does not take is told again", async ({ page }) => {
  await visit(page, `${site.origin}/shop.html`);
  await sayYes(page);
  await page.evaluate(() => window.polder.flush());
  const before = collector.requests.length;
  collector.answer(() => ({ status: collector.requests.length > before ? 200 : 503 }));
  await page.evaluate(() => window.polder.consent.withdraw());
  await collector.until(() => collector.requests.length === before + 2);
  const [first, again] = collector.requests.slice(before);
  expect(again!.events[0]!.messageId).toBe(first!.events[0]!.messageId);
  expect(again!.status).toBe(200);
});

test("measurement without profile says nothing of who it was", async ({ page }) => {
  await visit(page, `${site.origin}/shop.html`);
  await page.evaluate(() => {
    window.polder.consent.set({ measurement: true });
    window.polder.track("Counted");
    (window as never as { polder: { identify(id: string): void } }).polder.identify("jane");
  });
  await page.evaluate(() => window.polder.flush());
  const events = collector.accepted();
  expect(events.map(({ type, event }) => event ?? type)).toEqual(["consent", "page", "Counted"]);
  for (const event of events) {
    expect(event.anonymousId).toBeUndefined();
    expect(event.userId).toBeUndefined();
    expect(event.context.session).toBeUndefined();
  }
  expect(collector.requests[0]!.body.receipt.dropped).toEqual({ no_profile_consent: 1 });
  const { cookies, local } = await keptBy(page);
  for (const kept of [...cookies, ...local]) expect(kept).toMatch(/^polder_consent=/);
});

test("taking back profile alone forgets who it was, and measurement goes on without", async ({ page }) => {
  await visit(page, `${site.origin}/shop.html`);
  await sayYes(page);
  await page.evaluate(() => window.polder.flush());
  const { anonymousId } = collector.accepted()[0]!;
  await page.evaluate(() => window.polder.consent.set({ measurement: true }));
  await page.evaluate(() => window.polder.track("Counted"));
  await collector.until(() => collector.accepted().some(({ event }) => event === "Counted"));
  const [choice, counted] = collector.accepted().slice(-2);
  expect(choice).toMatchObject({ type: "consent", anonymousId });
  expect(choice!.context.consent.purposes).toMatchObject({
    measurement: "granted",
    profile: "withdrawn",
    ads: "withdrawn",
  });
  expect(counted!.anonymousId).toBeUndefined();
  expect((await keptBy(page)).local.filter((kept) => !kept.startsWith("polder_consent="))).toEqual([]);
});

test("buffered events wait in memory and go out with their own times after a yes", async ({ page }) => {
  site.tag = 'data-before-choice="buffer"';
  await visit(page, `${site.origin}/shop.html`);
  await page.click("#add");
  const clickedBy = await page.evaluate(() => Date.now());
  await page.waitForFunction((by) => Date.now() > by + 300, clickedBy);
  expect(await keptBy(page)).toEqual(nothing);
  expect(collector.requests).toEqual([]);
  await sayYes(page);
  await page.evaluate(() => window.polder.flush());
  const events = collector.accepted();
  expect(events.map(({ type, event }) => event ?? type)).toEqual(["consent", "page", "Product Added"]);
  expect(Date.parse(events[0]!.timestamp) - Date.parse(events[2]!.timestamp)).toBeGreaterThan(300);
});

test("buffered events are gone after a no", async ({ page }) => {
  site.tag = 'data-before-choice="buffer"';
  await visit(page, `${site.origin}/shop.html`);
  await page.click("#add");
  await sayNo(page);
  await sayYes(page);
  await page.evaluate(() => window.polder.flush());
  expect(collector.accepted().map(({ type }) => type)).toEqual(["consent", "page"]);
});

test("a yes in one tab starts the other", async ({ page, context }) => {
  await visit(page, `${site.origin}/shop.html`);
  const second = await context.newPage();
  await visit(second, `${site.origin}/next.html`);
  await sayYes(page);
  await collector.until(() => collector.accepted().length === 3);
  const events = collector.accepted();
  expect(events.filter(({ type }) => type === "consent")).toHaveLength(1);
  expect(
    events
      .filter(({ type }) => type === "page")
      .map(
        ({
          context: {
            page: { path },
          },
        }) => path,
      )
      .sort(),
  ).toEqual(["/next.html", "/shop.html"]);
  expect(new Set(events.map(({ anonymousId }) => anonymousId)).size).toBe(1);
});

test("Global Privacy Control takes advertising out of every yes", async ({ page }) => {
  await page.addInitScript(() => Object.defineProperty(navigator, "globalPrivacyControl", { value: true }));
  await visit(page, `${site.origin}/shop.html`);
  await sayYes(page);
  await page.evaluate(() => window.polder.flush());
  const { consent } = collector.accepted()[1]!.context;
  expect(consent).toMatchObject({ gpc: true, purposes: { profile: "granted", ads: "denied" } });
  expect(await page.evaluate(() => window.polder.consent.get().purposes.ads)).toBe(false);
});

test("a withdrawal is told although the collector has asked to wait, when the page is left", async ({ page }) => {
  await visit(page, `${site.origin}/shop.html`);
  collector.answer(() => ({ status: 429, retryAfterSeconds: 600 }));
  await sayYes(page);
  await page.evaluate(() => window.polder.flush());
  const before = collector.requests.length;
  collector.answer(() => ({ status: 200 }));
  await page.evaluate(() => window.polder.consent.withdraw());
  await page.goto(`${site.otherOrigin}/blank.html`);
  await collector.until(() => collector.requests.length > before);
  expect(collector.accepted().map(({ type }) => type)).toEqual(["consent"]);
  expect(collector.accepted()[0]!.context.consent.purposes["profile"]).toBe("withdrawn");
  await page.goto(`${site.origin}/blank.html`);
  await expect.poll(() => keptBy(page)).toMatchObject({ local: [expect.stringMatching(refusal)], databases: [] });
});

test("what waits for a choice is gone when the page is left, also when it comes back", async ({ page }) => {
  site.tag = 'data-before-choice="buffer"';
  await visit(page, `${site.origin}/shop.html`);
  await page.evaluate(() => {
    window.polder.track("Before");
    // As the back/forward cache does.
    window.dispatchEvent(new PageTransitionEvent("pagehide", { persisted: true }));
    window.dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }));
    window.polder.consent.set("all");
  });
  await page.evaluate(() => window.polder.flush());
  expect(collector.accepted().map(({ type, event }) => event ?? type)).toEqual(["consent", "page"]);
});
