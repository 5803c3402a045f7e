import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { expect, test, type Locator, type Page } from "@playwright/test";
import { countDigests, untilDigested } from "../support/digests.ts";
import { startPageServer, type PageServer } from "../support/page-server.ts";
import { startCollector, type RecordingCollector } from "../support/recording-collector.ts";
import { keptBy } from "../support/visitor.ts";
import { withoutHaste } from "../support/without-haste.ts";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const purposeText = (title: string, text: string) => ({ title, text });
const notice = {
  version: "2026-11",
  texts: {
    en: {
      title: "Your choice",
      text: "Shop Example Ltd asks to count visits and to show adverts.",
      links: [{ text: "Privacy policy", href: "/privacy.html" }],
    },
    nl: { title: "Jouw keuze", text: "Winkel Voorbeeld bv wil bezoeken tellen en advertenties tonen." },
  },
  purposes: {
    measurement: {
      en: purposeText("Counting visits", "How often which page is seen."),
      nl: purposeText("Bezoeken tellen", "Hoe vaak welke pagina wordt bekeken."),
    },
    profile: { en: purposeText("Knowing you again", "What you looked at before.") },
    ads: { en: purposeText("Adverts", "What to show you elsewhere.") },
  },
};

let collector: RecordingCollector;
let site: PageServer;
test.beforeEach(async ({ context }) => {
  collector = await startCollector();
  site = await startPageServer();
  servePage("/");
  await countDigests(context);
});
test.afterEach(async () => {
  await site.close();
  await collector.close();
});

interface PageParts {
  lang?: string;
  tag?: string;
  script?: string;
  body?: string;
  given?: unknown;
  headers?: { [name: string]: string };
}

function servePage(
  path: string,
  { lang = "en", tag = "", script = "polder.js", body = "", given = notice, headers = {} }: PageParts = {},
): void {
  site.serve(
    path,
    `<!doctype html><html lang="${lang}"><title>Shop</title><link rel="icon" href="data:,">
<script type="application/json" id="polder-notice">${JSON.stringify(given)}</script>
<script async src="${collector.origin}/polder-banner.js"></script>
<script async src="${collector.origin}/${script}" data-site="pk_test" ${tag}></script>
<main><h1>Shop</h1><button id="other">Other</button>${body}</main>`,
    headers,
  );
}

const banner = (page: Page): Locator => page.getByRole("dialog", { name: "Your choice" });
const press = (page: Page, name: string): Promise<void> => banner(page).getByRole("button", { name }).click();
const flush = (page: Page): Promise<void> => page.evaluate(() => window.polder.flush());
const status = (page: Page) => page.evaluate(() => window.polder.consent.get());

async function open(page: Page, path = "/"): Promise<void> {
  await page.goto(site.origin + path);
  await expect(banner(page)).toBeVisible();
  await untilDigested(page);
}

/** Faults by the rules of WCAG 2.2 AA and of good practice, as `rule: element`. */
async function faultsOf(page: Page): Promise<string[]> {
  const session = await page.context().newCDPSession(page);
  // Not as a script of the page: its policy may refuse that.
  await session.send("Runtime.evaluate", { expression: axe });
  const { result } = await session.send("Runtime.evaluate", {
    awaitPromise: true,
    returnByValue: true,
    expression: `axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] })
      .then(({ violations }) => violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => id + ": " + html)))`,
  });
  return result.value as string[];
}

test("asks while there is no choice, and keeps and sends nothing by asking", async ({ page }) => {
  await open(page);
  await page.reload();
  await expect(banner(page)).toBeVisible();
  expect(await keptBy(page)).toEqual({ cookies: [], local: [], session: [], databases: [] });
  expect(collector.requests).toEqual([]);
});

test("to accept and to refuse are one press each, on buttons that look the same", async ({ page }) => {
  await open(page);
  const looks = (name: string) =>
    banner(page)
      .getByRole("button", { name })
      .evaluate((element) => {
        const { width, height } = element.getBoundingClientRect();
        const { color, backgroundColor, borderColor, font, opacity } = getComputedStyle(element);
        return {
          width: Math.round(width),
          height: Math.round(height),
          color,
          backgroundColor,
          borderColor,
          font,
          opacity,
        };
      });
  expect(await looks("Refuse")).toEqual(await looks("Accept"));
  await press(page, "Refuse");
  await expect(banner(page)).toBeHidden();
  expect((await status(page)).status).toBe("denied");
  expect(collector.requests).toEqual([]);
  await page.reload();
  await expect(page.getByRole("button", { name: "Privacy choices" })).toBeVisible();
  await expect(banner(page)).toBeHidden();
});

