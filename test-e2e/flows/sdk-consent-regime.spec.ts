import { expect, test, type BrowserContext, type Page } from "@playwright/test";
import { startPageServer, type PageServer } from "../support/page-server.ts";
import { startCollector, type RecordingCollector } from "../support/recording-collector.ts";
import { keptBy, nothing, onlyRefusal, refusal, sayNo, sayYes, visit } from "../support/visitor.ts";
import { withoutHaste } from "../support/without-haste.ts";

// A visitor from where the law asks for no choice first, and how long a choice lasts.

let collector: RecordingCollector;
let site: PageServer;
test.beforeEach(async ({ context }) => {
  collector = await startCollector();
  site = await startPageServer();
  // A page gives the answer five seconds, and then goes by the strictest.
  await withoutHaste(context);
});
test.afterEach(async () => {
  await site.close();
  await collector.close();
});

const asking = 'data-capture="page" data-regime="ask"';
function serve(tag: string, { path = "/", head = "", script = "polder.all.js" } = {}): void {
  site.serve(
    path,
    `<!doctype html><html lang="en"><title>Shop</title><link rel="icon" href="data:,">${head}
<script async src="${collector.origin}/${script}" data-site="pk_test" ${tag}></script><h1>Shop</h1>`,
  );
}
async function open(page: Page, tag = asking, parts: Parameters<typeof serve>[1] = {}): Promise<void> {
  serve(tag, parts);
  await visit(page, site.origin + (parts.path ?? "/"));
}

const status = (page: Page) => page.evaluate(() => window.polder.consent.get());
const flush = (page: Page) => page.evaluate(() => window.polder.flush());
const track = (page: Page, name: string): Promise<void> => page.evaluate((event) => window.polder.track(event), name);
const names = (): string[] => collector.accepted().map(({ type, event }) => event ?? type);
/** Until the page has its answer. */
const isAnswered = (page: Page) => page.waitForFunction(() => window.polder.consent.get().regime !== "asked");
const permitted = async (page: Page): Promise<string[]> =>
  Object.entries((await status(page)).purposes)
    .filter(([purpose, isPermitted]) => isPermitted && purpose !== "necessary")
    .map(([purpose]) => purpose);
/** An answer that comes when the test says so. */
function laterAnswer(): (regime: string) => void {
  let give: (regime: string) => void = () => {};
  collector.answerRegime(new Promise<string>((resolve) => (give = resolve)));
  return give;
}

const all = ["measurement", "profile", "personalisation", "prediction", "ads"];
const remembered = /^polder_consent=r1\.opt_out\.[0-9a-z]{3}\.0$/;

test.describe("a tag that does not ask", () => {
  for (const [what, tag, script] of [
    ["as all do by default", 'data-capture="page"', "polder.all.js"],
    ["in a file that cannot", asking, "polder.js"],
    ["in another word", 'data-capture="page" data-regime="opt_out"', "polder.all.js"],
  ] as const) {
    test(`sends nothing and keeps nothing: ${what}`, async ({ page }) => {
      collector.answerRegime("opt_out");
      for (let load = 0; load < 3; load++) {
        await open(page, tag, { script });
        await track(page, "Early");
        await flush(page);
      }
      expect(await status(page)).toMatchObject({ status: "unset", purposes: { measurement: false } });
      expect(collector.regimeQuestions).toEqual([]);
      expect(collector.requests).toEqual([]);
      expect(await keptBy(page)).toEqual(nothing);
    });
  }

  test("does not believe what a page that asked has remembered", async ({ page }) => {
    collector.answerRegime("opt_out");
    await open(page);
    await collector.until(() => names().length === 1);
    await flush(page); // what the page has not heard an answer to is rightly sent again when it is left
    await open(page, 'data-capture="page"');
    await flush(page);
    expect((await status(page)).purposes["measurement"]).toBe(false);
    expect((await keptBy(page)).local.filter((each) => !each.startsWith("polder_consent="))).toEqual([]);
    expect(names()).toEqual(["page"]);
  });
});

