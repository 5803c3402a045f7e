import { buildConsent, buildEvent, buildSite, builtAt, checkProperty, validEvent } from "@polder/testing";
import { maskOf, parseRequest, purposes, regimes, type PolderEvent } from "@polder/protocol";
import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { createMemoryConsentLedger } from "../contracts/memory-consent-ledger.ts";
import type { ConsentLedger } from "../ports/consent-ledger.ts";
import type { SiteKey } from "../ports/site-directory.ts";
import { newRow } from "./new-row.ts";
import { createPipeline, type Pipeline, type PipelineResult } from "./pipeline.ts";
import { createRecordEncoder } from "./log-record.ts";
import type { RequestContext } from "./step.ts";

const receivedAt = Date.parse(builtAt);
const beforeChoice = { mode: "measurement", reason: "Counting alone." } as const;
const counting: SiteKey = { site: buildSite({ beforeChoice }), kind: "write" };
const chrome =
  "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";

let ledger: ConsentLedger;
let pipeline: Pipeline;
beforeEach(() => {
  ledger = createMemoryConsentLedger();
  pipeline = createPipeline({ ledger, countryOf: () => "NL", newId: () => "made-id" });
});

const request = (overrides: Partial<RequestContext> = {}): RequestContext => ({
  key: counting,
  receivedAt,
  ip: "145.97.39.155",
  country: "",
  userAgent: chrome,
  gpc: false,
  cookieAnonymousId: () => "",
  cookieRefusesMeasurement: () => false,
  choices: [],
  ...overrides,
});
const run = (event: PolderEvent, overrides: Partial<RequestContext> = {}): PipelineResult =>
  pipeline.run(event, request(overrides));

const page = { url: "https://shop.example/product/p1", path: "/product/p1", referrer: "https://www.google.com/" };
/** As the page sends it before a choice, or with what it should not have sent. */
const pageView = (overrides: object = {}): PolderEvent =>
  ({
    type: "page",
    messageId: "",
    context: { page, library: { name: "polder.js", version: "0.1.0" } },
    ...overrides,
  }) as PolderEvent;
const withContext = (context: object): PolderEvent => pageView({ context: { page, ...context } });

const kept = {
  ...newRow(pageView(), "shop"),
  day: "2026-11-22",
  time: "2026-11-22 20:15:00.000",
  received_at: "2026-11-22 20:15:00.000",
  message_id: "made-id",
  consent_mask: maskOf(["measurement"]),
  basis: "audience_measurement",
  url_host: "shop.example",
  url_path: "/product/p1",
  page_group: "/product",
  referrer_host: "www.google.com",
  referrer_path: "/",
  channel: "search",
  country: "NL",
  device: "desktop",
  browser: "Chrome",
  os: "Windows",
};

