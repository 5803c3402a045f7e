import type { Audience, DuplicatesQuestion, StoredComputedTrait } from "@polder/clickhouse";
import { Registry } from "prom-client";
import * as v from "valibot";
import { describe, expect, it } from "vitest";
import { createApi, type ApiOptions } from "../create-api.ts";
import { createSampleStore } from "../sample-queries.test-support.ts";
import { duplicatesAnswer } from "./duplicate-routes.ts";
import * as schemas from "./trait-schemas.ts";

const at = Date.parse("2026-11-22T12:00:00Z");

function build() {
  const saved: StoredComputedTrait[] = [];
  const asked: DuplicatesQuestion[] = [];
  const decided: unknown[] = [];
  const audiences: Audience[] = [];
  /** What happens in the same moment as the next version of a trait. */
  let meanwhile = (): void => {};
  const versionsOf = (site: string, name: string) => saved.filter((each) => each.site === site && each.name === name);
  const decide = (action: string) => async (site: string, pair: { left: number; right: number }, signed: object) => {
    if (pair.right === 404) return { ok: false as const, fault: "person_not_found" as const };
    decided.push({ action, site, ...pair, ...signed });
    return { ok: true as const, decision: { id: "decision-1" } };
  };
  const { app } = createApi({
    queries: createSampleStore().queries,
    sites: () => [
      { id: "shop", name: "Shop", timezone: "Europe/Amsterdam" },
      { id: "other", name: "Other", timezone: "UTC" },
    ],
    logger: { info: () => {}, warn: () => {}, error: () => {} },
    registry: new Registry(),
    now: () => new Date(at),
    isStoreReachable: async () => true,
    computedTraits: {
      store: {
        list: async (site) =>
          [...new Set(saved.map(({ name }) => name))].flatMap((name) => {
            const last = versionsOf(site, name).at(-1);
            return last?.definition === undefined ? [] : [last];
          }),
        versions: async (site, name) => versionsOf(site, name),
        save: async (version) => {
          if (versionsOf(version.site, version.name).some((each) => each.version === version.version)) return false;
          if (version.reason === "too late") return false;
          saved.push(version);
          meanwhile();
          return true;
        },
      },
    },
    audiences: {
      store: { list: async (site: string) => ({ audiences: audiences.filter((each) => each.site === site) }) },
    } as unknown as NonNullable<ApiOptions["audiences"]>,
    duplicates: {
      duplicates: async (_, question) => {
        asked.push(question);
        return [{ left: 64, right: 128, score: 98, signs: ["email", "name_and_birth_date"] }];
      },
    },
    identity: {
      desk: { merge: decide("merge"), dismiss: decide("dismiss"), isSettled: async () => true },
      pause: async () => {},
    } as unknown as NonNullable<ApiOptions["identity"]>,
  });
  const send = (method: string, path: string, body: unknown, type = "application/json") =>
    app.request(path, { method, headers: { "content-type": type }, body: JSON.stringify(body) });
  const uses = (name: string, more: Partial<Audience> = {}): void => {
    const definition = { people: { not: { computedTrait: name, exists: true } } };
    audiences.push({ site: "shop", audience: "lookers", state: "active", definition, ...more } as Audience);
  };
  return { app, send, saved, asked, decided, uses, inTheMoment: (what: () => void) => (meanwhile = what) };
}

const signed = { actor: "ann", reason: "to see" };
const views = { compute: "count", event: "page" };

