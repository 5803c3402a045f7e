import { expect, test, type Page } from "@playwright/test";
import { patientSecondMs } from "../support/patience.ts";
import { startCollector, startSite, type RecordingCollector, type Site } from "../support/recording-collector.ts";
import { keptBy, sayYes, trackAndLeave, visit } from "../support/visitor.ts";
import { withoutHaste } from "../support/without-haste.ts";

let collector: RecordingCollector;
let site: Site;
test.beforeEach(async ({ page, context }) => {
  collector = await startCollector();
  site = await startSite(collector.origin);
  // What a database of the browser's has not said within a second is rightly sent without it, and then twice.
  await withoutHaste(context);
  await visit(page, `${site.origin}/shop.html`);
  await sayYes(page);
  await page.evaluate(() => window.polder.flush());
});
test.afterEach(async () => {
  await site.close();
  await collector.close();
});

const named = (name: string) => collector.received().filter(({ event }) => event === name);
/** Numbers of the burst that arrived, each once, in order. */
const arrived = (): number[] =>
  [...new Set(named("Burst").map(({ properties }) => Number(properties!.i)))].sort((a, b) => a - b);
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
/** Whoever sees the same call twice sees the same id twice. */
const expectOneIdEach = (): void => {
  const ids = new Map<number, string>();
  for (const { properties, messageId } of collector.requests
    .flatMap(({ events }) => events)
    .filter(({ event }) => event === "Burst")) {
    const i = Number(properties!.i);
    expect(messageId).toBe(ids.get(i) ?? messageId);
    ids.set(i, messageId);
  }
  expect(new Set(ids.values()).size).toBe(ids.size);
};

test("an event is at the collector within a second, in a request that needs no preflight", async ({ page }) => {
  const calledAt = Date.now();
  await page.evaluate(() => window.polder.track("Soon"));
  await collector.until(() => named("Soon").length === 1);
  const request = collector.requests.at(-1)!;
  expect(request.at - calledAt).toBeLessThan(patientSecondMs);
  expect(request.contentType).toBe("text/plain;charset=UTF-8");
  expect(request.body).toMatchObject({ writeKey: "pk_test", receipt: { queued: 1, sent: 1, retried: 0, dropped: {} } });
});

test("20 of 20 clicks that leave the site arrive", async ({ page }) => {
  for (let i = 0; i < 20; i++) {
    await page.evaluate(
      (origin) => ((document.querySelector("#next") as HTMLAnchorElement).href = `${origin}/blank.html`),
      site.otherOrigin,
    );
    await Promise.all([page.waitForURL(`${site.otherOrigin}/blank.html`), page.click("#next")]);
    await visit(page, `${site.origin}/shop.html`);
  }
  const seen = (): number => new Set(named("Clicked").map(({ messageId }) => messageId)).size;
  await collector.until(() => seen() === 20);
  expect(seen()).toBe(20);
});

test("a click that leaves arrives although the visitor never comes back", async ({ page }) => {
  await page.evaluate(
    (origin) => ((document.querySelector("#next") as HTMLAnchorElement).href = `${origin}/blank.html`),
    site.otherOrigin,
  );
  await Promise.all([page.waitForURL(`${site.otherOrigin}/blank.html`), page.click("#next")]);
  await collector.until(() => named("Clicked").length === 1);
});

test("200 calls, then another site: all of them arrive at once", async ({ page }) => {
  await trackAndLeave(page, 200, `${site.otherOrigin}/blank.html`);
  await collector.until(() => arrived().length === 200);
  expect(arrived()).toEqual(upTo(200));
  expectOneIdEach();
});

test("1,000 calls, then another site: what does not fit is sent by the next page", async ({ page }) => {
  await trackAndLeave(page, 1000, `${site.otherOrigin}/blank.html`);
  await visit(page, `${site.origin}/next.html`);
  await collector.until(() => arrived().length === 1000);
  expect(arrived()).toEqual(upTo(1000));
  expectOneIdEach();
});

test("a closed tab has sent what it had", async ({ page, context }) => {
  const tab = await context.newPage();
  await visit(tab, `${site.origin}/next.html`);
  await tab.evaluate(() => {
    for (let i = 0; i < 20; i++) window.polder.track("Burst", { i });
  });
  await tab.close({ runBeforeUnload: true });
  await collector.until(() => arrived().length === 20);
  expect(await page.evaluate(() => window.polder.consent.get().status)).toBe("granted");
});