describe("a page view before a choice, where the site counts it", () => {
  it("is kept as a count: where, from where, and what sort of device", () => {
    expect(run(pageView())).toEqual({ ok: true, row: kept });
  });

  it("is kept as the same count whatever else was sent", () => {
    const secret = "s3cret";
    const hostile = {
      ...pageView(),
      messageId: secret,
      anonymousId: secret,
      userId: secret,
      previousId: secret,
      groupId: secret,
      name: secret,
      category: secret,
      event: secret,
      timestamp: "2026-11-22T20:14:59.123Z",
      sentAt: "2026-11-22T20:15:00.321Z",
      properties: { name: secret, title: secret, url: `https://shop.example/${secret}`, email: secret, [secret]: 1 },
      traits: { email: secret },
      [secret]: secret,
      context: {
        page: {
          url: `https://${secret}:${secret}@shop.example/product/p1;sid=${secret}?utm_source=${secret}&utm_medium=cpc&utm_campaign=${secret}&gclid=${secret}&id=${secret}#${secret}?id=${secret}`,
          path: `/${secret}`,
          search: `?${secret}`,
          title: secret,
          referrer: `https://${secret}@www.google.com/${secret}?q=${secret}#${secret}`,
        },
        campaign: { name: secret, source: secret, medium: "email", term: secret, content: secret, id: secret },
        session: { id: secret, start: receivedAt - 1, seq: 7 },
        library: { name: secret, version: secret },
        locale: secret,
        timezone: secret,
        screen: { width: 1234, height: 777 },
        userAgent: secret,
        ip: "145.97.39.1",
        groupId: secret,
        origin: "declared",
        traits: { email: secret },
        device: { id: secret },
      },
    } as unknown as PolderEvent;
    const context = request({ sentAt: "2026-11-22T20:15:00.321Z", cookieAnonymousId: () => secret, gpc: true });
    const result = pipeline.run(hostile, context);
    expect(result).toEqual({ ok: true, row: kept });
    expect(JSON.stringify(result)).not.toContain(secret);
    // Nor is anything recorded of whoever it was, Global Privacy Control included.
    expect(context.choices).toEqual([]);
    if (!result.ok) throw new Error(result.reason);
    const { key, headers, value } = createRecordEncoder()(result.row);
    expect([key, headers]).toEqual(["made-id", { id: "made-id", site: "shop", anonymousId: "", userId: "" }]);
    expect(Buffer.from(value).toString()).not.toContain(secret);
  });

  it.each([
    [chrome.replace("Chrome/142.0.0.0", "Jans-own-browser/7 Chrome/142.0.0.0"), "Chrome", "Windows"],
    ["Jans-own-browser/7.1 (Windows NT 10.0)", "", "Windows"],
  ])("names no browser that one person may have alone: %s", (userAgent, browser, os) => {
    const result = run(pageView(), { userAgent });
    expect(result).toMatchObject({ ok: true, row: { browser, os } });
    expect(JSON.stringify(result)).not.toMatch(/jan|142|10\.0/i);
  });

  it("has its own time, not that of the device, and its own id, so that two of them have nothing in common", () => {
    let made = 0;
    pipeline = createPipeline({ ledger, countryOf: () => "", newId: () => `made-${++made}` });
    const twice = [1, 2].map(() => run(pageView({ messageId: "same", timestamp: "2026-11-22T19:00:00.000Z" })));
    expect(twice).toMatchObject([
      { row: { message_id: "made-1", time: kept.time, client_time: "1970-01-01 00:00:00.000" } },
      { row: { message_id: "made-2", time: kept.time } },
    ]);
  });

  it("of a bot is kept apart as everywhere", () => {
    const userAgent = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
    expect(run(pageView(), { userAgent })).toMatchObject({ row: { bot: "Googlebot", bot_score: 100, device: "bot" } });
  });

  it("comes from a page of the site", () => {
    const from = (url: string, origins = ["https://shop.example", "https://blog.shop.example:8443"]) =>
      run(withContext({ page: { url } }), { key: { ...counting, site: buildSite({ beforeChoice, origins }) } });
    expect(from("https://blog.shop.example:8443/a?b")).toMatchObject({
      row: { url_host: "blog.shop.example", url_path: "/a", url_query: "", channel: "direct" },
    });
    for (const url of [
      "https://shop.example.evil.example/",
      "http://shop.example/",
      "https://blog.shop.example/",
      "https://mail.example/inbox",
      "shop.example/",
      "",
    ])
      expect(from(url)).toMatchObject({ stop: "dropped", reason: "no_consent" });
    expect(from("https://anything.example/a", ["*"]).ok).toBe(true);
    expect(run(pageView({ context: {} }))).toMatchObject({ reason: "no_consent" });
    expect(run(pageView({ context: undefined, properties: { url: page.url } }))).toMatchObject({
      reason: "no_consent",
    });
  });
});

describe("it stays dropped", () => {
  it.each([
    ["where the site keeps nothing", { site: buildSite(), kind: "write" }],
    ["where the page waits with it", { site: buildSite({ beforeChoice: { mode: "buffer" } }), kind: "write" }],
    ["from a server", { ...counting, kind: "server" }],
    [
      "with a key that has a basis, which does not hold for it",
      { ...counting, basis: { purposes: ["ads"], basis: "consent_elsewhere", reason: "-" } },
    ],
  ] as const)("%s", (_, key) => {
    expect(run(pageView(), { key })).toMatchObject({ stop: "dropped", reason: "no_consent" });
  });

  it.each(["track", "screen", "identify", "group", "alias"] as const)("when it is %s", (type) => {
    const ids = { anonymousId: "a", userId: "u", groupId: "g", previousId: "p", event: "page" };
    const { reason } = run(pageView({ type, ...ids })) as { reason: string };
    expect(reason).toBe("no_consent");
  });

  it.each([
    { consent: buildConsent([]) },
    { consent: buildConsent([], { purposes: { measurement: "denied" } }) },
    { consent: buildConsent(["measurement"], { at: "2024-01-01T00:00:00.000Z" }) },
    { consent: buildConsent(["ads"]) },
    { consent: {} },
    { consent: "granted" },
    { consent: false },
    { consent: { v: 2 } },
    { consent: { categoryPreferences: { C0004: false } } },
    { consentManagement: { deniedConsentIds: ["x"] } },
    { consentManagement: {} },
  ])("when it carries an object that is no yes: %j", (given) => {
    const event = withContext(given);
    expect(run(event)).toMatchObject({ stop: "dropped", reason: "no_consent" });
  });

  it("when its sender is known to have said no, by what it should not have sent", async () => {
    const at = new Date(receivedAt - 1000).toISOString();
    const denied = Object.fromEntries(purposes.slice(1).map((purpose) => [purpose, "denied" as const]));
    const choice = (id: object): PolderEvent =>
      buildEvent({
        type: "consent",
        timestamp: at,
        anonymousId: undefined,
        context: { consent: buildConsent([], { purposes: denied, at }) },
        ...id,
      });
    const stopped = { ok: false, stop: "dropped", reason: "consent_withdrawn" };
    const inOneRequest = request();
    pipeline.run(choice({ anonymousId: "device" }), inOneRequest);
    expect(pipeline.run(pageView({ anonymousId: "device" }), inOneRequest)).toMatchObject(stopped);
    await ledger.record(inOneRequest.choices);
    const fromServer = { ...request(), key: { ...inOneRequest.key, kind: "server" as const } };
    pipeline.run(choice({ userId: "user" }), fromServer);
    await ledger.record(fromServer.choices);

    expect(run(pageView({ anonymousId: "device" }))).toMatchObject(stopped);
    expect(run(pageView({ userId: "user" }))).toMatchObject(stopped);
    expect(run(pageView(), { cookieAnonymousId: () => "device" })).toMatchObject(stopped);
    expect(run(pageView(), { cookieRefusesMeasurement: () => true })).toMatchObject(stopped);
    expect(run(pageView({ anonymousId: "other" }))).toEqual({ ok: true, row: kept });
  });
});

