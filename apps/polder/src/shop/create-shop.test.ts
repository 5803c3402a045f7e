import { describe, expect, it } from "vitest";
import { categories, products } from "./catalogue.ts";
import type { SiteConfig } from "@polder/core";
import { withTexts } from "../demo-config.ts";
import { createShop } from "./create-shop.ts";
import type { Notice } from "./notice.ts";

const texts = withTexts<SiteConfig["consent"]>({
  regimes: {},
  grantDays: 365,
  refusalDays: 184,
  beforeChoice: { mode: "silent" },
  notice: {},
  purposes: {},
});
const shopHere = (consent = () => texts) => {
  let orders = 0;
  return createShop({
    consent,
    writeKey: "pk_test_12345678",
    collectorUrl: () => "http://localhost:8081",
    liveUrl: () => "http://localhost:8082",
    newOrderId: () => `SK-${++orders}`,
  });
};
const at = "http://localhost:8080";

/** A visitor with a browser's cookies who follows redirects as a form does. */
function createVisitor(shop = shopHere()) {
  const cookies = new Map<string, string>();
  const request = async (
    path: string,
    init: { method?: string; body?: URLSearchParams } = {},
  ): Promise<{ path: string; status: number; text: string }> => {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const response = await shop.app.request(`${at}${path}`, { ...init, headers: { cookie, origin: at } });
    for (const line of response.headers.getSetCookie()) {
      const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      if (/Max-Age=0/i.test(line)) cookies.delete(name);
      else cookies.set(name, value);
    }
    const next = response.headers.get("location");
    return next === null ? { path, status: response.status, text: await response.text() } : request(next);
  };
  const post = (path: string, fields: { [name: string]: string }) =>
    request(path, { method: "POST", body: new URLSearchParams(fields) });
  return { get: (path: string) => request(path), post, cookies };
}

const eventsOf = (text: string): { name: string; properties: { [name: string]: unknown } }[] =>
  JSON.parse(/id="page-events">([^<]*)</.exec(text)?.[1] ?? "null") as never;

const pages = [
  "/",
  "/about",
  "/privacy",
  "/your-data",
  "/cart",
  "/account",
  "/bouquet",
  "/bouquet/wrap",
  "/newsletter",
  ...categories.map(({ slug }) => `/category/${slug}`),
  ...products.map(({ slug }) => `/product/${slug}`),
];

describe("every page", () => {
  it.each(pages)("%s has the tag, one heading, a title and nothing that a strict policy would stop", async (path) => {
    const { status, text } = await createVisitor().get(path);
    expect(status).toBe(200);
    expect(text).toContain(
      '<script async src="http://localhost:8081/polder.js" data-site="pk_test_12345678"></script>',
    );
    expect(text.match(/<h1[ >]/g)).toHaveLength(1);
    expect(text).toMatch(/<title>[^<]*Slootkant<\/title>/);
    expect(text).not.toMatch(/\son[a-z]+=|\sstyle=|<style|javascript:/i);
    const scripts = [...text.matchAll(/<script([^>]*)>/g)].map(([, attributes]) => attributes ?? "");
    expect(
      scripts.filter((attributes) => !attributes.includes("src=") && !attributes.includes("application/json")),
    ).toEqual([]);
    expect(
      [...text.matchAll(/(?:src|href)="(https?:\/\/[^"]+)"/g)].map(([, url]) => new URL(url!).host).sort(),
    ).toEqual(["localhost:8081", "localhost:8081", "localhost:8082"]);
    expect(text).not.toMatch(/>undefined<|\[object |NaN/);
  });

  it("links only to pages that are there", async () => {
    const visitor = createVisitor();
    const links = new Set<string>();
    for (const path of pages)
      for (const [, href] of (await visitor.get(path)).text.matchAll(/href="(\/[^"]*)"/g)) links.add(href!);
    for (const link of links) expect([link, (await visitor.get(link)).status]).toEqual([link, 200]);
  });

  it("has labels for every field", async () => {
    const visitor = createVisitor();
    await visitor.post("/cart", { item: "mill-mug", quantity: "1" });
    for (const path of ["/product/mill-mug", "/cart", "/checkout", "/account", "/your-data"]) {
      const { text } = await visitor.get(path);
      for (const [field] of text.matchAll(/<input[^>]*>/g)) {
        if (field.includes('type="hidden"')) continue;
        const id = /\sid="([^"]+)"/.exec(field)?.[1];
        expect(text, field).toContain(`for="${id}"`);
      }
    }
  });

  it("lets nothing in but its own files and the collector's", async () => {
    const response = await shopHere().app.request(`${at}/`);
    const policy = response.headers.get("content-security-policy") ?? "";
    expect(policy).toContain("script-src 'self' http://localhost:8081;");
    expect(policy).not.toContain("unsafe");
  });

  it("answers 404 with a page", async () => {
    const { status, text } = await createVisitor().get("/dike");
    expect(status).toBe(404);
    expect(text).toContain("Under water");
  });
});

