import { chromium, expect, test, type Page } from "@playwright/test";
import { startPageServer } from "../support/page-server.ts";
import { patientSecondMs } from "../support/patience.ts";
import { startCollector, startSite, type RecordingCollector, type Site } from "../support/recording-collector.ts";
import { keptBy, nothing, onlyRefusal, sayNo, sayYes, visit } from "../support/visitor.ts";

let collector: RecordingCollector;
let site: Site;
test.beforeEach(async () => {
  collector = await startCollector();
  site = await startSite(collector.origin);
});
test.afterEach(async () => {
  await site.close();
  await collector.close();
});

const day = 86_400_000;

const status = (page: Page) => page.evaluate(() => window.polder.consent.get());
const flush = (page: Page): Promise<void> => page.evaluate(() => window.polder.flush());

/** Addresses that the page asked for, but for itself and the script. */
function requestsOf(page: Page): string[] {
  const asked: string[] = [];
  page.on("request", (request) => {
    if (!/\.html|polder\.js$|favicon/.test(request.url())) asked.push(request.url());
  });
  return asked;
}

test.describe("before a choice", () => {
  test("silent: no request and no storage over fifty page loads", async ({ page }) => {
    const asked = requestsOf(page);
    for (let i = 0; i < 50; i++) {
      await visit(page, `${site.origin}/${i % 2 ? "next" : "shop"}.html?utm_source=mail&n=${i}`);
      await page.evaluate(() => window.polder.track("Early"));
    }
    await flush(page);
    expect(await keptBy(page)).toEqual(nothing);
    expect(await page.context().cookies()).toEqual([]);
    expect(asked).toEqual([]);
    expect(collector.requests).toEqual([]);
  });

  test("buffer: a no is followed by no request ever", async ({ page }) => {
    site.tag = 'data-before-choice="buffer"';
    const asked = requestsOf(page);
    await visit(page, `${site.origin}/shop.html`);
    await page.evaluate(() => {
      for (let i = 0; i < 60; i++) window.polder.track("Early", { i });
    });
    await sayNo(page);
    for (let i = 0; i < 5; i++) {
      await visit(page, `${site.origin}/next.html?n=${i}`);
      await page.evaluate(() => window.polder.track("Late"));
      await flush(page);
    }
    await page.goto(`${site.origin}/blank.html`);
    expect(asked).toEqual([]);
    expect(collector.requests).toEqual([]);
    expect(await keptBy(page)).toEqual(onlyRefusal);
  });

  test("buffer: a yes sends every event with its own time", async ({ page }) => {
    site.tag = 'data-before-choice="buffer" data-capture=""';
    await page.clock.install({ time: "2026-11-22T12:00:00Z" });
    await visit(page, `${site.origin}/shop.html`);
    const times: [from: number, to: number][] = [];
    for (let i = 0; i < 20; i++) {
      await page.clock.runFor(60_000);
      times.push(
        await page.evaluate((n) => {
          const from = Date.now();
          window.polder.track("Early", { n });
          return [from, Date.now()];
        }, i),
      );
    }
    expect(collector.requests).toEqual([]);
    await sayYes(page);
    await page.clock.runFor(1000);
    await collector.until(() => collector.accepted().length === 21);
    const early = collector.accepted().filter(({ event }) => event === "Early");
    expect(early.map(({ properties }) => properties!.n)).toEqual([...times.keys()]);
    for (const [i, { timestamp }] of early.entries()) {
      const [from, to] = times[i]!;
      expect(Date.parse(timestamp)).toBeGreaterThanOrEqual(from);
      expect(Date.parse(timestamp)).toBeLessThanOrEqual(to);
    }
  });
});

