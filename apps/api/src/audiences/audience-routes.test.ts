import type { Audience, AudienceQueries, AudienceStore } from "@polder/clickhouse";
import { Registry } from "prom-client";
import { describe, expect, it } from "vitest";
import { createApi, type ApiOptions } from "../create-api.ts";
import { createSampleStore } from "../sample-queries.test-support.ts";

const at = Date.parse("2026-11-22T12:00:00Z");
const day = 86_400_000;
const actor = "ann@shop.example";
const viewed = { people: { event: "page" } };
const on = (...ids: string[]): object => ({ people: { all: ids.map((audience) => ({ audience })) } });

/** Audiences in memory: each revision is made once. */
function build() {
  const saved: Audience[] = [];
  const unreadable: { site: string; audience: string; fault: string }[] = [];
  const traits = new Map<string, number>();
  /** As many who ask for all audiences as have to be there before any is answered. */
  let together = 0;
  let waiting: (() => void)[] = [];
  const lastOf = (id: string) => saved.findLast(({ audience }) => audience === id);
  const store: AudienceStore = {
    async list() {
      const audiences = [...new Set(saved.map(({ audience }) => audience))].map((id) => lastOf(id)!);
      if (together > 0) {
        const met = new Promise<void>((resolve) => waiting.push(resolve));
        if (waiting.length === together) {
          together = 0;
          for (const go of waiting) go();
          waiting = [];
        }
        await met;
      }
      return { audiences, unreadable };
    },
    find: async (_, id) => lastOf(id),
    revisions: async (_, id) => saved.filter(({ audience }) => audience === id),
    async save(revision) {
      if (saved.some((each) => each.audience === revision.audience && each.revision >= revision.revision)) return false;
      saved.push(revision);
      return true;
    },
  };
  const names = async () => new Map([...traits].filter(([, version]) => version > 0).map(([name]) => [name, {}]));
  const { app } = createApi({
    queries: createSampleStore().queries,
    sites: () => [{ id: "shop", name: "Shop", timezone: "UTC" }],
    logger: { info() {}, warn() {}, error() {} },
    registry: new Registry(),
    now: () => new Date(at),
    isStoreReachable: async () => true,
    audiences: {
      store,
      queries: { peopleOf: async () => new Map() } as unknown as AudienceQueries,
      exports: {} as NonNullable<ApiOptions["audiences"]>["exports"],
      readyMade: [],
      computedTraits: names,
    },
  });
  const ask = async (method: string, path: string, body: object): Promise<{ status: number; body: Answer }> => {
    const answer = await app.request(`/v1/audiences${path}`, {
      method,
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ actor, ...body }),
    });
    return { status: answer.status, body: (await answer.json()) as Answer };
  };
  const make = async (id: string, more: object = {}): Promise<void> => {
    const { status, body } = await ask("POST", "", { id, name: id, definition: viewed, ...more });
    expect([status, status === 201 ? undefined : body]).toEqual([201, undefined]);
  };
  return {
    ask,
    make,
    saved,
    unreadable,
    traits,
    lastOf,
    meeting: (people: number): void => void (together = people),
  };
}

interface Answer {
  code?: string;
  message?: string;
  expiresAt?: number;
  faults?: { path: string; message: string }[];
}

describe("an id that is taken", () => {
  it("is refused before anything is written, also where its definition cannot be read", async () => {
    const { ask, make, saved, unreadable } = build();
    await make("viewers");
    unreadable.push({ site: "shop", audience: "older", fault: "it is no JSON" });
    for (const id of ["viewers", "older"])
      expect(await ask("POST", "", { id, name: "Other", definition: viewed })).toMatchObject({
        status: 409,
        body: { code: "audience_exists" },
      });
    expect(saved.map(({ audience, name }) => [audience, name])).toEqual([["viewers", "viewers"]]);
  });
});

describe("an anonymous audience", () => {
  it("is named by no audience that names its people", async () => {
    const { ask, make, saved } = build();
    await make("crowd", { isAnonymous: true });
    await make("viewers");
    const refused = {
      status: 400,
      body: {
        code: "audience_invalid",
        faults: [{ path: "people.all[0].audience", message: expect.stringContaining("is an anonymous audience") }],
      },
    };
    expect(await ask("POST", "", { id: "x", name: "x", definition: on("crowd") })).toMatchObject(refused);
    expect(await ask("PUT", "/viewers", { definition: on("crowd") })).toMatchObject(refused);
    expect(saved).toHaveLength(2);
    await make("both", { isAnonymous: true, definition: on("crowd", "viewers") });
  });

  it("lives no longer than those that it stands on", async () => {
    const { ask, make, lastOf } = build();
    await make("short", { isAnonymous: true, livesDays: 2 });
    await make("other", { isAnonymous: true, livesDays: 20 });
    await make("upon", { isAnonymous: true, livesDays: 30, definition: on("other") });
    expect(lastOf("upon")!.expiresAt).toBe(at + 20 * day);
    expect((await ask("PUT", "/upon", { definition: on("other", "short") })).body.expiresAt).toBe(at + 2 * day);
    expect((await ask("PUT", "/upon", { definition: viewed })).body.expiresAt).toBe(at + 2 * day);
  });
});

describe("two changes at once", () => {
  it("never leave a circle: what was made in between is taken back and answered 409", async () => {
    const { ask, make, meeting, saved, lastOf } = build();
    await make("a");
    await make("b");
    meeting(2);
    const answers = await Promise.all([
      ask("PUT", "/a", { definition: on("b") }),
      ask("PUT", "/b", { definition: on("a") }),
    ]);
    expect(answers.map(({ status, body }) => [status, body.code])).toContainEqual([409, "audience_changed"]);
    const left = ["a", "b"].filter((id) => JSON.stringify(lastOf(id)!.definition) !== JSON.stringify(viewed));
    expect(left.length).toBeLessThan(2);
    // Each definition that ever held has a number of its own.
    for (const id of ["a", "b"]) {
      const own = saved.filter(({ audience }) => audience === id);
      const texts = own.map(({ version, definition }) => `${version} ${JSON.stringify(definition)}`);
      expect(new Set(own.map(({ version }) => version)).size).toBe(new Set(texts).size);
    }
  });

  it("never archive what the other one stands on from now on", async () => {
    const { ask, make, meeting, lastOf } = build();
    await make("a");
    await make("b");
    meeting(2);
    const answers = await Promise.all([
      ask("PUT", "/a", { state: "archived" }),
      ask("PUT", "/b", { definition: on("a") }),
    ]);
    expect(answers.some(({ status }) => status === 409)).toBe(true);
    const isNamed = JSON.stringify(lastOf("b")!.definition) === JSON.stringify(on("a"));
    expect(isNamed && lastOf("a")!.state === "archived").toBe(false);
  });

  it("leave no new audience that stands on what has just gone", async () => {
    const { ask, make, meeting, lastOf } = build();
    await make("a");
    meeting(2);
    const [made] = await Promise.all([
      ask("POST", "", { id: "b", name: "b", definition: on("a") }),
      ask("PUT", "/a", { state: "archived" }),
    ]);
    const isThere = lastOf("b")!.state === "active";
    expect(isThere).toBe(made.status === 201);
    expect(isThere && lastOf("a")!.state === "archived").toBe(false);
  });
});