test("an outage: events wait on the device, and the next page delivers them with the same ids", async ({ page }) => {
  collector.answer(() => "cut");
  await page.evaluate(() => {
    for (let i = 0; i < 50; i++) window.polder.track("Burst", { i });
  });
  await page.evaluate(() => window.polder.flush());
  expect((await keptBy(page)).databases).toEqual(["polder_pk_test"]);
  await page.goto(`${site.origin}/blank.html`);
  collector.answer(() => ({ status: 200 }));
  await visit(page, `${site.origin}/next.html`);
  await collector.until(() => arrived().length === 50);
  expectOneIdEach();
  expect(collector.requests.at(-1)!.events.length).toBeGreaterThanOrEqual(50);
});

test("a page that stays open delivers after an outage without another call", async ({ page }) => {
  let failures = 0;
  collector.answer(() => (++failures <= 2 ? { status: 500 } : { status: 200 }));
  await page.evaluate(() => {
    for (let i = 0; i < 50; i++) window.polder.track("Burst", { i });
  });
  await collector.until(() => arrived().length === 50);
  expect(arrived()).toEqual(upTo(50));
  expectOneIdEach();
  expect(collector.requests.at(-1)!.body.receipt).toMatchObject({ queued: 50, sent: 50, retried: 100 });
  const [first, second, third] = collector.requests.slice(-3).map(({ at }) => at) as [number, number, number];
  expect(second - first).toBeGreaterThanOrEqual(490);
  expect(third - second).toBeGreaterThanOrEqual(990);
});

test("Retry-After holds in this tab, in another and on the next page", async ({ page, context }) => {
  collector.answer(() => ({ status: 429, retryAfterSeconds: 3 }));
  await page.evaluate(() => {
    for (let i = 0; i < 20; i++) window.polder.track("Burst", { i });
  });
  await page.evaluate(() => window.polder.flush());
  const asked = collector.requests.at(-1)!;
  expect(asked.status).toBe(429);
  collector.answer(() => ({ status: 200 }));
  await page.evaluate(() => window.polder.track("Burst", { i: 20 }));
  await page.evaluate(() => window.polder.flush());
  await visit(page, `${site.origin}/next.html`);
  const second = await context.newPage();
  await visit(second, `${site.origin}/shop.html`);
  await second.evaluate(() => window.polder.flush());
  await collector.until(() => arrived().length === 21);
  const next = collector.requests[collector.requests.indexOf(asked) + 1]!;
  expect(next.at - asked.at).toBeGreaterThanOrEqual(3000);
  expectOneIdEach();
});

test("a request that is too large is sent in halves", async ({ page }) => {
  collector.answer(({ events }) => ({ status: events.length > 10 ? 413 : 200 }));
  await page.evaluate(() => {
    for (let i = 0; i < 60; i++) window.polder.track("Burst", { i });
  });
  await page.evaluate(() => window.polder.flush());
  expect(arrived()).toEqual(upTo(60));
  expectOneIdEach();
});

test("what the collector will never take is dropped, counted and told", async ({ page }) => {
  collector.answer(() => ({ status: 400 }));
  await page.evaluate(() => window.polder.track("Refused"));
  await page.evaluate(() => window.polder.flush());
  collector.answer(() => ({ status: 200 }));
  await page.evaluate(() => window.polder.track("Taken"));
  await page.evaluate(() => window.polder.flush());
  expect(named("Refused")).toEqual([]);
  expect(collector.requests.at(-1)!.body.receipt).toEqual({ queued: 2, sent: 1, retried: 0, dropped: { refused: 1 } });
});

test("two tabs at once: each event arrives, and none twice", async ({ page, context }) => {
  const second = await context.newPage();
  await visit(second, `${site.origin}/next.html`);
  await Promise.all(
    [page, second].map((tab, half) =>
      tab.evaluate((start) => {
        for (let i = start; i < start + 50; i++) window.polder.track("Burst", { i });
      }, half * 50),
    ),
  );
  await collector.until(() => arrived().length === 100);
  await Promise.all([page, second].map((tab) => tab.evaluate(() => window.polder.flush())));
  expect(named("Burst")).toHaveLength(100);
});

