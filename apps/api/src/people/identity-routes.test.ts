import type { Decided, Explanation, IdentityDesk } from "@polder/core";
import { Registry } from "prom-client";
import * as v from "valibot";
import { expect, it } from "vitest";
import { createApi } from "../create-api.ts";
import { createSampleStore } from "../sample-queries.test-support.ts";
import * as schemas from "./identity-schemas.ts";

const signed = { actor: "ada", reason: "she called" };
const decision = {
  id: "d-1",
  site: "shop",
  at: 1,
  action: "merge" as const,
  left: "user:an",
  right: "user:bo",
  edges: [],
  undoes: "",
  ...signed,
};
const explanation: Explanation = {
  person: 64,
  isQuarantined: false,
  atoms: [{ atom: 64, anonymousId: "device-1", userId: "" }],
  edges: [
    {
      kind: "login",
      key: { kind: "login", node: "device:device-1", other: "user:bo" },
      left: "device:device-1",
      right: "user:bo",
      outcome: "shared_device",
      edge: { kind: "login", anonymousId: "device-1", userId: "bo", other: "bo", rule: "login", time: 5 },
      messageId: "m-2",
    },
    {
      kind: "email",
      key: { kind: "email", node: "device:device-1", other: "hash" },
      left: "device:device-1",
      right: "email:hash",
      outcome: "unconfirmed",
      // Of a site where `counter` stands for nobody.
      edge: { kind: "email", anonymousId: "device-1", userId: "counter", other: "hash", rule: "login", time: 6 },
      messageId: "m-3",
    },
    {
      kind: "manual",
      key: { kind: "manual", node: "device:device-1", other: "user:an" },
      left: "device:device-1",
      right: "user:an",
      outcome: "followed",
      decision,
    },
  ],
  decisions: [{ ...decision, isInForce: true }],
};

interface Asked {
  what: string;
  site: string;
  more: unknown[];
}

function build(outcome: Decided = { ok: true, decision }, { settledAfter = 2, askMs = 0, decisions = 1 } = {}) {
  const asked: Asked[] = [];
  const waits: number[] = [];
  let looks = 0;
  let elapsed = 0;
  const decide =
    (what: string) =>
    async (site: string, ...more: unknown[]) => {
      asked.push({ what, site, more });
      return outcome;
    };
  const desk: IdentityDesk = {
    why: async (_, atom) => (atom === 64 ? explanation : undefined),
    merge: decide("merge"),
    dismiss: decide("dismiss"),
    unmerge: decide("unmerge"),
    undo: decide("undo"),
    decisions: async () =>
      Array.from({ length: decisions }, (_, n) => ({ ...decision, id: `d-${n + 1}`, isInForce: true })),
    async isSettled() {
      elapsed += askMs;
      return ++looks > settledAfter;
    },
  };
  const { app } = createApi({
    queries: createSampleStore().queries,
    sites: () => [{ id: "shop", name: "Shop", timezone: "Europe/Amsterdam" }],
    logger: { info: () => {}, warn: () => {}, error: () => {} },
    registry: new Registry(),
    isStoreReachable: async () => true,
    adminToken: "secret",
    identity: {
      desk,
      waitMs: 200,
      async pause(ms) {
        elapsed += ms;
        waits.push(ms);
      },
      elapsedMs: () => elapsed,
    },
  });
  const headers = { authorization: "Bearer secret" };
  const post = (path: string, body: unknown, more: { [name: string]: string } = {}) =>
    app.request(path, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json", ...more },
      body: JSON.stringify(body),
    });
  return { app, asked, waits, post, get: (path: string) => app.request(path, { headers }) };
}

it("shows the edges of a person, those that join first, each with its event, its rule and a sentence", async () => {
  const answer = await build().get("/v1/people/device-1/why");
  expect(answer.status).toBe(200);
  expect(answer.headers.get("cache-control")).toBe("no-store");
  const body = v.parse(schemas.whyAnswer, await answer.json());
  expect(body).toMatchObject({ person: 64, edgesInAll: 3, decisions: [{ id: "d-1", isInForce: true }] });
  expect(body.edges).toEqual([
    expect.objectContaining({ kind: "manual", outcome: "followed", decision: "d-1", messageId: null, time: 1 }),
    expect.objectContaining({ kind: "login", outcome: "shared_device", messageId: "m-2", rule: "login", time: 5 }),
    expect.objectContaining({ kind: "email", outcome: "unconfirmed", messageId: "m-3", rule: "form", time: 6 }),
  ]);
  expect(body.edges[1]!.reason).toContain("two known people");
});

