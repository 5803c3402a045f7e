import { createServer } from "node:http";
import { expect, test, type Page } from "@playwright/test";
import { accessibilityFaults } from "../support/accessibility-faults.ts";
import { listen, type Listening } from "../support/listen.ts";
import { startCollector, type RecordingCollector } from "../support/recording-collector.ts";
import { sayYes } from "../support/visitor.ts";

let collector: RecordingCollector;
let site: Listening;
test.beforeEach(async () => {
  collector = await startCollector();
  // A page as strict as they come.
  const policy = [
    "default-src 'none'",
    "img-src data:",
    `script-src ${collector.origin}`,
    `connect-src ${collector.origin}`,
    "require-trusted-types-for 'script'",
  ];
  const server = createServer((_, response) =>
    response
      .setHeader("content-security-policy", policy.join("; "))
      .setHeader("content-type", "text/html; charset=utf-8")
      .end(`<!doctype html><html lang="en"><title>Strict</title><link rel="icon" href="data:,">
<main><h1>Strict</h1><button id="other">Other</button></main>
<script async src="${collector.origin}/polder.js" data-site="pk_test"></script>`),
  );
  site = await listen(server);
});
test.afterEach(async () => {
  await site.close();
  await collector.close();
});

const panel = (page: Page) => page.getByRole("region", { name: "Polder on this page" });
const rows = (page: Page) => panel(page).locator("ol > li");
const flush = (page: Page): Promise<void> => page.evaluate(() => window.polder.flush());

/** Waits for Polder in a way that the policy lets through: `waitForFunction` evaluates text. */
async function arrive(page: Page): Promise<void> {
  await page.goto(`${site.origin}/`);
  await expect.poll(() => page.evaluate(() => "polder" in window)).toBe(true);
}

/** By a second tag, as a developer would; resolves when the panel is there. */
async function open(page: Page): Promise<void> {
  await arrive(page);
  await page.evaluate((src) => {
    const policy = (
      window as unknown as {
        trustedTypes: { createPolicy(name: string, rules: object): { createScriptURL(url: string): string } };
      }
    ).trustedTypes.createPolicy("developer", { createScriptURL: (url: string) => url });
    document.head.append(Object.assign(document.createElement("script"), { src: policy.createScriptURL(src) }));
  }, `${collector.origin}/polder-overlay.js`);
  await expect(panel(page)).toBeVisible();
}

/** As pasted into the console. */
const importOverlay = (page: Page): Promise<void> =>
  page.evaluate(async (address) => void (await import(address)), `${collector.origin}/polder-overlay.js`);

test("shows the choice, and what becomes of events and why", async ({ page }) => {
  await open(page);
  await expect(panel(page)).toContainText("None yet");
  await expect(rows(page).filter({ hasText: "refused the visitor has not chosen yet" })).not.toHaveCount(0);

  collector.answer(() => ({ status: 503 }));
  await page.evaluate(() => window.polder.consent.set({ measurement: true }));
  await expect(panel(page)).toContainText("Granted on");
  await expect(panel(page).getByText("✓ measurement")).toBeVisible();
  await expect(panel(page).getByText("✗ profile (no)")).toBeVisible();
  await page.evaluate(() => {
    window.polder.track("Order Completed", { order_id: "7" });
    window.polder.identify("user-1");
  });
  await expect(rows(page).filter({ hasText: "queued track Order Completed" })).toHaveCount(1);
  await expect(rows(page).filter({ hasText: "it says who the visitor is, and they said no to profile" })).toHaveCount(
    1,
  );
  await flush(page);
  await expect(rows(page).filter({ hasText: "answered 503, not stored" })).not.toHaveCount(0);
  await expect(panel(page)).toContainText(/\d events of this page, the next attempt at/);

  collector.answer(() => ({ status: 200 }));
  await page.evaluate(() => window.dispatchEvent(new Event("online")));
  await expect(panel(page).getByText("Nothing", { exact: true })).toBeVisible();
  await expect(rows(page).filter({ hasText: "answered 200" })).not.toHaveCount(0);

  const row = rows(page).filter({ hasText: "queued track Order Completed" });
  await row.locator("summary").click();
  await expect(row.locator("pre")).toContainText('"order_id": "7"');
});

