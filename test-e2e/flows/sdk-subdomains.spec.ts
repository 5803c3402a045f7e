import { expect, test, type Browser, type Page } from "@playwright/test";
import { startCollector, startSite, type RecordingCollector, type Site } from "../support/recording-collector.ts";
import { keptBy, sayYes, visit } from "../support/visitor.ts";

// Two subdomains of one site, which share the cookies of it and nothing else.

let browser: Browser;
let page: Page;
let collector: RecordingCollector;
let site: Site;
let a: string;
let b: string;
test.beforeEach(async ({ playwright, launchOptions }) => {
  collector = await startCollector();
  site = await startSite(collector.origin);
  site.tag = 'data-capture="" data-cookie-domain="site.test"';
  const { port } = new URL(site.origin);
  [a, b] = [`http://a.site.test:${port}/shop.html`, `http://b.site.test:${port}/shop.html`];
  const rule = "--host-resolver-rules=MAP *.site.test 127.0.0.1";
  browser = await playwright.chromium.launch({ ...launchOptions, args: [...(launchOptions.args ?? []), rule] });
  page = await browser.newPage();
});
test.afterEach(async () => {
  await browser.close();
  await site.close();
  await collector.close();
});

const track = (name: string): Promise<void> => page.evaluate((event) => window.polder.track(event), name);
const flush = (): Promise<void> => page.evaluate(() => window.polder.flush());
const status = (): Promise<string> => page.evaluate(() => window.polder.consent.get().status);

test("a withdrawal holds although an older cookie of one host is there", async () => {
  site.tag = 'data-capture=""';
  await visit(page, a);
  await sayYes(page);
  await flush();
  site.tag = 'data-capture="" data-cookie-domain="site.test"';
  await visit(page, a);
  await page.evaluate(() => window.polder.consent.withdraw());
  await flush();
  expect(await status()).toBe("denied");
  await visit(page, a);
  expect(await status()).toBe("denied");
  await track("Too late");
  await flush();
  expect(collector.accepted().map(({ type, event }) => event ?? type)).toEqual(["consent", "consent"]);
});

test("what a withdrawal on one subdomain takes back is gone on the other one's next page, and stays so", async () => {
  await visit(page, b);
  // Or the page that is being left would try again in half a second, and be heard.
  collector.answer(() => ({ status: 503, retryAfterSeconds: 600 }));
  await sayYes(page);
  await track("Before");
  await flush();
  collector.answer(() => ({ status: 200 }));
  await visit(page, a);
  await page.evaluate(() => window.polder.consent.withdraw());
  await flush();
  await visit(page, b);
  await expect
    .poll(async () => {
      const { local, databases } = await keptBy(page);
      return [...local, ...databases].filter((name) => !name.startsWith("polder_consent="));
    })
    .toEqual([]);
  await sayYes(page);
  await track("After");
  await flush();
  const events = collector.accepted().map(({ type, event }) => event ?? type);
  expect(events).toContain("After");
  expect(events).not.toContain("Before");
});

test("a mirror follows the cookie, so that it can bring no older choice back", async () => {
  await visit(page, b);
  await sayYes(page);
  await flush();
  await visit(page, a);
  await page.evaluate(() => window.polder.consent.withdraw());
  await flush();
  await visit(page, b);
  expect(await status()).toBe("denied");
  await page.context().clearCookies();
  await visit(page, b);
  expect(await status()).toBe("denied");
});

test("a logout on one subdomain is one on the other: no user and no session go over to who comes next", async () => {
  await visit(page, b);
  await sayYes(page);
  await page.evaluate(() => window.polder.identify("u-1"));
  await flush();
  const [, before] = collector.accepted();
  // As the collector would: for the whole site.
  await page.evaluate((id) => {
    document.cookie = `polder_aid=${id}.${Math.floor(Date.now() / 1000).toString(36)};domain=site.test;path=/`;
  }, before!.anonymousId!);
  await visit(page, a);
  await page.evaluate(() => window.polder.reset());
  await track("On a");
  await flush();
  const next = collector.accepted().at(-1)!;
  await page.evaluate((id) => {
    document.cookie = `polder_aid=${id}.${(Math.floor(Date.now() / 1000) + 2).toString(36)};domain=site.test;path=/`;
  }, next.anonymousId!);
  await visit(page, b);
  await track("On b");
  await flush();
  const last = collector.accepted().at(-1)!;
  expect(last).toMatchObject({ event: "On b", anonymousId: next.anonymousId });
  expect(next.anonymousId).not.toBe(before!.anonymousId);
  expect(last.userId).toBeUndefined();
  expect(last.context.session!.id).not.toBe(before!.context.session!.id);
});
