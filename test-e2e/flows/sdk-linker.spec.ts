import { createServer } from "node:http";
import { expect, test, type BrowserContext, type Page, type Request } from "@playwright/test";
import { listen, type Listening } from "../support/listen.ts";
import type { SeenEvent } from "../support/recording-collector.ts";
import { eventually, startStack, type Stack } from "../support/stack.ts";
import { testConfig } from "../support/test-config.ts";
import { sayNo, sayYes, visit } from "../support/visitor.ts";
import { withoutHaste } from "../support/without-haste.ts";

// One site with pages on two hosts, and the real collector between them.

let stack: Stack;
let server: Listening;
let blog: string;
let shop: string;
const { writeKey } = testConfig([]);

test.beforeAll(async () => {
  server = await listen(
    createServer((_, response) => {
      response.setHeader("content-type", "text/html; charset=utf-8").end(pageOf());
    }),
  );
  ({ otherOrigin: blog, origin: shop } = server);
  stack = await startStack({
    config: () => testConfig([blog, shop]).config,
    env: { POLDER_LINK_SECRET: "only for this test, and long enough" },
  });
});
test.afterAll(async () => {
  await server.close();
  await stack.remove();
});

const pageOf = (): string => `<!doctype html><title>A page</title>
<a id="link" href="${shop}/there?a=1&amp;b=%20x#part">There</a>
<a id="plain" href="${shop}/plain">Plain</a>
<a id="own" href="/own">Own</a>
<a id="unlisted" href="http://unlisted.localhost:${new URL(shop).port}/">Unlisted</a>
<a id="foreign" href="http://a.wild.localhost:${new URL(shop).port}/">Listed, but not of the site</a>
<div data-polder-private><a id="private" href="${shop}/private">Private</a></div>
<form id="get" action="${shop}/found"><input name="q" value="socks"><input name="action" value="x"><button id="search">Search</button></form>
<script async src="${stack.collectorUrl}/polder.all.js" data-site="${writeKey}" data-capture="page"
  data-link-hosts="localhost, 127.0.0.1, *.wild.localhost"></script>`;

/** Every event that this browser sent, once. */
let seen: Map<string, SeenEvent>;
let asked: string[];
let context: BrowserContext;
let page: Page;
test.beforeEach(async ({ browser }) => {
  seen = new Map();
  asked = [];
  context = await browser.newContext();
  page = await context.newPage();
  context.on("request", (request: Request) => {
    const body = request.postData() ?? "";
    if (request.url().endsWith("/v1/link")) asked.push(body);
    if (!request.url().endsWith("/v1/batch")) return;
    const { batch, context: shared } = JSON.parse(body) as { batch: SeenEvent[]; context?: object };
    for (const event of batch) seen.set(event.messageId, { ...event, context: { ...shared, ...event.context } });
  });
});
test.afterEach(() => context.close());

const flush = (on: Page): Promise<void> => on.evaluate(() => window.polder.flush());
const idOn = (on: Page): Promise<string | undefined> =>
  on.evaluate(() => localStorage["polder_aid"]?.split(".")[0] as string | undefined);
const eventsOn = (origin: string): SeenEvent[] =>
  [...seen.values()].filter(({ context: { page: at } }) => at.url.startsWith(origin));
const idsOn = (origin: string): (string | undefined)[] => [
  ...new Set(eventsOn(origin).map(({ anonymousId }) => anonymousId)),
];

/** A visitor who is known on the blog, and nowhere else. */
async function arriveOnBlog(): Promise<string> {
  await visit(page, `${blog}/`);
  await sayYes(page);
  await flush(page);
  return (await idOn(page))!;
}
/** Until the token is there. */
async function hover(selector: string): Promise<void> {
  const answered = page.waitForResponse((response) => response.url().endsWith("/v1/link"));
  await page.hover(selector);
  await (await answered).finished();
  // Its text is read in a task that came before this one.
  await page.evaluate(() => {});
}
/** The address that was asked for, before anything was taken out of it. */
async function clickThrough(selector: string): Promise<URL> {
  const navigation = page.waitForRequest((request) => request.isNavigationRequest());
  await page.click(selector);
  const { url } = { url: (await navigation).url() };
  await page.waitForURL((at) => at.origin === new URL(url).origin && at.pathname === new URL(url).pathname);
  await page.waitForFunction(() => "polder" in window);
  return new URL(url);
}