test.describe("measurement before a choice", () => {
  test.beforeEach(() => {
    site.tag = 'data-before-choice="measurement"';
  });

  test("is one request a page view that says nothing of the visitor, and keeps nothing", async ({ page, context }) => {
    // One that the collector set after an earlier yes.
    await context.addCookies([{ name: "polder_aid_copy", value: "x.y", url: collector.origin }]);
    await context.clearCookies({ name: "polder_consent" });
    await page.goto(`${site.origin}/blank.html?from=mail@shop.example#hash`);
    await page.evaluate(
      (address) => (location.href = address),
      `${site.origin}/shop.html?email=a@b.example&gclid=1#part`,
    );
    await page.waitForFunction(() => "polder" in window);
    await collector.until(() => collector.requests.length === 1);
    await page.evaluate(() => {
      window.polder.track("Early", { secret: 1 });
      window.polder.identify("jane");
    });
    await page.click("#add");
    await flush(page);
    await visit(page, `${site.origin}/next.html?a=1`);
    await collector.until(() => collector.requests.length === 2);
    await flush(page);

    expect(collector.requests.map(({ body }) => body)).toEqual(
      [
        { path: "/shop.html", from: "/blank.html" },
        { path: "/next.html", from: "/shop.html" },
      ].map(({ path, from }, i) => ({
        writeKey: "pk_test",
        batch: [
          {
            type: "page",
            context: {
              page: { url: site.origin + path, path, referrer: i ? "" : site.origin + from },
              library: { name: "polder.js", version: expect.any(String) },
            },
          },
        ],
      })),
    );
    for (const { headers } of collector.requests) {
      expect(headers.cookie).toBeUndefined();
      expect(headers.origin).toBe(site.origin);
      expect(headers.referer ?? "").not.toContain("?");
    }
    expect({ ...(await keptBy(page)), cookies: [] }).toEqual(nothing);
    expect((await context.cookies()).map(({ name }) => name)).toEqual(["polder_aid_copy"]);
  });

  test("a collector on the page's own origin learns no more", async ({ page }) => {
    const own = await startPageServer();
    own.serve(
      "/",
      `<!doctype html><title>Own</title><link rel="icon" href="data:,"><script src="/p/polder.js" data-site="pk_test" data-before-choice="measurement"></script>`,
    );
    own.proxy("/p", collector.origin);
    await page.context().addCookies([{ name: "session", value: "secret", url: own.origin }]);
    await visit(page, `${own.origin}/?email=a@b.example`);
    await collector.until(() => collector.requests.length === 1);
    const { headers } = collector.requests[0]!;
    expect(headers.origin).toBe(own.origin);
    expect(headers.cookie).toBeUndefined();
    expect(headers.referer).toBe(`${own.origin}/`);
    await own.close();
  });

  test("counts the routes of a single page", async ({ page }) => {
    await visit(page, `${site.origin}/shop.html`);
    await collector.until(() => collector.requests.length === 1);
    await page.evaluate(() => history.pushState({}, "", "/tulips?colour=red"));
    await collector.until(() => collector.requests.length === 2);
    expect(collector.requests[1]!.events[0]!.context.page).toMatchObject({
      path: "/tulips",
      url: `${site.origin}/tulips`,
    });
  });

  test("is over with a no, and with a yes, which does not count the page again", async ({ page, browser }) => {
    await visit(page, `${site.origin}/shop.html`);
    await collector.until(() => collector.requests.length === 1);
    await sayNo(page);
    await visit(page, `${site.origin}/next.html`);
    await flush(page);
    expect(await keptBy(page)).toEqual(onlyRefusal);
    expect(collector.requests).toHaveLength(1);

    const other = await browser.newPage();
    await visit(other, `${site.origin}/shop.html`);
    await collector.until(() => collector.requests.length === 2);
    await sayYes(other);
    await flush(other);
    expect(collector.requests.at(-1)!.events.map(({ type }) => type)).toEqual(["consent"]);
    await visit(other, `${site.origin}/next.html`);
    await flush(other);
    const last = collector.accepted().at(-1)!;
    expect(last).toMatchObject({ type: "page", anonymousId: expect.any(String) });
    expect(last.context.consent.purposes).toMatchObject({ profile: "granted" });
    await other.close();
  });

  test("a request that fails is not tried again", async ({ page }) => {
    collector.answer(() => ({ status: 503 }));
    await visit(page, `${site.origin}/shop.html`);
    await collector.until(() => collector.requests.length === 1);
    await page.evaluate(() => window.dispatchEvent(new Event("online")));
    await flush(page);
    await visit(page, `${site.origin}/blank.html`.replace("blank", "next"));
    await collector.until(() => collector.requests.length === 2);
    expect(collector.requests.map(({ events }) => events[0]!.context.page.path)).toEqual(["/shop.html", "/next.html"]);
  });
});

