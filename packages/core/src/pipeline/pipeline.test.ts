import {
  buildConsent,
  buildEvent,
  buildPage,
  buildSite,
  builtAt,
  checkProperty,
  hostileEvent,
  validEvent,
} from "@polder/testing";
import { maskOf, parseRequest, type ConsentStamp, type EventContext, type PolderEvent } from "@polder/protocol";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Site, SiteKey } from "../ports/site-directory.ts";
import type { EventRow } from "../row/event-row.ts";
import { newRow } from "./new-row.ts";
import { createRecordEncoder } from "./log-record.ts";
import { createPipeline, type PipelineResult } from "./pipeline.ts";
import { stepNames, type Repair, type RequestContext, type StepName } from "./step.ts";

const site: Site = buildSite();
const writeKey: SiteKey = { site, kind: "write" };
const serverKey: SiteKey = {
  site,
  kind: "server",
  basis: { purposes: ["measurement", "profile"], basis: "contract", reason: "orders" },
  origins: ["observed", "declared", "partner", "third_party"],
};
const chrome =
  "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";
const receivedAt = Date.parse(builtAt);

const request = (overrides: Partial<RequestContext> = {}): RequestContext => ({
  key: writeKey,
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

// What is recorded of a visitor has a test of its own.
const ledger = { latest: () => undefined, timesOf: () => undefined };
const pipeline = createPipeline({
  ledger,
  countryOf: (ip) => (ip.startsWith("145.") ? "NL" : ""),
  newId: () => "made-id",
});
const run = (event: PolderEvent, overrides: Partial<RequestContext> = {}): PipelineResult =>
  pipeline.run(event, request(overrides));

function rowOf(event: PolderEvent, overrides: Partial<RequestContext> = {}): EventRow {
  const result = run(event, overrides);
  if (!result.ok) throw new Error(`The event was ${result.stop}: ${result.reason}.`);
  return result.row;
}

/** The built event with parts of its context replaced. */
const withContext = (context: Partial<EventContext>): PolderEvent =>
  buildEvent({ context: { ...buildEvent().context, ...context } });

const withConsent = (
  consent: ConsentStamp | undefined,
  overrides: Parameters<typeof buildEvent>[0] = {},
): PolderEvent => {
  const { consent: _, ...context } = buildEvent().context!;
  return buildEvent({ context: consent === undefined ? context : { ...context, consent }, ...overrides });
};

const withUrl = (url: string, referrer = ""): PolderEvent => withContext({ page: { url, referrer } });

describe("site", () => {
  it("takes what was seen and what the visitor typed", () => {
    expect(rowOf(withContext({ origin: "declared" })).origin).toBe("declared");
    expect(rowOf(buildEvent()).origin).toBe("observed");
  });

  it("refuses a partner's or a third party's word from a page", () => {
    const partner = { name: "Acme", basis: "contract" };
    expect(run(withContext({ origin: "partner", partner }))).toMatchObject({
      stop: "rejected",
      reason: "origin_not_allowed",
    });
    expect(run(withContext({ origin: "third_party" }))).toMatchObject({
      stop: "rejected",
      reason: "origin_not_allowed",
    });
  });

  it("takes a partner's word from a server that names it and its basis", () => {
    const named = withContext({ origin: "partner", partner: { name: "Acme", basis: "contract" } });
    expect(rowOf(named, { key: serverKey })).toMatchObject({ origin: "partner", partner: "Acme" });
    expect(run(withContext({ origin: "partner" }), { key: serverKey })).toMatchObject({ reason: "origin_not_allowed" });
  });

  it("takes third-party data only where the site does and the key may", () => {
    const event = withContext({ origin: "third_party" });
    expect(run(event, { key: serverKey })).toMatchObject({ reason: "origin_not_allowed" });
    const open = { ...serverKey, site: buildSite({ allowThirdParty: true }) };
    expect(rowOf(event, { key: open }).origin).toBe("third_party");
    expect(run(event, { key: { ...open, origins: ["observed"] } })).toMatchObject({ reason: "origin_not_allowed" });
  });
});

describe("consent", () => {
  it("keeps nothing of an event without a choice", () => {
    const result = run(withConsent(undefined));
    expect(result).toEqual({
      ok: false,
      stop: "dropped",
      reason: "no_consent",
      detail: expect.stringContaining("consent"),
    });
    expect(JSON.stringify(result)).not.toContain("visitor-1");
  });

  it("keeps nothing after a no, or under a grant that is too old", () => {
    expect(run(withConsent(buildConsent([])))).toMatchObject({ reason: "no_consent" });
    expect(run(withConsent(buildConsent(["ads", "personalisation"])))).toMatchObject({ reason: "no_consent" });
    expect(run(withConsent(buildConsent(["profile"], { at: "2025-01-01T00:00:00.000Z" })))).toMatchObject({
      reason: "no_consent",
    });
  });

  it("takes out who it was when only measurement was granted", () => {
    const event = withConsent(buildConsent(["measurement"]), { userId: "user-1", groupId: "group-1" });
    const result = run(event, { cookieAnonymousId: () => "from-cookie" });
    expect(rowOf(event)).toMatchObject({
      anonymous_id: "",
      user_id: "",
      group_id: "",
      session_id: "",
      session_start: "1970-01-01 00:00:00.000",
      session_seq: 0,
      consent_id: "",
      ip: "",
      country: "NL",
      url_path: "/product/p1",
    });
    for (const secret of ["visitor-1", "user-1", "group-1", "session-1", "consent-1", "from-cookie"])
      expect(JSON.stringify(result)).not.toContain(secret);
  });

  it.each(["identify", "group", "alias"] as const)("drops %s without consent for a profile", (type) => {
    const event = withConsent(buildConsent(["measurement"]), { type, userId: "user-1" });
    expect(run(event)).toMatchObject({ stop: "dropped", reason: "no_profile_consent" });
  });

  it("hears Global Privacy Control, by header", () => {
    const event = withConsent(buildConsent(["profile", "ads"]));
    expect(rowOf(event).consent_mask).toBe(maskOf(["necessary", "profile", "ads"]));
    expect(rowOf(event, { gpc: true }).consent_mask).toBe(maskOf(["necessary", "profile"]));
  });

  it("counts the basis of a key only for events that carry no choice", () => {
    const row = rowOf(withConsent(undefined), { key: serverKey });
    expect(row).toMatchObject({
      basis: "contract",
      consent_mask: maskOf(["measurement", "profile"]),
      anonymous_id: "visitor-1",
    });
    expect(run(withConsent(buildConsent([])), { key: serverKey })).toMatchObject({ reason: "no_consent" });
    const ads: SiteKey = {
      ...writeKey,
      basis: { purposes: ["profile", "ads"], basis: "consent_elsewhere", reason: "banner" },
    };
    expect(rowOf(withConsent(undefined), { key: ads, gpc: true }).consent_mask).toBe(maskOf(["profile"]));
  });

  it("lets a page tighten the site's regime and never loosen it", () => {
    const optOut = { ...writeKey, site: buildSite({ regime: "opt_out" as const }) };
    expect(rowOf(withConsent(undefined), { key: optOut })).toMatchObject({ regime: "opt_out", basis: "opt_out" });
    const strict = withConsent(buildConsent([], { regime: "opt_in" }));
    expect(run(strict, { key: optOut })).toMatchObject({ reason: "no_consent" });
    const loose = withConsent({ v: 1, id: "c", purposes: {}, regime: "notice" });
    expect(run(loose)).toMatchObject({ reason: "no_consent" });
  });

  it("does not confuse the choices of two events", () => {
    expect(run(withConsent(buildConsent())).ok).toBe(true);
    expect(run(withConsent(buildConsent([]))).ok).toBe(false);
    const shared = buildConsent();
    expect(run(withConsent(shared)).ok).toBe(true);
    expect(run(withConsent(shared), { receivedAt: receivedAt + 400 * 86_400_000 }).ok).toBe(false);
  });

  describe("of a choice itself", () => {
    const choice = (consent: ConsentStamp) => withConsent(consent, { type: "consent", event: undefined });

    it("keeps the record of a no, without saying who", () => {
      const row = rowOf(
        choice({ v: 1, id: "c-2", purposes: { measurement: "denied", profile: "denied" }, at: builtAt }),
      );
      expect(row).toMatchObject({
        type: "consent",
        name: "consent",
        anonymous_id: "",
        session_id: "",
        consent_id: "c-2",
      });
      expect(row["choice.purpose"]).toEqual(["measurement", "profile"]);
      expect(row["choice.state"]).toEqual(["denied", "denied"]);
    });

    it("keeps who withdrew, or it could not be carried out", () => {
      const row = rowOf(choice({ v: 1, id: "c-3", purposes: { profile: "withdrawn" }, at: builtAt }));
      expect(row).toMatchObject({ anonymous_id: "visitor-1", consent_mask: 1 });
    });

    it("keeps who granted, and what was shown", () => {
      const row = rowOf(choice(buildConsent()));
      expect(row.anonymous_id).toBe("visitor-1");
      expect(JSON.parse(row.notice)).toEqual({ version: "1", language: "en" });
    });
  });
});

describe("clock", () => {
  const at = (timestamp: string, sentAt?: string, overrides: Partial<RequestContext> = {}) =>
    rowOf(buildEvent({ timestamp, sentAt }), overrides);

  it("takes out how wrong the sender's clock is", () => {
    const row = at("2031-01-01T00:00:00.000Z", "2031-01-01T00:00:30.000Z");
    expect(row.time).toBe("2026-11-22 20:14:30.000");
    expect(row.client_time).toBe("2031-01-01 00:00:00.000");
    expect(row.received_at).toBe("2026-11-22 20:15:00.000");
  });

  it("uses the time of the request for an event that has none", () => {
    const row = rowOf(buildEvent({ timestamp: undefined }), { sentAt: "2031-01-01T00:00:00.000Z" });
    expect(row.time).toBe("2026-11-22 20:15:00.000");
    expect(row.client_time).toBe("1970-01-01 00:00:00.000");
  });

  it("bounds what a page may claim", () => {
    expect(at("2026-11-23T20:15:00.000Z").time).toBe("2026-11-22 20:16:00.000");
    expect(at("2020-01-01T00:00:00.000Z").time).toBe("2026-10-23 20:15:00.000");
  });

  it("lets a server tell of any past, and no more of the future", () => {
    expect(at("2019-05-06T07:08:09.010Z", undefined, { key: serverKey }).time).toBe("2019-05-06 07:08:09.010");
    expect(at("2030-01-01T00:00:00.000Z", undefined, { key: serverKey }).time).toBe("2026-11-22 20:16:00.000");
  });

  it("counts days in the zone of the site", () => {
    expect(at("2026-11-22T22:59:00.000Z", undefined, { receivedAt: Date.parse("2026-11-22T23:30:00.000Z") }).day).toBe(
      "2026-11-22",
    );
    expect(at("2026-11-22T23:01:00.000Z", undefined, { receivedAt: Date.parse("2026-11-22T23:30:00.000Z") }).day).toBe(
      "2026-11-23",
    );
  });

  it("never gives a time out of bounds, whatever the two times claim", () => {
    const time = fc
      .date({ min: new Date(0), max: new Date(253402300799000), noInvalidDate: true })
      .map((date) => date.toISOString());
    checkProperty(
      fc.property(time, fc.option(time, { nil: undefined }), (timestamp, sentAt) => {
        const { time: text } = rowOf(buildEvent({ timestamp, sentAt }));
        const ms = Date.parse(`${text.replace(" ", "T")}Z`);
        expect(ms).toBeLessThanOrEqual(receivedAt + 60_000);
        expect(ms).toBeGreaterThanOrEqual(receivedAt - 30 * 86_400_000);
      }),
    );
  });
});

describe("identity", () => {
  it.each([
    "null",
    "undefined",
    "NULL",
    "[object Object]",
    "anonymous",
    "0",
    "00000000-0000-0000-0000-000000000000",
    "   ",
    "NaN",
  ])("does not take %j for a person", (id) => {
    const row = rowOf(buildEvent({ anonymousId: id, userId: id }));
    expect(row).toMatchObject({ anonymous_id: "", user_id: "" });
  });

  it("uses our cookie where the event names nobody, and only there", () => {
    expect(rowOf(buildEvent({ anonymousId: undefined }), { cookieAnonymousId: () => "c-1" }).anonymous_id).toBe("c-1");
    expect(rowOf(buildEvent({ anonymousId: "null" }), { cookieAnonymousId: () => "c-1" }).anonymous_id).toBe("c-1");
    expect(rowOf(buildEvent(), { cookieAnonymousId: () => "c-1" }).anonymous_id).toBe("visitor-1");
  });

  it("names an event that came without a name of its own", () => {
    expect(run(buildEvent({ messageId: "" }))).toMatchObject({ row: { message_id: "made-id" } });
  });

  it("keeps the visit, and both ids of an alias", () => {
    expect(rowOf(buildEvent())).toMatchObject({
      session_id: "session-1",
      session_start: "2026-11-22 20:15:00.000",
      session_seq: 0,
    });
    const alias = buildEvent({ type: "alias", event: undefined, userId: "new", previousId: "old" });
    expect(rowOf(alias)).toMatchObject({ name: "alias", user_id: "new", previous_id: "old" });
  });
});

describe("address", () => {
  it("keeps the country and the network, never the address", () => {
    const result = run(buildEvent());
    expect(result).toMatchObject({ row: { country: "NL", ip: "145.97.39.0" } });
    expect(JSON.stringify(result)).not.toContain("145.97.39.155");
  });

  it("believes the body's address only from a server, and never uses the server's own", () => {
    const event = withContext({ ip: "8.8.8.8" });
    expect(rowOf(event).ip).toBe("145.97.39.0");
    expect(rowOf(event, { key: serverKey })).toMatchObject({ ip: "8.8.8.0", country: "" });
    expect(rowOf(buildEvent(), { key: serverKey })).toMatchObject({ ip: "", country: "" });
  });

  it("prefers the country that the edge knows", () => {
    expect(rowOf(buildEvent(), { country: "be" }).country).toBe("BE");
    expect(rowOf(buildEvent(), { country: "XX" }).country).toBe("NL");
    expect(rowOf(buildEvent(), { country: "T1" }).country).toBe("NL");
    expect(rowOf(buildEvent(), { key: serverKey, country: "BE" }).country).toBe("");
  });

  it("asks nobody about what is no address", () => {
    expect(rowOf(withContext({ ip: "145.<script>" }), { key: serverKey })).toMatchObject({ ip: "", country: "" });
  });
});

describe("agent", () => {
  it("knows browsers, and keeps bots apart instead of dropping them", () => {
    expect(rowOf(buildEvent())).toMatchObject({
      device: "desktop",
      browser: "Chrome",
      os: "Windows",
      bot: "",
      bot_score: 0,
    });
    expect(rowOf(buildEvent(), { userAgent: "curl/8.5.0" })).toMatchObject({
      device: "bot",
      bot: "curl",
      bot_score: 100,
    });
  });

  it("does not take a server's library for a visitor's browser", () => {
    expect(rowOf(buildEvent(), { key: serverKey, userAgent: "axios/1.7" })).toMatchObject({
      device: "server",
      bot: "",
    });
    expect(rowOf(withContext({ userAgent: chrome }), { key: serverKey, userAgent: "axios/1.7" })).toMatchObject({
      browser: "Chrome",
    });
    expect(rowOf(withContext({ userAgent: "curl/8" })).browser).toBe("Chrome");
  });
});

describe("campaign", () => {
  it.each([
    ["https://shop.example/", "", "direct"],
    ["https://shop.example/", "https://www.google.com/", "search"],
    ["https://shop.example/", "https://m.facebook.com/", "social"],
    ["https://shop.example/", "https://mail.google.com/mail", "mail"],
    ["https://shop.example/", "android-app://com.google.android.gm/", "mail"],
    ["https://shop.example/", "https://blog.example/post", "referral"],
    ["https://shop.example/", "https://shop.example/cart", "internal"],
    ["https://shop.example/?utm_medium=cpc", "https://www.google.com/", "paid"],
    ["https://shop.example/?utm_medium=Paid-Social", "https://m.facebook.com/", "paid"],
    ["https://shop.example/?utm_medium=email", "https://shop.example/", "mail"],
    ["https://shop.example/?utm_medium=social", "", "social"],
    ["https://shop.example/?utm_medium=organic", "", "search"],
    ["https://shop.example/?utm_source=flyer", "", "referral"],
    ["https://shop.example/?gclid=abc", "https://www.google.com/", "paid"],
    ["https://shop.example/?fbclid=abc", "", "social"],
    ["https://shop.example/?fbclid=abc&utm_medium=cpc", "", "paid"],
    ["https://shop.example/?gclid=", "", "direct"],
  ])("%s after %j is %s", (url, referrer, channel) => {
    expect(rowOf(withUrl(url, referrer)).channel).toBe(channel);
  });

  it("says nothing of a channel where there is no page", () => {
    expect(rowOf(withContext({ page: {} })).channel).toBe("");
  });

  it("reads utm from the address, and what the client states wins", () => {
    const url =
      "https://shop.example/?utm_source=news&utm_medium=email&utm_campaign=black%20friday&utm_term=a+b&utm_content=top";
    expect(rowOf(withUrl(url))).toMatchObject({
      utm_source: "news",
      utm_medium: "email",
      utm_campaign: "black friday",
      utm_term: "a b",
      utm_content: "top",
    });
    expect(rowOf(withContext({ page: { url }, campaign: { source: "stated" } }))).toMatchObject({
      utm_source: "stated",
      utm_medium: "email",
    });
  });

  it("keeps a click id with consent for ads only, and in the address never", () => {
    const page = { url: "https://shop.example/?gclid=click-1&q=shoes&fbclid=click-2", referrer: "" };
    const denied = run(withContext({ page, consent: buildConsent(["measurement", "profile"]) }));
    expect(JSON.stringify(denied)).not.toContain("click-");
    const granted = rowOf(withContext({ page, consent: buildConsent(["profile", "ads"]) }));
    expect(granted).toMatchObject({
      click_id_kind: "gclid",
      click_id: "click-1",
      url_query: "q=shoes",
      channel: "paid",
    });
    const signal = run(withContext({ page, consent: buildConsent(["profile", "ads"]) }), { gpc: true });
    expect(JSON.stringify(signal)).not.toContain("click-");
  });

  it("groups pages by name, else by the first part of the path", () => {
    expect(rowOf(buildPage({ name: "Product" })).page_group).toBe("Product");
    expect(rowOf(buildPage({ name: undefined })).page_group).toBe("/product");
    expect(rowOf(withUrl("https://shop.example/")).page_group).toBe("/");
    expect(rowOf(withContext({ page: { path: "/a/b" } }))).toMatchObject({
      url_host: "",
      url_path: "/a/b",
      page_group: "/a",
    });
  });

  it("finds the page where Segment's page calls state it", () => {
    const properties = {
      url: "https://shop.example/cart",
      path: "/cart",
      referrer: "https://t.co/x",
      title: "Cart",
      search: "",
      name: "Cart",
    };
    const row = rowOf(buildPage({ name: undefined, properties, context: { consent: buildConsent() } }));
    expect(row).toMatchObject({
      url_host: "shop.example",
      url_path: "/cart",
      referrer_host: "t.co",
      page_title: "Cart",
      page_group: "Cart",
    });
    expect(row.properties).toEqual({});
  });
});

describe("what all events of a request can share", () => {
  const mail = "jane.doe@mail.example";
  const longest = 4096;

  it("is cut, so that a request does not become a thousand times its size", () => {
    const long = "x".repeat(30_000);
    const page = { url: `https://shop.example/a/b?q=${long}`, title: long, referrer: `https://blog.example/${long}` };
    const row = rowOf(withContext({ page, locale: long, timezone: long, library: { name: long, version: "1" } }));
    expect(row).toMatchObject({ url_host: "shop.example", url_path: "/a/b", url_query: "", referrer_path: "/" });
    expect([row.page_title, row.locale, row.timezone, row.library].map(({ length }) => length)).toEqual([
      500, 200, 200, 200,
    ]);
    expect(rowOf(withContext({ page: { path: `/${long}` } })).url_path.length).toBeLessThanOrEqual(longest);
    expect(rowOf(withContext({ page: { path: `/${"y".repeat(3_000)}` } })).page_group).toHaveLength(200);
  });

  it("keeps an address of the greatest length as it is", () => {
    const url = "https://shop.example/search?q=".padEnd(longest, "x");
    expect(rowOf(withUrl(url)).url_query).toBe(url.slice(url.indexOf("?") + 1));
    expect(rowOf(withUrl(`${url}x`)).url_query).toBe("");
  });

  it("is never cut within what has to be taken out", () => {
    for (let at = longest - mail.length; at <= longest; at++) {
      const before = "https://shop.example/search?q=shoes&page=".padEnd(at - 4, "x");
      const row = rowOf(withUrl(`${before}&to=${mail}&last=1`));
      expect(row.url_query).toMatch(/^q=shoes(&page=x+(&to=\[email\])?)?$/);
    }
    for (let at = 500 - mail.length; at <= 500; at++) {
      const title = rowOf(
        withContext({ page: { title: `${"x ".repeat(250).slice(0, at)} ${mail} and more` } }),
      ).page_title;
      expect(title).not.toContain("jane");
      expect(title.length).toBeLessThanOrEqual(500);
    }
  });
});

describe("scrub", () => {
  it("takes secrets out of addresses", () => {
    const url =
      "https://jan:pw@shop.example/reset/jan@mail.example;jsessionid=42?token=abc&Email=x&q=shoes&u=jan%40mail.example#access_token=1";
    expect(rowOf(withUrl(url))).toMatchObject({
      url_host: "shop.example",
      url_path: "/reset/[email]",
      url_query: "q=shoes&u=[email]",
    });
  });

  it("keeps no query of a referrer", () => {
    const row = rowOf(withUrl("https://shop.example/", "https://mail.example/read/111222333?token=abc#x"));
    expect(row).toMatchObject({ referrer_host: "mail.example", referrer_path: "/read/[bsn]" });
    expect(JSON.stringify(row)).not.toContain("abc");
  });

  it("takes secrets out of properties, however deep", () => {
    const properties = {
      note: "card 4111 1111 1111 1111",
      password: "hunter2",
      form: { email: "jan@mail.example", lines: ["iban NL91ABNA0417164300", 7] },
      link: "https://shop.example:8080/a?token=abc&x=1#access_token=abc",
      plain: "https://shop.example:8080/a?x=1#top",
    };
    const given = structuredClone(properties);
    expect(rowOf(buildEvent({ properties })).properties).toEqual({
      note: "card [card]",
      password: "[removed]",
      form: { email: "[removed]", lines: ["iban [iban]", 7] },
      link: "https://shop.example:8080/a?x=1",
      plain: "https://shop.example:8080/a?x=1#top",
    });
    expect(properties).toEqual(given);
  });

  it("leaves numbers, amounts and ids alone", () => {
    const properties = {
      total: 111222333,
      order_id: "111222333",
      sku: "111222333",
      price: "111222333",
      code_length: 4,
    };
    expect(rowOf(buildEvent({ properties })).properties).toEqual(properties);
  });

  it("keeps traits that are meant to say who someone is, and never a password or a card", () => {
    const traits = {
      email: "jan@mail.example",
      phone: "+31612345678",
      password: "x",
      note: "4111111111111111",
      number: "111222333",
    };
    const row = rowOf(buildEvent({ type: "identify", event: undefined, userId: "u", traits }));
    const kept = Object.fromEntries(row["traits.name"].map((name, at) => [name, row["traits.value"][at]]));
    expect(kept).toEqual({ email: "jan@mail.example", phone: "+31612345678", note: "[card]", number: "111222333" });
  });
});

describe("row", () => {
  it("classifies traits by the site's word, else by the table, else as personal", () => {
    const key: SiteKey = {
      ...writeKey,
      site: buildSite({ traits: { city: { class: "qualitative", purpose: "personalisation", personal: true } } }),
    };
    const traits = {
      email: "a@b.example",
      first_name: "Jan",
      plan: "gold",
      orders: 3,
      mystery: { a: 1 },
      city: "Delft",
    };
    const row = rowOf(buildEvent({ type: "identify", event: undefined, traits }), { key });
    expect(row["traits.name"]).toEqual(["email", "first_name", "plan", "orders", "mystery"]);
    expect(row["traits.value"]).toEqual(["a@b.example", "Jan", "gold", "3", '{"a":1}']);
    expect(row["traits.class"]).toEqual(["identity", "descriptive", "descriptive", "behavioural", "descriptive"]);
    expect(row["traits.personal"]).toEqual([1, 1, 0, 0, 1]);
    const allowed = withConsent(buildConsent(["profile", "personalisation"]), {
      type: "identify",
      event: undefined,
      traits: { city: "Delft" },
    });
    expect(rowOf(allowed, { key })).toMatchObject({ "traits.name": ["city"], "traits.purpose": ["personalisation"] });
  });

  it("keeps what is said of a group apart from what is said of a person", () => {
    const row = rowOf(buildEvent({ type: "group", event: undefined, groupId: "acme", traits: { name: "Acme" } }));
    expect(row).toMatchObject({ group_id: "acme", "traits.name": ["group.name"] });
  });

  it("takes no traits from other events", () => {
    expect(rowOf(buildEvent({ traits: { email: "a@b.example" } }))["traits.name"]).toEqual([]);
  });

  it("reads what an order is worth, and that a refund takes away", () => {
    const order = (event: string, properties: PolderEvent["properties"]) => rowOf(buildEvent({ event, properties }));
    expect(order("Order Completed", { order_id: 1042, total: 59.95 })).toMatchObject({
      order_id: "1042",
      amount: "59.95",
      currency: "EUR",
    });
    expect(order("Order Refunded", { order_id: "o-1", total: 10, currency: "usd" })).toMatchObject({
      amount: "-10",
      currency: "USD",
    });
    const malformed = order("Order Completed", { order_id: "o-2", total: "12,50" });
    expect(malformed).toMatchObject({ amount: "0", currency: "", properties: { total: "12,50" } });
    expect(order("Product Viewed", { price: 5, total: 5 })).toMatchObject({ amount: "0", currency: "" });
  });
});

describe("the whole", () => {
  it("tells the observer where events end, what was put right, and how long one in two takes", () => {
    const stops: [StepName, string][] = [];
    const timed: StepName[] = [];
    const put: Repair[] = [];
    const observed = createPipeline({
      ledger,
      countryOf: () => "",
      newId: () => "x",
      observer: {
        timeOneIn: 2,
        clock: () => 0,
        onStop: (step, reason) => stops.push([step, reason]),
        onTiming: (step) => timed.push(step),
        onRepair: (repair) => put.push(repair),
      },
    });
    observed.run(buildEvent({ userId: "null" }), request());
    expect(timed).toEqual(stepNames);
    expect([stops, put]).toEqual([[], ["id_refused"]]);
    observed.run(withConsent(undefined), request());
    expect(stops).toEqual([["consent", "no_consent"]]);
    expect(timed).toHaveLength(9);
    observed.run(buildEvent(), request());
    expect(timed).toHaveLength(18);
  });

  const itemsOf = (text: string) => {
    const parsed = parseRequest(text, "batch");
    return parsed.ok ? parsed.items : [];
  };

  it("gives every event that the parser takes the same shape, and never throws", () => {
    const columns = Object.keys(rowOf(buildEvent()));
    const toRecord = createRecordEncoder();
    const keys = [writeKey, serverKey, { ...writeKey, site: buildSite({ regime: "notice" as const }) }];
    checkProperty(
      fc.property(
        fc.oneof(
          hostileEvent,
          validEvent.map((event) => JSON.stringify(event)),
        ),
        fc.constantFrom(...keys),
        (text, key) => {
          for (const item of itemsOf(`{"batch":[${text}]}`)) {
            if (!item.ok) continue;
            const result = run(item.event, { key });
            if (!result.ok) continue;
            expect(Object.keys(result.row)).toEqual(columns);
            for (const [name, value] of Object.entries(result.row))
              expect(typeof value, name).toBe(typeof rowOf(buildEvent())[name as keyof EventRow]);
            const line = Buffer.from(toRecord(result.row).value).toString();
            expect(line).not.toContain("\n");
            expect({ ...newRow(item.event, ""), ...JSON.parse(line) }).toEqual(JSON.parse(JSON.stringify(result.row)));
          }
        },
      ),
      500,
    );
  });

  it("keeps nothing of anyone who did not say yes", () => {
    checkProperty(
      fc.property(validEvent, (event) => {
        const { consent: _, ...context } = event.context ?? {};
        const result = run({ ...event, context });
        if (event.type !== "consent") expect(result).toMatchObject({ stop: "dropped" });
      }),
    );
  });
});