test("shows which events of a 200 were rejected, and why", async ({ page }) => {
  await open(page);
  const rejected = { index: 0, messageId: "m-1", reason: "name_too_long", detail: "Give track a shorter `event`." };
  collector.answer(() => ({ status: 200, body: JSON.stringify({ accepted: 1, rejected: [rejected] }) }));
  await sayYes(page);
  await flush(page);
  const row = rows(page).filter({ hasText: "answered 200, 1 event rejected: name_too_long" }).first();
  await row.locator("summary").click();
  await expect(row.locator("pre")).toContainText('"messageId": "m-1"');
});

test("shows what happened before it was opened", async ({ page }) => {
  await arrive(page);
  await sayYes(page);
  await page.evaluate(() => window.polder.track("Early"));
  await flush(page);
  await importOverlay(page);
  await expect(rows(page).filter({ hasText: "queued track Early" })).toHaveCount(1);
});

test("is styled under a strict policy, and breaks none of it", async ({ page }) => {
  const complaints: string[] = [];
  page.on("console", (message) => complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  await open(page);
  expect(complaints).toEqual([]);
  expect(await panel(page).evaluate((section) => getComputedStyle(section).borderRadius)).toBe("8px");
  expect(await page.locator("polder-overlay").evaluate((host) => getComputedStyle(host).position)).toBe("fixed");
});

test("is not captured, and sends nothing", async ({ page }) => {
  await open(page);
  await sayYes(page);
  await flush(page);
  const before = collector.requests.length;
  const requests: string[] = [];
  page.on("request", (request) => requests.push(request.url()));
  await panel(page).getByRole("button", { name: "Fold" }).click();
  await panel(page).getByRole("button", { name: "Unfold" }).click();
  await rows(page).first().click();
  await flush(page);
  expect(requests).toEqual([]);
  expect(collector.requests.length).toBe(before);
  // Clicks elsewhere still are.
  await page.click("#other");
  await flush(page);
  expect(collector.accepted().map(({ event }) => event)).toContain("Clicked");
});

test("works with the keyboard alone, and hands the focus back", async ({ page }) => {
  await arrive(page);
  await page.focus("#other");
  await importOverlay(page);
  await expect(panel(page)).toBeVisible();
  expect(await page.evaluate(() => document.activeElement?.id)).toBe("other");
  await page.keyboard.press("Tab");
  const fold = panel(page).getByRole("button", { name: "Fold" });
  await expect(fold).toBeFocused();
  await expect(fold).toHaveAttribute("aria-expanded", "true");
  await page.keyboard.press("Enter");
  await expect(rows(page).first()).toBeHidden();
  await expect(panel(page).getByRole("button", { name: "Unfold" })).toHaveAttribute("aria-expanded", "false");
  await page.keyboard.press("Escape");
  await expect(panel(page)).toHaveCount(0);
  expect(await page.evaluate(() => document.activeElement?.id)).toBe("other");
});

test("is one, however often it is loaded, and gone when closed", async ({ page }) => {
  await open(page);
  const load = () =>
    page.evaluate(
      async (address) => void (await import(address)),
      `${collector.origin}/polder-overlay.js?${String(performance.now())}`,
    );
  await load();
  await load();
  await expect(page.locator("polder-overlay")).toHaveCount(1);
  await panel(page).getByRole("button", { name: "Close" }).click();
  await expect(page.locator("polder-overlay")).toHaveCount(0);
  await sayYes(page);
  await load();
  await expect(panel(page)).toContainText("Granted on");
});

test("has no faults that a checker finds", async ({ page }) => {
  await open(page);
  await sayYes(page);
  await page.evaluate(() => window.polder.track("Order Completed", { order_id: "7" }));
  await flush(page);
  await expect(rows(page).filter({ hasText: "answered 200" })).not.toHaveCount(0);
  expect(await accessibilityFaults(page)).toEqual([]);
});
