import { expect, test, type Page } from "@playwright/test";
import { startCollector, startSite, type RecordingCollector, type Site } from "../support/recording-collector.ts";
import { keptBy, sayNo, sayYes, visit } from "../support/visitor.ts";

let collector: RecordingCollector;
let site: Site;
test.beforeEach(async () => {
  collector = await startCollector();
  site = await startSite(collector.origin);
  site.tag = 'data-capture=""';
});
test.afterEach(async () => {
  await site.close();
  await collector.close();
});

const flush = (page: Page): Promise<void> => page.evaluate(() => window.polder.flush());
const identifies = () =>
  collector
    .accepted()
    .filter(({ type }) => type === "identify")
    .map(({ userId, traits }) => ({ userId, traits }));

test("identify tells a trait once, and again when it changes, on later pages as well", async ({ page }) => {
  // It is told again every day.
  await page.clock.install({ time: "2026-11-22T12:00:00" });
  await visit(page, `${site.origin}/shop.html`);
  await sayYes(page);
  await page.evaluate(() => {
    window.polder.identify("u-1", { plan: "free", tags: ["a"] });
    window.polder.identify("u-1", { plan: "free", tags: ["a"] });
    window.polder.identify({ plan: "paid" });
  });
  await flush(page);
  await visit(page, `${site.origin}/next.html`);
  await page.evaluate(() => {
    window.polder.identify("u-1", { plan: "paid", tags: ["a"] });
    window.polder.identify("u-1", { plan: "paid", tags: ["a", "b"] });
  });
  await flush(page);
  expect(identifies()).toEqual([
    { userId: "u-1", traits: { plan: "free", tags: ["a"] } },
    { userId: "u-1", traits: { plan: "paid" } },
    { userId: "u-1", traits: { tags: ["a", "b"] } },
  ]);
  const kept = (await keptBy(page)).local.join();
  expect(kept, "values are not kept on the device").not.toContain("paid");
});

test("another user is told all traits, and after a reset nobody is known", async ({ page }) => {
  await visit(page, `${site.origin}/shop.html`);
  await sayYes(page);
  await page.evaluate(() => {
    window.polder.identify("u-1", { plan: "free" });
    window.polder.reset();
    window.polder.track("Between");
    window.polder.identify("u-2", { plan: "free" });
  });
  await flush(page);
  expect(identifies()).toEqual([
    { userId: "u-1", traits: { plan: "free" } },
    { userId: "u-2", traits: { plan: "free" } },
  ]);
  const [first, between, second] = collector.accepted().filter(({ type }) => type !== "consent");
  expect(between).toMatchObject({ event: "Between" });
  expect(between!.userId).toBeUndefined();
  expect(between!.anonymousId).not.toBe(first!.anonymousId);
  expect(second!.anonymousId).toBe(between!.anonymousId);
  expect(between!.context.session!.id).not.toBe(first!.context.session!.id);
});

test("what is no id is refused with a warning, and joins nobody", async ({ page }) => {
  const warnings: string[] = [];
  page.on("console", (message) => message.type() === "warning" && warnings.push(message.text()));
  await visit(page, `${site.origin}/shop.html`);
  await sayYes(page);
  await page.evaluate(() => {
    const { identify, group, alias } = window.polder as unknown as { [call: string]: (...args: unknown[]) => void };
    for (const id of [null, undefined, "", "  ", "null", "undefined", "NaN", NaN, "[object Object]"]) {
      identify!(id, { plan: "free" });
      group!(id);
      alias!(id);
    }
    identify!(7);
  });
  await flush(page);
  expect(collector.accepted().map(({ type, userId }) => [type, userId])).toEqual([
    ["consent", undefined],
    ["identify", 7],
  ]);
  expect(warnings).toHaveLength(27);
  expect(warnings.every((text) => text.startsWith("[polder]"))).toBe(true);
});