test("a yes is to what was asked and to nothing else, and says what was shown", async ({ page }) => {
  await open(page);
  await press(page, "Accept");
  await expect(banner(page)).toBeHidden();
  await flush(page);
  const { consent } = collector.accepted().find(({ type }) => type === "consent")!.context;
  expect(consent.purposes).toEqual({
    measurement: "granted",
    profile: "granted",
    personalisation: "denied",
    prediction: "denied",
    ads: "granted",
  });
  expect(consent.notice).toEqual({ version: "2026-11", language: "en", variant: "banner" });
  const hashOf = (purpose: string, { title, text }: { title: string; text: string }): string =>
    createHash("sha256")
      .update(JSON.stringify(["polder.text/1", purpose, "en", title, text]))
      .digest("hex");
  expect(consent.texts).toEqual({
    measurement: hashOf("measurement", notice.purposes.measurement.en),
    profile: hashOf("profile", notice.purposes.profile.en),
    ads: hashOf("ads", notice.purposes.ads.en),
  });
});

test("asks again where the text of a purpose has changed, and every event until then says which text it was", async ({
  page,
}) => {
  await open(page);
  await press(page, "Accept");
  await flush(page);
  const said = () => collector.accepted().filter(({ event }) => event === "Later");
  const later = async (): Promise<void> => {
    await page.evaluate(() => window.polder.track("Later"));
    await flush(page);
  };
  const agreed = collector.accepted().find(({ type }) => type === "consent")!.context.consent.texts!;
  // Nothing has changed, in whatever language it is shown: nothing is asked, and the texts are known on the next page as well.
  servePage("/nl", { lang: "nl" });
  await page.goto(`${site.origin}/nl`);
  await later();
  await expect(page.getByRole("dialog")).toBeHidden();
  expect(said()[0]!.context.consent.texts).toEqual(
    Object.fromEntries(Object.entries(agreed).map(([purpose, hash]) => [purpose, hash.slice(0, 8)])),
  );

  const ads = { en: purposeText("Adverts", "What to show you here and elsewhere.") };
  servePage("/", { given: { ...notice, purposes: { ...notice.purposes, ads } } });
  await open(page);
  await later();
  expect(said()[1]!.context.consent.texts!.ads).toBe(agreed.ads!.slice(0, 8));
  await press(page, "Choose");
  // What nobody has agreed to in these words is not ticked.
  await expect(page.getByRole("switch", { name: "Adverts" })).not.toBeChecked();
  await expect(page.getByRole("switch", { name: "Counting visits" })).toBeChecked();
  await press(page, "Save my choice");
  await later();
  expect(said()[2]!.context.consent.purposes).toMatchObject({ measurement: "granted", profile: "granted" });
  expect((await status(page)).purposes).toMatchObject({ measurement: true, profile: true, ads: false });
  await page.reload();
  await later();
  await expect(banner(page)).toBeHidden();
});

test("the second layer has a switch for each purpose, and none is on before a yes", async ({ page }) => {
  await open(page);
  await expect(page.getByRole("switch")).toHaveCount(0);
  await press(page, "Choose");
  await expect(page.getByRole("switch")).toHaveCount(3);
  for (const each of await page.getByRole("switch").all()) await expect(each).not.toBeChecked();
  await page.getByRole("switch", { name: "Counting visits" }).check();
  await press(page, "Save my choice");
  expect((await status(page)).purposes).toEqual({
    necessary: true,
    measurement: true,
    profile: false,
    personalisation: false,
    prediction: false,
    ads: false,
  });
  await flush(page);
  expect(collector.accepted()[0]!.context.consent.purposes).toMatchObject({ measurement: "granted", ads: "denied" });
});