test.describe("where the answer is opt_in, or there is none", () => {
  for (const [what, said] of [
    ["opt_in", "opt_in"],
    ["a regime that nobody knows", "anything"],
    ["no JSON", "<html>"],
    ["nothing", "cut"],
  ] as const) {
    test(`nothing is sent and nothing is kept: ${what}`, async ({ page }) => {
      collector.answerRegime(said);
      for (let load = 1; load <= 2; load++) {
        await open(page);
        await isAnswered(page);
        await track(page, "Early");
        await flush(page);
        // A request that was cut is tried again by the browser itself.
        if (said !== "cut") expect(collector.regimeQuestions).toHaveLength(load);
      }
      expect(await status(page)).toMatchObject({ status: "unset", purposes: { measurement: false } });
      expect((await status(page)).regime).toBeUndefined();
      expect(collector.requests).toEqual([]);
      expect(await keptBy(page)).toEqual(nothing);
    });
  }

  test("the choice is asked for as ever, and the question says nothing of who asks", async ({ page }) => {
    await page.context().addCookies([{ name: "polder_id", value: "someone.t4k000", url: collector.origin }]);
    await open(page);
    await isAnswered(page);
    await sayYes(page);
    await flush(page);
    expect(names()).toEqual(["consent", "page"]);
    expect(collector.accepted()[0]!.context.consent.regime).toBeUndefined();
    const [question] = collector.regimeQuestions;
    expect(question!.cookie).toBeUndefined();
    expect(question!.referer).toBeUndefined();
    await open(page);
    await flush(page);
    expect(collector.regimeQuestions).toHaveLength(1);
  });

  test("what happens before a choice is what the tag says, once, whatever the answer waits for", async ({ page }) => {
    const give = laterAnswer();
    await open(page, `${asking} data-before-choice="measurement"`);
    await collector.until(() => collector.requests.length === 1);
    give("opt_in");
    await isAnswered(page);
    await flush(page);
    expect(names()).toEqual(["page"]);
    expect(collector.accepted()[0]!.context.consent).toBeUndefined();
    expect(await keptBy(page)).toEqual(nothing);
  });

  test("what was buffered waits on for the choice, and is gone after a no", async ({ page }) => {
    const give = laterAnswer();
    await open(page, `${asking} data-before-choice="buffer"`);
    await track(page, "Early");
    give("opt_in");
    await isAnswered(page);
    await flush(page);
    expect(collector.requests).toEqual([]);
    await sayYes(page);
    await flush(page);
    expect(names()).toEqual(["consent", "page", "Early"]);
  });
});

