import type { ExportedRow } from "@polder/clickhouse";
import type { ErasureOrder } from "@polder/core";
import { Registry } from "prom-client";
import { expect, it } from "vitest";
import { createApi, type ApiOptions } from "../create-api.ts";
import { createSampleStore } from "../sample-queries.test-support.ts";

const silent = { info: () => {}, warn: () => {}, error: () => {} };
const row = (over: Partial<ExportedRow>): ExportedRow => ({
  section: "traits",
  time: "2026-11-22T20:00:00.000Z",
  name: "email",
  value: "an@shop.example",
  origin: "declared",
  basis: "",
  purposes: ["profile"],
  recipient: "",
  details: {},
  ...over,
});

function build(overrides: Partial<ApiOptions> = {}) {
  const orders: ErasureOrder[] = [];
  const people = new Map([["an", 64], ["bo", 128], ["128", 128]]); // oxfmt-ignore
  const { app } = createApi({
    queries: createSampleStore().queries,
    sites: () => [{ id: "shop", name: "Shop", timezone: "Europe/Amsterdam" }],
    logger: silent,
    registry: new Registry(),
    now: () => new Date("2026-11-22T21:00:00Z"),
    isStoreReachable: async () => true,
    rights: {
      erasures: {
        findPeople: async (_site, ids) => new Map([...people].filter(([id]) => ids.includes(id))),
        async request(order) {
          orders.push(order);
          return order.people.map((person) => ({
            id: `e${person}`,
            asked: person,
            person,
            kind: order.part === undefined ? "person" : "traits",
            identities: 2,
            traits: [],
          }));
        },
        receipt: async (id) =>
          id === "e64"
            ? {
                id,
                site: "shop",
                kind: "person",
                requestedAt: 1,
                actor: "a",
                reason: "r",
                identities: 2,
                state: "done",
                person: 64,
                traits: [],
                keys: ["1"],
                rounds: [],
              }
            : undefined,
        list: async () => [],
      },
      exports: {
        async read(_site, person) {
          if (person !== 64) return undefined;
          return (async function* () {
            yield row({ section: "identifiers", name: "user_id", value: "an" });
            yield row({ value: '=cmd|"x",y' });
            yield row({ name: "city", value: "Delft" });
          })();
        },
      },
    },
    ...overrides,
  });
  const post = (
    path: string,
    body: unknown,
    headers: { [name: string]: string } = { "content-type": "application/json" },
  ) => app.request(path, { method: "POST", headers, body: typeof body === "string" ? body : JSON.stringify(body) });
  return { app, orders, post };
}
const asked = { actor: "office", reason: "by letter" };

it("erases a person, says by which erasure, and keeps who asked and why", async () => {
  const { orders, post } = build();
  const answer = await post("/v1/people/an/erase", asked);
  expect(answer.status).toBe(202);
  expect(answer.headers.get("cache-control")).toBe("no-store");
  expect(await answer.json()).toEqual({ erasure: "e64", person: 64, kind: "person", identities: 2, traits: [] });
  expect(orders).toEqual([
    { site: "shop", people: [64], ...asked, at: new Date("2026-11-22T21:00:00Z"), part: undefined },
  ]);
});

it("erases traits alone where they are named", async () => {
  const { orders, post } = build();
  await post("/v1/people/an/erase", { ...asked, class: "identity", keep: ["newsletter"] });
  expect(orders[0]?.part).toEqual({ class: "identity", keep: ["newsletter"] });
});

it("erases many at once: who has two ids once, and says whom nobody knows", async () => {
  const { orders, post } = build();
  const answer = await post("/v1/erasures", { ...asked, people: ["an", "bo", "128", "nobody", "an"] });
  expect(orders[0]?.people).toEqual([64, 128]);
  expect(await answer.json()).toMatchObject({
    erasures: [{ id: "an", erasure: "e64" }, { id: "bo", erasure: "e128" }, { id: "128", erasure: "e128" }],
    notFound: ["nobody"],
  }); // oxfmt-ignore
});

it.each([
  ["/v1/people/nobody/erase", asked, 404, "person_not_found"],
  ["/v1/people/an/erase", { actor: "office" }, 400, "invalid_request"],
  ["/v1/people/an/erase", { ...asked, actor: "" }, 400, "invalid_request"],
  ["/v1/people/an/erase", { ...asked, trait: ["email"] }, 400, "invalid_request"],
  ["/v1/people/an/erase", { ...asked, keep: ["email"] }, 400, "invalid_request"],
  ["/v1/people/an/erase", { ...asked, traits: [] }, 400, "invalid_request"],
  ["/v1/people/an/erase", { ...asked, site: "nowhere" }, 404, "unknown_site"],
  ["/v1/people/an/erase", "{", 400, "invalid_request"],
  ["/v1/erasures", { ...asked, people: [] }, 400, "invalid_request"],
  ["/v1/erasures", { ...asked, people: Array.from({ length: 1_001 }, (_, i) => `p${i}`) }, 400, "invalid_request"],
])("erases nobody where %s is asked for what it cannot do: %#", async (path, body, status, code) => {
  const { orders, post } = build();
  const answer = await post(path, body);
  expect([answer.status, ((await answer.json()) as { code: string }).code]).toEqual([status, code]);
  expect(orders).toEqual([]);
});

it("takes nothing that a page elsewhere could send without asking, and nothing without the token", async () => {
  const { orders, post } = build();
  for (const type of ["text/plain", "application/x-www-form-urlencoded"])
    expect((await post("/v1/people/an/erase", asked, { "content-type": type })).status).toBe(415);
  const locked = build({ adminToken: "secret" });
  expect((await locked.post("/v1/people/an/erase", asked)).status).toBe(401);
  expect((await locked.app.request("/v1/people/an/export")).status).toBe(401);
  expect((await locked.app.request("/v1/erasures")).status).toBe(401);
  expect([...orders, ...locked.orders]).toEqual([]);
});

it("gives the receipt", async () => {
  const { app } = build();
  expect(await (await app.request("/v1/erasures/e64")).json()).toMatchObject({ state: "done", keys: ["1"] });
  expect((await app.request("/v1/erasures/e1")).status).toBe(404);
  expect(await (await app.request("/v1/erasures")).json()).toEqual({ erasures: [] });
});

it("exports everything about a person as JSON, with a list for each section, empty ones too", async () => {
  const answer = await build().app.request("/v1/people/an/export");
  expect(answer.headers.get("content-disposition")).toBe('attachment; filename="person-64.json"');
  const body = (await answer.json()) as { [section: string]: { value: string }[] };
  expect(body).toMatchObject({
    site: "shop",
    person: 64,
    exportedAt: "2026-11-22T21:00:00.000Z",
    events: [],
    consent: [],
    refused: [],
  });
  expect(body["identifiers"]?.map(({ value }) => value)).toEqual(["an"]);
  expect(body["traits"]?.map(({ value }) => value)).toEqual(['=cmd|"x",y', "Delft"]);
});

it("exports a table that no spreadsheet takes for formulas", async () => {
  const { app } = build();
  const lines = (await (await app.request("/v1/people/an/export?format=csv")).text()).split("\r\n");
  expect(lines[0]).toBe("section,time,name,value,origin,basis,purposes,recipient,details");
  expect(lines[2]).toBe(`traits,2026-11-22T20:00:00.000Z,email,"'=cmd|""x"",y",declared,,profile,,{}`);
  expect((await app.request("/v1/people/bo/export")).status).toBe(404);
  expect((await app.request("/v1/people/an/export?format=xml")).status).toBe(400);
});
