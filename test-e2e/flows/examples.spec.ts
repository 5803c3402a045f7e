import { expect, test, type Browser, type Page } from "@playwright/test";
import { buildExamples, startExample, type Example } from "../support/example.ts";
import { startCollector, type RecordingCollector, type SeenEvent } from "../support/recording-collector.ts";

// The applications of `examples/`, built from the packed packages with their types, one story for all of them.

let whyNot = "";
test.beforeAll(async () => {
  // The first time it installs three frameworks.
  test.setTimeout(900_000);
  whyNot = await buildExamples();
});

for (const [name, suffix] of [
  ["react", ""],
  ["next", ""],
  ["vue", ""],
  ["tag-manager", ".html"],
] as const) {
  test.describe(`examples/${name}`, () => {
    let collector: RecordingCollector;
    let example: Example;
    let browser: Browser;
    let page: Page;
    let faults: string[];

    test.beforeEach(async ({ playwright, launchOptions }) => {
      test.skip(whyNot !== "" && name !== "tag-manager", whyNot);
      collector = await startCollector();
      example = await startExample(name);
      // The address of the collector is built in: the one that `npm start` has.
      const rule = `--host-resolver-rules=MAP localhost:8081 ${new URL(collector.origin).host}`;
      browser = await playwright.chromium.launch({ ...launchOptions, args: [...(launchOptions.args ?? []), rule] });
      page = await browser.newPage();
      faults = [];
      page.on("pageerror", (error) => faults.push(String(error)));
      page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
      // Some browsers ask for it by themselves.
      await page.route("**/favicon.ico", (route) => route.fulfill({ status: 204 }));
    });
    test.afterEach(async () => {
      await browser?.close();
      await example?.close();
      await collector?.close();
    });

    const button = (label: string) => page.getByRole("button", { name: label, exact: true });
    /** By its link; there when its heading is, and what it loads: a visitor who leaves before that is not seen, and presses buttons in vain. */
    const go = async (link: string, heading = link): Promise<void> => {
      await page.getByRole("link", { name: link, exact: true }).click();
      await page.getByRole("heading", { name: heading, exact: true }).waitFor();
      await page.waitForLoadState();
    };
    const visitAll = async (): Promise<void> => {
      await go("Bulbs");
      await button("Add 25 tulips").click();
      await go("Account");
      await button("Log in").click();
      await button("Log out").click();
      await go("Home", "Bulbs for heavy clay");
    };
    /** Each once, in the order in which they happened: a page that is left and the next one send side by side. */
    const ofType = (type: string): SeenEvent[] =>
      [...new Map(collector.accepted().map((event) => [event.messageId, event])).values()]
        .filter((event) => event.type === type)
        .toSorted((a, b) => Date.parse(a.timestamp) - Date.parse(b.timestamp));

    test("a no: nothing is sent, and nothing but the choice is kept", async () => {
      await page.goto(example.origin);
      await button("No").click();
      await expect(button("No")).toBeHidden();
      await visitAll();
      const kept = await page.evaluate(() => [Object.keys(localStorage).toSorted(), document.cookie]);
      expect(kept).toEqual([
        name === "tag-manager" ? ["choice", "polder_consent"] : ["polder_consent"],
        expect.stringMatching(/^polder_consent=[^;]*$/),
      ]);
      await page.close({ runBeforeUnload: true });
      expect(collector.requests).toEqual([]);
      expect(faults).toEqual([]);
    });

    test("a yes: one page view a route, the event, the login and the logout", async () => {
      await page.goto(example.origin);
      await button("Yes").click();
      await expect(button("Yes")).toBeHidden();
      await visitAll();
      const added = (): SeenEvent[] => ofType("track").filter(({ event }) => event !== "Clicked");
      // Pages send side by side: the last view says nothing of what was done before it.
      await collector.until(
        () =>
          ofType("page").length === 4 &&
          [added(), ofType("identify"), ofType("consent")].every((events) => events.length > 0),
      );

      const view = ["", "bulbs", "account", ""].map((path) => `/${path && path + suffix}`);
      expect(ofType("page").map(({ context }) => [context.page.path, context.page.title])).toEqual(
        view.map((path, i) => [path, ["Home", "Bulbs", "Account", "Home"][i]]),
      );
      expect(added().map(({ event, properties }) => [event, properties])).toEqual([
        [
          name === "tag-manager" ? "add_to_cart" : "Product Added",
          { product_id: "tulip-25", price: 12.5, currency: "EUR" },
        ],
      ]);
      expect(ofType("identify").map(({ userId, traits }) => [userId, traits])).toEqual([
        ["customer-7", { plan: "garden" }],
      ]);
      expect(ofType("consent")).toHaveLength(1);
      expect(ofType("consent")[0]!.context.consent.notice).toMatchObject({ version: "2026-11" });

      const [first] = ofType("page");
      const last = ofType("page").at(-1)!;
      expect(ofType("identify")[0]!.anonymousId).toBe(first!.anonymousId);
      expect(last.anonymousId).not.toBe(first!.anonymousId);
      expect(last.userId).toBeUndefined();
      expect(faults).toEqual([]);
    });
  });
}

test("a page of Next comes rendered from its server, which imports Polder and starts none", async ({ request }) => {
  test.skip(whyNot !== "", whyNot);
  const example = await startExample("next");
  try {
    const html = await (await request.get(`${example.origin}/bulbs`)).text();
    expect(html).toContain("Add 25 tulips");
    // The server cannot know the choice: a banner in its page would flash up for those who have made one.
    expect(html).not.toContain("May we measure");
  } finally {
    await example.close();
  }
});