test("a refusal leaves the same on a hundred devices, whenever in its thirty days it was made", async ({ browser }) => {
  const period = 30 * day;
  const start = Math.floor(Date.UTC(2026, 10, 22) / period) * period;
  const left = new Set<string>();
  const times = Array.from({ length: 100 }, (_, i) => start + Math.floor((i * (period - 1)) / 99));
  const refuseAll = async (own: readonly number[]): Promise<void> => {
    const context = await browser.newContext();
    const page = await context.newPage();
    for (const time of own) {
      await page.clock.setFixedTime(time);
      await visit(page, `${site.origin}/shop.html`);
      expect(await keptBy(page)).toEqual(nothing);
      await sayNo(page);
      left.add(JSON.stringify(await keptBy(page)));
      // As good as another device, and there sooner.
      await context.clearCookies();
      await page.evaluate(() => localStorage.clear());
    }
    await context.close();
  };
  await Promise.all([0, 1, 2, 3].map((lane) => refuseAll(times.filter((_, i) => i % 4 === lane))));
  expect([...left]).toHaveLength(1);
  expect(JSON.parse([...left][0]!)).toEqual(onlyRefusal);
  expect(collector.requests).toEqual([]);
});

/** Without engagement, which a page tells as it is left when it was seen for a second, as it may be on a busy machine: requests are counted. */
const withoutEngagement = (): unknown => (site.tag = 'data-capture="click,form,page"');

