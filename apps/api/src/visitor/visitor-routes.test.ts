import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { defaultIdentityRules, type ConsentLogRow, type Site, type SiteDirectory } from "@polder/core";
import { encodeDeviceId } from "@polder/protocol";
import { Registry } from "prom-client";
import * as v from "valibot";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createApi } from "../create-api.ts";
import { createSampleStore } from "../sample-queries.test-support.ts";
import * as schemas from "../schemas.ts";
import type { VisitorOptions } from "./visitor-routes.ts";

const nowMs = Date.parse("2026-11-22T20:15:00Z");
const origin = "https://shop.example";
const hash = "a".repeat(64);
const site = {
  id: "shop",
  name: "Shop",
  timezone: "UTC",
  origins: [origin],
  cookieDomain: "shop.example",
  regime: "opt_in",
  regimes: new Map(),
  grantLifetimeMs: 365 * 24 * 3_600_000,
  refusalLifetimeMs: 184 * 24 * 3_600_000,
  beforeChoice: { mode: "silent" },
  currentTexts: {},
  notices: [],
  allowThirdParty: false,
  maxEventsPerSecond: 1,
  traits: {},
  currency: "EUR",
  retention: { anonymousDays: 395, knownDays: 1_125 },
  identity: defaultIdentityRules,
} as const;
const anywhere = { ...site, id: "try-out", origins: ["*"] };
const directory: SiteDirectory = {
  findKey: (key) =>
    key === "pk_shop" ? { site, kind: "write" } : key === "sk_shop" ? { site, kind: "server" } : undefined,
  findSite: () => site,
  sites: () => [site, anywhere],
};