test("what a killed tab had stored is sent by the next one", async ({ page, context, browser }) => {
  const tab = await context.newPage();
  await visit(tab, `${site.origin}/next.html`);
  collector.answer(() => "cut");
  await tab.evaluate(() => {
    for (let i = 0; i < 20; i++) window.polder.track("Burst", { i });
  });
  await tab.evaluate(() => window.polder.flush());
  const crashed = tab.waitForEvent("crash");
  void tab.goto("chrome://crash").catch(() => {});
  await crashed;
  collector.answer(() => ({ status: 200 }));
  await page.evaluate(() => window.polder.track("Wakes the other tab's outbox"));
  await collector.until(() => arrived().length === 20);
  expectOneIdEach();
  expect(browser.isConnected()).toBe(true);
});

/** Events of the burst that are in the database, as another page of the site sees it. */
const storedOn = (page: Page): Promise<number> =>
  page.evaluate(
    () =>
      new Promise<number>((resolve) => {
        const request = indexedDB.open("polder_pk_test");
        request.addEventListener("success", () => {
          const db = request.result;
          const all = db.transaction(db.objectStoreNames).objectStore("polder_pk_test").getAll();
          db.close();
          all.addEventListener("success", () => resolve(JSON.stringify(all.result).split("Burst").length - 1));
        });
      }),
  );

test("a tab that crashes before it has sent anything loses nothing: the next page sends it, once", async ({
  page,
  context,
}) => {
  const tab = await context.newPage();
  await visit(tab, `${site.origin}/next.html`);
  await tab.evaluate(() => window.polder.flush());
  await tab.evaluate(() => {
    // No timer runs in this tab any more: what it stores, it stores without waiting for one.
    window.setTimeout = (() => 0) as unknown as typeof setTimeout;
    for (let i = 0; i < 20; i++) window.polder.track("Burst", { i });
  });
  await expect.poll(() => storedOn(page)).toBe(20);
  expect(arrived()).toEqual([]);
  const crashed = tab.waitForEvent("crash");
  void tab.goto("chrome://crash").catch(() => {});
  await crashed;
  expect(arrived()).toEqual([]);
  await visit(page, `${site.origin}/next.html`);
  await collector.until(() => arrived().length === 20);
  await page.evaluate(() => window.polder.flush());
  expect(named("Burst")).toHaveLength(20);
  expect(await storedOn(page)).toBe(0);
});

test("Retry-After as a date holds too", async ({ page }) => {
  const until = Math.ceil(Date.now() / 1000) * 1000 + 2000;
  collector.answer(() => ({ status: 503, retryAfter: new Date(until).toUTCString() }));
  await page.evaluate(() => window.polder.track("Burst", { i: 0 }));
  await page.evaluate(() => window.polder.flush());
  const asked = collector.requests.length;
  collector.answer(() => ({ status: 200 }));
  await visit(page, `${site.origin}/next.html`);
  await page.evaluate(() => window.polder.flush());
  await collector.until(() => arrived().length === 1);
  expect(collector.requests[asked]!.at).toBeGreaterThanOrEqual(until);
  expectOneIdEach();
});

test("an answer that is not a collector's makes us forget nothing", async ({ page }) => {
  const signIn = "<!doctype html><title>Sign in</title>";
  collector.answer(() => ({ status: 200, body: signIn }));
  await page.evaluate(() => {
    for (let i = 0; i < 5; i++) window.polder.track("Burst", { i });
  });
  await page.evaluate(() => window.polder.flush());
  expect(await storedOn(page)).toBe(5);
  collector.answer(() => ({ status: 404, body: signIn }));
  await visit(page, `${site.origin}/next.html`);
  await page.evaluate(() => window.polder.flush());
  expect(await storedOn(page)).toBe(5);
  const before = collector.requests.length;
  collector.answer(() => ({ status: 200 }));
  await visit(page, `${site.origin}/shop.html`);
  // Each id once: the page before may have tried again by itself, and was left before it heard an answer.
  const since = (): number[] => [
    ...new Map(
      collector.requests
        .slice(before)
        .flatMap(({ events }) => events.filter(({ event }) => event === "Burst"))
        .map(({ messageId, properties }) => [messageId, Number(properties!.i)]),
    ).values(),
  ];
  await collector.until(() => since().length >= 5);
  await page.evaluate(() => window.polder.flush());
  expect(since()).toEqual(upTo(5));
  expect(await storedOn(page)).toBe(0);
  expectOneIdEach();
});