test.describe("a withdrawal", () => {
  test.beforeEach(withoutEngagement);

  /** Resolves with the time at which nothing of ours but the refusal was left. */
  const cleared = (page: Page): Promise<number> =>
    page.evaluate(
      () =>
        new Promise((resolve) => {
          const look = async (): Promise<void> => {
            const keys = Object.keys(localStorage).filter((key) => key !== "polder_consent");
            const databases = await indexedDB.databases();
            if (keys.length + databases.length === 0 && !/polder_aid/.test(document.cookie)) resolve(Date.now());
            // not a wait: looks again until nothing is left
            else setTimeout(() => void look(), 5);
          };
          void look();
        }),
    );

  test("with 200 events queued in each of two tabs: none is sent, and all is gone within a second", async ({
    page,
    context,
  }) => {
    await visit(page, `${site.origin}/shop.html`);
    await sayYes(page);
    await flush(page);
    const second = await context.newPage();
    await visit(second, `${site.origin}/next.html`);
    await flush(second);
    await context.setOffline(true);
    const before = collector.requests.length;
    for (const tab of [page, second]) {
      await tab.evaluate(() => {
        for (let i = 0; i < 200; i++) window.polder.track("Queued", { i });
        return window.polder.flush();
      });
    }
    expect((await keptBy(page)).databases).toEqual(["polder_pk_test"]);

    const gone = cleared(second);
    const at = await page.evaluate(() => {
      window.polder.consent.withdraw();
      return Date.now();
    });
    expect((await gone) - at).toBeLessThan(patientSecondMs);
    expect((await cleared(page)) - at).toBeLessThan(patientSecondMs);
    expect((await status(second)).status).toBe("denied");

    await context.setOffline(false);
    await collector.until(() => collector.requests.length > before);
    for (const tab of [page, second]) {
      await flush(tab);
      await visit(tab, `${site.origin}/next.html?again`);
      await flush(tab);
      await expect.poll(() => keptBy(tab)).toEqual(onlyRefusal);
    }
    expect(collector.requests.slice(before).flatMap(({ events }) => events)).toMatchObject([{ type: "consent" }]);
  });

  test("holds on a page that comes back out of the back/forward cache", async ({ launchOptions }) => {
    // Playwright's own flag turns that cache off.
    const browser = await chromium.launch({ ...launchOptions, ignoreDefaultArgs: ["--disable-back-forward-cache"] });
    // Offline for Polder alone: the page queues and can still be left, with no request under way that would keep it out of the cache.
    const page = await browser.newPage();
    await page.addInitScript(() => {
      Object.defineProperty(navigator, "onLine", { get: () => !("isOffline" in window) });
      if (location.pathname === "/next.html") Object.assign(window, { isOffline: true });
      addEventListener("pageshow", ({ persisted }) => Object.assign(window, { isRestored: persisted }));
    });
    await visit(page, `${site.origin}/shop.html`);
    await sayYes(page);
    await flush(page);
    await page.evaluate(() => {
      Object.assign(window, { isOffline: true });
      for (let i = 0; i < 200; i++) window.polder.track("Queued", { i });
      return window.polder.flush();
    });
    const before = collector.requests.length;
    await page.evaluate((address) => (location.href = address), `${site.origin}/next.html`);
    await page.waitForURL(`${site.origin}/next.html`);
    await page.waitForFunction(() => "polder" in window);
    await page.evaluate(() => window.polder.consent.withdraw());
    await cleared(page);

    await page.evaluate(() => history.back());
    await page.waitForFunction(() => (window as unknown as { isRestored?: boolean }).isRestored);
    expect(new URL(page.url()).pathname).toBe("/shop.html");
    expect((await status(page)).status).toBe("denied");
    await page.evaluate(() => {
      delete (window as unknown as { isOffline?: boolean }).isOffline;
      window.dispatchEvent(new Event("online"));
      window.polder.track("Never sent");
      return window.polder.flush();
    });
    await expect.poll(() => keptBy(page)).toEqual(onlyRefusal);
    await page.goto(`${site.origin}/blank.html`);
    const later = collector.requests.slice(before).flatMap(({ events }) => events);
    expect(later.filter(({ type }) => type !== "consent")).toEqual([]);
    await browser.close();
  });

  test("made while this tab heard nothing is heard when it is shown again", async ({ page, context }) => {
    await visit(page, `${site.origin}/shop.html`);
    await sayYes(page);
    await flush(page);
    await context.setOffline(true);
    await page.evaluate(() => window.polder.track("Queued"));
    // As from another host of the site: a cookie that no event tells of.
    const before = collector.requests.length;
    await page.evaluate(() => {
      document.cookie = "polder_consent=v1.0.tm3c00.;path=/";
      window.dispatchEvent(new PageTransitionEvent("pagehide", { persisted: true }));
      window.dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }));
    });
    await cleared(page);
    await context.setOffline(false);
    await flush(page);
    expect(collector.requests.length).toBe(before);
  });

  test("made on another host of the site is heard when the tab is looked at", async ({ page }) => {
    await visit(page, `${site.origin}/shop.html`);
    await sayYes(page);
    await flush(page);
    const before = collector.requests.length;
    await page.evaluate(() => void (document.cookie = "polder_consent=v1.0.tm3c00.;path=/"));
    expect((await keptBy(page)).local.join()).toContain("polder_aid");
    await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange", { bubbles: true })));
    await cleared(page);
    expect(await page.evaluate(() => localStorage["polder_consent"] as string)).toBe("v1.0.tm3c00.");
    expect(collector.requests.length).toBe(before);
  });

  test("on another host of the site takes what is left here along on the next visit", async ({ page, context }) => {
    await visit(page, `${site.origin}/shop.html`);
    await sayYes(page);
    await flush(page);
    await page.goto(`${site.origin}/blank.html`);
    expect((await keptBy(page)).databases).not.toEqual([]);
    const text = await page.evaluate(() => {
      document.cookie = "polder_consent=v1.0.tm3c00.;path=/";
      return document.cookie;
    });
    expect(text).toContain("v1.0.");
    const before = collector.requests.length;
    await visit(page, `${site.origin}/next.html`);
    await cleared(page);
    await flush(page);
    expect(collector.requests.length).toBe(before);
    expect((await context.cookies()).map(({ name }) => name)).toEqual(["polder_consent"]);
  });
});

