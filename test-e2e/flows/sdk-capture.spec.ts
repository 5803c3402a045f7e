import { expect, test, type Page } from "@playwright/test";
import {
  startCollector,
  startSite,
  type RecordingCollector,
  type SeenEvent,
  type Site,
} from "../support/recording-collector.ts";
import { sayYes, visit } from "../support/visitor.ts";

let collector: RecordingCollector;
let site: Site;
test.beforeEach(async ({ page }) => {
  collector = await startCollector();
  site = await startSite(collector.origin);
  await visit(page, `${site.origin}/shop.html`);
  await sayYes(page);
  await page.evaluate(() => window.polder.flush());
});
test.afterEach(async () => {
  await site.close();
  await collector.close();
});

/** What arrived of the type, each id once. */
const seen = (type: string): SeenEvent[] => [
  ...new Map(
    collector
      .accepted()
      .filter((event) => event.type === type)
      .map((event) => [event.messageId, event]),
  ).values(),
];
const flush = (page: Page): Promise<void> => page.evaluate(() => window.polder.flush());
const sentText = (): string => JSON.stringify(collector.requests.map(({ events }) => events));

for (const way of ["the Navigation API", "the history alone"]) {
  test(`a single-page app has a page view a route, seen by ${way}`, async ({ browser }) => {
    const page = await browser.newPage();
    if (way === "the history alone") {
      await page.addInitScript(() => Object.defineProperty(window, "navigation", { value: undefined }));
    }
    await visit(page, `${site.origin}/shop.html`);
    const before = seen("page").length;
    await sayYes(page);
    await page.evaluate(() => {
      const route = (method: "pushState" | "replaceState", path: string, title: string): void => {
        history[method]({}, "", path);
        // Frameworks set the title after the address.
        queueMicrotask(() => (document.title = title));
      };
      const steps: (() => void)[] = [
        () => route("pushState", "/a", "A"),
        () => route("pushState", "/a", "A"),
        () => route("pushState", "/b?page=2", "B"),
        () => route("replaceState", "/b?page=2#part", "B"),
      ];
      return steps.reduce((done, step) => done.then(step).then(() => window.polder.flush()), Promise.resolve());
    });
    await page.goBack();
    await page.waitForURL("**/a");
    await flush(page);
    const views = seen("page")
      .slice(before)
      .map(({ context }) => context.page);
    expect(views.map(({ path }) => path)).toEqual(["/shop.html", "/a", "/b", "/a"]);
    expect(views.slice(0, 3).map(({ title }) => title)).toEqual(["Shop", "A", "B"]);
    expect(views.slice(1).map(({ referrer }) => referrer.slice(site.origin.length))).toEqual([
      "/shop.html",
      "/a",
      "/b?page=2",
    ]);
    await page.close();
  });
}

test("clicks on links, buttons and marked elements say what was clicked", async ({ page }) => {
  for (const id of ["add", "away", "mail", "stops", "text"]) await page.click(`#${id}`);
  await flush(page);
  expect(seen("track").map(({ event, properties }) => ({ event, ...properties }))).toEqual([
    { event: "Product Added", tag: "button", id: "add", text: "Add", order_id: "7", currency: "EUR" },
    { event: "Clicked", tag: "a", id: "away", text: "Elsewhere", href: "https://away.example/path", outbound: true },
    { event: "Clicked", tag: "a", id: "mail", text: "Write to [email]", href: "mailto:", outbound: false },
    { event: "Clicked", tag: "button", id: "stops", text: "Stops" },
  ]);
});

test("clicks never tell a card number or what is private", async ({ page }) => {
  for (const id of ["card", "private", "holds-private"]) await page.click(`#${id}`);
  await flush(page);
  expect(seen("track").map(({ properties }) => properties)).toEqual([
    { tag: "button", id: "card", text: "Pay with [number]" },
    { tag: "button", id: "holds-private" },
  ]);
  expect(sentText()).not.toMatch(/4111|Jane/);
});

test("a submitted form tells its fields by name and nothing of what is in them", async ({ page }) => {
  await Promise.all([page.waitForURL("**/next.html*"), page.click("#pay-now")]);
  await collector.until(() => seen("track").length === 2);
  const submitted = seen("track").find(({ event }) => event === "Form Submitted")!;
  expect(submitted.properties).toEqual({ form: "pay", fields: ["email", "note"] });
  // The address of the next page holds the values, because the form is sent with GET: not ours to hide.
  const ours = JSON.stringify(seen("track").concat(seen("identify")));
  expect(ours).not.toMatch(/hunter2|hidden-value|4111|987654|jane@|a note of mine/);
  expect(seen("identify")).toEqual([]);
});

