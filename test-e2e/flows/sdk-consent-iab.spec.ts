import { fileURLToPath } from "node:url";
import { expect, test, type Page } from "@playwright/test";
import { buildSync } from "esbuild";
import { startPageServer, type PageServer } from "../support/page-server.ts";
import { startCollector, type RecordingCollector } from "../support/recording-collector.ts";
import { keptBy, nothing, visit } from "../support/visitor.ts";

// Consent platforms made of the IAB Tech Lab's own libraries: what they say is what platforms say.

let platforms: string;
let collector: RecordingCollector;
let site: PageServer;
test.beforeAll(() => {
  platforms = buildSync({
    stdin: {
      contents: `
import { CmpApi as TcfPlatform } from "@iabtechlabtcf/cmpapi";
import { GVL, TCModel, TCString } from "@iabtechlabtcf/core";
import { CmpApi as GppPlatform, Sections, SignalStatus } from "@iabgpp/cmpapi";

const numbers = (count) => Array.from({ length: count }, (_, i) => i + 1);
const named = (ids, more) => Object.fromEntries(ids.map((id) => [id, { id, name: String(id), ...more }]));
const vendorList = {
  gvlSpecificationVersion: 3, vendorListVersion: 100, tcfPolicyVersion: 5, lastUpdated: "2026-11-01T00:00:00Z",
  purposes: named(numbers(11)), specialPurposes: {}, features: {}, specialFeatures: {}, stacks: {}, dataCategories: {},
  vendors: named([3, 12, 435, 900], { purposes: numbers(10), legIntPurposes: [], flexiblePurposes: [], specialPurposes: [], features: [], specialFeatures: [] }),
};
const tcString = ({ purposes = numbers(10), vendors = [12, 435], disclosed = [3, 12, 435], publisher = [] }) => {
  const model = new TCModel(new GVL(vendorList));
  model.cmpId = 12;
  model.cmpVersion = 1;
  model.consentScreen = 1;
  model.purposeConsents.set(purposes);
  model.vendorConsents.set(vendors);
  model.vendorsDisclosed.set(disclosed);
  model.publisherConsents.set(publisher);
  return TCString.encode(model);
};
Object.assign(window, { TcfPlatform, GppPlatform, SignalStatus, tcString, usSections: [...Sections.SECTION_ORDER].filter((name) => /^us/.test(name)) });`,
      resolveDir: fileURLToPath(new URL("..", import.meta.url)),
    },
    bundle: true,
    write: false,
    format: "iife",
  }).outputFiles[0]!.text;
});
test.beforeEach(async () => {
  collector = await startCollector();
  site = await startPageServer();
  site.serve("/platforms.js", platforms);
});
test.afterEach(async () => {
  await site.close();
  await collector.close();
});

/** Numbers in the Global Vendor List; consent to ten purposes, with us and another one disclosed, where nothing is said. */
interface Said {
  purposes?: readonly number[];
  vendors?: readonly number[];
  disclosed?: readonly number[];
  publisher?: readonly number[];
}

/** What the platforms offer to the page, as far as it is used here. */
interface Platforms {
  tcf: { update(tcString: string | null, isShown?: boolean): void; disable(): void };
  gpp: {
    setFieldValue(section: string, field: string, value: unknown): void;
    hasSection(section: string): boolean;
    getSection(section: string): object;
    deleteSection(section: string): void;
    setSignalStatus(status: string): void;
    fireSectionChange(section: string): void;
    getGppString(): string;
  };
  SignalStatus: { READY: string; NOT_READY: string };
  tcString(said: Said): string;
  usSections: string[];
  gtag(...args: unknown[]): void;
}
declare global {
  interface Window extends Platforms {}
}

const start = `<script src="/platforms.js"></script>
<script>window.tcf = new TcfPlatform(12, 1); window.gpp = new GppPlatform(12, 1);
window.dataLayer = []; window.gtag = function () { dataLayer.push(arguments); };</script>`;

/** @param after what the platforms say before Polder is there. */
async function open(page: Page, tag: string, after = ""): Promise<void> {
  site.serve(
    "/",
    `<!doctype html><html lang="en"><title>Shop</title><link rel="icon" href="data:,">${start}<script>${after}</script>
<script async src="${collector.origin}/polder.all.js" data-site="pk_test" data-capture="" ${tag}></script><h1>Shop</h1>`,
  );
  await visit(page, `${site.origin}/`);
}