test("what the visitor has opened and switched on stays so, however late the texts are hashed", async ({ page }) => {
  await page.addInitScript(() => {
    let digestAll!: () => void;
    const isWanted = new Promise<void>((resolve) => (digestAll = resolve));
    const { digest } = SubtleCrypto.prototype;
    SubtleCrypto.prototype.digest = async function (...args) {
      await isWanted;
      return digest.apply(this, args);
    };
    Object.assign(window, { digestAll });
  });
  await page.goto(site.origin);
  await press(page, "Choose");
  await page.getByRole("switch", { name: "Counting visits" }).check();
  await page.evaluate(() => (window as unknown as { digestAll(): void }).digestAll());
  await untilDigested(page);
  await expect(page.getByRole("switch", { name: "Counting visits" })).toBeChecked();
  await press(page, "Save my choice");
  expect((await status(page)).purposes).toMatchObject({ measurement: true, profile: false });
});

test("saving what nobody switched on is a no", async ({ page }) => {
  await open(page);
  await press(page, "Choose");
  await press(page, "Save my choice");
  expect((await status(page)).status).toBe("denied");
  expect(collector.requests).toEqual([]);
});

test("opens again with what was chosen, from the page's own link, to take it back", async ({ page }) => {
  servePage("/", { body: '<a href="/privacy.html" data-polder-consent-open><b>My choices</b></a>' });
  await open(page);
  await press(page, "Accept");
  // The page has its own way back.
  await expect(page.getByRole("button", { name: "Privacy choices" })).toBeHidden();
  await flush(page);
  await page.getByText("My choices").click();
  await expect(banner(page)).toBeVisible();
  for (const each of await page.getByRole("switch").all()) await expect(each).toBeChecked();
  await press(page, "Refuse");
  // The click on the link may have been sent before it.
  const choices = () => collector.accepted().filter(({ type }) => type === "consent");
  await collector.until(() => choices().length === 2);
  expect(choices()[1]!.context.consent.purposes).toMatchObject({ ads: "withdrawn" });
  expect(new URL(page.url()).pathname).toBe("/");
  expect((await status(page)).status).toBe("denied");
});

test("speaks the language of the page, then of the browser, then its first", async ({ browser }) => {
  servePage("/nl", { lang: "nl-BE" });
  servePage("/none", { lang: "" });
  servePage("/it", { lang: "it" });
  const shown = async (path: string, locale: string): Promise<string> => {
    const page = await browser.newPage({ locale });
    await page.goto(site.origin + path);
    const text = await page.getByRole("dialog").innerText();
    await page.close();
    return text;
  };
  expect(await shown("/nl", "en-GB")).toMatch(/Jouw keuze[^]*Weigeren[^]*Accepteren[^]*Kiezen/);
  expect(await shown("/none", "nl")).toContain("Jouw keuze");
  expect(await shown("/none", "it")).toContain("Your choice");
  expect(await shown("/it", "nl")).toContain("Jouw keuze");
});

test("records the language of what was shown; a purpose without that language keeps its own", async ({ page }) => {
  servePage("/", { lang: "nl" });
  await page.goto(site.origin);
  const dialog = page.getByRole("dialog", { name: "Jouw keuze" });
  await expect(dialog).toBeVisible();
  await untilDigested(page);
  await dialog.getByRole("button", { name: "Kiezen" }).click();
  await expect(dialog.getByRole("switch", { name: "Bezoeken tellen" })).toBeVisible();
  await expect(dialog.getByRole("switch", { name: "Adverts" })).toBeVisible();
  await dialog.getByRole("button", { name: "Accepteren" }).click();
  await flush(page);
  expect(collector.accepted()[0]!.context.consent.notice).toMatchObject({ language: "nl" });
});

for (const [language, accept, refuse, save] of [
  ["en", "Accept", "Refuse", "Save my choice"],
  ["nl", "Accepteren", "Weigeren", "Keuze bewaren"],
  ["de", "Zustimmen", "Ablehnen", "Auswahl speichern"],
  ["fr", "Accepter", "Refuser", "Enregistrer"],
  ["es", "Aceptar", "Rechazar", "Guardar"],
]) {
  test(`brings its own words for buttons in ${language}`, async ({ page }) => {
    const texts = { [language!]: { title: "Your choice", text: "…" } };
    servePage("/", { lang: language!, given: { ...notice, texts } });
    await open(page);
    await banner(page).getByRole("button", { expanded: false }).click();
    for (const name of [accept!, refuse!, save!]) {
      await expect(banner(page).getByRole("button", { name, exact: true })).toBeVisible();
    }
  });
}