describe("computed traits", () => {
  it("are defined, changed, listed and removed, each a version", async () => {
    const { app, send } = build();
    const put = await send("PUT", "/v1/traits/views", { definition: views, ...signed });
    expect(put.status).toBe(200);
    expect(put.headers.get("cache-control")).toBe("no-store");
    const made = await put.json();
    expect(v.parse(schemas.traitAnswer, made)).toEqual(made);
    expect(made).toEqual({ name: "views", version: 1, type: "number", definition: views, at, ...signed });

    const list = { compute: "unique_list", event: "page", of: { column: "channel" } };
    expect(await (await send("PUT", "/v1/traits/views", { definition: list, ...signed })).json()).toMatchObject({
      version: 2,
      type: "list",
    });
    expect(await (await app.request("/v1/traits")).json()).toMatchObject({
      site: "shop",
      traits: [{ name: "views", version: 2 }],
    });
    expect(await (await app.request("/v1/traits?site=other")).json()).toEqual({ site: "other", traits: [] });

    expect((await send("DELETE", "/v1/traits/views", signed)).status).toBe(204);
    expect(await (await app.request("/v1/traits")).json()).toEqual({ site: "shop", traits: [] });
    expect(await (await app.request("/v1/traits/views")).json()).toMatchObject({
      versions: [{ version: 3, definition: null }, { version: 2 }, { version: 1, definition: views }],
    });
    expect((await send("DELETE", "/v1/traits/views", signed)).status).toBe(404);
    expect(await (await send("PUT", "/v1/traits/views", { definition: views, ...signed })).json()).toMatchObject({
      version: 4,
    });
  });

  it("that are too large to be asked are refused, and nothing is kept", async () => {
    const { send, saved } = build();
    const large = { is: 1, isNot: 2, in: [3, "x", "y", 4], notIn: [5, 6, "z"], atLeast: 1, atMost: 9, lessThan: 8 };
    const where = Array.from({ length: 20 }, (_, n) => ({ property: `products[].p${n}`, ...large }));
    const definition = { compute: "count", event: "*", where };
    const answer = await send("PUT", "/v1/traits/spent", { definition, ...signed });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({
      code: "trait_invalid",
      faults: [{ path: "where", message: expect.stringContaining("fewer") }],
    });
    expect(saved).toEqual([]);
    const smaller = { ...definition, where: where.slice(0, 5) };
    expect((await send("PUT", "/v1/traits/spent", { definition: smaller, ...signed })).status).toBe(200);
  });

  it("that are wrong are refused with every fault and its place, and nothing is kept", async () => {
    const { send, saved } = build();
    const answer = await send("PUT", "/v1/traits/spent", {
      definition: { compute: "sum", event: "Order Completed" },
      ...signed,
    });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({
      code: "trait_invalid",
      message: expect.stringContaining("definition.of"),
      faults: [{ path: "of", message: expect.stringContaining("is missing") }],
    });
    expect(saved).toEqual([]);
  });

  it.each([
    ["PUT", "/v1/traits/Views", { definition: views, ...signed }, 400],
    ["PUT", "/v1/traits/views", { definition: views, actor: "ann" }, 400],
    ["PUT", "/v1/traits/views", { definition: views, actor: " ", reason: "x" }, 400],
    ["PUT", "/v1/traits/views?site=nowhere", { definition: views, ...signed }, 404],
    ["PUT", "/v1/traits/views", { definition: views, actor: "ann", reason: "too late" }, 409],
    ["DELETE", "/v1/traits/nothing", signed, 404],
    ["POST", "/v1/duplicates/accept", { left: 64, right: 0, ...signed }, 400],
    ["POST", "/v1/duplicates/dismiss", { left: 64, right: 128, actor: "ann" }, 400],
    ["POST", "/v1/duplicates/dismiss", { left: 64, right: 128, person: 192, ...signed }, 400],
    ["POST", "/v1/duplicates/dismiss", { left: 64, right: 404, ...signed }, 404],
  ])("%s %s %j is answered with %i", async (method, path, body, status) => {
    const { send, saved, decided } = build();
    expect((await send(method, path, body)).status).toBe(status);
    expect([...saved, ...decided]).toEqual([]);
  });

  it("stay while audiences stand on them, also when one does since the same moment", async () => {
    const { send, app, saved, uses, inTheMoment } = build();
    for (const name of ["views", "other"]) await send("PUT", `/v1/traits/${name}`, { definition: views, ...signed });
    uses("views", { state: "archived" });
    uses("views", { site: "other" });
    uses("other", { audience: "lookers" });
    const refused = await send("DELETE", "/v1/traits/other", signed);
    expect([refused.status, await refused.json()]).toEqual([
      409,
      expect.objectContaining({ code: "trait_in_use", message: expect.stringContaining("lookers") }),
    ]);
    expect(saved).toHaveLength(2);

    inTheMoment(() => {
      inTheMoment(() => {});
      uses("views", { audience: "late" });
    });
    expect((await send("DELETE", "/v1/traits/views", signed)).status).toBe(409);
    expect(saved.slice(2).map(({ name, version, definition }) => [name, version, definition])).toEqual([
      ["views", 2, undefined],
      ["views", 3, views],
    ]);
    expect(await (await app.request("/v1/traits/views")).json()).toMatchObject({ name: "views" });
  });

  it("and decisions take JSON alone, which a foreign page cannot send", async () => {
    const { send, saved, decided } = build();
    for (const [method, path] of [
      ["PUT", "/v1/traits/views"],
      ["DELETE", "/v1/traits/views"],
      ["POST", "/v1/duplicates/accept"],
      ["POST", "/v1/duplicates/dismiss"],
    ] as const)
      // oxfmt-ignore
      expect((await send(method, path, { definition: views, left: 1, right: 2, ...signed }, "text/plain")).status).toBe(415);
    expect([...saved, ...decided]).toEqual([]);
  });
});

describe("duplicates", () => {
  it("come a page at a time, with why", async () => {
    const { app, asked } = build();
    const body = await (await app.request("/v1/duplicates?limit=1&minScore=60")).json();
    expect(v.parse(duplicatesAnswer, body)).toEqual(body);
    expect(body).toMatchObject({
      duplicates: [{ left: 64, right: 128, score: 98, signs: [{ sign: "email" }, {}] }],
      next: "98-64-128",
    });
    await app.request("/v1/duplicates?after=98-64-128");
    expect(asked).toEqual([
      { minScore: 60, limit: 1 },
      { minScore: 50, limit: 50, after: { score: 98, left: 64, right: 128 } },
    ]);
    expect(await (await app.request("/v1/duplicates")).json()).toMatchObject({ next: null });
    for (const query of ["after=x", "limit=0", "minScore=101"])
      expect((await app.request(`/v1/duplicates?${query}`)).status, query).toBe(400);
  });

  it("are accepted and dismissed with a name and a reason", async () => {
    const { send, decided } = build();
    const accepted = await send("POST", "/v1/duplicates/accept", { left: 64, right: 128, ...signed });
    expect([accepted.status, await accepted.json()]).toEqual([200, { decision: "decision-1", isSettled: true }]);
    const dismissed = await send("POST", "/v1/duplicates/dismiss?site=other", { left: 64, right: 192, ...signed });
    expect([dismissed.status, await dismissed.json()]).toEqual([201, { decision: "decision-1" }]);
    expect(decided).toEqual([
      { action: "merge", site: "shop", left: 64, right: 128, ...signed },
      { action: "dismiss", site: "other", left: 64, right: 192, ...signed },
    ]);
  });
});