test("a visitor is the same one on both hosts after a yes on both", async () => {
  await withoutHaste(context);
  const id = await arriveOnBlog();
  await hover("#link");
  const address = await clickThrough("#link");
  expect(address.search).toMatch(/^\?a=1&b=%20x&polder_link=[\w-]{60,}$/);
  expect(address.href).not.toContain(id);
  // The page never shows it, and nothing is asked or kept before the choice.
  expect(page.url()).toBe(`${shop}/there?a=1&b=%20x#part`);
  expect(asked).toHaveLength(1);
  expect(await page.evaluate(() => [Object.keys(localStorage), document.cookie])).toEqual([[], ""]);

  const released = page.waitForRequest((request) => request.url().endsWith("/v1/batch"));
  await sayYes(page);
  await released;
  await flush(page);
  expect(await idOn(page)).toBe(id);
  expect(eventsOn(shop).map(({ type }) => type)).toEqual(["consent", "page"]);
  expect(idsOn(shop)).toEqual([id]);
  expect(JSON.stringify([...seen.values()])).not.toContain("polder_link");
});

test("the link in the page stays as it was, so that a copy of it carries nobody", async () => {
  await arriveOnBlog();
  await hover("#plain");
  const href = await page.evaluate(async () => {
    const link = document.querySelector<HTMLAnchorElement>("#plain")!;
    let clicked = "";
    link.addEventListener("click", (event) => {
      clicked = link.href;
      event.preventDefault();
    });
    link.click();
    await new Promise((resolve) => setTimeout(resolve)); // not a wait: the task after the click
    return [clicked, link.getAttribute("href")];
  });
  expect(href[0]).toContain("polder_link=");
  expect(href[1]).toBe(`${shop}/plain`);
});

test("what the page itself makes of the link when it is clicked stays", async () => {
  await arriveOnBlog();
  await hover("#plain");
  const href = await page.evaluate(async () => {
    const link = document.querySelector<HTMLAnchorElement>("#plain")!;
    link.addEventListener("click", (event) => {
      link.href = "/of-the-page";
      event.preventDefault();
    });
    link.click();
    await new Promise((resolve) => setTimeout(resolve)); // not a wait: the task after the click
    return link.getAttribute("href");
  });
  expect(href).toBe("/of-the-page");
});

test("cookies are looked at for links to other hosts alone", async () => {
  await page.addInitScript(() => {
    const { get } = Object.getOwnPropertyDescriptor(Document.prototype, "cookie")!;
    Object.defineProperty(document, "cookie", {
      get() {
        document.documentElement.dataset["reads"] = `${Number(document.documentElement.dataset["reads"] ?? 0) + 1}`;
        return get!.call(document) as string;
      },
      set() {},
    });
  });
  await arriveOnBlog();
  const readsAfter = (selector: string): Promise<number> =>
    page.evaluate((name) => {
      const { dataset } = document.documentElement;
      const before = Number(dataset["reads"]);
      document.querySelector(name)!.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
      return Number(dataset["reads"]) - before;
    }, selector);
  for (const selector of ["body", "#own", "#unlisted"]) expect(await readsAfter(selector)).toBe(0);
  expect(await readsAfter("#link")).toBeGreaterThan(0);
});

test("a form sent with GET takes the visitor along as well", async () => {
  await withoutHaste(context);
  const id = await arriveOnBlog();
  await hover("#search");
  const address = await clickThrough("#search");
  expect(address.search).toMatch(/^\?q=socks&action=x&polder_link=[\w-]{60,}$/);
  expect(page.url()).toBe(`${shop}/found?q=socks&action=x`);
  const released = page.waitForRequest((request) => request.url().endsWith("/v1/batch"));
  await sayYes(page);
  await released;
  expect(await idOn(page)).toBe(id);
});

for (const selector of ["#own", "#unlisted", "#private"]) {
  test(`nobody is taken along by ${selector}`, async () => {
    await arriveOnBlog();
    await page.hover(selector);
    expect((await clickThrough(selector)).search).toBe("");
    expect(asked).toEqual([]);
  });
}

test("nobody is taken along to a host that is listed in the page and not in the site's configuration", async () => {
  await arriveOnBlog();
  const refused = page.waitForResponse((response) => response.url().endsWith("/v1/link"));
  await page.hover("#foreign");
  expect((await refused).status()).toBe(403);
  expect(asked.map((body) => (JSON.parse(body) as { to: string }).to)).toEqual(["a.wild.localhost"]);
  expect((await clickThrough("#foreign")).search).toBe("");
});

test("nobody is taken along in the name of who was here before", async () => {
  await arriveOnBlog();
  await hover("#plain");
  await page.evaluate(() => {
    window.polder.reset();
    window.polder.track("Somebody else");
  });
  await page.route("**/v1/link", () => {
    // The token of the new one never comes.
  });
  expect((await clickThrough("#plain")).search).toBe("");
});

test("nobody is taken along without a yes to a profile", async () => {
  await visit(page, `${blog}/`);
  await page.hover("#link");
  await page.evaluate(() => window.polder.consent.set({ measurement: true }));
  await page.hover("#plain");
  expect((await clickThrough("#link")).search).toBe("?a=1&b=%20x");
  expect(asked).toEqual([]);
});