test("nothing is tried without a network, and all of it is sent when there is one", async ({ page, context }) => {
  const before = collector.requests.length;
  await context.setOffline(true);
  await page.evaluate(() => {
    for (let i = 0; i < 5; i++) window.polder.track("Burst", { i });
  });
  const tried = await page.evaluate(async () => {
    const { fetch } = window;
    let calls = 0;
    window.fetch = (...args) => {
      calls++;
      return fetch(...args);
    };
    await window.polder.flush();
    return calls;
  });
  expect(tried).toBe(0);
  expect(await storedOn(page)).toBe(5);
  await context.setOffline(false);
  await collector.until(() => arrived().length === 5);
  await page.evaluate(() => window.polder.flush());
  expect(collector.requests).toHaveLength(before + 1);
  expect(collector.requests.at(-1)!.body.receipt.retried).toBe(0);
});

test("the order is kept over two pages, also when the first one leaves during an outage", async ({ page }) => {
  collector.answer(() => "cut");
  await page.evaluate(() => {
    for (let i = 0; i < 10; i++) window.polder.track("Burst", { i });
  });
  await page.evaluate(() => window.polder.flush());
  await page.evaluate((address) => {
    for (let i = 10; i < 20; i++) window.polder.track("Burst", { i });
    location.href = address;
  }, `${site.origin}/next.html`);
  await page.waitForURL(`${site.origin}/next.html`);
  await page.waitForFunction(() => "polder" in window);
  collector.answer(() => ({ status: 200 }));
  await page.evaluate(() => {
    for (let i = 20; i < 30; i++) window.polder.track("Burst", { i });
  });
  await collector.until(() => arrived().length === 30);
  await page.evaluate(() => window.polder.flush());
  expect(named("Burst").map(({ properties }) => properties!.i)).toEqual(upTo(30));
  expectOneIdEach();
});

test("what was made just before a withdrawal is neither sent nor kept", async ({ page }) => {
  await page.evaluate(() => {
    for (let i = 0; i < 5; i++) window.polder.track("Burst", { i });
    window.polder.consent.withdraw();
  });
  await page.evaluate(() => window.polder.flush());
  await page.goto(`${site.origin}/blank.html`);
  expect(collector.requests.at(-1)!.events.map(({ type }) => type)).toEqual(["consent"]);
  expect(arrived()).toEqual([]);
  await expect.poll(async () => (await keptBy(page)).databases).toEqual([]);
  const { local } = await keptBy(page);
  expect(local.filter((entry) => entry.includes("Burst"))).toEqual([]);
});

test("works where there is no storage but the page itself", async ({ browser }) => {
  const context = await browser.newContext();
  await context.addInitScript(() => {
    for (const name of ["localStorage", "indexedDB"]) {
      Object.defineProperty(window, name, {
        get: () => {
          throw new DOMException("blocked", "SecurityError");
        },
      });
    }
    Object.defineProperty(navigator, "locks", { value: undefined });
    Object.defineProperty(document, "cookie", { get: () => "", set: () => {} });
  });
  const page = await context.newPage();
  await visit(page, `${site.origin}/shop.html`);
  await sayYes(page);
  let failures = 0;
  collector.answer(() => ({ status: ++failures === 1 ? 500 : 200 }));
  await page.evaluate(() => {
    for (let i = 0; i < 20; i++) window.polder.track("Burst", { i });
  });
  await collector.until(() => arrived().length === 20);
  expectOneIdEach();
  await context.close();
});

test("a page out of the back/forward cache goes on where it was", async ({ page }) => {
  await page.goto(`${site.origin}/blank.html`);
  await page.goBack();
  await page.evaluate(() => window.polder.track("Back"));
  await collector.until(() => named("Back").length === 1);
});
