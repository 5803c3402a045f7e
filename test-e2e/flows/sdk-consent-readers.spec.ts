import { expect, test, type Page } from "@playwright/test";
import { startPageServer, type PageServer } from "../support/page-server.ts";
import { startCollector, type RecordingCollector } from "../support/recording-collector.ts";
import { keptBy, nothing, visit } from "../support/visitor.ts";

let collector: RecordingCollector;
let site: PageServer;
test.beforeEach(async () => {
  collector = await startCollector();
  site = await startPageServer();
});
test.afterEach(async () => {
  await site.close();
  await collector.close();
});

/** @param head what is on the page before Polder. */
async function open(page: Page, tag: string, head = ""): Promise<void> {
  site.serve(
    "/",
    `<!doctype html><html lang="en"><title>Shop</title><link rel="icon" href="data:,">${head}
<script async src="${collector.origin}/polder.all.js" data-site="pk_test" ${tag}></script><h1>Shop</h1>`,
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
const all = ["measurement", "profile", "personalisation", "prediction", "ads"];

// TC strings by @iabtcf/core 1.5.6: consent for purposes 1 to 10 and vendors 12, 14, 435 and 448; what was disclosed differs.
const core = "CQt-4cAQt-4cAEsABBENCOFgAP_AAAAAAAAADgQBAAGAAOANmAcAAAAAAAAA";
const told = `${core}.IHCQAwABwGQAbgBwgAAA`;
const notTold = `${core}.IDmQAwABwGQAbKA2gDmA`;
const nobodyTold = `${core}.IAAA`;

const idsOf = (...ids: number[]) => Object.fromEntries(ids.map((id) => [id, true]));
const tcData = (over: object = {}) => ({
  tcfPolicyVersion: 5,
  gdprApplies: true,
  eventStatus: "tcloaded",
  cmpStatus: "loaded",
  tcString: told,
  purpose: { consents: idsOf(1, 2, 3, 4, 5, 6, 7, 8, 9, 10), legitimateInterests: {} },
  vendor: { consents: idsOf(12, 14, 435, 448), legitimateInterests: {} },
  publisher: { consents: {}, legitimateInterests: {} },
  ...over,
});

/** A platform that tells every listener what it is given with `tell`, and later ones at once. */
const cmp = `<script>
{ const listeners = []; let last;
window.__tcfapi = (command, version, callback) => {
  if (command !== "addEventListener" || version !== 2) throw new Error("no such command");
  listeners.push(callback);
  if (last) callback(last, true);
};
window.tell = (data, isSuccess = true) => { last = data; listeners.forEach((listener) => listener(data, isSuccess)); }; }
</script>`;
const tell = (page: Page, data: object, isSuccess = true): Promise<void> =>
  page.evaluate(
    ([said, success]) => (window as unknown as { tell(data: unknown, isSuccess: unknown): void }).tell(said, success),
    [data, isSuccess] as const,
  );
const vendor = 'data-consent-from="tcf" data-tcf-vendor="435"';

test.describe("the Transparency and Consent Framework", () => {
  test("a choice made with it is the choice here: recorded once, with its string", async ({ page }) => {
    await open(page, vendor, cmp);
    await tell(page, tcData({ eventStatus: "useractioncomplete" }));
    await tell(page, tcData({ eventStatus: "useractioncomplete" }));
    expect(await granted(page)).toEqual(all);
    const [choice, ...more] = await choices(page);
    expect(choice!.properties).toEqual({ raw: { tcf: told } });
    expect(more).toEqual([]);
    await open(page, vendor, `${cmp}<script>tell(${JSON.stringify(tcData())})</script>`);
    await collector.until(() => collector.accepted().filter(({ type }) => type === "page").length === 2);
    expect(await choices(page)).toHaveLength(1);
  });

  test("one that was there before us is heard", async ({ page }) => {
    await open(page, vendor, `${cmp}<script>tell(${JSON.stringify(tcData())})</script>`);
    expect(await granted(page)).toEqual(all);
  });

  test("nothing is taken from a banner that is still shown, a failure, or where the GDPR does not apply", async ({
    page,
  }) => {
    await open(page, vendor, cmp);
    await tell(page, tcData({ eventStatus: "cmpuishown" }));
    await tell(page, tcData({ eventStatus: undefined }));
    await tell(page, tcData({ gdprApplies: false }));
    await tell(page, tcData({ gdprApplies: undefined }));
    await tell(page, tcData(), false);
    expect((await status(page)).status).toBe("unset");
    expect(await choices(page)).toEqual([]);
    expect(await keptBy(page)).toEqual(nothing);
  });

  for (const [why, over] of [
    ["a string that does not disclose us", { tcString: notTold }],
    ["a string that discloses nobody", { tcString: nobodyTold }],
    ["a string from before vendors were disclosed", { tcString: core }],
    ["no consent for the vendor", { vendor: { consents: idsOf(12) } }],
    ["no consent for any purpose", { purpose: { consents: {} } }],
  ] as const) {
    test(`${why} is a no`, async ({ page }) => {
      await open(page, vendor, cmp);
      await tell(page, tcData({ eventStatus: "useractioncomplete", ...over }));
      expect((await status(page)).status).toBe("denied");
      await page.evaluate(() => window.polder.flush());
      expect(collector.requests).toEqual([]);
    });
  }

  test("each purpose of ours needs all of its purposes", async ({ page }) => {
    await open(page, vendor, cmp);
    const act = (...ids: number[]) =>
      tell(page, tcData({ eventStatus: "useractioncomplete", purpose: { consents: idsOf(...ids) } }));
    await act(1, 8, 9, 10);
    expect(await granted(page)).toEqual(["measurement"]);
    await act(1, 5, 9);
    expect(await granted(page)).toEqual(["profile", "prediction"]);
    await act(1, 5, 6);
    expect(await granted(page)).toEqual(["personalisation"]);
    await act(1, 2, 3, 4, 7);
    expect(await granted(page)).toEqual(["ads"]);
    await act(2, 3, 4, 5, 6, 7, 8, 9, 10);
    expect(await granted(page)).toEqual([]);
  });

  test("without a vendor, what the publisher was given counts", async ({ page }) => {
    await open(page, 'data-consent-from="tcf"', cmp);
    await tell(page, tcData({ publisher: { consents: idsOf(1, 8, 9, 10) } }));
    expect(await granted(page)).toEqual(["measurement"]);
  });

  test("less is a withdrawal: one request, and nothing is left", async ({ page }) => {
    await open(page, vendor, cmp);
    await tell(page, tcData({ eventStatus: "useractioncomplete" }));
    await choices(page);
    const before = collector.requests.length;
    const without = tcData({ eventStatus: "useractioncomplete", vendor: { consents: {} } });
    await tell(page, without);
    await collector.until(() => collector.requests.length > before);
    await tell(page, without);
    await page.evaluate(() => {
      window.polder.track("Never sent");
      return window.polder.flush();
    });
    expect(collector.requests.length).toBe(before + 1);
    expect(collector.requests[before]!.events).toMatchObject([
      { type: "consent", context: { consent: { purposes: { profile: "withdrawn", ads: "withdrawn" } } } },
    ]);
    expect((await keptBy(page)).local).toEqual([expect.stringMatching(/^polder_consent=v1\.0\./)]);
  });

  test("what it repeats on a page gives nothing back that was taken back here; an act does", async ({ page }) => {
    const saying = `${cmp}<script>tell(${JSON.stringify(tcData())})</script>`;
    await open(page, vendor, saying);
    await page.evaluate(() => window.polder.consent.set({ measurement: true, ads: true }));
    await open(page, vendor, saying);
    expect(await granted(page)).toEqual(["measurement", "ads"]);
    await page.evaluate(() => window.polder.consent.withdraw());
    await open(page, vendor, saying);
    expect((await status(page)).status).toBe("denied");
    await tell(page, tcData({ eventStatus: "useractioncomplete" }));
    expect(await granted(page)).toEqual(all);
  });

  test("a yes that has grown too old is not made young by repeating it", async ({ page }) => {
    const saying = `${cmp}<script>tell(${JSON.stringify(tcData())})</script>`;
    await page.clock.install({ time: "2026-11-22T12:00:00Z" });
    await open(page, vendor, saying);
    expect((await status(page)).status).toBe("granted");
    await page.clock.setSystemTime("2027-11-23T12:00:00Z");
    await open(page, vendor, saying);
    expect((await status(page)).status).toBe("unset");
  });

  test("data without what it must have is a no, and no error in the platform", async ({ page }) => {
    await open(page, 'data-consent-from="tcf"', cmp);
    const act = { eventStatus: "useractioncomplete" };
    await tell(page, tcData({ ...act, publisher: { consents: idsOf(1, 8, 9, 10) } }));
    await tell(page, tcData({ ...act, publisher: undefined }));
    expect((await status(page)).status).toBe("denied");
    await open(page, vendor, cmp);
    await tell(page, tcData(act));
    await tell(page, tcData({ ...act, purpose: {} }));
    expect((await status(page)).status).toBe("denied");
    await tell(page, tcData(act));
    await tell(page, tcData({ ...act, vendor: undefined }));
    expect((await status(page)).status).toBe("denied");
  });

  test("is waited for when it comes late", async ({ page }) => {
    await open(page, vendor);
    expect((await status(page)).status).toBe("unset");
    await page.evaluate((data) => {
      (window as unknown as { __tcfapi: unknown }).__tcfapi = (
        _: string,
        __: number,
        callback: (data: object, isSuccess: boolean) => void,
      ) => callback(data, true);
    }, tcData());
    await page.waitForFunction(() => window.polder.consent.get().status === "granted");
  });

  test("is not read by a tag that does not ask for it", async ({ page }) => {
    await open(page, "", `${cmp}<script>tell(${JSON.stringify(tcData())})</script>`);
    expect((await status(page)).status).toBe("unset");
  });
});

// Sections as @iabgpp/cmpapi 3.2.0 gives them.
const gppSections = {
  nobodyOptedOut: {
    gppString: "DBABLA~CAAqAAAAAABA.QA",
    parsedSections: {
      usnat: { Version: 2, SaleOptOut: 2, SharingOptOut: 2, TargetedAdvertisingOptOut: 2, Gpc: false },
    },
  },
  sale: {
    gppString: "DBABLA~CAAQAAAAAABA.QA",
    parsedSections: { usnat: { SaleOptOutNotice: 1, SaleOptOut: 1, Gpc: false } },
  },
  sharing: {
    gppString: "DBABBg~BAEAAABA.QA",
    parsedSections: { usca: { SaleOptOut: 0, SharingOptOut: 1, Gpc: false } },
  },
  targeting: { gppString: "DBABRg~BAEAABA", parsedSections: { usva: { SaleOptOut: 0, TargetedAdvertisingOptOut: 1 } } },
  signal: {
    gppString: "DBABLA~CAAAAAAAAABA.YA",
    parsedSections: { usnat: { SaleOptOut: 0, GpcSegmentType: 1, Gpc: true } },
  },
  signalInParts: {
    gppString: "DBABLA~CAAAAAAAAABA.YA",
    parsedSections: { usnat: [{ SaleOptOut: 2 }, { SubsectionType: 1, Gpc: true }] },
  },
  old: {
    gppString: "DBABTA~1-Y-",
    parsedSections: { uspv1: { Version: 1, Notice: "-", OptOutSale: "Y", LspaCovered: "-" } },
  },
};
const gpp = `<script>
{ const listeners = []; let last;
window.__gpp = (command, callback) => {
  if (command !== "addEventListener") throw new Error("no such command");
  listeners.push(callback);
  callback({ eventName: "listenerRegistered", pingData: last ?? { signalStatus: "not ready", gppString: "", parsedSections: {} } }, true);
};
window.tell = (pingData) => { last = pingData; listeners.forEach((listener) => listener({ eventName: "signalStatus", pingData }, true)); }; }
</script>`;
const ready = (section: object) => ({ signalStatus: "ready", ...section });

test.describe("the Global Privacy Platform", () => {
  for (const name of ["sale", "sharing", "targeting", "signal", "signalInParts", "old"] as const) {
    test(`an opt-out turns ads off and nothing else: ${name}`, async ({ page }) => {
      await open(page, 'data-consent-from="gpp"', gpp);
      await page.evaluate(() => window.polder.consent.set("all"));
      await tell(page, ready(gppSections[name]));
      await tell(page, ready(gppSections[name]));
      expect(await granted(page)).toEqual(all.slice(0, -1));
      const [, objection, ...more] = await choices(page);
      expect(objection!.context.consent.purposes).toMatchObject({ profile: "granted", ads: "withdrawn" });
      expect(objection!.properties).toEqual({ raw: { gpp: gppSections[name].gppString } });
      expect(more).toEqual([]);
    });
  }

  test("an opt-out holds against a yes that comes later", async ({ page }) => {
    await open(
      page,
      'data-consent-from="gpp"',
      `${gpp}<script>tell(${JSON.stringify(ready(gppSections.sale))})</script>`,
    );
    expect((await status(page)).status).toBe("unset");
    expect(await keptBy(page)).toEqual(nothing);
    await page.evaluate(() => window.polder.consent.set("all"));
    expect(await granted(page)).toEqual(all.slice(0, -1));
  });

  test("not to opt out gives nothing, nor does taking it back; what is not ready is not read", async ({ page }) => {
    await open(page, 'data-consent-from="gpp"', gpp);
    await tell(page, ready(gppSections.nobodyOptedOut));
    expect((await status(page)).status).toBe("unset");
    await page.evaluate(() => window.polder.consent.set("all"));
    await tell(page, { ...gppSections.sale, signalStatus: "not ready" });
    expect(await granted(page)).toEqual(all);
    await tell(page, ready(gppSections.sale));
    await tell(page, ready(gppSections.nobodyOptedOut));
    expect(await granted(page)).toEqual(all.slice(0, -1));
  });
});

const gtag = `<script>window.dataLayer = []; function gtag() { dataLayer.push(arguments); }
gtag("js", new Date()); gtag("consent", "default", { analytics_storage: "denied", ad_storage: "denied" }); dataLayer.push({ event: "start" });</script>`;
const update = (page: Page, states: object): Promise<void> =>
  page.evaluate(
    (said) => (window as unknown as { gtag(...args: unknown[]): void }).gtag("consent", "update", said),
    states,
  );
const gcm = 'data-consent-from="gcm"';
const yes = "granted";
const no = "denied";
const every = {
  analytics_storage: yes,
  personalization_storage: yes,
  ad_storage: yes,
  ad_user_data: yes,
  ad_personalization: yes,
};

test.describe("Google Consent Mode", () => {
  test("an update is a choice, a default is none, whatever it says", async ({ page }) => {
    const generous = gtag.replaceAll("denied", "granted");
    await open(page, gcm, generous);
    expect((await status(page)).status).toBe("unset");
    expect(await keptBy(page)).toEqual(nothing);
    await update(page, { ad_storage: no });
    expect((await status(page)).status).toBe("denied");
  });

  test("what was said before us counts, the last word of it", async ({ page }) => {
    await open(
      page,
      gcm,
      `${gtag}<script>gtag("consent", "update", ${JSON.stringify(every)}); gtag("consent", "update", { ad_storage: "denied" });</script>`,
    );
    expect(await granted(page)).toEqual(all.slice(0, -1));
    const [choice, ...more] = await choices(page);
    expect(choice!.properties).toEqual({ raw: { gcm: JSON.stringify({ ...every, ad_storage: no }) } });
    expect(more).toEqual([]);
  });

  test("each purpose of ours needs all of its names", async ({ page }) => {
    await open(page, gcm, gtag);
    await page.mouse.click(5, 5);
    const off = Object.fromEntries(Object.keys(every).map((name) => [name, no]));
    for (const [names, expected] of [
      [["analytics_storage"], ["measurement"]],
      [
        ["analytics_storage", "personalization_storage"],
        ["measurement", "profile"],
      ],
      [["ad_personalization"], ["personalisation"]],
      [["ad_storage"], []],
      [["ad_user_data"], []],
      [["ad_storage", "ad_user_data"], ["ads"]],
      [["functionality_storage", "security_storage"], []],
    ] as const) {
      await update(page, { ...off, ...Object.fromEntries(names.map((name) => [name, yes])) });
      expect(await granted(page)).toEqual(expected);
    }
    await update(page, { ...off, analytics_storage: true, ad_storage: "GRANTED", ad_user_data: yes });
    expect(await granted(page)).toEqual([]);
  });

  test("pieces of one update are one choice, and less is a withdrawal", async ({ page }) => {
    await open(page, gcm, gtag);
    await page.evaluate(() => {
      const { gtag: say } = window as unknown as { gtag(...args: unknown[]): void };
      say("consent", "update", { analytics_storage: "granted" });
      say("consent", "update", { ad_storage: "granted", ad_user_data: "granted" });
    });
    expect(await choices(page)).toHaveLength(1);
    await update(page, { ad_user_data: no });
    const [, less, ...more] = await choices(page);
    expect(less!.context.consent.purposes).toMatchObject({ measurement: "granted", ads: "withdrawn" });
    expect(more).toEqual([]);
  });

  test("an update that only repeats gives nothing back that was taken back here", async ({ page }) => {
    const saying = `${gtag}<script>gtag("consent", "update", ${JSON.stringify(every)})</script>`;
    await open(page, gcm, saying);
    expect(await granted(page)).toEqual(all);
    await page.evaluate(() => window.polder.consent.withdraw());
    await open(page, gcm, saying);
    expect((await status(page)).status).toBe("denied");
    await page.mouse.click(5, 5);
    await update(page, every);
    expect(await granted(page)).toEqual(all);
  });

  test("a press that refuses or withdraws here is no press that gives to the platform", async ({ page }) => {
    const button = (call: string) => `<button onclick="polder.consent.${call}">${call}</button>`;
    await open(page, gcm, gtag + button("set('none')") + button("withdraw()"));
    const press = (call: string) => page.getByRole("button", { name: call });
    await press("set('none')").click();
    await update(page, every);
    expect((await status(page)).status).toBe("denied");
    await press("set('none')").press("Enter");
    await update(page, every);
    expect((await status(page)).status).toBe("denied");
    await page.evaluate(() => window.polder.flush());
    expect(collector.requests).toEqual([]);
    // What is pressed after it is. Of what platforms say in pieces, all of it.
    await page.mouse.click(5, 5);
    await update(page, { analytics_storage: yes });
    await update(page, every);
    expect(await granted(page)).toEqual(all);
    await press("withdraw()").click();
    await update(page, every);
    expect((await status(page)).status).toBe("denied");
  });

  test("calls go on to whoever listens as well, and a page without the list gets one", async ({ page }) => {
    await open(page, gcm, gtag);
    expect(await page.evaluate(() => (window as unknown as { dataLayer: unknown[] }).dataLayer.push({ a: 1 }, 2))).toBe(
      5,
    );
    await open(page, gcm);
    expect(await page.evaluate(() => (window as unknown as { dataLayer: unknown[] }).dataLayer)).toEqual([]);
  });

  test("Global Privacy Control keeps ads off", async ({ page }) => {
    await page.addInitScript(() => Object.defineProperty(navigator, "globalPrivacyControl", { value: true }));
    await open(page, gcm, gtag);
    await update(page, every);
    await update(page, every);
    expect(await granted(page)).toEqual(all.slice(0, -1));
    expect(await choices(page)).toHaveLength(1);
  });
});

test("several are read together, and the strictest counts", async ({ page }) => {
  await open(page, 'data-consent-from="gpp, gcm"', `${gtag}${gpp}`);
  await tell(page, ready(gppSections.sale));
  await update(page, every);
  expect(await granted(page)).toEqual(all.slice(0, -1));
  await update(page, { ...every, analytics_storage: no });
  expect(await granted(page)).toEqual(["personalisation"]);
});

for (const [what, from, broken] of [
  [
    "a platform that throws",
    "tcf,gcm",
    "window.__tcfapi = () => { throw new Error('broken'); }; window.dataLayer = [];",
  ],
  ["a list that is none", "gcm,gpp", "window.dataLayer = {}; window.__gpp = () => { throw new Error('broken'); };"],
] as const)
  test(`${what} keeps neither calls from before us nor other platforms from being heard`, async ({ page }) => {
    const { stub } = (await import(new URL("../../packages/sdk-browser/dist/browser.js", import.meta.url).href)) as {
      stub: string;
    };
    await open(page, 'data-capture=""');
    await page.evaluate(() => window.polder.consent.set("all"));
    await page.evaluate(() => window.polder.flush());
    const before = collector.requests.length;
    await open(
      page,
      `data-capture="" data-consent-from="${from}"`,
      `<script>${broken}${stub}polder.consent.withdraw();</script>`,
    );
    await collector.until(() => collector.requests.length > before);
    expect((await status(page)).status).toBe("denied");
    expect(collector.requests[before]!.events).toMatchObject([
      { type: "consent", context: { consent: { purposes: { profile: "withdrawn" } } } },
    ]);
    if (!from.startsWith("tcf")) return;
    await page.mouse.click(5, 5);
    await page.evaluate((said) => {
      const { dataLayer } = window as unknown as { dataLayer: unknown[] };
      dataLayer.push(["consent", "update", said]);
    }, every);
    expect(await granted(page)).toEqual(all);
  });