describe("what a visitor is asked", () => {
  const noticeOf = async (acceptLanguage: string, shop = shopHere()): Promise<Notice> => {
    const response = await shop.app.request(`${at}/`, { headers: { "accept-language": acceptLanguage } });
    expect(response.headers.get("vary")).toBe("Accept-Language");
    return JSON.parse(/id="polder-notice">([^<]*)</.exec(await response.text())![1]!) as Notice;
  };

  it("is in every page beside the banner's file, in the words of the configuration of this moment", async () => {
    let consent = texts;
    const shop = shopHere(() => consent);
    const { text } = await createVisitor(shop).get("/cart");
    expect(text).toContain('<script async src="http://localhost:8081/polder-banner.js"></script>');
    const before = await noticeOf("en", shop);
    expect(before).toMatchObject({ texts: texts.notice, purposes: texts.purposes });
    expect(before.purposes["ads"]!["nl"]).toMatchObject({ hash: expect.stringMatching(/^[0-9a-f]{64}$/) });
    consent = {
      ...texts,
      beforeChoice: { mode: "buffer" },
      purposes: { measurement: { en: { title: "Count </script>", text: "Changed." } } },
    };
    const after = await noticeOf("en", shop);
    expect(after.purposes).toMatchObject(consent.purposes);
    expect((await createVisitor(shop).get("/")).text).toContain('data-before-choice="buffer"');
    expect(after.version, "other words are another version").not.toBe(before.version);
  });

  it.each([
    ["nl-NL,nl;q=0.9,en;q=0.8", "nl"],
    ["de-DE,de,nl;q=0.5,en;q=0.1", "nl"],
    ["en-GB,en", "en"],
    ["de", "en"],
    ["", "en"],
    ["__proto__,constructor", "en"],
  ])("with %s is asked in %s", async (acceptLanguage, language) => {
    const notice = await noticeOf(acceptLanguage);
    expect(notice.language).toBe(language);
    expect(notice.texts[language]!.title).not.toBe("");
    for (const inLanguages of Object.values(notice.purposes)) expect(inLanguages[language]!.text).not.toBe("");
  });

  it("can be opened again from every page, and what is on record is a link away", async () => {
    for (const path of pages) {
      const { text } = await createVisitor().get(path);
      expect(text).toContain("data-polder-consent-open");
      expect(text).toContain('href="/your-data"');
    }
  });

  it("may be looked up on the read side, under the name the visitor came by", async () => {
    const response = await shopHere().app.request("http://127.0.0.1:8080/your-data");
    expect(await response.text()).toContain('data-consent-url="http://127.0.0.1:8082/v1/consent"');
    expect(response.headers.get("content-security-policy")).toContain(
      "connect-src 'self' http://127.0.0.1:8081 http://127.0.0.1:8082;",
    );
  });
});

describe("the cart", () => {
  it("adds, changes, removes, and never holds what is not sold", async () => {
    const visitor = createVisitor();
    await visitor.post("/cart", { item: "storm-kite", quantity: "2" });
    expect((await visitor.post("/cart", { item: "storm-kite", quantity: "1" })).text).toContain("€117.00");
    expect((await visitor.post("/cart", { item: "submarine", quantity: "1" })).text).toContain("€117.00");
    expect((await visitor.post("/cart/quantity", { item: "storm-kite", quantity: "1" })).text).toContain("€39.00");
    expect((await visitor.post("/cart/quantity", { item: "storm-kite", quantity: "1", remove: "yes" })).text).toContain(
      "Nothing in it yet",
    );
  });

  it("takes a bouquet by its recipe and prices it itself", async () => {
    const { text } = await createVisitor().post("/cart", { item: "bouquet-2-0-0-0-sailcloth", quantity: "1" });
    expect(text).toContain("Bouquet of 2 stems");
    expect(text).toContain("€6.40");
  });

  it.each([
    "bouquet-0-0-0-0-kraft",
    "bouquet-99-0-0-0-kraft",
    "bouquet-1-1-1-1-gold",
    "bouquet-1-1-1-kraft",
    "<script>",
  ])("refuses %s", async (item) => {
    expect((await createVisitor().post("/cart", { item, quantity: "1" })).text).toContain("Nothing in it yet");
  });

  it("shrugs at a cookie that was tampered with", async () => {
    const visitor = createVisitor();
    visitor.cookies.set("slootkant_cart", encodeURIComponent("storm-kite*-3,mill-mug*1e9,__proto__*1,wooden-shoes*1"));
    expect((await visitor.get("/cart")).text).toContain("€54.00");
  });

  it("is not changed by a form on another site", async () => {
    const response = await shopHere().app.request(`${at}/cart`, {
      method: "POST",
      body: new URLSearchParams({ item: "storm-kite", quantity: "1" }),
      headers: { origin: "https://elsewhere.example" },
    });
    expect(response.status).toBe(403);
  });
});