test.describe("Global Privacy Control", () => {
  test.beforeEach(withoutEngagement);
  const asks = (page: Page): Promise<void> => page.evaluate(() => sessionStorage.setItem("gpc", "1"));
  test.beforeEach(async ({ page }) => {
    await page.addInitScript(() =>
      Object.defineProperty(navigator, "globalPrivacyControl", { get: () => sessionStorage.getItem("gpc") === "1" }),
    );
  });

  test("gives nothing back when it is turned off again", async ({ page }) => {
    await page.goto(`${site.origin}/blank.html`);
    await asks(page);
    await visit(page, `${site.origin}/shop.html`);
    await sayYes(page);
    await page.evaluate(() => sessionStorage.clear());
    await visit(page, `${site.origin}/next.html`);
    expect(await status(page)).toMatchObject({
      status: "granted",
      gpc: false,
      purposes: { profile: true, ads: false },
    });
  });

  test("takes ads from a yes that is older, for good, and makes that yes no younger", async ({ page }) => {
    await visit(page, `${site.origin}/shop.html`);
    await sayYes(page);
    await flush(page);
    const before = await status(page);
    expect(before.purposes.ads).toBe(true);
    const sent = collector.requests.length;
    await asks(page);
    await visit(page, `${site.origin}/next.html`);
    await flush(page);
    const seen = collector.requests.slice(sent).flatMap(({ events }) => events);
    expect(seen).toMatchObject([{ type: "page", context: { consent: { gpc: true, purposes: { ads: "denied" } } } }]);
    await page.evaluate(() => sessionStorage.clear());
    await visit(page, `${site.origin}/shop.html`);
    const after = await status(page);
    expect(after.purposes).toEqual({ ...before.purposes, ads: false });
    // The device keeps it to the second.
    expect(after.at!.slice(0, 19)).toBe(before.at!.slice(0, 19));
  });
});

test.describe("the clock", () => {
  test.beforeEach(withoutEngagement);
  const open = async (page: Page, time: number): Promise<void> => {
    await page.clock.setFixedTime(time);
    await visit(page, `${site.origin}/shop.html`);
  };
  const chosenAt = Date.UTC(2026, 10, 22, 12);

  test("ends a yes after twelve months, and takes all that was kept for it", async ({ page }) => {
    await open(page, chosenAt);
    await sayYes(page);
    await flush(page);
    await open(page, chosenAt + 365 * day - 5000);
    expect((await status(page)).status).toBe("granted");
    await flush(page);
    await open(page, chosenAt + 365 * day + 5000);
    expect((await status(page)).status).toBe("unset");
    const before = collector.requests.length;
    await page.evaluate(() => window.polder.track("Never sent"));
    await flush(page);
    expect(collector.requests.length).toBe(before);
    await expect
      .poll(() => keptBy(page))
      .toEqual({
        ...nothing,
        cookies: [expect.stringMatching(/^polder_consent=/)],
        local: [expect.stringMatching(/^polder_consent=/)],
      });
  });

  test("ends a yes on a page that stays open", async ({ page }) => {
    await open(page, chosenAt);
    await sayYes(page);
    await flush(page);
    const before = collector.requests.length;
    await page.clock.setFixedTime(chosenAt + 366 * day);
    await page.evaluate(() => window.polder.track("Never sent"));
    expect((await status(page)).status).toBe("unset");
    await flush(page);
    expect(collector.requests.length).toBe(before);
    expect((await keptBy(page)).local.map((kept) => kept.split("=")[0])).toEqual(["polder_consent"]);
  });

  test("asks again after a refusal, six months later at the earliest", async ({ page }) => {
    const period = 30 * day;
    for (const refusedAt of [chosenAt - (chosenAt % period), chosenAt - (chosenAt % period) + period - 1000]) {
      await page.context().clearCookies();
      await open(page, refusedAt);
      await page.evaluate(() => localStorage.clear());
      await open(page, refusedAt);
      await sayNo(page);
      await open(page, refusedAt + 184 * day - 1000);
      expect((await status(page)).status).toBe("denied");
      await open(page, refusedAt + 214 * day + 2000);
      expect((await status(page)).status).toBe("unset");
    }
    expect(collector.requests).toEqual([]);
  });
});