test("a visitor is taken over where localStorage is full, too", async () => {
  await withoutHaste(context);
  await visit(page, `${shop}/`);
  await page.evaluate(() => {
    for (let chunk = "x".repeat(1 << 20), i = 0; chunk; i++) {
      try {
        localStorage.setItem(`own${i}`, chunk);
      } catch {
        chunk = chunk.slice(chunk.length / 2 + 1);
      }
    }
  });
  const id = await arriveOnBlog();
  await hover("#plain");
  await clickThrough("#plain");
  const sent = page.waitForRequest((request) => request.url().endsWith("/v1/batch"));
  await sayYes(page);
  const body = (await sent).postDataJSON() as { batch: { type: string; anonymousId: string }[] };
  expect(body.batch.map(({ type, anonymousId }) => [type, anonymousId])).toEqual([
    ["consent", id],
    ["page", id],
  ]);
});

test("nobody is taken over without a yes to a profile, and nothing is asked", async () => {
  await arriveOnBlog();
  await hover("#plain");
  await clickThrough("#plain");
  await sayNo(page);
  await page.evaluate(() => window.polder.consent.set({ measurement: true }));
  await flush(page);
  expect(asked).toHaveLength(1);
  expect(await idOn(page)).toBeUndefined();
  expect(eventsOn(shop).map(({ type }) => type)).toEqual(["consent", "page"]);
  expect(idsOn(shop)).toEqual([undefined]);
});

test("who is known already stays who they are", async () => {
  await visit(page, `${shop}/`);
  await sayYes(page);
  await flush(page);
  const there = await idOn(page);
  const here = await arriveOnBlog();
  expect(here).not.toBe(there);
  await hover("#plain");
  expect((await clickThrough("#plain")).search).toContain("polder_link=");
  await flush(page);
  expect(page.url()).toBe(`${shop}/plain`);
  expect(await idOn(page)).toBe(there);
  expect(idsOn(shop)).toEqual([there]);
  expect(asked).toHaveLength(1);
});

test("a link that was copied to another browser takes nobody along", async ({ browser }) => {
  const id = await arriveOnBlog();
  await hover("#plain");
  const { href } = await clickThrough("#plain");
  for (const other of [{ userAgent: "Mozilla/5.0 (iPhone) Version/17" }, { locale: "de-DE" }]) {
    const elsewhere = await browser.newContext(other);
    const copied = await elsewhere.newPage();
    await visit(copied, href);
    const answered = copied.waitForResponse((response) => response.url().endsWith("/v1/link"));
    await sayYes(copied);
    expect((await answered).status()).toBe(204);
    await flush(copied);
    expect(await idOn(copied)).not.toBe(id);
    await elsewhere.close();
  }
});

test("what is kept back while the collector is slow leaves with the page", async () => {
  await withoutHaste(context);
  const id = await arriveOnBlog();
  await hover("#plain");
  await clickThrough("#plain");
  await page.route("**/v1/link", () => {
    // Never answered.
  });
  await sayYes(page);
  const own = await idOn(page);
  expect(own).not.toBe(id);
  await page.goto("about:blank");
  const rows = await eventually(
    () => stack.sql<{ type: string }>(`SELECT type FROM events_v WHERE anonymous_id = '${own}' ORDER BY type`),
    ({ length }) => length >= 2,
  );
  expect(rows.map(({ type }) => type)).toEqual(["consent", "page"]);
});

test("what is kept back is sent after a second without an answer", async () => {
  const id = await arriveOnBlog();
  await hover("#plain");
  await clickThrough("#plain");
  await page.route("**/v1/link", () => {
    // Never answered.
  });
  const sent = page.waitForRequest((request) => request.url().endsWith("/v1/batch"));
  await sayYes(page);
  await sent;
  expect(eventsOn(shop).map(({ type }) => type)).toEqual(["consent", "page"]);
  expect(idsOn(shop)).toEqual([await idOn(page)]);
  expect(idsOn(shop)).not.toContain(id);
});

test("what was kept back is gone when the visitor withdraws meanwhile", async () => {
  await withoutHaste(context);
  const id = await arriveOnBlog();
  await hover("#plain");
  await clickThrough("#plain");
  await page.route("**/v1/link", () => {
    // Never answered.
  });
  await sayYes(page);
  await page.evaluate(() => {
    window.polder.track("Secret");
    window.polder.consent.withdraw();
  });
  await flush(page);
  expect(eventsOn(shop).map(({ type }) => type)).toEqual(["consent", "consent"]);
  expect(idsOn(shop)).not.toContain(id);
  expect(await idOn(page)).toBeUndefined();
});
