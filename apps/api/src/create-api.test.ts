import { Registry } from "prom-client";
import * as v from "valibot";
import { expect, it } from "vitest";
import { createApi, type ApiOptions } from "./create-api.ts";
import { createSampleStore } from "./sample-queries.test-support.ts";
import * as profileSchemas from "./profiles/profile-schemas.ts";
import * as schemas from "./schemas.ts";

const silent = { info: () => {}, warn: () => {}, error: () => {} };
const build = (overrides: Partial<ApiOptions> = {}) => {
  const store = createSampleStore();
  const api = createApi({
    queries: store.queries,
    sites: () => [
      { id: "shop", name: "Shop", timezone: "Europe/Amsterdam" },
      { id: "other", name: "Other", timezone: "America/Los_Angeles" },
    ],
    logger: silent,
    registry: new Registry(),
    now: () => new Date("2026-11-22T23:30:00Z"),
    isStoreReachable: async () => true,
    ...overrides,
  });
  return { ...api, store };
};
const json = async (answer: Response | Promise<Response>): Promise<unknown> => (await answer).json();

it.each([
  ["/v1/people/device-1", profileSchemas.profile],
  ["/v1/people/64?by=person", profileSchemas.profile],
  ["/v1/people/device-1/timeline", profileSchemas.timelineAnswer],
  ["/v1/audiences/today", schemas.audiencesToday],
  ["/v1/summary", schemas.summary],
] as const)("answers %s as its schema says", async (path, schema) => {
  const answer = await build().app.request(path);
  expect(answer.status).toBe(200);
  expect(answer.headers.get("cache-control")).toBe("no-store");
  const body = await answer.json();
  expect(v.parse(v.strictObject(schema.entries as v.ObjectEntries), body)).toEqual(body);
});

it("gives days in the zone of the site", async () => {
  const { app } = build();
  expect(await json(app.request("/v1/summary"))).toMatchObject({ site: "shop", day: "2026-11-23" });
  expect(await json(app.request("/v1/summary?site=other"))).toMatchObject({ site: "other", day: "2026-11-22" });
});

it("groups counts by dimension in the order of the store", async () => {
  expect(await json(build().app.request("/v1/audiences/today"))).toMatchObject({
    dimensions: [
      { dimension: "channel", values: [{ value: "direct", people: 3, events: 9 }, { value: "mail" }] },
      { dimension: "device", values: [{ value: "mobile" }] },
    ],
  });
});

it("asks the store for counts once for all who ask within a second", async () => {
  let moment = Date.parse("2026-11-22T12:00:00Z");
  const { app, store } = build({ now: () => new Date(moment) });
  await Promise.all(Array.from({ length: 20 }, async () => app.request("/v1/audiences/today")));
  expect(store.questions()).toBe(1);
  moment += 1_000;
  await app.request("/v1/audiences/today");
  expect(store.questions()).toBe(2);
});

it.each([
  ["/v1/people/nobody", 404, "person_not_found"],
  ["/v1/people/device-1?site=nowhere", 404, "unknown_site"],
  ["/v1/people/device-1?by=magic", 400, "invalid_request"],
  ["/v1/people/abc?by=person", 400, "invalid_request"],
  ["/v1/people/99999999999?by=person", 400, "invalid_request"],
  ["/v1/people/someone%40shop.example?by=email_hash", 400, "invalid_request"],
  ["/v1/people/nobody/timeline", 404, "person_not_found"],
  ["/v1/people/device-1/timeline?site=nowhere", 404, "unknown_site"],
  ["/v1/people/device-1/timeline?limit=0", 400, "invalid_request"],
  ["/v1/people/device-1/timeline?limit=501", 400, "invalid_request"],
  ["/v1/people/device-1/timeline?before=yesterday", 400, "invalid_request"],
  ["/v1/people/abc/timeline?by=person", 400, "invalid_request"],
  [`/v1/people/${"x".repeat(201)}`, 400, "invalid_request"],
  ["/v1/summary?site=nowhere", 404, "unknown_site"],
  ["/v1/summary?site=", 400, "invalid_request"],
  ["/v1/live?site=nowhere", 404, "unknown_site"],
  ["/v1/nothing", 404, "not_found"],
  ["/page/../secrets", 404, "not_found"],
  ["/page/main.tsx", 404, "not_found"],
])("answers %s with %i %s", async (path, status, code) => {
  const answer = await build().app.request(path);
  expect(answer.status).toBe(status);
  expect(await answer.json()).toEqual({
    code,
    message: expect.stringMatching(/\w/),
    docs: "docs/how-to/api-errors.md",
  });
});

it("says that the store is away, without a word of what it said", async () => {
  const { app, store } = build();
  store.breakDown(Object.assign(new Error("connect to 10.0.0.1 failed for customer-7"), { code: "ECONNREFUSED" }));
  const answer = await app.request("/v1/people/customer-7");
  expect(answer.status).toBe(503);
  expect(answer.headers.get("retry-after")).toBe("1");
  expect(await answer.text()).not.toContain("10.0.0.1");
});

it("tells a fault of ours from the store being away, and keeps both out of the answer", async () => {
  const { app, store } = build();
  store.breakDown(new TypeError("secret detail"));
  const answer = await app.request("/v1/summary");
  expect(answer.status).toBe(500);
  expect(await answer.json()).toMatchObject({ code: "internal", message: expect.not.stringContaining("secret") });
});