test.describe("where the answer is opt_out", () => {
  test("nothing flows before it, and then events do, with the regime and without a choice", async ({ page }) => {
    const give = laterAnswer();
    await open(page);
    await collector.until(() => collector.regimeQuestions.length === 1);
    await track(page, "Too early");
    await flush(page);
    expect(await status(page)).toMatchObject({ status: "unset", regime: "asked", purposes: { measurement: false } });
    expect(collector.requests).toEqual([]);
    expect(await keptBy(page)).toEqual(nothing);

    give("opt_out");
    await collector.until(() => names().length === 1);
    await track(page, "After");
    await flush(page);
    expect(names()).toEqual(["page", "After"]);
    const [view, after] = collector.accepted();
    expect(view!.context.consent).toEqual({ v: 1, id: "", purposes: {}, regime: "opt_out", gpc: false });
    expect(view!.anonymousId).toMatch(/^[\w-]{22}$/);
    expect(after!.anonymousId).toBe(view!.anonymousId);
    expect(await permitted(page)).toEqual(all);
    expect(await status(page)).toMatchObject({ status: "unset", regime: "opt_out" });
    const { cookies, local } = await keptBy(page);
    expect(cookies).toEqual([expect.stringMatching(remembered)]);
    expect(local).toContainEqual(expect.stringMatching(remembered));
  });

  test("the next pages know it without asking, and who it is", async ({ page }) => {
    collector.answerRegime("opt_out");
    await open(page);
    await collector.until(() => names().length === 1);
    // Until the page knows of the answer: the next one would send a copy.
    await flush(page);
    await open(page, asking, { path: "/next" });
    await track(page, "At once");
    await collector.until(() => names().length === 3);
    expect(collector.regimeQuestions).toHaveLength(1);
    const events = collector.accepted();
    expect(new Set(events.map(({ anonymousId }) => anonymousId)).size).toBe(1);
    expect(new Set(events.map(({ context }) => context.session!.id)).size).toBe(1);
  });

  test("days later it is asked again, and the same visitor goes on; elsewhere by then, it is nobody", async ({
    page,
  }) => {
    await page.clock.install({ time: "2026-11-22T12:00:00Z" });
    collector.answerRegime("opt_out");
    await open(page);
    await page.evaluate(() => window.polder.flush());
    await collector.until(() => names().length === 1);

    await page.clock.setSystemTime("2026-11-29T12:00:00Z");
    let give = laterAnswer();
    await open(page);
    await collector.until(() => collector.regimeQuestions.length === 2);
    await flush(page);
    expect(names()).toHaveLength(1);
    expect((await status(page)).purposes["profile"]).toBe(false);
    give("opt_out");
    await isAnswered(page);
    await flush(page);
    await collector.until(() => names().length === 2);
    const [first, second] = collector.accepted();
    expect(second!.anonymousId).toBe(first!.anonymousId);

    await page.clock.setSystemTime("2026-12-06T12:00:00Z");
    give = laterAnswer();
    await open(page);
    give("opt_in");
    await isAnswered(page);
    await flush(page);
    expect(names()).toHaveLength(2);
    await expect.poll(() => keptBy(page)).toEqual(nothing);
  });

  test("a withdrawal is one request, leaves only the constant, and no page asks again", async ({ page }) => {
    collector.answerRegime("opt_out");
    await open(page);
    await collector.until(() => names().length === 1);
    const { anonymousId } = collector.accepted()[0]!;
    const before = collector.requests.length;
    await sayNo(page);
    await collector.until(() => collector.requests.length > before);
    await track(page, "Never sent");
    await flush(page);
    await open(page);
    await track(page, "Never sent");
    await flush(page);
    expect(collector.requests).toHaveLength(before + 1);
    expect(collector.requests[before]!.events).toMatchObject([
      { type: "consent", anonymousId, context: { consent: { purposes: { profile: "withdrawn", ads: "withdrawn" } } } },
    ]);
    expect((await status(page)).status).toBe("denied");
    expect(collector.regimeQuestions).toHaveLength(1);
    await expect.poll(() => keptBy(page)).toEqual(onlyRefusal);
  });

  test("a refusal in another tab silences one that is open", async ({ page, context }) => {
    collector.answerRegime("opt_out");
    await open(page);
    const second = await context.newPage();
    await visit(second, `${site.origin}/`);
    await collector.until(() => names().length === 2);
    await sayNo(second);
    await page.waitForFunction(() => window.polder.consent.get().status === "denied");
    await track(page, "Never sent");
    await flush(page);
    await flush(second);
    expect(names()).toEqual(["page", "page", "consent"]);
  });

  test("a no that is said before the answer stands", async ({ page }) => {
    const give = laterAnswer();
    await open(page);
    await collector.until(() => collector.regimeQuestions.length === 1);
    await sayNo(page);
    const answered = page.waitForResponse(/v1.regime/);
    give("opt_out");
    await answered;
    await track(page, "Never sent");
    await flush(page);
    expect((await status(page)).status).toBe("denied");
    expect(collector.requests).toEqual([]);
    expect((await keptBy(page)).local).toEqual([expect.stringMatching(refusal)]);
  });

  test("what was buffered until the answer goes out with its own times", async ({ page }) => {
    const give = laterAnswer();
    await open(page, `${asking} data-before-choice="buffer"`);
    await track(page, "Early");
    const trackedBy = await page.evaluate(() => Date.now());
    await page.waitForFunction((by) => Date.now() > by + 200, trackedBy);
    give("opt_out");
    await collector.until(() => names().length === 2);
    expect(names()).toEqual(["page", "Early"]);
    expect(Date.parse(collector.accepted()[1]!.timestamp)).toBeLessThanOrEqual(trackedBy);
  });

  test("Global Privacy Control takes ads, and says so in every event", async ({ page }) => {
    await page.addInitScript(() => Object.defineProperty(navigator, "globalPrivacyControl", { value: true }));
    collector.answerRegime("opt_out");
    await open(page);
    await collector.until(() => names().length === 1);
    expect(await permitted(page)).toEqual(all.slice(0, -1));
    expect(collector.accepted()[0]!.context.consent).toMatchObject({ regime: "opt_out", gpc: true });
  });

  const gpp = `<script>window.__gpp = (command, callback) => callback({ pingData: { signalStatus: "ready", gppString: "DBABLA~said",
parsedSections: { usnat: { SaleOptOut: 1 } } } });</script>`;

  test("an opt-out of the Global Privacy Platform takes ads, is recorded once, and is no yes to the rest", async ({
    page,
  }) => {
    collector.answerRegime("opt_out");
    for (let load = 1; load <= 2; load++) {
      await open(page, `${asking} data-consent-from="gpp"`, { head: gpp });
      await collector.until(() => collector.accepted().filter(({ type }) => type === "page").length === load);
      await flush(page);
      expect(await permitted(page)).toEqual(all.slice(0, -1));
      expect(await status(page)).toMatchObject({ status: "unset", regime: "opt_out" });
    }
    const choices = collector.accepted().filter(({ type }) => type === "consent");
    expect(choices).toHaveLength(1);
    expect(choices[0]!.context.consent).toMatchObject({ regime: "opt_out", purposes: { ads: "opted_out" } });
    expect(Object.keys(choices[0]!.context.consent.purposes)).toEqual(["ads"]);
    expect(choices[0]!.context.consent.id).toMatch(/^[\w-]{22}$/);
    expect(choices[0]!.properties).toEqual({ raw: { gpp: "DBABLA~said" } });
    for (const { context } of collector.accepted())
      expect(Object.values(context.consent.purposes)).not.toContain("granted");
    // A page of the site where a choice has to be made first learns nothing from it.
    await open(page, 'data-capture="page"');
    expect(await permitted(page)).toEqual([]);
  });

  test("what was buffered goes out under an opt-out that was known before the answer", async ({ page }) => {
    const give = laterAnswer();
    await open(page, `${asking} data-consent-from="gpp" data-before-choice="buffer"`, { head: gpp });
    await track(page, "Early");
    give("opt_out");
    await collector.until(() => names().length === 3);
    expect(names()).toEqual(["consent", "page", "Early"]);
    for (const { context } of collector.accepted())
      expect(context.consent).toMatchObject({ regime: "opt_out", purposes: { ads: "opted_out" } });
  });

  test("what was objected to is not given by what a platform merely repeats", async ({ page }) => {
    collector.answerRegime("opt_out");
    const gtag = "<script>window.dataLayer = []; function gtag() { dataLayer.push(arguments); }</script>";
    await open(page, `${asking} data-consent-from="gcm"`, { head: gtag });
    await collector.until(() => names().length === 1);
    await page.evaluate(() => {
      const yes = { measurement: true, profile: true, personalisation: true, prediction: true };
      window.polder.consent.set(yes, { isObjection: true });
    });
    expect(await permitted(page)).toEqual(all.slice(0, -1));
    await page.evaluate(() => {
      const states = [
        "analytics_storage",
        "personalization_storage",
        "ad_storage",
        "ad_user_data",
        "ad_personalization",
      ];
      const said = Object.fromEntries(states.map((name) => [name, "granted"]));
      (window as unknown as { gtag(...args: unknown[]): void }).gtag("consent", "update", said);
    });
    expect(await permitted(page)).toEqual(all.slice(0, -1));
  });
});