test("works with the keyboard alone; Escape answers nothing", async ({ page }) => {
  await open(page);
  // Nobody is pulled away from what they were doing.
  expect(await page.evaluate(() => document.activeElement?.tagName)).toBe("BODY");
  const focused = () =>
    page.evaluate(() => document.querySelector("polder-banner")!.shadowRoot!.activeElement?.textContent);
  const order: (string | null | undefined)[] = [];
  for (let i = 0; i < 4; i++) {
    await page.keyboard.press("Tab");
    order.push(await focused());
  }
  expect(order).toEqual(["Privacy policy", "Refuse", "Accept", "Choose"]);
  await page.keyboard.press("Escape");
  await expect(banner(page)).toBeVisible();
  expect((await status(page)).status).toBe("unset");
  await page.keyboard.press("Enter");
  const choose = banner(page).getByRole("button", { name: "Choose" });
  await expect(choose).toHaveAttribute("aria-expanded", "true");
  // The switches come before the button: they are where it leads.
  const first = page.getByRole("switch", { name: "Counting visits" });
  await expect(first).toBeFocused();
  expect(await first.evaluate((element) => getComputedStyle(element).outlineStyle)).toBe("solid");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await expect(page.getByRole("switch", { name: "Adverts" })).toBeFocused();
  await page.keyboard.press("Space");
  await expect(page.getByRole("switch", { name: "Adverts" })).toBeChecked();
  await banner(page).getByRole("button", { name: "Save my choice" }).press("Enter");
  await expect(banner(page)).toBeHidden();
  expect((await status(page)).purposes).toMatchObject({ ads: true, measurement: false });

  const again = page.getByRole("button", { name: "Privacy choices" });
  await expect(again).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { name: "Your choice" })).toBeFocused();
  const { purposes } = await status(page);
  await page.keyboard.press("Escape");
  await expect(banner(page)).toBeHidden();
  await expect(again).toBeFocused();
  expect((await status(page)).purposes).toEqual(purposes);
});

test("hands the focus back to the element that opened it", async ({ page }) => {
  servePage("/", { body: "<button data-polder-consent-open>My choices</button>" });
  await open(page);
  await press(page, "Refuse");
  await page.getByRole("button", { name: "My choices" }).press("Enter");
  await expect(banner(page)).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(page.getByRole("button", { name: "My choices" })).toBeFocused();
});

test("has no faults that a checker finds, on either layer and when it is closed", async ({ page }) => {
  await open(page);
  expect(await faultsOf(page)).toEqual([]);
  await press(page, "Choose");
  expect(await faultsOf(page)).toEqual([]);
  await press(page, "Refuse");
  await expect(banner(page)).toBeHidden();
  expect(await faultsOf(page)).toEqual([]);
});

test("nothing of it moves, and it fits a small window", async ({ page }) => {
  await page.setViewportSize({ width: 320, height: 256 });
  await open(page);
  await press(page, "Choose");
  const box = (await banner(page).boundingBox())!;
  expect(box.y).toBeGreaterThanOrEqual(0);
  expect(box.y + box.height).toBeLessThanOrEqual(256);
  expect(box.x).toBeGreaterThanOrEqual(0);
  expect(box.x + box.width).toBeLessThanOrEqual(320);
  expect(await banner(page).evaluate((panel) => panel.scrollWidth - panel.clientWidth)).toBeLessThanOrEqual(0);
  await banner(page).getByRole("button", { name: "Save my choice" }).scrollIntoViewIfNeeded();
  await expect(banner(page).getByRole("button", { name: "Save my choice" })).toBeInViewport();
  expect(await page.evaluate(() => document.querySelector("polder-banner")!.shadowRoot!.getAnimations().length)).toBe(
    0,
  );
});

test("the answers stay in sight on a phone, however long the purposes are", async ({ page }) => {
  await page.setViewportSize({ width: 360, height: 640 });
  const long = {
    en: purposeText("Adverts", "What to show you elsewhere, and whether it led to an order. ".repeat(12)),
  };
  servePage("/long", { given: { ...notice, purposes: { ...notice.purposes, ads: long, prediction: long } } });
  await open(page, "/long");
  await press(page, "Choose");
  const panel = banner(page);
  expect(await panel.evaluate((element) => element.scrollHeight - element.clientHeight)).toBeGreaterThan(0);
  const names = ["Refuse", "Accept", "Save my choice"];
  for (const name of names) await expect(panel.getByRole("button", { name })).toBeInViewport({ ratio: 1 });
  // Nor do they cover what the keyboard has reached.
  const last = panel.getByRole("switch").last();
  await last.focus();
  const [box, buttons] = [
    (await last.boundingBox())!,
    (await panel.getByRole("button", { name: "Refuse" }).boundingBox())!,
  ];
  expect(box.y + box.height).toBeLessThanOrEqual(buttons.y);
});