describe("an order", () => {
  const order = async () => {
    const visitor = createVisitor();
    await visitor.post("/cart", { item: "wooden-shoes", quantity: "1" });
    await visitor.post("/cart", { item: "mill-mug", quantity: "2" });
    return {
      visitor,
      thanks: await visitor.post("/checkout", { name: "A", email: "a@b.example", street: "1", city: "C" }),
    };
  };

  it("is told once, with its id, total, currency and products", async () => {
    const { thanks } = await order();
    expect(eventsOf(thanks.text)).toEqual([
      {
        name: "Order Completed",
        properties: {
          order_id: "SK-1",
          total: 91,
          currency: "EUR",
          products: [
            { product_id: "SK-301", name: "Wooden shoes, yellow", category: "weather", price: 54, quantity: 1 },
            { product_id: "SK-203", name: "Mill mug", category: "table", price: 18.5, quantity: 2 },
          ],
        },
      },
    ]);
  });

  it("is not told again when its page is loaded again, and that page is never cached", async () => {
    const shop = shopHere();
    const visitor = createVisitor(shop);
    await visitor.post("/cart", { item: "mill-mug", quantity: "1" });
    const { path } = await visitor.post("/checkout", {});
    const again = await shop.app.request(`${at}${path}`);
    expect(again.headers.get("cache-control")).toBe("no-store");
    expect(eventsOf(await again.text())).toEqual([]);
  });

  it("empties the cart; an empty cart has no checkout", async () => {
    const { visitor } = await order();
    expect((await visitor.get("/checkout")).path).toBe("/cart");
    expect((await visitor.post("/checkout", {})).path).toBe("/cart");
  });
});

describe("the account", () => {
  it("knows the customer until logout, on every page", async () => {
    const visitor = createVisitor();
    const { text } = await visitor.post("/account/login", { customer: " Wim@Dijk.Example ", password: "x" });
    expect(text).toContain("wim@dijk.example");
    expect((await visitor.get("/")).text).toContain("Your account");
    expect((await visitor.post("/account/logout", {})).text).toContain("Log in");
    expect(visitor.cookies.has("slootkant_customer")).toBe(false);
  });

  it("escapes the name that a visitor typed", async () => {
    const { text } = await createVisitor().post("/account/login", { customer: '"><img src=x onerror=alert(1)>' });
    expect(text).not.toContain("<img");
  });

  it("marks what Polder may read of the login form", async () => {
    const { text } = await createVisitor().get("/account");
    expect(text).toMatch(/<form[^>]*data-polder-identify="login"/);
    expect(text).toMatch(/<input[^>]*id="customer"[^>]*data-polder-trait="userId"/);
    expect(text).not.toMatch(/<input[^>]*id="password"[^>]*data-polder/);
  });
});

it("sends a browser to the collector under the name it visits with", async () => {
  const text = await (await shopHere().app.request("http://127.0.0.1:8080/")).text();
  expect(text).toContain('src="http://127.0.0.1:8081/polder.js"');
  expect(text).toContain('href="http://127.0.0.1:8082"');
});

it("lets a browser keep its files as long as they are the same", async () => {
  const { app } = shopHere();
  const first = await app.request(`${at}/assets/shop.css`);
  expect(first.headers.get("content-type")).toBe("text/css; charset=utf-8");
  const second = await app.request(`${at}/assets/shop.css`, {
    headers: { "if-none-match": first.headers.get("etag")! },
  });
  expect(second.status).toBe(304);
});