test("subdomains share the answer, and who it is", async ({ playwright, launchOptions }) => {
  const rule = "--host-resolver-rules=MAP *.site.test 127.0.0.1";
  const browser = await playwright.chromium.launch({ ...launchOptions, args: [...(launchOptions.args ?? []), rule] });
  const page = await browser.newPage();
  await withoutHaste(page);
  collector.answerRegime("opt_out");
  serve(`${asking} data-cookie-domain="site.test"`);
  const { port } = new URL(site.origin);
  await visit(page, `http://a.site.test:${port}/`);
  await collector.until(() => names().length === 1);
  const { anonymousId } = collector.accepted()[0]!;
  // As the collector would: for the whole site.
  await page.evaluate((id) => {
    document.cookie = `polder_aid=${id}.${Math.floor(Date.now() / 1000).toString(36)};domain=site.test;path=/`;
  }, anonymousId!);
  await visit(page, `http://b.site.test:${port}/`);
  await collector.until(() => names().length === 2);
  expect(collector.accepted()[1]!.anonymousId).toBe(anonymousId);
  expect(collector.regimeQuestions).toHaveLength(1);
  await browser.close();
});

test.describe("the banner", () => {
  const notice = {
    version: "2026-11",
    texts: { en: { title: "Your choice", text: "Shop Example Ltd asks to count visits and to show adverts." } },
    purposes: {
      measurement: { en: { title: "Counting visits", text: "How often which page is seen." } },
      ads: { en: { title: "Adverts", text: "What to show you elsewhere." } },
    },
  };
  const openWithBanner = (page: Page, body = ""): Promise<void> =>
    open(page, asking, {
      head: `<script type="application/json" id="polder-notice">${JSON.stringify(notice)}</script>
<script async src="${collector.origin}/polder-banner.js"></script>${body}`,
    });
  const banner = (page: Page) => page.getByRole("dialog", { name: "Your choice" });
  const opener = (page: Page) => page.getByRole("button", { name: "Privacy choices" });
  /** The banner is on the page, shown or not. */
  const isThere = (page: Page) => page.waitForSelector("polder-banner", { state: "attached" });

  test("is not shown while the answer is awaited, and then where a choice has to be made first", async ({ page }) => {
    const give = laterAnswer();
    await openWithBanner(page);
    await isThere(page);
    await collector.until(() => collector.regimeQuestions.length === 1);
    await expect(banner(page)).toBeHidden();
    give("opt_in");
    await expect(banner(page)).toBeVisible();
    await page.keyboard.press("Escape");
    await expect(banner(page)).toBeVisible();
    await banner(page).getByRole("button", { name: "Refuse" }).click();
    await expect(banner(page)).toBeHidden();
    expect((await status(page)).status).toBe("denied");
  });

  test("is not shown by itself where none has to be made, and opens when it is asked for", async ({ page }) => {
    collector.answerRegime("opt_out");
    await openWithBanner(page);
    await isThere(page);
    await collector.until(() => names().length === 1);
    await expect(banner(page)).toBeHidden();
    await opener(page).click();
    await expect(banner(page)).toBeVisible();
    // What holds: nothing was refused.
    await expect(banner(page).getByRole("switch", { name: "Counting visits" })).toBeChecked();
    await banner(page).press("Escape");
    await expect(banner(page)).toBeHidden();
    expect((await status(page)).status).toBe("unset");
    await opener(page).click();
    await banner(page).getByRole("switch", { name: "Adverts" }).uncheck();
    await banner(page).getByRole("button", { name: "Save" }).click();
    await expect(banner(page)).toBeHidden();
    // An objection to that, and no yes to what was left on.
    expect(await permitted(page)).toEqual(all.slice(0, -1));
    expect(await status(page)).toMatchObject({ status: "unset", regime: "opt_out" });
  });

  test("shows that Global Privacy Control is honoured to who opens it", async ({ page }) => {
    await page.addInitScript(() => Object.defineProperty(navigator, "globalPrivacyControl", { value: true }));
    collector.answerRegime("opt_out");
    await openWithBanner(page, '<a href="#" data-polder-consent-open>Do not sell my data</a>');
    await collector.until(() => names().length === 1);
    await expect(banner(page)).toBeHidden();
    await page.getByRole("link", { name: "Do not sell my data" }).click();
    const ads = banner(page).getByRole("switch", { name: "Adverts" });
    await expect(ads).not.toBeChecked();
    await expect(ads).toBeDisabled();
    await expect(banner(page)).toContainText("What to show you elsewhere. Off: your browser asked for that.");
  });
});

