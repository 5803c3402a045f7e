import type { FlagDecision } from "@polder/clickhouse";
import { Registry } from "prom-client";
import { expect, it } from "vitest";
import { createApi } from "../create-api.ts";
import { createSampleStore } from "../sample-queries.test-support.ts";

const silent = { info: () => {}, warn: () => {}, error: () => {} };
const signed = { actor: "desk", reason: "by letter" };

function build() {
  const decisions: FlagDecision[] = [];
  const kinds: string[] = [];
  const { app } = createApi({
    queries: {
      ...createSampleStore().queries,
      async findPerson(_site, id) {
        kinds.push(id.by);
        return id.value === "7" ? 64 : id.value === "8" ? 128 : undefined;
      },
    },
    sites: () => [{ id: "shop", name: "Shop", timezone: "Europe/Amsterdam" }],
    logger: silent,
    registry: new Registry(),
    now: () => new Date("2026-11-22T21:00:00Z"),
    isStoreReachable: async () => true,
    adminToken: "secret",
    flags: {
      store: {
        async decide(decision) {
          if (decision.person === 128) return undefined;
          decisions.push(decision);
          return "f1";
        },
        flagsOf: async () => [
          { id: "f1", at: 1, flag: "object", purpose: "ads", isSet: true, isInForce: true, ...signed },
        ],
      },
    },
  });
  const send = (method: string, path: string, body?: unknown, headers: { [name: string]: string } = {}) =>
    app.request(path, {
      method,
      headers: { authorization: "Bearer secret", "content-type": "application/json", ...headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  return { decisions, kinds, send };
}

it("files restrictions and objections with who and why, and takes them back", async () => {
  const { decisions, send } = build();
  const filed = { site: "shop", person: 64, at: new Date("2026-11-22T21:00:00Z"), ...signed };
  const answer = await send("POST", "/v1/people/7/restriction", signed);
  expect(answer.status).toBe(200);
  expect(await answer.json()).toEqual({ site: "shop", person: 64, id: "f1" });
  const purposes = ["ads", "personalisation"];
  await send("DELETE", "/v1/people/7/restriction?by=user", signed);
  await send("POST", "/v1/people/7/objections", { purposes, ...signed });
  await send("DELETE", "/v1/people/7/objections", { purposes: ["ads"], ...signed });
  expect(decisions).toEqual([
    { ...filed, flag: "restrict", purposes: [], isSet: true },
    { ...filed, flag: "restrict", purposes: [], isSet: false },
    { ...filed, flag: "object", purposes, isSet: true },
    { ...filed, flag: "object", purposes: ["ads"], isSet: false },
  ]);
});

it("lists what was filed", async () => {
  const { send } = build();
  const answer = await send("GET", "/v1/people/7/flags");
  expect(answer.headers.get("cache-control")).toBe("no-store");
  expect(await answer.json()).toMatchObject({
    person: 64,
    flags: [{ flag: "object", purpose: "ads", isInForce: true }],
  });
});

it.each<[what: string, status: number, path: string, body: unknown, headers?: { [name: string]: string }]>([
  ["nobody's id", 404, "/v1/people/9/restriction", signed],
  ["a person without an identifier", 404, "/v1/people/8/restriction", signed],
  ["an unknown site", 404, "/v1/people/7/restriction?site=blog", signed],
  ["no actor", 400, "/v1/people/7/restriction", { reason: "by letter" }],
  ["an empty reason", 400, "/v1/people/7/restriction", { actor: "desk", reason: " " }],
  ["no purpose", 400, "/v1/people/7/objections", { purposes: [], ...signed }],
  ["what cannot be objected to", 400, "/v1/people/7/objections", { purposes: ["necessary"], ...signed }],
  ["a word that is not known", 400, "/v1/people/7/restriction", { ...signed, purposes: ["ads"] }],
  ["a form of somebody else's page", 415, "/v1/people/7/restriction", signed, { "content-type": "text/plain" }],
  ["no token", 401, "/v1/people/7/restriction", signed, { authorization: "" }],
])("refuses %s, and files nothing", async (_, status, path, body, headers) => {
  const { decisions, send } = build();
  for (const method of ["POST", "DELETE"]) expect((await send(method, path, body, headers)).status).toBe(status);
  expect(decisions).toEqual([]);
});

it("takes a number for that of a person only where it is said that it is one", async () => {
  const { kinds, send } = build();
  await send("POST", "/v1/people/7/restriction", signed);
  await send("POST", "/v1/people/7/restriction?by=person", signed);
  expect(kinds).toEqual(["id", "person"]);
});