test("is styled under a strict policy, breaks none of it, and takes the page's theme", async ({ page }) => {
  const policy = [
    "default-src 'none'",
    "img-src data:",
    `style-src ${site.origin}`,
    `script-src ${collector.origin}`,
    `connect-src ${collector.origin}`,
    "require-trusted-types-for 'script'",
  ];
  site.serve("/theme.css", "polder-banner { --polder-background: rgb(1, 2, 3); --polder-accent: rgb(4, 5, 6) }", {
    "content-type": "text/css",
  });
  servePage("/", {
    body: '<link rel="stylesheet" href="/theme.css">',
    headers: { "content-security-policy": policy.join("; ") },
  });
  const complaints: string[] = [];
  page.on("console", (message) => complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  await open(page);
  expect(await banner(page).evaluate((panel) => getComputedStyle(panel).backgroundColor)).toBe("rgb(1, 2, 3)");
  expect(await banner(page).evaluate((panel) => getComputedStyle(panel).position)).toBe("fixed");
  const accept = banner(page).getByRole("button", { name: "Accept" });
  expect(await accept.evaluate((element) => getComputedStyle(element).backgroundColor)).toBe("rgb(4, 5, 6)");
  await accept.click();
  await flush(page);
  expect(collector.accepted().map(({ type }) => type)).toEqual(["consent", "page"]);
  expect(complaints).toEqual([]);
});

test("is not captured", async ({ page }) => {
  await open(page);
  await press(page, "Accept");
  await page.getByRole("button", { name: "Privacy choices" }).click();
  await press(page, "Choose");
  await press(page, "Accept");
  await page.click("#other");
  await flush(page);
  const clicks = collector.accepted().filter(({ event }) => event === "Clicked");
  expect(clicks.map(({ properties }) => properties!.text)).toEqual(["Other"]);
});

test("goes away in every tab with the choice in one", async ({ page, context }) => {
  await open(page);
  const second = await context.newPage();
  await open(second);
  await press(page, "Refuse");
  await expect(banner(second)).toBeHidden();
});

test("shows that Global Privacy Control is heeded, where it is", async ({ page }) => {
  await page.addInitScript(() => Object.defineProperty(navigator, "globalPrivacyControl", { value: true }));
  await open(page);
  await press(page, "Choose");
  await expect(page.getByRole("switch", { name: "Adverts" })).toBeDisabled();
  await expect(page.getByRole("switch", { name: "Adverts" })).toHaveAccessibleDescription(
    "What to show you elsewhere. Off: your browser asked for that.",
  );
  await press(page, "Accept");
  expect((await status(page)).purposes).toMatchObject({ profile: true, ads: false });
});

test("can be shown by a call, once, however often it is made", async ({ page }) => {
  servePage("/", { given: {} as object });
  site.serve("/", pageWithoutNotice());
  await page.goto(site.origin);
  await page.waitForFunction(() => "polderBanner" in window && "polder" in window);
  await expect(page.locator("polder-banner")).toHaveCount(0);
  const show = () =>
    page.evaluate(
      (given) => (window as unknown as { polderBanner(notice: unknown): void }).polderBanner(given),
      notice as unknown,
    );
  await show();
  await show();
  await expect(banner(page)).toBeVisible();
  await expect(page.locator("polder-banner")).toHaveCount(1);
});

test("a notice that cannot be read is said in the console, and breaks nothing", async ({ page }) => {
  const complaints: string[] = [];
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(`uncaught ${error.message}`));
  site.serve("/", pageWithoutNotice('<script type="application/json" id="polder-notice">{"version":</script>'));
  await page.goto(site.origin);
  await expect.poll(() => complaints).toEqual([expect.stringContaining("[polder] the notice is not JSON")]);
  await page.waitForFunction(() => "polder" in window);
  expect((await status(page)).status).toBe("unset");
});

