import {
  ClickHouseQueryError,
  compileAudiences,
  type Audience,
  type AudienceStore,
  type AudienceTickStore,
} from "@polder/clickhouse";
import type { AudienceDefinition } from "@polder/core";
import { describe, expect, it } from "vitest";
import { createAudienceTicker } from "./create-audience-ticker.ts";

const noon = Date.parse("2026-11-22T12:00:00Z");
const day = 86_400_000;
const viewed: AudienceDefinition = { people: { event: "page" } };
const on = (audience: string): AudienceDefinition => ({ people: { audience } });
const refusal = new ClickHouseQueryError(241, "Memory limit exceeded");

const anAudience = (audience: string, more: Partial<Audience> = {}): Audience => ({
  site: "shop",
  audience,
  revision: 1,
  version: 1,
  name: audience,
  definition: viewed,
  isAnonymous: false,
  purpose: "profile",
  state: "active",
  everySeconds: 10,
  sizeFloor: 50,
  expiresAt: undefined,
  at: noon,
  actor: "test",
  reason: "",
  ...more,
});

/** A ticker over a store that writes down what it is asked, with nobody in it. */
function build(audiences: readonly Audience[], { consentFails = "", definitionFails = "" } = {}) {
  const saved = [...audiences];
  /** Of each audience that was worked out, by what. */
  const asked: string[] = [];
  const counted: string[] = [];
  const warned: string[] = [];
  let nowMs = noon;
  let n = 0;
  const store: AudienceStore = {
    list: async () => ({
      audiences: [...new Map(saved.map((audience) => [`${audience.site} ${audience.audience}`, audience])).values()],
      unreadable: [],
    }),
    find: async () => undefined,
    revisions: async () => [],
    save: async (revision) => {
      saved.push(revision);
      return true;
    },
  };
  const ticks: AudienceTickStore = {
    takeTurn: async (worker) => ({ n: ++n, worker, seq: 0 }),
    seqAfter: async () => 0,
    changedAfter: async () => [],
    applyLog: async () => {},
    lastSizes: async () => [],
    identityMoves: async () => ({ hasMoved: false, signature: "" }),
    async workOutConsent(_, site) {
      if (site === consentFails) throw refusal;
    },
    async logChanges(_, works, { compiled }) {
      if (compiled !== undefined && works.some(({ audience }) => audience.audience === definitionFails)) throw refusal;
      asked.push(...works.map(({ audience: { site, audience }, by }) => `${site}/${audience} by ${by}`));
      return 0;
    },
    logWithdrawn: async () => 0,
    logErased: async () => 0,
    writeSizes: async () => {},
    async countAnonymous({ audience }) {
      counted.push(audience);
      return { people: 60, isBelowFloor: false };
    },
    writeAnonymousSize: async () => {},
    purgeSizes: async () => {},
    rememberIdentities: async () => {},
    changesAfter: async () => [],
    toldUpTo: async () => new Map(),
    markTold: async () => {},
  };
  const ticker = createAudienceTicker({
    store,
    ticks,
    compile: compileAudiences,
    sites: () => [
      { id: "blog", timezone: "UTC" },
      { id: "shop", timezone: "UTC" },
    ],
    workerId: "worker",
    now: () => new Date(nowMs),
    logger: {
      info() {},
      error() {},
      warn: (_, fields) => void warned.push(String(fields?.["audience"] ?? fields?.["site"])),
    },
  });
  const tick = async (after = 10_000): Promise<string[]> => {
    nowMs += after;
    asked.length = 0;
    await ticker.tick();
    return [...asked];
  };
  const stateOf = (id: string) => saved.findLast(({ audience }) => audience === id)?.state;
  return { tick, warned, counted, stateOf };
}

describe("an audience that cannot be worked out", () => {
  it("keeps only those who still may be in it, and holds up no other", async () => {
    const missing = anAudience("on-nothing", { definition: on("gone") });
    const circle = [anAudience("x", { definition: on("y") }), anAudience("y", { definition: on("x") })];
    const trait = anAudience("by-trait", { definition: { people: { computedTrait: "removed", exists: true } } });
    const { tick, warned } = build([missing, ...circle, trait, anAudience("viewers")]);
    for (const _ of [1, 2]) {
      expect((await tick()).toSorted()).toEqual([
        "shop/by-trait by members",
        "shop/on-nothing by members",
        "shop/viewers by definition",
        "shop/x by members",
        "shop/y by members",
      ]);
    }
    expect(new Set(warned)).toEqual(new Set(["by-trait", "on-nothing", "x", "y"]));
  });

  it("does so as well when the server refuses the question", async () => {
    const { tick, warned } = build([anAudience("heavy"), anAudience("viewers")], { definitionFails: "heavy" });
    expect((await tick()).toSorted()).toEqual(["shop/heavy by members", "shop/viewers by definition"]);
    expect(warned).toEqual(["heavy"]);
  });
});

describe("a site whose consent cannot be worked out", () => {
  it("keeps its audiences as they are and holds up no other site, until it can", async () => {
    const audiences = [anAudience("viewers"), anAudience("readers", { site: "blog" })];
    const failing = build(audiences, { consentFails: "blog" });
    expect(await failing.tick()).toEqual(["shop/viewers by definition"]);
    expect(await failing.tick()).toEqual(["shop/viewers by definition"]);
    expect(failing.warned).toEqual(["blog", "blog"]);
    expect(await build(audiences).tick()).toEqual(["blog/readers by definition", "shop/viewers by definition"]);
  });
});

describe("an anonymous audience", () => {
  it("is not told through one that names its people, and counts for another anonymous one", async () => {
    const crowd = anAudience("crowd", { isAnonymous: true });
    const { tick, counted, warned } = build([
      crowd,
      anAudience("named", { definition: on("crowd") }),
      anAudience("upon", { isAnonymous: true, definition: on("crowd") }),
    ]);
    expect(await tick()).toEqual(["shop/named by members"]);
    expect(warned).toEqual(["named"]);
    expect(counted).toEqual(["crowd", "upon"]);
  });

  it("ends with its time, though it is worked out seldom, or not at all since what it stood on is gone", async () => {
    const over = { isAnonymous: true, everySeconds: 86_400, expiresAt: noon + 20_000 };
    const { tick, stateOf, counted } = build([
      anAudience("crowd", over),
      anAudience("paused", { ...over, state: "paused" }),
      anAudience("upon", { ...over, definition: on("gone") }),
      anAudience("longer", { ...over, expiresAt: noon + day }),
    ]);
    await tick();
    expect(["crowd", "paused", "upon"].map(stateOf)).toEqual(["active", "paused", "active"]);
    await tick();
    expect(["crowd", "paused", "upon", "longer"].map(stateOf)).toEqual(["archived", "archived", "archived", "active"]);
    expect(counted).toEqual(["crowd", "longer"]);
  });
});