test("a function of the page changes or drops events, and one that throws lets nothing through", async ({ page }) => {
  await visit(page, `${site.origin}/shop.html?secret=1`);
  await sayYes(page);
  await page.evaluate(() => {
    window.polder.use((event) => {
      if (event.event === "Dropped") return null;
      if (event.event === "Broken") throw new Error("mine");
      if (event.event === "Forged") event.context.consent = { purposes: { ads: "granted" } } as never;
      delete (event.context.page as { referrer?: string }).referrer;
      event.context.page.url = event.context.page.url.split("?")[0]!;
      return event;
    });
    window.polder.use((event) => void (event.properties = { ...event.properties, second: true }));
    for (const name of ["Kept", "Dropped", "Broken", "Forged"]) window.polder.track(name, { name });
    // What it does to one page is not done to the next, nor taken for another page.
    location.hash = "part";
    history.pushState({}, "", "/shop.html?next=1");
  });
  await flush(page);
  const events = collector.accepted().filter(({ type }) => type === "track");
  expect(events.map(({ event, properties }) => [event, properties])).toEqual([
    ["Kept", { name: "Kept", second: true }],
    ["Forged", { name: "Forged", second: true }],
  ]);
  for (const { context } of events) {
    expect(context.page.url).toBe(`${site.origin}/shop.html`);
    expect(context.page).not.toHaveProperty("referrer");
    expect(context.consent.id).toBe(collector.accepted()[0]!.context.consent.id);
  }
  const { dropped } = collector.requests.at(-1)!.body.receipt;
  expect(dropped).toEqual({ middleware: 1, not_written: 1 });
});

test("a function may give back what cannot be changed, and what is no event is dropped", async ({ page }) => {
  await visit(page, `${site.origin}/shop.html`);
  await sayYes(page);
  await page.evaluate(() => {
    window.polder.use((event) =>
      event.event === "Late"
        ? (Promise.resolve(event) as never)
        : Object.freeze({ ...event, context: Object.freeze(event.context) }),
    );
    window.polder.track("Frozen");
    window.polder.track("Late");
    history.pushState({}, "", "/route");
    window.polder.track("On the route");
    document.title = "Title of the route";
  });
  await flush(page);
  const [frozen, later] = collector.accepted().filter(({ type }) => type === "track");
  expect([frozen!.event, later!.event]).toEqual(["Frozen", "On the route"]);
  expect(later!.context.page).toMatchObject({ path: "/route", title: "Title of the route" });
  expect(frozen!.context.consent.id).toBe(collector.accepted()[0]!.context.consent.id);
  expect(collector.requests.at(-1)!.body.receipt.dropped).toEqual({ middleware: 1 });
});

test("a trait that a function of the page held back is told when it no longer does", async ({ page }) => {
  await visit(page, `${site.origin}/shop.html`);
  await sayYes(page);
  await page.evaluate(() => {
    let isHeldBack = true;
    window.polder.use(() => (isHeldBack ? null : undefined));
    window.polder.identify("u-1", { plan: "free" });
    isHeldBack = false;
    window.polder.identify("u-1", { plan: "free" });
  });
  await flush(page);
  expect(identifies()).toEqual([{ userId: "u-1", traits: { plan: "free" } }]);
});

test("what cannot be written is counted, and takes nothing along", async ({ page }) => {
  site.tag = 'data-capture="" data-before-choice="buffer"';
  await visit(page, `${site.origin}/shop.html`);
  await page.evaluate(() => {
    const track = window.polder.track as (...args: unknown[]) => void;
    track("Early");
    track("Early too", {}, { context: { n: 1n } });
    track("Early as well");
    window.polder.consent.set("all");
    track("Big", { n: 1n });
    const loop: { self?: unknown } = {};
    loop.self = loop;
    track("Loop", loop);
    track("No options", {}, null);
    (window.polder.identify as (id: unknown) => void)(Object.create(null));
  });
  await flush(page);
  await page.evaluate(() => window.polder.consent.set({ measurement: true, profile: true }));
  await flush(page);
  expect(collector.accepted().map(({ type, event }) => event ?? type)).toEqual([
    "consent",
    "Early",
    "Early as well",
    "No options",
    "identify",
    "consent",
  ]);
  const receipts = collector.requests.map(({ body }) => body.receipt);
  expect(receipts[0]!.dropped).toEqual({ not_written: 3 });
  const queued = receipts.reduce((sum, receipt) => sum + receipt.queued, 0);
  expect(queued).toBe(collector.accepted().length + 3);
});