const status = (page: Page) => page.evaluate(() => window.polder.consent.get());
const granted = async (page: Page): Promise<string[]> =>
  Object.entries((await status(page)).purposes)
    .filter(([purpose, isGranted]) => isGranted && purpose !== "necessary")
    .map(([purpose]) => purpose);
const choices = async (page: Page) => {
  await page.evaluate(() => window.polder.flush());
  return collector.accepted().filter(({ type }) => type === "consent");
};
const say = (page: Page, said: Said, isShown = false): Promise<string> =>
  page.evaluate(
    ([parts, shown]) => {
      const text = window.tcString(parts);
      window.tcf.update(text, shown);
      return text;
    },
    [said, isShown] as const,
  );
const all = ["measurement", "profile", "personalisation", "prediction", "ads"];
const tcf = 'data-consent-from="tcf" data-tcf-vendor="435"';
const shown = "tcf.update(tcString({ purposes: [], vendors: [] }), true);";

test.describe("a platform of TCF 2.3", () => {
  test("is heard when it has a choice from before, with its string", async ({ page }) => {
    await open(page, tcf, "tcf.update(window.said = tcString({}));");
    expect(await granted(page)).toEqual(all);
    const [choice, ...more] = await choices(page);
    expect(choice!.properties).toEqual({
      raw: { tcf: await page.evaluate(() => (window as unknown as { said: string }).said) },
    });
    expect(more).toEqual([]);
  });

  test("is not heard while its banner is shown, and then is", async ({ page }) => {
    await open(page, tcf, shown);
    await say(page, {}, true);
    expect((await status(page)).status).toBe("unset");
    expect(await keptBy(page)).toEqual(nothing);
    expect(collector.requests).toEqual([]);
    await say(page, { purposes: [1, 8, 9, 10] });
    expect(await granted(page)).toEqual(["measurement"]);
  });

  for (const [why, said] of [
    ["we were not disclosed", { disclosed: [3, 12, 900] }],
    ["nobody was disclosed", { disclosed: [] }],
    ["we have no consent", { vendors: [12] }],
    ["there is no consent to anything", { purposes: [] }],
  ] as const) {
    test(`says no where ${why}`, async ({ page }) => {
      await open(page, tcf, shown);
      await say(page, said);
      expect((await status(page)).status).toBe("denied");
      await page.evaluate(() => window.polder.flush());
      expect(collector.requests).toEqual([]);
    });
  }

  test("says no with a string from before vendors were disclosed", async ({ page }) => {
    await open(page, tcf, `${shown} tcf.update(tcString({}).split(".")[0]);`);
    expect((await status(page)).status).toBe("denied");
  });

  test("without a vendor of ours, what the publisher was given counts", async ({ page }) => {
    await open(page, 'data-consent-from="tcf"', shown);
    await say(page, { publisher: [1, 5, 6] });
    expect(await granted(page)).toEqual(["personalisation"]);
  });

  test("says nothing where the GDPR does not apply, nor when it is disabled, and the page has no fault of ours", async ({
    page,
  }) => {
    const faults: Error[] = [];
    page.on("pageerror", (error) => faults.push(error));
    for (const said of [
      "tcf.update(null);",
      "tcf.disable();",
      "window.__tcfapi = (a, b, callback) => callback(null, false);",
    ]) {
      await open(page, tcf, said);
      expect((await status(page)).status).toBe("unset");
      expect(await keptBy(page)).toEqual(nothing);
    }
    expect(faults).toEqual([]);
  });
});