interface Received {
  headers: IncomingMessage["headers"];
  body: { writeKey: string; batch: { [name: string]: unknown }[] };
}
let server: Server;
let collectorUrl = "";
let received: Received[] = [];
let answers: { status: number; cookies: string[]; body: string };
beforeAll(async () => {
  server = createServer((request, response) => {
    let text = "";
    request.on("data", (chunk: Buffer) => (text += chunk.toString()));
    request.on("end", () => {
      received.push({ headers: request.headers, body: JSON.parse(text) as Received["body"] });
      response.writeHead(answers.status, { "set-cookie": answers.cookies });
      response.end(answers.body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  collectorUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => void server.close());
let linksOfAtoms: ConsentLogRow[] = [];
beforeEach(() => {
  linksOfAtoms = [link];
  received = [];
  answers = { status: 200, cookies: [], body: '{"accepted":1,"rejected":[]}' };
});

const link = {
  n: 1,
  at: "2026-11-22 10:00:00.000",
  received_at: "2026-11-22 10:00:01.000",
  consent_id: "c1",
  "choice.purpose": ["measurement", "profile", "ads"],
  "choice.state": ["granted", "granted", "denied"],
  "text.purpose": ["measurement"],
  "text.hash": [hash],
  language: "nl",
  variant: "bar",
  regime: "opt_in",
  gpc: 0,
} as unknown as ConsentLogRow;

const asked: unknown[] = [];
function build(overrides: Partial<VisitorOptions> = {}) {
  asked.length = 0;
  const { app } = createApi({
    queries: createSampleStore().queries,
    sites: () => [site],
    logger: { info: () => {}, warn: () => {}, error: () => {} },
    registry: new Registry(),
    now: () => new Date(nowMs),
    isStoreReachable: async () => true,
    // With a token: visitors have none, and never need one.
    adminToken: "secret",
    visitor: {
      directory,
      collectorUrl: () => collectorUrl,
      edge: () => ({ trustedProxies: ["10.0.0.1"], countryHeader: "x-country" }),
      queries: {
        async atomsOfDevice(...question) {
          asked.push(question);
          return question[1] === "device-1" ? [64] : [];
        },
        linksOfAtoms: async (_, atoms) => (atoms.includes(64) ? linksOfAtoms : []),
        filedTexts: async () => [
          {
            site: "shop",
            hash,
            purpose: "measurement",
            language: "nl",
            title: "Tellen",
            text: "Wij tellen.",
            firstSeen: "",
          },
        ],
        receiptOf: async (_, id) =>
          id === "w1" ? { doneAt: nowMs, tables: [{ table: "trait_state", rows: 3, remaining: 0 }] } : undefined,
      },
      ...overrides,
    },
  });
  return app;
}
const cookie = `polder_aid=other; polder_id=${encodeDeviceId({ anonymousId: "device-1", createdAt: nowMs - 1000 })}`;
/** A connection from there, as the server hands it to a route. */
const connectedFrom = (remoteAddress: string) => ({ incoming: { socket: { remoteAddress } } });
const ask = (headers: { [name: string]: string }) =>
  build().request("https://data.shop.example/v1/consent", { headers: { host: "data.shop.example", ...headers } });
const choose = (
  body: unknown,
  headers: { [name: string]: string } = {},
  { of, peer = "10.0.0.1" }: { of?: Site; peer?: string } = {},
) => {
  const sites: SiteDirectory = {
    findKey: () => ({ site: of!, kind: "write" }),
    findSite: () => of,
    sites: () => [of!],
  };
  return build(of && { directory: sites }).request(
    "https://data.shop.example/v1/consent",
    {
      method: "POST",
      headers: { host: "data.shop.example", origin, cookie, "content-type": "text/plain", ...headers },
      body: typeof body === "string" ? body : JSON.stringify(body),
    },
    connectedFrom(peer),
  );
};

describe("what a visitor is told", () => {
  it("is their own state and history, with the text that was shown, and kept by nobody", async () => {
    const answer = await ask({ origin, cookie });
    expect(answer.status).toBe(200);
    expect(answer.headers.get("cache-control")).toBe("no-store");
    expect(answer.headers.get("access-control-allow-origin")).toBe(origin);
    expect(answer.headers.get("access-control-allow-credentials")).toBe("true");
    const body: unknown = await answer.json();
    expect(v.parse(schemas.visitorConsent, body)).toEqual(body);
    expect(body).toEqual({
      site: "shop",
      state: {
        measurement: "granted",
        profile: "granted",
        personalisation: "unset",
        prediction: "unset",
        ads: "denied",
      },
      history: [
        {
          id: "c1",
          at: Date.parse("2026-11-22T10:00:00Z"),
          receivedAt: Date.parse("2026-11-22T10:00:01Z"),
          choices: [
            { purpose: "measurement", state: "granted", title: "Tellen", text: "Wij tellen." },
            { purpose: "profile", state: "granted", title: "", text: "" },
            { purpose: "ads", state: "denied", title: "", text: "" },
          ],
          language: "nl",
          variant: "bar",
          regime: "opt_in",
          gpc: false,
        },
      ],
      receipt: null,
    });
    expect(asked).toEqual([["shop", "device-1"]]);
  });

  it("is the receipt of a withdrawal, by its id in a header, when the cookie is gone", async () => {
    expect(await (await ask({ origin, "polder-receipt": "w1" })).json()).toMatchObject({
      history: [],
      receipt: { doneAt: nowMs, tables: [{ table: "trait_state", rows: 3, remaining: 0 }] },
    });
    expect(await (await ask({ origin, "polder-receipt": "w2" })).json()).toMatchObject({ receipt: null });
  });

  it.each([
    ["no cookie", {}],
    [
      "the cookie that scripts can write",
      { cookie: `polder_aid=${encodeDeviceId({ anonymousId: "device-1", createdAt: nowMs })}` },
    ],
    [
      "a cookie that has outlived its time",
      { cookie: `polder_id=${encodeDeviceId({ anonymousId: "device-1", createdAt: nowMs - 396 * 24 * 3_600_000 })}` },
    ],
    ["a key", { authorization: "Bearer secret" }],
  ])("is nothing with %s", async (_, headers) => {
    expect(await (await ask({ origin, ...headers })).json()).toMatchObject({
      history: [],
      state: { profile: "unset" },
    });
    expect(asked).toEqual([]);
  });

  it("is nothing with an id in the address", async () => {
    const answer = await build().request(
      "https://data.shop.example/v1/consent?anonymousId=device-1&polder_id=device-1",
      { headers: { origin } },
    );
    expect(await answer.json()).toMatchObject({ history: [] });
    expect(asked).toEqual([]);
  });

  it.each([["https://evil.example"], ["null"], [""], ["https://shop.example.evil.example"]])(
    "is refused to a page of %j, whose script could not read it either",
    async (foreign) => {
      const answer = await ask({ cookie, ...(foreign === "" ? {} : { origin: foreign }) });
      expect(answer.status).toBe(403);
      expect(answer.headers.get("access-control-allow-origin")).toBeNull();
      expect(asked).toEqual([]);
    },
  );

  it("is open to a page of the same host where a site takes pages from anywhere", async () => {
    expect(await (await ask({ origin: "http://data.shop.example:8080", cookie })).json()).toMatchObject({
      site: "try-out",
    });
  });
});

describe("what a visitor chooses", () => {
  it("goes to the collector as an event of the browser would, and the answer is the new state", async () => {
    answers.cookies = ["polder_aid=; Max-Age=0", "polder_id=; Max-Age=0; HttpOnly"];
    const answer = await choose(
      {
        writeKey: "pk_shop",
        purposes: { measurement: true },
        notice: { version: "7", language: "nl" },
        texts: { measurement: hash },
      },
      { "user-agent": "Firefox", "x-forwarded-for": "192.0.2.1", "x-country": "US" },
    );
    expect(answer.status).toBe(200);
    const body = v.parse(schemas.visitorChoiceAnswer, await answer.json());
    const state = {
      measurement: "granted",
      profile: "withdrawn",
      personalisation: "denied",
      prediction: "denied",
      ads: "denied",
    };
    expect(body).toEqual({ site: "shop", id: body.id, at: nowMs, state });
    const at = "2026-11-22T20:15:00.000Z";
    expect(received).toHaveLength(1);
    expect(received[0]!.headers).toMatchObject({
      host: "data.shop.example",
      origin,
      cookie,
      "user-agent": "Firefox",
      "x-forwarded-for": "192.0.2.1, 10.0.0.1",
      "x-country": "US",
    });
    expect(received[0]!.body).toEqual({
      writeKey: "pk_shop",
      sentAt: at,
      batch: [
        {
          type: "consent",
          messageId: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
          timestamp: at,
          anonymousId: "device-1",
          context: {
            consent: {
              v: 1,
              id: body.id,
              purposes: state,
              at,
              gpc: false,
              notice: { version: "7", language: "nl" },
              texts: { measurement: hash },
            },
          },
        },
      ],
    });
    expect(answer.headers.getSetCookie()).toEqual([
      ...answers.cookies,
      expect.stringMatching(
        /^polder_consent=v1\.2\.\w+\.[\w-]+\.1[0-9a-f]{8}; Max-Age=34128000; Path=\/; SameSite=Lax; Domain=shop\.example; Secure$/,
      ) as string,
    ]);
  });

  it("is a withdrawal of what was given just now, and is not on record yet, or too long ago", async () => {
    const chosen = { measurement: "granted", profile: "granted", ads: "granted" };
    const withdrawn = { ...chosen, measurement: "withdrawn", profile: "withdrawn", ads: "withdrawn" };
    const onDevice = `${cookie}; polder_consent=v1.12.tnxyz1.consent-1`;
    linksOfAtoms = [];
    expect(await (await choose({ writeKey: "pk_shop", purposes: {} }, { cookie: onDevice })).json()).toMatchObject({
      state: { ...withdrawn, personalisation: "denied" },
    });
    expect(await (await choose({ writeKey: "pk_shop", purposes: {} })).json()).toMatchObject({
      state: { profile: "denied" },
    });
    linksOfAtoms = [{ ...link, at: "2024-11-22 10:00:00.000" }];
    expect(await (await choose({ writeKey: "pk_shop", purposes: {} })).json()).toMatchObject({
      state: { measurement: "withdrawn", profile: "withdrawn", ads: "denied" },
    });
  });

  it("is on the device the same constant for everyone who refused", async () => {
    const answer = await choose({ writeKey: "pk_shop", purposes: {} });
    expect(answer.headers.getSetCookie()[0]).toMatch(/^polder_consent=v1\.0\.tnwg00\.;/);
  });

  it("does not pass on a country that a stranger states", async () => {
    await choose({ writeKey: "pk_shop", purposes: {} }, { "x-country": "US" }, { peer: "192.0.2.9" });
    expect(received).toHaveLength(1);
    expect(received[0]!.headers["x-country"]).toBeUndefined();
    expect(received[0]!.headers["x-forwarded-for"]).toBe("192.0.2.9");
  });

  describe("where nothing had to be asked", () => {
    const notAsked: Site = { ...site, regime: "opt_out" };
    const byCountry: Site = { ...site, regimes: new Map([["US", "notice"]]) };
    const everything = { measurement: "withdrawn", profile: "withdrawn", personalisation: "withdrawn" };
    const no = { writeKey: "pk_shop", purposes: {} };
    const stateAfter = async (...given: Parameters<typeof choose>): Promise<unknown> =>
      ((await (await choose(...given)).json()) as schemas.VisitorChoiceAnswer).state;

    it("is a withdrawal of what was allowed all the same", async () => {
      linksOfAtoms = [];
      const onDevice = { cookie: `${cookie}; polder_consent=r1.opt_out.gd2.w` };
      expect(await stateAfter(no, onDevice)).toMatchObject({ ...everything, ads: "denied" });
      expect(received[0]!.body.batch[0]).toMatchObject({
        anonymousId: "device-1",
        context: { consent: { purposes: everything } },
      });
      // A device that keeps no regime has an id of ours, which it got without a choice.
      expect(await stateAfter(no, {}, { of: notAsked })).toMatchObject({ ...everything, ads: "withdrawn" });
      expect(await stateAfter(no, {}, { of: byCountry })).toMatchObject(everything);
      linksOfAtoms = [{ ...link, regime: "opt_out", "choice.purpose": ["ads"], "choice.state": ["opted_out"] }];
      expect(await stateAfter(no)).toMatchObject({ ...everything, ads: "denied" });
    });

    it("is a refusal where nothing was", async () => {
      expect(await stateAfter(no, { cookie: "" }, { of: notAsked })).toMatchObject({ profile: "denied" });
      linksOfAtoms = [{ ...link, regime: "opt_out", "choice.state": ["denied", "withdrawn", "opted_out"] }];
      expect(await stateAfter(no, {}, { of: notAsked })).toMatchObject({ measurement: "denied", profile: "denied" });
      linksOfAtoms = [{ ...link, "choice.purpose": ["measurement"], "choice.state": ["granted"] }];
      expect(await stateAfter(no, {}, { of: notAsked })).toMatchObject({ measurement: "withdrawn", profile: "denied" });
    });
  });

  it.each(["1", "1, 1"])("leaves ads out under Global Privacy Control, said as %j", async (gpc) => {
    const answer = await choose({ writeKey: "pk_shop", purposes: { ads: true } }, { "sec-gpc": gpc });
    expect(await answer.json()).toMatchObject({ state: { ads: "denied" } });
    expect(received[0]!.body.batch[0]).toMatchObject({
      context: { consent: { gpc: true, purposes: { ads: "denied" } } },
    });
  });

  it.each([
    ["another site's page", { writeKey: "pk_shop", purposes: {} }, { origin: "https://evil.example" }, 403],
    ["no page", { writeKey: "pk_shop", purposes: {} }, { origin: "" }, 403],
    ["a server key", { writeKey: "sk_shop", purposes: {} }, {}, 403],
    ["an unknown key", { writeKey: "pk_none", purposes: {} }, {}, 403],
    ["an unknown purpose", { writeKey: "pk_shop", purposes: { marketing: true } }, {}, 400],
    ["a state for a yes", { writeKey: "pk_shop", purposes: { ads: "granted" } }, {}, 400],
    ["a text of no purpose", { writeKey: "pk_shop", purposes: {}, texts: { "\ud800": hash } }, {}, 400],
    ["a text that is no hash", { writeKey: "pk_shop", purposes: {}, texts: { ads: "A".repeat(64) } }, {}, 400],
    ["no JSON", "x", {}, 400],
    ["too much", JSON.stringify({ writeKey: "pk_shop", purposes: {}, pad: "x".repeat(9_000) }), {}, 400],
  ])("is refused with %s, and reaches no collector", async (_, body, headers, status) => {
    const answer = await choose(body, headers);
    expect(answer.status).toBe(status);
    expect(received).toEqual([]);
  });

  it.each([
    ["does not answer", 503, "{}"],
    ["rejects it", 200, '{"accepted":0,"rejected":[{"index":0,"reason":"too_many_keys"}]}'],
    ["says something else", 200, "null"],
  ])("is not said to be recorded when the collector %s", async (_, status, body) => {
    answers = { status, cookies: ["polder_id=; Max-Age=0"], body };
    const answer = await choose({ writeKey: "pk_shop", purposes: {} });
    expect(answer.status).toBe(503);
    expect(answer.headers.get("retry-after")).toBe("1");
    expect(answer.headers.get("access-control-allow-origin")).toBe(origin);
    expect(answer.headers.getSetCookie()).toEqual([]);
  });
});

it("answers one address so often, and then says when to come back", async () => {
  const app = build();
  const get = async (client: string, peer = "10.0.0.1") => {
    const headers = { origin, "x-forwarded-for": client };
    return app.request("https://data.shop.example/v1/consent", { headers }, connectedFrom(peer));
  };
  for (let i = 0; i < 60; i++) expect((await get("192.0.2.1")).status).toBe(200);
  const refused = await get("192.0.2.1");
  expect(refused.status).toBe(429);
  expect(refused.headers.get("retry-after")).toBe("10");
  expect(refused.headers.get("access-control-allow-origin")).toBe(origin);
  expect(await refused.json()).toMatchObject({ code: "too_many_requests" });
  const posted = await app.request(
    "https://data.shop.example/v1/consent",
    {
      method: "POST",
      headers: { origin, "x-forwarded-for": "192.0.2.1" },
      body: '{"writeKey":"pk_shop","purposes":{}}',
    },
    connectedFrom("10.0.0.1"),
  );
  expect(posted.status).toBe(429);
  expect(received).toEqual([]);
  expect((await get("192.0.2.2")).status).toBe(200);
});

it("lets pages of a site ask with credentials, and no others", async () => {
  const preflight = (from: string) =>
    build().request("https://data.shop.example/v1/consent", { method: "OPTIONS", headers: { origin: from } });
  expect((await preflight(origin)).headers.get("access-control-allow-headers")).toBe("content-type, polder-receipt");
  expect((await preflight("https://evil.example")).status).toBe(403);
});

it("is not there without a collector to record", async () => {
  const { app } = createApi({
    queries: createSampleStore().queries,
    sites: () => [site],
    logger: { info: () => {}, warn: () => {}, error: () => {} },
    registry: new Registry(),
    isStoreReachable: async () => true,
  });
  expect((await app.request("/v1/consent", { headers: { origin } })).status).toBe(404);
});
