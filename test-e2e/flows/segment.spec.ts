import { createServer, type Server } from "node:http";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { Analytics } from "@segment/analytics-node";
import { expect, test } from "@playwright/test";
import { buildSync } from "esbuild";
import { eventually, startStack, type Stack } from "../support/stack.ts";
import { testConfig } from "../support/test-config.ts";

// Segment's own clients from npm, unmodified, pointed at our collector.

let stack: Stack;
let site: Server;
let siteUrl: string;
const { elsewhereKey, serverKey } = testConfig([]);

test.beforeAll(async () => {
  const script = buildSync({
    stdin: {
      contents: `import { AnalyticsBrowser } from "@segment/analytics-next"; window.AnalyticsBrowser = AnalyticsBrowser;`,
      resolveDir: fileURLToPath(new URL("..", import.meta.url)),
    },
    bundle: true,
    write: false,
    format: "iife",
    define: { "process.env.NODE_ENV": '"production"', global: "window" },
  }).outputFiles[0]!.text;
  site = createServer((request, response) => {
    if (request.url === "/segment.js") response.setHeader("content-type", "text/javascript").end(script);
    else
      response
        .setHeader("content-type", "text/html")
        .end(`<!doctype html><title>A site of Segment's</title><script src="/segment.js"></script><h1>Hello</h1>`);
  }).listen(0, "127.0.0.1");
  await once(site, "listening");
  siteUrl = `http://localhost:${(site.address() as { port: number }).port}`;
  stack = await startStack({ config: () => testConfig([siteUrl]).config });
});
test.afterAll(async () => {
  site.close();
  await stack.remove();
});

/** What the page uses of it; its own types cannot be seen from here. */
interface Segment {
  page(name: string, properties: object): Promise<void>;
  alias(to: string): Promise<void>;
  identify(userId: string, traits: object): Promise<void>;
  track(event: string, properties: object): Promise<void>;
  group(groupId: string, traits: object): Promise<void>;
  user(): Promise<{ anonymousId(): string }>;
}

interface Stored {
  type: string;
  name: string;
  user_id: string;
  anonymous_id: string;
  group_id: string;
  previous_id: string;
  url_path: string;
  page_title: string;
  library: string;
  basis: string;
  properties: Record<string, unknown>;
  traits: string;
}

const stored = (where: string) =>
  stack.sql<Stored>(`
    SELECT type, name, user_id, anonymous_id, group_id, previous_id, url_path, page_title, library, basis, properties,
      toJSONString(mapFromArrays(traits.name, traits.value)) AS traits
    FROM polder.events WHERE ${where} ORDER BY time, _offset`);

test("analytics-next in a page: each call arrives once with the right fields", async ({ page }) => {
  await page.goto(`${siteUrl}/catalogue?utm_source=letter`);
  const anonymousId = await page.evaluate(
    async ({ writeKey, cdnURL }) => {
      const loaded = (
        window as unknown as { AnalyticsBrowser: { load(settings: object): Segment } }
      ).AnalyticsBrowser.load({ writeKey, cdnURL });
      await loaded.page("Catalogue", { shelf: 3 });
      await loaded.alias("customer-7"); // before it knows a user: afterwards the client puts that user into every event
      await loaded.identify("customer-7", { email: "An@Example.com", plan: "gold" });
      await loaded.track("Product Viewed", { product_id: "tulip", price: 4.5 });
      await loaded.group("company-1", { name: "Bulbs and Co" });
      return (await loaded.user()).anonymousId();
    },
    { writeKey: elsewhereKey, cdnURL: stack.collectorUrl },
  );
  const rows = await eventually(
    () => stored("library LIKE '%analytics.js%'"),
    (found) => found.length >= 5,
  );
  expect(rows.map(({ type }) => type).toSorted()).toEqual(["alias", "group", "identify", "page", "track"]);
  const byType = Object.fromEntries(rows.map((row) => [row.type, row]));
  expect(byType.page).toMatchObject({
    anonymous_id: anonymousId,
    url_path: "/catalogue",
    page_title: "A site of Segment's",
    basis: "consent_elsewhere",
  });
  expect(byType.page!.properties).toMatchObject({ shelf: 3 });
  expect(byType.identify).toMatchObject({ user_id: "customer-7", anonymous_id: anonymousId });
  expect(JSON.parse(byType.identify!.traits)).toMatchObject({ plan: "gold" });
  expect(byType.track).toMatchObject({ name: "Product Viewed", user_id: "customer-7" });
  expect(byType.track!.properties).toMatchObject({ product_id: "tulip", price: 4.5 });
  expect(byType.group).toMatchObject({ group_id: "company-1" });
  expect(byType.alias).toMatchObject({ user_id: "customer-7", previous_id: anonymousId });
});

test("analytics-node in a process: each call arrives once with the right fields", async () => {
  const analytics = new Analytics({ writeKey: serverKey, host: stack.collectorUrl, path: "/v1/batch", flushAt: 100 });
  const errors: unknown[] = [];
  analytics.on("error", (error) => errors.push(error));
  analytics.identify({ userId: "customer-9", traits: { email: "bo@example.com", visits: 12 } });
  analytics.track({
    userId: "customer-9",
    event: "Order Completed",
    properties: { order_id: "o-1", total: 99.95, currency: "EUR" },
  });
  analytics.page({
    userId: "customer-9",
    name: "Invoice",
    properties: { url: "https://shop.example/invoice", path: "/invoice" },
  });
  analytics.screen({ userId: "customer-9", name: "Home screen" });
  analytics.group({ userId: "customer-9", groupId: "company-2" });
  analytics.alias({ userId: "customer-10", previousId: "customer-9" });
  await analytics.closeAndFlush();
  expect(errors).toEqual([]);

  const rows = await eventually(
    () => stored("library LIKE '%analytics-node%'"),
    (found) => found.length >= 6,
  );
  expect(rows.map(({ type }) => type).toSorted()).toEqual(["alias", "group", "identify", "page", "screen", "track"]);
  const [order] = await stack.sql<Record<string, unknown>>(
    "SELECT order_id, toString(amount) AS amount, currency, basis FROM polder.events WHERE name = 'Order Completed'",
  );
  expect(order).toEqual({ order_id: "o-1", amount: "99.95", currency: "EUR", basis: "contract" });
  const byType = Object.fromEntries(rows.map((row) => [row.type, row]));
  expect(JSON.parse(byType.identify!.traits)).toEqual({ email: "bo@example.com", visits: "12" });
  expect(byType.group).toMatchObject({ group_id: "company-2", user_id: "customer-9" });
});