it("answers a merge when every count follows it, and with 202 when that takes too long", async () => {
  const soon = build();
  const answer = await soon.post("/v1/people/device-1/merge", { person: 128, ...signed });
  expect([answer.status, await answer.json()]).toEqual([200, { decision: "d-1", isSettled: true }]);
  const named = ["user:device-1", "device:device-1"];
  expect(soon.asked).toEqual([{ what: "merge", site: "shop", more: [{ left: 64, right: 128, named }, signed] }]);
  expect(soon.waits).toEqual([50, 50]);
  const late = build(undefined, { settledAfter: 1_000 });
  const later = await late.post("/v1/people/device-1/merge", { person: 128, ...signed });
  expect([later.status, await later.json()]).toEqual([202, { decision: "d-1", isSettled: false }]);
  expect(late.waits).toEqual([50, 50, 50, 50]);
  const slow = build(undefined, { settledAfter: 1_000, askMs: 60 });
  expect((await slow.post("/v1/people/device-1/merge", { person: 128, ...signed })).status).toBe(202);
  expect(slow.waits).toEqual([50, 50]);
});

it("says by which id somebody was named, since it is about that one of theirs", async () => {
  const { post, asked } = build();
  for (const who of ["device-1/merge?by=user", "device-1/merge?by=anonymous", "64/merge?by=person"])
    expect((await post(`/v1/people/${who}`, { person: 128, ...signed })).status).toBe(200);
  expect(asked.map(({ more }) => (more[0] as { named: string[] }).named)).toEqual([
    ["user:device-1"],
    ["device:device-1"],
    ["64"],
  ]);
});

it("unmerges a number, or ids, and not both or neither", async () => {
  const { post, asked } = build();
  const path = "/v1/people/64/unmerge?by=person";
  expect((await post(path, { person: 128, ...signed })).status).toBe(200);
  expect((await post(path, { anonymousIds: ["phone"], ...signed })).status).toBe(200);
  expect(asked.map(({ more }) => more)).toEqual([
    [64, { person: 128 }, signed],
    [64, { users: [], devices: ["phone"] }, signed],
  ]);
  for (const body of [signed, { person: 128, userIds: ["an"], ...signed }, { userIds: [], ...signed }])
    expect((await post(path, body)).status).toBe(400);
  expect(asked).toHaveLength(2);
});

it("lists decisions, and undoes one", async () => {
  const { get, post, asked } = build();
  const listed = v.parse(schemas.decisionsAnswer, await (await get("/v1/identity/decisions")).json());
  expect(listed.decisions.map(({ id, actor }) => [id, actor])).toEqual([["d-1", "ada"]]);
  expect((await post("/v1/identity/decisions/d-1/undo", signed)).status).toBe(200);
  expect(asked).toEqual([{ what: "undo", site: "shop", more: ["d-1", signed] }]);
});

it("lists decisions a page at a time, and each of them once", async () => {
  const { get } = build(undefined, { decisions: 120 });
  const pageOf = async (query: string) =>
    v.parse(schemas.decisionsAnswer, await (await get(`/v1/identity/decisions?${query}`)).json());
  expect((await pageOf("")).decisions).toHaveLength(50);
  const seen: string[] = [];
  let query = "limit=40";
  for (let page = await pageOf(query); ; page = await pageOf(query)) {
    expect(page.decisions).toHaveLength(40);
    seen.push(...page.decisions.map(({ id }) => id));
    if (page.next === null) break;
    query = `limit=40&before=${page.next}`;
  }
  expect(seen).toEqual(Array.from({ length: 120 }, (_, n) => `d-${120 - n}`));
  for (const [wrong, status] of [
    ["limit=0", 400],
    ["limit=501", 400],
    ["before=d-0", 404],
  ] as const)
    expect((await get(`/v1/identity/decisions?${wrong}`)).status).toBe(status);
});

it.each([
  ["same_person", 409],
  ["nothing_to_unmerge", 409],
  ["decision_undone", 409],
  ["decision_not_found", 404],
  ["person_not_found", 404],
] as const)("says why nothing was decided: %s", async (fault, status) => {
  const { post, waits } = build({ ok: false, fault });
  const answer = await post("/v1/identity/decisions/d-1/undo", signed);
  expect([answer.status, ((await answer.json()) as { code: string }).code]).toEqual([status, fault]);
  expect(waits).toEqual([]);
});

it("decides nothing without a name, a reason, a token, or for a page elsewhere", async () => {
  const { post, asked, app } = build();
  const path = "/v1/people/device-1/merge";
  for (const body of [
    { person: 128, actor: "ada" },
    { person: 128, actor: " ", reason: "x" },
    { person: 0, ...signed },
    signed,
  ])
    expect((await post(path, body)).status).toBe(400);
  expect((await post(path, { person: 128, ...signed }, { "content-type": "text/plain" })).status).toBe(415);
  expect((await post(path, { person: 128, ...signed }, { authorization: "Bearer other" })).status).toBe(401);
  expect((await post("/v1/people/nobody/merge", { person: 128, ...signed })).status).toBe(404);
  expect((await post(`${path}?site=other`, { person: 128, ...signed })).status).toBe(404);
  expect((await app.request("/v1/people/64/why")).status).toBe(401);
  expect(asked).toEqual([]);
});
