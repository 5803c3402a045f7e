import { randomUUID } from "node:crypto";
import { expect, test, type Page } from "@playwright/test";
import { accessibilityFaults } from "../support/accessibility-faults.ts";
import { grantedConsent } from "../support/load.ts";
import { patienceMs } from "../support/patience.ts";
import { startStack, type Stack } from "../support/stack.ts";
import { untilTaken } from "../support/until-taken.ts";

// What names no browser is taken for a bot, and bots have no profile.
const browserName = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

let stack: Stack;
test.beforeAll(async () => {
  stack = await startStack();
});
test.afterAll(() => stack.remove());

const post = async (...events: object[]): Promise<void> => {
  const stamped = events.map((event) => ({
    messageId: randomUUID(),
    timestamp: new Date().toISOString(),
    context: { consent: grantedConsent },
    ...event,
  }));
  const answer = await untilTaken(() =>
    fetch(`${stack.collectorUrl}/v1/batch`, {
      method: "POST",
      headers: { "content-type": "text/plain;charset=UTF-8", origin: stack.shopUrl, "user-agent": browserName },
      body: JSON.stringify({ writeKey: stack.writeKey, sentAt: new Date().toISOString(), batch: stamped }),
    }),
  );
  expect(await answer.json()).toMatchObject({ accepted: events.length });
};

/** Rows of the list of events; the counts below name events too. */
const listed = (page: Page, text: string) =>
  page.getByRole("region", { name: "Events as they arrive" }).getByRole("row").filter({ hasText: text });

test("an empty page says what to do and leads to the shop", async ({ page }) => {
  await page.goto(stack.apiUrl);
  await expect(page.getByRole("heading", { name: "no events yet" })).toBeVisible();
  await expect(page.getByRole("link", { name: "Open the demo shop" })).toHaveAttribute("href", stack.shopUrl);
  await expect(page.getByText("No choice yet: nothing is sent.")).toBeVisible();
  expect(await accessibilityFaults(page)).toEqual([]);
});