test.describe("a platform of the GPP", () => {
  test("takes ads with every opt-out of sale, sharing or targeted advertising, of every state, and with its signal", async ({
    page,
  }) => {
    await open(page, 'data-consent-from="gpp"');
    const outcomes = await page.evaluate(() => {
      const { gpp, polder, SignalStatus } = window;
      const ads = (): boolean => polder.consent.get().purposes["ads"]!;
      const tell = (section: string, field: string, value: unknown): void => {
        gpp.setFieldValue(section, field, value);
        gpp.fireSectionChange(section);
      };
      gpp.setSignalStatus(SignalStatus.READY);
      const found: { field: string; before: boolean; after: boolean; later: boolean }[] = [];
      for (const section of window.usSections) {
        const [first, yes, no] =
          section === "uspv1" ? (["OptOutSale", "Y", "N"] as const) : (["SaleOptOut", 1, 2] as const);
        tell(section, first, no);
        for (const [field, value] of Object.entries(gpp.getSection(section))) {
          if (!/OptOut$|^OptOutSale$|^Gpc$/.test(field)) continue;
          const [out, notOut] = field === "Gpc" ? [true, false] : [yes, typeof value === "string" ? no : 2];
          tell(section, field, notOut);
          polder.consent.set("all");
          const before = ads();
          tell(section, field, out);
          const after = ads();
          tell(section, field, notOut);
          found.push({ field: `${section}.${field}`, before, after, later: ads() });
        }
        gpp.deleteSection(section);
      }
      return found;
    });
    expect(outcomes.filter(({ before, after, later }) => !before || after || later)).toEqual([]);
    const fields = outcomes.map(({ field }) => field);
    expect(fields).toEqual(
      expect.arrayContaining(["usnat.SharingOptOut", "usca.SaleOptOut", "usva.TargetedAdvertisingOptOut", "usnat.Gpc"]),
    );
    expect(new Set(fields.map((field) => field.split(".")[0])).size).toBeGreaterThan(15);
  });

  test("gives nothing, and says nothing before it is ready", async ({ page }) => {
    await open(
      page,
      'data-consent-from="gpp"',
      'gpp.setFieldValue("usnat", "SaleOptOut", 2); gpp.setSignalStatus(SignalStatus.READY);',
    );
    expect((await status(page)).status).toBe("unset");
    await page.evaluate(() => {
      const { gpp, polder, SignalStatus } = window;
      polder.consent.set("all");
      gpp.setSignalStatus(SignalStatus.NOT_READY);
      gpp.setFieldValue("usnat", "SaleOptOut", 1);
      gpp.fireSectionChange("usnat");
    });
    expect(await granted(page)).toEqual(all);
    await page.evaluate(() => window.gpp.setSignalStatus(window.SignalStatus.READY));
    expect(await granted(page)).toEqual(all.slice(0, -1));
    const objection = (await choices(page)).at(-1)!;
    expect(objection.properties).toEqual({ raw: { gpp: await page.evaluate(() => window.gpp.getGppString()) } });
  });
});

test.describe("several platforms on one page", () => {
  const every = 'data-consent-from="tcf,gpp,gcm" data-tcf-vendor="435"';
  const yes = {
    analytics_storage: "granted",
    personalization_storage: "granted",
    ad_storage: "granted",
    ad_user_data: "granted",
    ad_personalization: "granted",
  };
  const no = Object.fromEntries(Object.keys(yes).map((name) => [name, "denied"]));
  const update = (page: Page, said: object): Promise<void> =>
    page.evaluate((states) => window.gtag("consent", "update", states), said);

  test("what all of them allow is allowed, and all that was said is on record", async ({ page }) => {
    await open(page, every, shown);
    await page.mouse.click(5, 5);
    const text = await say(page, { purposes: [1, 2, 3, 4, 7, 8, 9, 10] });
    await update(page, yes);
    expect(await granted(page)).toEqual(["measurement", "ads"]);
    await page.evaluate(() => {
      const { gpp, SignalStatus } = window;
      gpp.setFieldValue("usca", "SharingOptOut", 1);
      gpp.setSignalStatus(SignalStatus.READY);
    });
    expect(await granted(page)).toEqual(["measurement"]);
    const raws = (await choices(page)).map(({ properties }) => properties!["raw"]);
    expect(raws[0]).toEqual({ tcf: text });
    expect(raws.at(-1)).toEqual({ gpp: await page.evaluate(() => window.gpp.getGppString()) });
  });

  test("a no to one of them is not undone by the yes that another one tells in the same moment", async ({ page }) => {
    await open(page, every, shown);
    await page.mouse.click(5, 5);
    await say(page, { purposes: [], vendors: [] });
    await update(page, yes);
    expect((await status(page)).status).toBe("denied");
    await update(page, no);
    await say(page, {});
    expect((await status(page)).status).toBe("denied");
    await page.evaluate(() => window.polder.flush());
    expect(collector.requests).toEqual([]);
  });

  test("who changes their mind with all of them is heard, in whichever order they say it", async ({ page }) => {
    await open(page, every, `${shown} gtag("consent", "update", ${JSON.stringify(no)});`);
    expect((await status(page)).status).toBe("denied");
    await page.mouse.click(5, 5);
    const text = await say(page, {});
    expect((await status(page)).status).toBe("denied");
    await update(page, yes);
    expect(await granted(page)).toEqual(all);
    const [choice] = await choices(page);
    expect(choice!.properties).toEqual({ raw: { tcf: text, gcm: JSON.stringify(yes) } });
    await update(page, no);
    expect(await granted(page)).toEqual([]);
  });
});
