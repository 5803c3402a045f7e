import type { Audience, AudiencePreview, AudiencePreviews } from "@polder/clickhouse";
import { Hono } from "hono";
import { describe, expect, it } from "vitest";
import { addPreviewRoutes } from "./preview-routes.ts";

const at = Date.parse("2026-11-22T12:00:00Z");
const consent = { necessary: 60, measurement: 60, profile: 60, personalisation: 49, prediction: 0, ads: 12 };
const person = { person: 64, userIds: ["u1"], firstSeen: at - 5, lastSeen: at, events: 3, orders: 1 };

function build(found: Partial<AudiencePreview> | undefined, asked: unknown[] = [], audiences: Audience[] = []) {
  const app = new Hono();
  const previews: AudiencePreviews = {
    preview: async (definition, context, limits) => {
      asked.push({ definition, site: context.site, timezone: context.timezone, now: context.now.getTime(), limits });
      return found && { people: 60, sample: [person], consent, ...found };
    },
  };
  addPreviewRoutes(app, {
    previews,
    store: { list: async () => ({ audiences, unreadable: [] }) },
    computedTraits: async () => new Map(),
    guarded: async (context, next) =>
      context.req.header("authorization") === "Bearer t" ? next() : context.json({ code: "token_required" }, 401),
    findSite: () => ({ id: "shop", timezone: "Europe/Amsterdam" }),
    now: () => at,
  });
  return async (body: unknown, headers: Record<string, string> = {}) => {
    const answer = await app.request("/v1/audiences/preview", {
      method: "POST",
      headers: { "content-type": "application/json", authorization: "Bearer t", ...headers },
      body: JSON.stringify(body),
    });
    return { status: answer.status, headers: answer.headers, body: (await answer.json()) as unknown };
  };
}

const definition = { people: { event: "Order Completed" } };

describe("POST /v1/audiences/preview", () => {
  it("counts, shows some of them, and says what they may be used for", async () => {
    const asked: unknown[] = [];
    const { status, headers, body } = await build({}, asked)({ definition });
    expect(status).toBe(200);
    expect(headers.get("cache-control")).toBe("no-store");
    expect(body).toMatchObject({ site: "shop", now: at, people: 60, sample: [person] });
    expect(body).toMatchObject({ consent: expect.arrayContaining([{ purpose: "ads", people: 12 }]) });
    expect(asked).toEqual([
      { definition, site: "shop", timezone: "Europe/Amsterdam", now: at, limits: { sample: 10, timeoutMs: 10_000 } },
    ]);
  });

  it("answers a bad definition with all its faults and their places, and asks nothing", async () => {
    const asked: unknown[] = [];
    const bad = { people: { all: [{ event: "page", within: { dayz: 1 } }, { consent: "adds" }] } };
    const { status, body } = await build({}, asked)({ definition: bad });
    expect(status).toBe(400);
    expect(body).toMatchObject({
      code: "audience_invalid",
      faults: [
        { path: "people.all[0].within.dayz", message: "is not known here: did you mean `days`?" },
        { path: "people.all[1].consent", message: expect.stringContaining("did you mean ads?") },
      ],
    });
    expect(asked).toEqual([]);
  });

  it("answers what stands on itself or on nothing in the same way", async () => {
    const ask = build({});
    expect(await ask({ definition: { people: { audience: "me" } }, id: "me" })).toMatchObject({
      status: 400,
      body: { faults: [{ path: "people.audience", message: expect.stringContaining("me → me") }] },
    });
    expect(await ask({ definition: { people: { audience: "gone" } } })).toMatchObject({
      status: 400,
      body: { faults: [{ path: "people.audience" }] },
    });
  });

  it("says so when it took too long", async () => {
    expect(await build(undefined)({ definition })).toMatchObject({ status: 503, body: { code: "preview_too_slow" } });
  });

  it("names nobody of an anonymous audience, and tells no small number", async () => {
    const { body } = await build({})({ definition, isAnonymous: true });
    expect(body).toMatchObject({ people: 60, sample: [] });
    expect(body).toMatchObject({
      consent: expect.arrayContaining([
        { purpose: "profile", people: 60 },
        { purpose: "personalisation", people: null },
        { purpose: "ads", people: null },
      ]),
    });
    expect((await build({ people: 49 })({ definition, isAnonymous: true })).body).toMatchObject({
      people: null,
      sample: [],
    });
  });

  it("names nobody of an anonymous audience by way of another definition either", async () => {
    const crowd = { site: "shop", audience: "crowd", state: "active", isAnonymous: true, definition } as Audience;
    const asked: unknown[] = [];
    const ask = build({}, asked, [crowd]);
    const upon = { people: { audience: "crowd" } };
    expect(await ask({ definition: upon })).toMatchObject({
      status: 400,
      body: { faults: [{ path: "people.audience", message: expect.stringContaining("is an anonymous audience") }] },
    });
    expect(asked).toEqual([]);
    expect(await ask({ definition: upon, isAnonymous: true })).toMatchObject({ status: 200, body: { sample: [] } });
  });

  it("takes JSON with the token, and nothing else", async () => {
    const ask = build({});
    expect((await ask({ definition }, { authorization: "" })).status).toBe(401);
    expect((await ask({ definition }, { "content-type": "text/plain" })).status).toBe(415);
    expect((await ask({ definition, more: 1 })).status).toBe(400);
  });
});