it("is ready when the store answers", async () => {
  expect((await build().app.request("/livez")).status).toBe(200);
  expect((await build().app.request("/readyz")).status).toBe(200);
  expect((await build({ isStoreReachable: async () => false }).app.request("/readyz")).status).toBe(503);
});

it("counts requests by route, never by what was asked for", async () => {
  const { app } = build();
  await app.request("/v1/people/customer-7");
  const metrics = await (await app.request("/metrics")).text();
  expect(metrics).toContain('polder_api_requests_total{route="/v1/people/:id",status="404"} 1');
  expect(metrics).not.toContain("customer-7");
});

it("describes its routes from the schemas that check them", async () => {
  const document = (await json(build().app.request("/openapi.json"))) as {
    paths: Record<
      string,
      { get: { parameters?: { name: string; in: string; schema: unknown }[]; responses: Record<string, unknown> } }
    >;
  };
  expect(Object.keys(document.paths).toSorted()).toEqual([
    "/v1/audiences/today",
    "/v1/live",
    "/v1/people/{id}",
    "/v1/people/{id}/timeline",
    "/v1/summary",
  ]);
  const person = document.paths["/v1/people/{id}"]!.get;
  expect(person.parameters?.map(({ name }) => name).toSorted()).toEqual(["by", "id", "site"]);
  expect(person.parameters?.find(({ name }) => name === "by")?.schema).toMatchObject({
    enum: ["any", "user", "anonymous", "person", "email_hash"],
    default: "any",
  });
  expect(Object.keys(person.responses)).toEqual(expect.arrayContaining(["200", "400", "401", "404", "503"]));
  expect(JSON.stringify(person.responses["200"])).toContain("identifiers");
});

it("answers to local names only while it needs no token", async () => {
  const { app } = build();
  const ask = async (host: string) => (await app.request("/v1/summary", { headers: { host } })).status;
  expect(await ask("localhost:8082")).toBe(200);
  expect(await ask("127.0.0.1:8082")).toBe(200);
  expect(await ask("rebound.example")).toBe(421);
});

it("needs the token when there is one, for everything that shows people", async () => {
  const { app } = build({ adminToken: "right" });
  for (const path of [
    "/v1/people/device-1",
    "/v1/people/device-1/timeline",
    "/v1/summary",
    "/v1/audiences/today",
    "/v1/live",
  ]) {
    expect((await app.request(path)).status, path).toBe(401);
    expect((await app.request(path, { headers: { authorization: "Bearer wrong" } })).status, path).toBe(401);
    expect((await app.request(path, { headers: { authorization: "Bearer right" } })).status, path).toBe(200);
  }
  expect((await app.request("/livez")).status).toBe(200);
});

it("lets a browser in that gave the token once", async () => {
  const { app } = build({ adminToken: "right" });
  const login = (token: unknown) =>
    app.request("/session", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ token }),
    });
  expect((await login("wrong")).status).toBe(401);
  expect((await login(7)).status).toBe(400);
  const answer = await login("right");
  expect(answer.status).toBe(204);
  const cookie = answer.headers.get("set-cookie")!;
  expect(cookie).toMatch(/HttpOnly/);
  expect(cookie).toMatch(/SameSite=Strict/);
  expect(cookie).not.toContain("right");
  expect((await app.request("/v1/summary", { headers: { cookie: cookie.split(";")[0]! } })).status).toBe(200);
  expect((await app.request("/v1/summary", { headers: { cookie: "polder_api=guess" } })).status).toBe(401);
});

it("does not listen beyond the loopback without a token", async () => {
  await expect(build().listen({ host: "0.0.0.0", port: 0 })).rejects.toThrow("POLDER_ADMIN_TOKEN");
});

it("closes while a stream is open", async () => {
  const { listen, close } = build();
  const { port } = await listen({ host: "127.0.0.1", port: 0 });
  const answer = await fetch(`http://127.0.0.1:${port}/v1/live`);
  const reader = answer.body!.getReader();
  expect(new TextDecoder().decode((await reader.read()).value)).toContain("retry: 1000");
  await close();
  await expect(
    (async () => {
      while (!(await reader.read()).done) continue;
      throw new Error("ended");
    })(),
  ).rejects.toThrow();
});

it("asks for the page of a timeline as it was asked for", async () => {
  const { app, store } = build();
  const first = (await json(app.request("/v1/people/device-1/timeline"))) as { next: string; events: unknown[] };
  expect(first).toMatchObject({ person: 64, site: "shop", next: "1795000000000-3-12" });
  expect(first.events).toMatchObject([
    { id: "3:12", purposes: ["measurement", "profile"], properties: { price: 12.5 } },
  ]);
  await app.request(`/v1/people/device-1/timeline?before=${first.next}&limit=7&type=track&name=Order%20Completed`);
  expect(store.timelineQuestions).toEqual([
    { limit: 50 },
    {
      before: { time: 1_795_000_000_000, partition: 3, offset: 12 },
      limit: 7,
      type: "track",
      name: "Order Completed",
    },
  ]);
});

it("says of a trait whose word it is, and what is allowed", async () => {
  const answer = (await json(build().app.request("/v1/people/device-1"))) as object;
  expect(answer).toMatchObject({
    traits: [{ name: "email", origin: "declared", party: "zero" }],
    purposes: [{ purpose: "ads", isAllowed: false, why: "denied", device: "device:device-1" }],
    next: "1795000000000-3-12",
  });
  expect(v.parse(profileSchemas.profile, answer)).toEqual(answer);
});