test("a marked form says who typed what, and arrives although the submit leaves the page", async ({ page }) => {
  await page.fill("#newsletter [name=email]", "  Jane@Example.COM ");
  await page.fill("#newsletter [name=first]", "Jane");
  await Promise.all([page.waitForURL("**/next.html*"), page.click("#subscribe")]);
  await collector.until(() => seen("identify").length === 1);
  const [identify] = seen("identify");
  expect(identify!.traits).toEqual({ email: "jane@example.com", firstName: "Jane" });
  expect(identify!.context.origin).toBe("declared");
  expect(identify!.userId).toBeUndefined();
});

test("a marked login identifies the user, on this page and the next", async ({ page }) => {
  await page.fill("#login [name=customer]", "customer-7");
  await Promise.all([page.waitForURL("**/next.html*"), page.click("#log-in")]);
  await collector.until(() => seen("identify").length === 1 && seen("page").length === 2);
  expect(seen("identify")[0]).toMatchObject({ userId: "customer-7", traits: {} });
  expect(seen("page")[1]!.userId).toBe("customer-7");
  expect(JSON.stringify(seen("identify"))).not.toContain("hunter2");

  await page.waitForFunction(() => "polder" in window);
  await page.evaluate(() => {
    window.polder.reset();
    window.polder.track("Someone else");
  });
  await flush(page);
  const other = seen("track").at(-1)!;
  expect(other.userId).toBeUndefined();
  expect(other.anonymousId).not.toBe(seen("identify")[0]!.anonymousId);
  expect(other.context.session!.id).not.toBe(seen("identify")[0]!.context.session!.id);
});

test("a marked form is not read without consent for a profile", async ({ page }) => {
  await page.evaluate(() => window.polder.consent.set({ measurement: true }));
  await page.fill("#newsletter [name=email]", "jane@example.com");
  await page.evaluate(() => document.addEventListener("submit", (event) => event.preventDefault()));
  await page.click("#subscribe");
  await flush(page);
  expect(seen("identify")).toEqual([]);
  expect(sentText()).not.toContain("jane@");
});

test("a page out of the back/forward cache counts as viewed again", async ({ page }) => {
  await page.evaluate(() => {
    const shown = new Event("pageshow");
    Object.defineProperty(shown, "persisted", { value: true });
    window.dispatchEvent(shown);
  });
  await flush(page);
  expect(seen("page").map(({ context }) => context.page.path)).toEqual(["/shop.html", "/shop.html"]);
});

test("a prerendered page counts when it is shown", async ({ browser }) => {
  const page = await browser.newPage();
  await page.addInitScript(() =>
    Object.defineProperty(document, "prerendering", { value: true, writable: true, configurable: true }),
  );
  await visit(page, `${site.origin}/next.html`);
  const before = seen("page").length;
  await sayYes(page);
  await flush(page);
  expect(seen("page").length).toBe(before);
  await page.evaluate(() => {
    Object.defineProperty(document, "prerendering", { value: false });
    document.dispatchEvent(new Event("prerenderingchange"));
  });
  await flush(page);
  expect(seen("page").length).toBe(before + 1);
  await page.close();
});

test("calls on the stub count as made on the page of the call, and a second tag does nothing", async ({ browser }) => {
  const page = await browser.newPage();
  // @boundaries-ignore what is built, as a page would get it
  const { stub } = (await import("../../packages/sdk-browser/dist/stub.js")) as { stub: string };
  site.tag = 'data-consent="buffer"';
  await page.addInitScript(stub);
  await page.addInitScript(() => {
    window.polder.track("Early");
    history.replaceState({}, "", "/later");
  });
  await visit(page, `${site.origin}/shop.html?first=1`);
  await page.waitForFunction(() => !("q" in window.polder));
  await page.addScriptTag({ url: `${collector.origin}/polder.js` });
  const before = seen("page").length;
  await sayYes(page);
  await flush(page);
  const early = seen("track").find(({ event }) => event === "Early")!;
  expect(early.context.page.url).toBe(`${site.origin}/shop.html?first=1`);
  expect(
    seen("page")
      .slice(before)
      .map(({ context }) => context.page.path),
  ).toEqual(["/later"]);
  await page.close();
});

test("an error of ours never reaches the page", async ({ page }) => {
  const errors: Error[] = [];
  page.on("pageerror", (error) => errors.push(error));
  await page.evaluate(() => {
    const cycle: { self?: unknown } = {};
    cycle.self = cycle;
    window.polder.track("Cyclic", cycle);
    window.polder.track("Big", { text: "x".repeat(40_000) });
    window.polder.consent.set(null);
    (window.polder.track as () => void)();
    window.polder.track("Fine");
  });
  await flush(page);
  expect(errors).toEqual([]);
  expect(seen("track").map(({ event }) => event)).toContain("Fine");
  expect(seen("track").map(({ event }) => event)).not.toContain("Big");
});