test.describe("where everything is permitted until an objection", () => {
  const openAgain = (page: Page): Promise<void> => page.getByRole("button", { name: "Privacy choices" }).click();
  const choices = () => collector.accepted().filter(({ type }) => type === "consent");
  test.beforeEach(async ({ page }) => {
    collector.answerRegime("opt_out");
    // The answer may take its time; and without engagement, which a page tells as it is left when it was seen for a second: requests are counted.
    await withoutHaste(page);
    servePage("/", { script: "polder.all.js", tag: 'data-regime="ask" data-capture="click,form,page"' });
    await page.goto(site.origin);
    await page.waitForFunction(() => window.polder?.consent?.get().regime === "opt_out");
    await untilDigested(page);
    await openAgain(page);
  });

  test("what is left on is no yes: it ends where consent has to come first", async ({ page }) => {
    await page.getByRole("switch", { name: "Adverts" }).uncheck();
    await press(page, "Save my choice");
    expect(await status(page)).toMatchObject({
      status: "unset",
      regime: "opt_out",
      purposes: { measurement: true, profile: true, personalisation: true, ads: false },
    });
    await flush(page);
    expect(choices().map(({ context }) => context.consent.purposes)).toEqual([{ ads: "opted_out" }]);
    expect(choices()[0]!.context.consent.notice).toMatchObject({ version: "2026-11" });
    // The same visitor, where the law asks for a choice first.
    servePage("/there");
    await open(page, "/there");
    const sent = collector.requests.length;
    await page.evaluate(() => window.polder.track("Never sent"));
    await flush(page);
    expect((await status(page)).purposes).toMatchObject({ measurement: false, profile: false, ads: false });
    expect(collector.requests).toHaveLength(sent);
  });

  test("what is switched on after an objection is a yes", async ({ page }) => {
    await page.getByRole("switch", { name: "Adverts" }).uncheck();
    await press(page, "Save my choice");
    await openAgain(page);
    await page.getByRole("switch", { name: "Adverts" }).check();
    await press(page, "Save my choice");
    expect((await status(page)).status).toBe("granted");
    await flush(page);
    expect(choices().map(({ context }) => context.consent.purposes["ads"])).toEqual(["opted_out", "granted"]);
  });

  test("there is nothing to accept, and a refusal is one press", async ({ page }) => {
    await expect(banner(page).getByRole("button", { name: "Accept" })).toBeHidden();
    await press(page, "Refuse");
    expect((await status(page)).status).toBe("denied");
  });
});

for (const display of ["grid; grid-template-columns: 200px 1fr; gap: 40px", "flex; gap: 40px"]) {
  test(`leaves the layout of the page alone, asked and answered: ${display}`, async ({ page }) => {
    servePage("/", {
      body: `<style>body { display: ${display} } body > * { position: relative }</style><aside>Aside</aside>`,
    });
    await open(page);
    const left = () => page.locator("main").evaluate((element) => element.getBoundingClientRect().left);
    const withBanner = await left();
    const { x, width } = (await banner(page).boundingBox())!;
    const inWindow = await page.evaluate(() => document.documentElement.clientWidth);
    expect(Math.abs(x + width / 2 - inWindow / 2)).toBeLessThanOrEqual(1);
    await press(page, "Refuse");
    await expect(banner(page)).toBeHidden();
    const answered = await left();
    await page.locator("polder-banner").evaluate((host) => (host.style.cssText = "display: none"));
    expect([withBanner, answered]).toEqual([await left(), await left()]);
  });
}

test("what is necessary is told, and neither asked nor recorded", async ({ page }) => {
  const necessary = { en: purposeText("Always on", "To keep your basket.") };
  servePage("/", { given: { ...notice, purposes: { necessary, ...notice.purposes } } });
  await open(page);
  await press(page, "Choose");
  await expect(banner(page).getByText("To keep your basket.")).toBeVisible();
  await expect(page.getByRole("switch")).toHaveCount(3);
  await expect(page.getByRole("switch", { name: "Always on" })).toHaveCount(0);
  expect(await faultsOf(page)).toEqual([]);
  await press(page, "Accept");
  await flush(page);
  const { purposes, texts } = collector.accepted()[0]!.context.consent;
  expect(Object.keys(purposes)).not.toContain("necessary");
  expect(Object.keys(texts!)).toEqual(["measurement", "profile", "ads"]);
});

