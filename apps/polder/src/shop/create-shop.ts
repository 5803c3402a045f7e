import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { serve, type ServerType } from "@hono/node-server";
import type { SiteConfig } from "@polder/core";
import { Hono, type Context } from "hono";
import { deleteCookie, getCookie, setCookie } from "hono/cookie";
import { csrf } from "hono/csrf";
import { addToCart, cartText, maxQuantity, parseCart, setQuantity, type Cart } from "./cart.ts";
import { bouquetSteps } from "./bouquet.ts";
import { findCategory, findProduct } from "./catalogue.ts";
import type { Html } from "./layout.ts";
import { noticeFor } from "./notice.ts";
import { createOrders } from "./orders.ts";
import { aboutPage } from "./pages/about.ts";
import { accountPage } from "./pages/account.ts";
import { bouquetPage } from "./pages/bouquet.ts";
import { cartPage } from "./pages/cart.ts";
import { categoryPage } from "./pages/category.ts";
import { checkoutPage } from "./pages/checkout.ts";
import { homePage } from "./pages/home.ts";
import { messagePage } from "./pages/message.ts";
import { privacyPage } from "./pages/privacy.ts";
import { productPage } from "./pages/product.ts";
import { thanksPage } from "./pages/thanks.ts";
import { yourDataPage } from "./pages/your-data.ts";
import type { Visit } from "./visit.ts";

export interface ShopOptions {
  writeKey: string;
  /** As a browser on this machine reaches them: `http://localhost:8081`. Read on each request, so ports may be known later. */
  collectorUrl: () => string;
  liveUrl: () => string;
  newOrderId: () => string;
  /** What visitors are told and asked. Read on each request: the configuration may change. */
  consent: () => SiteConfig["consent"];
}

const cookieNames = { cart: "slootkant_cart", customer: "slootkant_customer" } as const;
const sessionCookie = { path: "/", httpOnly: true, sameSite: "Lax" } as const;
const types = { css: "text/css; charset=utf-8", js: "text/javascript; charset=utf-8", svg: "image/svg+xml" } as const;
const assetNames = ["shop.css", "shop.js", "bouquet.js", "your-data.js", "icon.svg"] as const;