test("nothing comes from elsewhere, and the policy says so", async ({ page }) => {
  const requests: string[] = [];
  const complaints: string[] = [];
  page.on("request", (request) => requests.push(new URL(request.url()).origin));
  page.on("console", (message) => complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  const answer = await page.goto(stack.apiUrl);
  await expect(page.getByText("Live", { exact: true })).toBeVisible();
  expect(answer!.headers()["content-security-policy"]).toContain("default-src 'none'");
  expect(new Set(requests)).toEqual(new Set([stack.apiUrl]));
  expect(complaints).toEqual([]);
});

test("an event appears with what it may be used for, and builds the profile of its person", async ({ page }) => {
  await page.goto(stack.apiUrl);
  const anonymousId = "live-visitor-1";
  const order = { order_id: "o-live", total: 19.95, currency: "EUR" };
  await post({ type: "page", anonymousId, properties: { url: `${stack.shopUrl}/tulips` } });
  await post({ type: "identify", anonymousId, userId: "customer-7", traits: { email: "anna@shop.example" } });
  await post({ type: "track", event: "Order Completed", anonymousId, userId: "customer-7", properties: order });

  const row = listed(page, "Order Completed");
  await expect(row).toContainText("€19.95");
  await expect(row).toContainText("measurement, profile");
  await expect(row.getByRole("button", { name: "Show person" })).toBeVisible();

  const profile = page.getByRole("region", { name: /^Person \d+/ });
  await expect(profile).toContainText("customer-7");
  await expect(profile).toContainText(anonymousId);
  await expect(profile).toContainText("anna@shop.example");
  await expect(profile).toContainText("€19.95 spent");
  const counts = page.getByRole("region", { name: "People today" });
  await expect(counts.getByRole("row").filter({ hasText: "Order Completed" })).toContainText("1");
});

test("pause holds the list still, by keyboard too, and shows what came when it goes on", async ({ page }) => {
  await page.goto(stack.apiUrl);
  const rows = (name: string) => listed(page, name);
  await post({ type: "track", event: "Before Pause", anonymousId: "live-visitor-2" });
  await expect(rows("Before Pause")).toHaveCount(1);
  await page.getByRole("button", { name: "Pause" }).press("Enter");
  await post({ type: "track", event: "While Paused", anonymousId: "live-visitor-2" });
  const show = page.getByRole("button", { name: "Show 1 new" });
  await expect(show).toHaveAttribute("aria-pressed", "true");
  await expect(rows("While Paused")).toHaveCount(0);
  await show.press(" ");
  await expect(rows("While Paused")).toHaveCount(1);
});

test("a person that was chosen stays, until the newest is followed again", async ({ page }) => {
  await page.goto(stack.apiUrl);
  await post({ type: "track", event: "Chosen One", anonymousId: "live-chosen" });
  await listed(page, "Chosen One").getByRole("button").click();
  const profile = page.getByRole("region", { name: /^Person \d+/ });
  await expect(profile).toContainText("live-chosen");
  await post({ type: "track", event: "Newer One", anonymousId: "live-newer" });
  await expect(listed(page, "Newer One")).toHaveCount(1);
  await expect(profile).toContainText("live-chosen");
  await profile.getByRole("button", { name: "Follow the newest" }).click();
  await expect(profile).toContainText("live-newer");
});

test("a person that cannot be found yet is asked for again", async ({ page }) => {
  let isFound = false;
  await page.route("**/v1/people/**", (route) =>
    isFound ? route.continue() : route.fulfill({ status: 404, json: { code: "not_found" } }),
  );
  await page.goto(stack.apiUrl);
  const refusal = page.waitForResponse((answer) => answer.url().includes("/v1/people/") && answer.status() === 404);
  await post({ type: "track", event: "Not Yet", anonymousId: "live-not-yet" });
  await listed(page, "Not Yet").getByRole("button").click();
  await (await refusal).finished();
  isFound = true;
  await expect(page.getByRole("region", { name: /^Person \d+/ })).toContainText("live-not-yet");
  // The page may just ask again when it is closed.
  await page.unrouteAll({ behavior: "ignoreErrors" });
});

test("two devices become one person with a login: in the list, in the profile, and after a reload", async ({
  page,
}) => {
  await page.goto(stack.apiUrl);
  const rowOf = (name: string) => listed(page, name);
  const personOf = (name: string) => rowOf(name).getByRole("button").innerText();
  const profile = page.getByRole("region", { name: /^Person \d+/ });
  const userId = "customer-of-two";
  await post({ type: "track", event: "On Desktop", anonymousId: "desktop-of-two" });
  await expect(rowOf("On Desktop")).toHaveCount(1);
  await post({ type: "identify", userId, anonymousId: "desktop-of-two" });
  await post({ type: "track", event: "On Phone", anonymousId: "phone-of-two" });
  await rowOf("On Phone").getByRole("button").click();
  await expect(profile).toContainText("phone-of-two");
  expect(await personOf("On Phone")).not.toBe(await personOf("On Desktop"));

  await post({ type: "identify", userId, anonymousId: "phone-of-two" });
  // Either of the two numbers may be the one that stays.
  await expect.poll(async () => new Set(await Promise.all(["On Desktop", "On Phone"].map(personOf))).size).toBe(1);
  const survivor = await personOf("On Desktop");
  await expect(rowOf("On Phone").getByRole("button")).toHaveAttribute("aria-pressed", "true");
  await expect(rowOf("On Desktop").getByRole("button")).toHaveAttribute("aria-pressed", "true");
  for (const known of ["desktop-of-two", "phone-of-two", userId]) await expect(profile).toContainText(known);

  await page.reload();
  for (const name of ["On Phone", "On Desktop"]) await expect(rowOf(name).getByRole("button")).toHaveText(survivor);
});

test("it says what this browser chose, as soon as it did", async ({ page, context }) => {
  await page.goto(stack.apiUrl);
  await expect(page.getByText("No choice yet: nothing is sent.")).toBeVisible();
  const choose = (value: string) => context.addCookies([{ name: "polder_consent", value, url: stack.shopUrl }]);
  await choose("v1.0.t4k000.");
  await expect(page.getByText("This browser said no. Nothing is sent, nothing is stored.")).toBeVisible();
  await choose("v1.6.t5g5xc.consent-1");
  await expect(page.getByText("This browser said yes to measurement and profile.")).toBeVisible();
});

for (const colorScheme of ["light", "dark"] as const) {
  for (const [device, viewport] of [
    ["desktop", { width: 1440, height: 900 }],
    ["phone", { width: 390, height: 844 }],
  ] as const) {
    test(`it is accessible and fits: ${colorScheme}, ${device}`, async ({ browser }) => {
      const context = await browser.newContext({ colorScheme, viewport });
      const page = await context.newPage();
      await page.goto(stack.apiUrl);
      await post({ type: "page", anonymousId: "live-visitor-3" });
      await expect(page.getByRole("region", { name: /^Person \d+/ })).toBeVisible();
      expect(await accessibilityFaults(page)).toEqual([]);
      expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
      await context.close();
    });
  }
}

test("who comes into an audience is told on the page while it is open, and counted", async ({ page }) => {
  await page.goto(stack.apiUrl);
  const anonymousId = "live-newcomer";
  await post({ type: "page", anonymousId, properties: { url: `${stack.shopUrl}/tulips` } });
  const panel = page.getByRole("region", { name: "Audiences", exact: true });
  const changes = panel.getByRole("listitem");
  await expect(changes.filter({ hasText: "came into New visitors" }).first()).toBeVisible({ timeout: patienceMs });
  const row = panel.getByRole("row").filter({ hasText: "New visitors" });
  await expect(row.getByRole("cell")).toHaveText(/^[1-9]\d*$/);
  expect(await accessibilityFaults(page)).toEqual([]);
});