test.describe("how long a choice lasts", () => {
  const openAt = async (page: Page, time: string, tag: string): Promise<void> => {
    await page.clock.setSystemTime(time);
    await open(page, `data-capture="page" ${tag}`, { script: "polder.js" });
  };
  const tagged = 'data-grant-days="30" data-refusal-days="365"';
  const begin = async (page: Page, context: BrowserContext): Promise<void> => {
    await context.clearCookies();
    await page.clock.install({ time: "2026-11-22T12:00:00Z" });
    await openAt(page, "2026-11-22T12:00:00Z", tagged);
  };

  test("a yes that is older than the site says counts no more, and takes along what it allowed", async ({
    page,
    context,
  }) => {
    await begin(page, context);
    await sayYes(page);
    await flush(page);
    await openAt(page, "2026-12-22T11:00:00Z", tagged);
    await flush(page);
    expect((await status(page)).status).toBe("granted");
    expect(names()).toEqual(["consent", "page", "page"]);
    await openAt(page, "2026-12-22T13:00:00Z", tagged);
    await track(page, "Never sent");
    await flush(page);
    expect((await status(page)).status).toBe("unset");
    expect(names()).toEqual(["consent", "page", "page"]);
    await expect
      .poll(() => keptBy(page))
      .toMatchObject({ local: [expect.stringMatching(/^polder_consent=v1\.1q\./)], databases: [] });
  });

  test("a refusal is asked again when the site says so, never before half a year", async ({ page, context }) => {
    await begin(page, context);
    await sayNo(page);
    await openAt(page, "2027-11-22T11:00:00Z", tagged);
    expect((await status(page)).status).toBe("denied");
    await openAt(page, "2027-12-23T12:00:00Z", tagged);
    expect((await status(page)).status).toBe("unset");
    await openAt(page, "2027-05-25T11:00:00Z", 'data-refusal-days="1"');
    expect((await status(page)).status).toBe("denied");
    await openAt(page, "2027-06-25T12:00:00Z", 'data-refusal-days="1"');
    expect((await status(page)).status).toBe("unset");
    expect(collector.requests).toEqual([]);
  });
});