test("an incomplete notice shows nothing, and the console says what is missing", async ({ page }) => {
  const complaints: string[] = [];
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(`uncaught ${error.message}`));
  const cases = [
    [null, "version is missing"],
    [{}, "version is missing"],
    [{ ...notice, texts: undefined }, "texts has no language"],
    [{ ...notice, texts: { en: { title: "Your choice" } } }, "texts.en needs a title and a text"],
    [{ ...notice, texts: { en: { ...notice.texts.en, links: [null] } } }, "texts.en.links needs a text for each"],
    [{ ...notice, purposes: {} }, "purposes asks for nothing"],
    [{ ...notice, purposes: { necessary: notice.purposes.ads } }, "purposes asks for nothing"],
    [{ ...notice, purposes: { ads: {} } }, "purposes.ads has no language"],
    [{ ...notice, purposes: { ads: { en: null } } }, "purposes.ads.en needs a title and a text"],
    [{ ...notice, purposes: { adverts: notice.purposes.ads } }, "purposes.adverts is no purpose"],
  ] as const;
  for (const [given, said] of cases) {
    servePage("/", { given });
    await page.goto(site.origin);
    await expect
      .poll(() => complaints.splice(0))
      .toEqual([expect.stringContaining(`[polder] no banner: in the notice, ${said}`)]);
    await expect(page.locator("polder-banner")).toHaveCount(0);
  }
  expect(complaints).toEqual([]);
});

test("comes back with a body that a route replaced, once", async ({ page }) => {
  await open(page);
  const replaceBody = () =>
    page.evaluate(() => {
      document.body = Object.assign(document.createElement("body"), {
        innerHTML: "<main><h1>Next</h1><a href='#' data-polder-consent-open>My choices</a></main>",
      });
    });
  await replaceBody();
  await expect(banner(page)).toBeVisible();
  await press(page, "Refuse");
  expect((await status(page)).status).toBe("denied");
  await replaceBody();
  await expect(page.locator("polder-banner")).toHaveCount(1);
  await page.getByText("My choices").click();
  await expect(banner(page)).toBeVisible();
});

test("what takes it away does so for good", async ({ page }) => {
  site.serve("/", pageWithoutNotice());
  await page.goto(site.origin);
  await page.waitForFunction(() => "polderBanner" in window && "polder" in window);
  const show = (title: string): Promise<void> =>
    page.evaluate((given) => (window as unknown as { polderBanner(notice: unknown): void }).polderBanner(given), {
      ...notice,
      texts: { en: { ...notice.texts.en, title } },
    } as unknown);
  await show("Older");
  await show("Your choice");
  await page.evaluate(() => {
    document.body = Object.assign(document.createElement("body"), { innerHTML: "<h1>Next</h1>" });
  });
  await expect(banner(page)).toBeVisible();
  await expect(page.locator("polder-banner")).toHaveCount(1);
});

test("the small button is there as soon as a route has taken the page's own way along, and goes when there is one", async ({
  page,
}) => {
  servePage("/", { body: "<footer><button data-polder-consent-open>My choices</button></footer>" });
  await open(page);
  await press(page, "Refuse");
  const small = page.getByRole("button", { name: "Privacy choices" });
  await expect(small).toBeHidden();
  const footer = await page.evaluate(() => {
    const element = document.querySelector("footer")!;
    element.remove();
    return element.outerHTML;
  });
  await expect(small).toBeVisible();
  await page.evaluate((html) => document.querySelector("main")!.insertAdjacentHTML("beforeend", html), footer);
  await expect(small).toBeHidden();
});

test("opens from a link whose clicks the page keeps to itself", async ({ page }) => {
  servePage("/", { body: '<nav><a href="/other" data-polder-consent-open>My choices</a></nav>' });
  await open(page);
  await press(page, "Refuse");
  await page.evaluate(() =>
    document.querySelector("nav a")!.addEventListener("click", (event) => event.stopPropagation()),
  );
  await page.getByText("My choices").click();
  await expect(banner(page)).toBeVisible();
  expect(new URL(page.url()).pathname).toBe("/");
});