it("changes nothing where everything is allowed without a choice", () => {
  for (const regime of ["opt_out", "notice"] as const) {
    const event = pageView({ anonymousId: "device", messageId: "m" });
    const [counted, silent] = [beforeChoice, { mode: "silent" } as const].map((mode) =>
      run(event, { key: { kind: "write", site: buildSite({ regime, beforeChoice: mode }) } }),
    );
    expect(counted).toEqual(silent);
    expect(counted).toMatchObject({ row: { anonymous_id: "device", basis: regime } });
  }
});

it("is never more permissive than without it, but for page views without a choice, of which it keeps the same few columns", () => {
  const mayHold = new Set(
    Object.entries(kept)
      .filter(([column, value]) => value !== (newRow(pageView(), "shop") as unknown as typeof kept)[column as "site"])
      .map(([column]) => column),
  );
  const columns = Object.keys(kept) as (keyof typeof kept)[];
  let counted = 0;
  let alike = 0;
  const event = fc.oneof(
    validEvent,
    fc.tuple(validEvent, fc.webPath(), fc.webQueryParameters()).map(
      ([given, path, query]) =>
        ({
          ...given,
          type: "page",
          context: { ...given.context, consent: undefined, page: { url: `https://shop.example${path}?${query}` } },
        }) as unknown as PolderEvent,
    ),
  );
  const anyKey = fc.record({
    regime: fc.constantFrom("opt_in" as const, ...regimes),
    kind: fc.constantFrom("write" as const, "write" as const, "server" as const),
    basis: fc.constantFrom(undefined, undefined, ["measurement"] as const, ["ads"] as const),
  });
  const circumstances = fc.record({
    gpc: fc.boolean(),
    cookie: fc.constantFrom("", "", "device"),
    refuses: fc.boolean(),
  });
  checkProperty(
    fc.property(event, anyKey, circumstances, (sent, { regime, kind, basis }, { gpc, cookie, refuses }) => {
      const parsed = parseRequest(JSON.stringify({ batch: [sent] }), "batch");
      const item = parsed.ok ? parsed.items[0] : undefined;
      if (!item?.ok) return;
      const outcome = (mode: "silent" | "measurement"): PipelineResult => {
        const key: SiteKey = {
          kind,
          site: buildSite({ regime, beforeChoice: { mode } }),
          ...(basis && { basis: { purposes: basis, basis: "contract", reason: "-" } }),
        };
        const context = { key, gpc, cookieAnonymousId: () => cookie, cookieRefusesMeasurement: () => refuses };
        return run(structuredClone(item.event), context);
      };
      const [before, after] = [outcome("silent"), outcome("measurement")];
      const isTheCase =
        item.event.type === "page" &&
        kind === "write" &&
        basis === undefined &&
        regime === "opt_in" &&
        item.event.context?.consent === undefined &&
        /^https:\/\/shop\.example(?:[/?#]|$)/.test(item.event.context?.page?.url ?? "");
      if (!isTheCase) {
        alike++;
        expect(after).toEqual(before);
        return;
      }
      expect(before).toMatchObject({ reason: "no_consent" });
      if (refuses) {
        expect(after).toMatchObject({ reason: "consent_withdrawn" });
        return;
      }
      counted++;
      if (!after.ok) throw new Error(after.reason);
      const plain = newRow(item.event, "shop");
      for (const column of columns)
        if (!mayHold.has(column)) expect([column, after.row[column]]).toEqual([column, plain[column]]);
      expect(after.row).toMatchObject({ consent_mask: 2, basis: "audience_measurement", message_id: "made-id" });
      expect(`${after.row.url_path}${after.row.page_group}`).not.toMatch(/[?#]/);
    }),
    4_000,
  );
  expect(Math.min(counted, alike)).toBeGreaterThan(100);
});