/** The demo shop. It shows how a site uses Polder and keeps nothing of its own but the orders of this run. */
export function createShop({ writeKey, collectorUrl, liveUrl, newOrderId, consent }: ShopOptions) {
  const orders = createOrders({ newOrderId });
  const assets = readAssets();
  const app = new Hono();

  // Names of this machine are different sites to a browser; the tag's cookie works only under the name the visitor used.
  const asVisited = (url: string, c: Context): string => {
    const [target, visited] = [new URL(url), new URL(c.req.url)];
    if (isThisMachine(target.hostname) && isThisMachine(visited.hostname)) target.hostname = visited.hostname;
    return target.origin;
  };
  const visitOf = (c: Context): Visit => ({
    consent: consent(),
    path: c.req.path,
    cart: parseCart(getCookie(c, cookieNames.cart) ?? ""),
    customer: getCookie(c, cookieNames.customer),
    collectorUrl: asVisited(collectorUrl(), c),
    liveUrl: asVisited(liveUrl(), c),
    writeKey,
    notice: noticeFor(c.req.header("Accept-Language") ?? "", consent()),
  });
  const keepCart = (c: Context, cart: Cart) => setCookie(c, cookieNames.cart, cartText(cart), sessionCookie);
  const show = async (c: Context, page: Html, status: 200 | 404 = 200) => c.html(await page, status);
  const lost = (c: Context) =>
    show(
      c,
      messagePage(visitOf(c), {
        title: "Under water",
        words: "There is no page here. There may have been one before the dike.",
      }),
      404,
    );

  app.use(csrf());
  app.use(async (c, next) => {
    await next();
    c.header("Content-Security-Policy", policy(asVisited(collectorUrl(), c), asVisited(liveUrl(), c)));
    c.header("Vary", "Accept-Language");
    c.header("X-Content-Type-Options", "nosniff");
    c.header("Referrer-Policy", "strict-origin-when-cross-origin");
    if (!c.res.headers.has("Cache-Control")) c.header("Cache-Control", "no-cache");
  });

  app.get("/assets/:name", async (c) => {
    const asset = assets.get(c.req.param("name"));
    if (!asset) return lost(c);
    c.header("ETag", asset.etag);
    c.header("Cache-Control", "no-cache");
    if (c.req.header("If-None-Match") === asset.etag) return c.body(null, 304);
    return c.body(asset.body, 200, { "Content-Type": asset.type });
  });

  app.get("/", (c) => show(c, homePage(visitOf(c))));
  app.get("/about", (c) => show(c, aboutPage(visitOf(c))));
  app.get("/privacy", (c) => show(c, privacyPage(visitOf(c))));
  app.get("/your-data", (c) => show(c, yourDataPage(visitOf(c))));
  app.get("/category/:slug", (c) => {
    const category = findCategory(c.req.param("slug"));
    return category ? show(c, categoryPage(visitOf(c), category)) : lost(c);
  });
  app.get("/product/:slug", (c) => {
    const product = findProduct(c.req.param("slug"));
    return product ? show(c, productPage(visitOf(c), product)) : lost(c);
  });
  app.get("/bouquet/:step?", (c) => {
    const step = c.req.param("step");
    return step === undefined || bouquetSteps.some((known) => known === step)
      ? show(c, bouquetPage(visitOf(c)))
      : lost(c);
  });

  app.get("/cart", (c) => show(c, cartPage(visitOf(c))));
  app.post("/cart", async (c) => {
    const { item, quantity } = await readLine(c);
    keepCart(c, addToCart(visitOf(c).cart, item, quantity));
    return c.redirect("/cart", 303);
  });
  app.post("/cart/quantity", async (c) => {
    const { item, quantity, isRemoved } = await readLine(c);
    keepCart(c, setQuantity(visitOf(c).cart, item, isRemoved ? 0 : quantity));
    return c.redirect("/cart", 303);
  });

  app.get("/checkout", async (c) => {
    const visit = visitOf(c);
    return visit.cart.length === 0 ? c.redirect("/cart", 303) : show(c, checkoutPage(visit));
  });
  app.post("/checkout", (c) => {
    const { cart, customer } = visitOf(c);
    if (cart.length === 0) return c.redirect("/cart", 303);
    const order = orders.place(cart, customer);
    deleteCookie(c, cookieNames.cart, sessionCookie);
    return c.redirect(`/thanks/${order.id}`, 303);
  });
  app.get("/thanks/:id", (c) => {
    const found = orders.look(c.req.param("id"));
    // A copy from the cache would count the order once more.
    c.header("Cache-Control", "no-store");
    return found ? show(c, thanksPage(visitOf(c), found.order, found.isFirstLook)) : lost(c);
  });

  app.get("/account", (c) => {
    const visit = visitOf(c);
    return show(c, accountPage(visit, visit.customer === undefined ? [] : orders.ofCustomer(visit.customer)));
  });
  app.post("/account/login", async (c) => {
    const { customer } = await c.req.parseBody();
    const name = typeof customer === "string" ? customer.trim().toLowerCase().slice(0, 100) : "";
    // A demonstration has nothing to protect: a real shop checks a password and signs its cookie.
    if (name !== "") setCookie(c, cookieNames.customer, name, sessionCookie);
    return c.redirect("/account", 303);
  });
  app.post("/account/logout", (c) => {
    deleteCookie(c, cookieNames.customer, sessionCookie);
    return c.redirect("/", 303);
  });

  app.post("/newsletter", (c) => c.redirect("/newsletter", 303));
  app.get("/newsletter", (c) =>
    show(
      c,
      messagePage(visitOf(c), {
        title: "The first letter is on its way",
        words: "It takes the early boat. You can stop it with one line back.",
      }),
    ),
  );
  app.notFound(lost);

  let server: ServerType | undefined;
  return {
    app,
    /** Resolves with the port once it listens; rejects with the system's error (`EADDRINUSE`). */
    listen: ({ host, port }: { host: string; port: number }): Promise<{ port: number }> =>
      new Promise((resolve, reject) => {
        const started = serve({ fetch: app.fetch, hostname: host, port }, (address) => resolve({ port: address.port }));
        started.once("error", reject);
        server = started;
      }),
    close: (): Promise<void> =>
      new Promise((resolve) => {
        if (!server) return resolve();
        server.close(() => resolve());
        if ("closeAllConnections" in server) server.closeAllConnections();
      }),
  };
}

const isThisMachine = (name: string): boolean => name === "localhost" || name === "127.0.0.1" || name === "[::1]";

const policy = (collector: string, readSide: string): string =>
  [
    "default-src 'none'",
    `script-src 'self' ${collector}`,
    `connect-src 'self' ${collector} ${readSide}`,
    `img-src 'self' data: ${collector}`,
    "style-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join("; ");

async function readLine(c: Context): Promise<{ item: string; quantity: number; isRemoved: boolean }> {
  const { item, quantity, remove } = await c.req.parseBody();
  const count = Math.trunc(Number(quantity));
  return {
    item: typeof item === "string" ? item : "",
    quantity: Number.isFinite(count) ? Math.min(Math.max(count, 0), maxQuantity) : 1,
    isRemoved: remove === "yes",
  };
}

function readAssets(): Map<string, { body: string; type: string; etag: string }> {
  // The folder lies beside src and dist, so the same path holds in both.
  const folder = new URL("../../assets/", import.meta.url);
  return new Map(
    assetNames.map((name) => {
      const body = readFileSync(new URL(name, folder), "utf8");
      const type = types[name.slice(name.lastIndexOf(".") + 1) as keyof typeof types];
      return [name, { body, type, etag: `"${createHash("sha256").update(body).digest("base64url").slice(0, 16)}"` }];
    }),
  );
}