test("where localStorage is full the visitor is still one, in one session", async ({ page }) => {
  await visit(page, `${site.origin}/shop.html`);
  await page.evaluate(() => {
    for (let size = 2 ** 20; size >= 1; size /= 2) {
      try {
        for (;;) localStorage.setItem(`fill-${Math.random()}`, "x".repeat(size));
      } catch {
        // Full for this size.
      }
    }
  });
  await sayYes(page);
  await page.evaluate(() => window.polder.track("One"));
  await flush(page);
  await page.evaluate(() => window.polder.track("Two"));
  await page.evaluate(() => window.polder.identify("u-1", { plan: "free" }));
  await page.evaluate(() => window.polder.reset());
  await page.evaluate(() => window.polder.track("Somebody else"));
  await flush(page);
  const [, one, two, identify, other] = collector.accepted();
  expect(two!.anonymousId).toBe(one!.anonymousId);
  expect(identify!.anonymousId).toBe(one!.anonymousId);
  expect(two!.context.session!.id).toBe(one!.context.session!.id);
  expect(other!.event).toBe("Somebody else");
  expect(other!.anonymousId).not.toBe(one!.anonymousId);
  expect(other!.userId).toBeUndefined();
});

test("debug says what was queued, sent, answered and refused, from before it was called too", async ({ page }) => {
  await visit(page, `${site.origin}/shop.html`);
  const told = await page.evaluate(async () => {
    const entries: { at: number; what: string; detail: unknown }[] = [];
    window.polder.track("Too early");
    window.polder.debug((entry) => entries.push(entry));
    window.polder.consent.set("all");
    window.polder.track("Bought", { id: 7 });
    await window.polder.flush();
    window.polder.consent.set("none");
    window.polder.track("Too late");
    window.polder.debug(false);
    window.polder.track("Not told");
    return entries.map(({ what, detail }) => `${what} ${typeof detail === "string" ? detail : JSON.stringify(detail)}`);
  });
  expect(told[0]).toBe("refused no_choice");
  expect(told.filter((line) => line.startsWith("queued")).join()).toContain('"event":"Bought"');
  expect(told.some((line) => line.startsWith("sent"))).toBe(true);
  expect(told.some((line) => /^answered.*200/.test(line))).toBe(true);
  expect(told.at(-1)).toBe("refused no_consent");
  expect(told.join()).not.toContain("Not told");
});

test("an identify without consent for a profile is counted, and not told", async ({ page }) => {
  await visit(page, `${site.origin}/shop.html`);
  await page.evaluate(() => window.polder.consent.set({ measurement: true }));
  await page.evaluate(() => {
    window.polder.identify("u-1", { email: "jane@example.com" });
    window.polder.track("Seen");
  });
  await flush(page);
  expect(collector.accepted().map(({ type }) => type)).toEqual(["consent", "track"]);
  expect(collector.requests.at(-1)!.body.receipt.dropped).toEqual({ no_profile_consent: 1 });
  expect(JSON.stringify(collector.requests)).not.toContain("jane@example.com");
  expect((await keptBy(page)).local.join()).not.toContain("polder_traits");
});

test("after a first no nothing of any call is kept", async ({ page }) => {
  await visit(page, `${site.origin}/shop.html`);
  await sayNo(page);
  await page.evaluate(() => {
    window.polder.identify("u-1", { email: "jane@example.com" });
    window.polder.group("g-1");
    window.polder.alias("u-2");
    window.polder.page();
  });
  await flush(page);
  expect(collector.requests).toEqual([]);
  expect(
    Object.values(await keptBy(page))
      .flat()
      .join(),
  ).not.toMatch(/u-1|u-2|g-1|jane|traits/);
});