test("the second click of two presses nothing below the banner, and the page can be pressed again after it", async ({
  page,
}) => {
  servePage("/", {
    body: '<button id="below" style="position:fixed;inset:0" onclick="this.append(\'!\')">Below</button>',
  });
  await page.clock.install();
  await open(page);
  // Two clicks of one visitor come sooner after each other than what is sent to a busy browser.
  await page.clock.pauseAt(Date.now() + 60_000);
  const { x, y, width, height } = (await banner(page).getByRole("button", { name: "Refuse" }).boundingBox())!;
  await page.mouse.dblclick(x + width / 2, y + height / 2);
  await expect(banner(page)).toBeHidden();
  expect(await page.textContent("#below")).toBe("Below");
  await page.clock.runFor(1000);
  await page.locator("#below").click({ position: { x: x + width / 2, y: y + height / 2 } });
  expect(await page.textContent("#below")).toBe("Below!");
});

test("waits for a blocked polder.js no longer than a minute, and says so", async ({ page }) => {
  await page.clock.install();
  const complaints: string[] = [];
  page.on("console", (message) => complaints.push(message.text()));
  await page.route("**/polder.js", (route) => route.abort());
  await page.goto(site.origin);
  await page.waitForFunction(() => "polderBanner" in window);
  const told = (): string[] => complaints.filter((text) => text.startsWith("[polder]"));
  await page.clock.runFor(30_000);
  expect(told()).toEqual([]);
  await page.clock.runFor(40_000);
  await expect.poll(told).toEqual(["[polder] no banner: polder.js is not in the page, or was blocked"]);
});

test("is laid out the way its language is written, whatever the page is in", async ({ page }) => {
  const texts = {
    ar: { title: "Your choice", text: "…", links: [{ text: "الخصوصية", href: "/privacy" }], choose: "اختيار" },
  };
  const purposes = { ads: { ar: purposeText("إعلانات", "…") }, profile: notice.purposes.profile };
  servePage("/", { given: { ...notice, language: "ar", texts, purposes } });
  await open(page);
  await press(page, "اختيار");
  const direction = (text: string | RegExp) =>
    banner(page)
      .getByText(text)
      .evaluate((element) => getComputedStyle(element).direction);
  expect(await direction("إعلانات")).toBe("rtl");
  // In the language that it is in, where there is no text in the other.
  expect(await direction("Knowing you again")).toBe("ltr");
  await expect(banner(page).getByText("What you looked at before.")).toHaveAttribute("lang", "en");
  const [link, title] = await Promise.all(
    [banner(page).getByRole("link"), page.getByRole("heading", { name: "Your choice" })].map((each) =>
      each.boundingBox(),
    ),
  );
  expect(link!.x + link!.width).toBeCloseTo(title!.x + title!.width, 0);
  servePage("/rtl", { body: "<script>document.documentElement.dir = 'rtl'</script>" });
  await open(page, "/rtl");
  expect(await direction("Shop Example Ltd")).toBe("ltr");
});

test("where the browser has no digests, the hashes that the notice came with are recorded", async ({ page }) => {
  await page.addInitScript(() => Object.defineProperty(crypto, "subtle", { value: undefined }));
  const hash = "ab".repeat(32);
  const ads = { en: { ...notice.purposes.ads.en, hash }, nl: purposeText("Advertenties", "Wat je elders ziet.") };
  servePage("/", { given: { ...notice, purposes: { ...notice.purposes, ads } } });
  await open(page);
  await press(page, "Accept");
  await flush(page);
  expect(collector.accepted()[0]!.context.consent.texts).toEqual({ ads: hash });
  // Of the others nothing is known, so nothing is outdated.
  await page.reload();
  await expect(page.getByRole("button", { name: "Privacy choices" })).toBeVisible();
  await expect(banner(page)).toBeHidden();
});

test("links lead somewhere and run nothing", async ({ page }) => {
  const links = [
    "javascript:document.title='ran'",
    "data:text/html,x",
    "/privacy.html",
    "https://shop.example/more",
  ].map((href) => ({
    text: href,
    href,
  }));
  servePage("/", { given: { ...notice, texts: { en: { ...notice.texts.en, links } } } });
  await open(page);
  expect(await banner(page).getByRole("link").allInnerTexts()).toEqual(["/privacy.html", "https://shop.example/more"]);
});

const pageWithoutNotice = (body = ""): string =>
  `<!doctype html><html lang="en"><title>Shop</title><link rel="icon" href="data:,"><h1>Shop</h1>${body}
<script async src="${collector.origin}/polder-banner.js"></script>
<script async src="${collector.origin}/polder.js" data-site="pk_test"></script>`;
