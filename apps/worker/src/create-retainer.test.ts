import type { SiteRetention } from "@polder/core";
import { expect, it } from "vitest";
import { createRetainer } from "./create-retainer.ts";

const shop: SiteRetention[] = [{ id: "shop", retention: { anonymousDays: 60, knownDays: 200 } }];

function start() {
  const did: string[] = [];
  const state = { time: Date.UTC(2026, 10, 22), sites: shop, isAway: false };
  const act = <T>(what: string, result: T): Promise<T> => {
    did.push(what);
    return state.isAway ? Promise.reject(new Error("away")) : Promise.resolve(result);
  };
  const retainer = createRetainer({
    store: { applyPolicy: () => act("apply", true), forgetIdentities: () => act("forget", 3) },
    now: () => new Date(state.time),
    logger: { info: (message) => void did.push(message), warn() {}, error() {} },
    sites: () => state.sites,
    lookEveryMs: 1_000,
  });
  return { retainer, state, did };
}

it("applies the configuration once, and again when it changes", async () => {
  const { retainer, state, did } = start();
  expect(await retainer.tick()).toBe(3);
  expect(await retainer.tick()).toBe(0);
  expect(did).toEqual(["apply", "retention applied", "forget"]);
  state.sites = [{ id: "shop", retention: { anonymousDays: 30, knownDays: 200 } }];
  await retainer.tick();
  expect(did).toEqual(["apply", "retention applied", "forget", "apply", "retention applied"]);
});

it("looks for what is left at its own pace", async () => {
  const { retainer, state, did } = start();
  await retainer.tick();
  state.time += 999;
  await retainer.tick();
  state.time += 1;
  expect(await retainer.tick()).toBe(3);
  expect(did.filter((what) => what === "forget")).toHaveLength(2);
});

it("applies nothing without a configuration, and says so", async () => {
  const did: string[] = [];
  const retainer = createRetainer({
    store: { applyPolicy: () => Promise.reject(new Error("applied")), forgetIdentities: () => Promise.resolve(3) },
    now: () => new Date(0),
    logger: { info() {}, warn: (message) => void did.push(message), error() {} },
  });
  expect(await retainer.tick()).toBe(3);
  await retainer.tick();
  expect(did).toEqual([expect.stringMatching(/^no configuration: retention stays/)]);
});

it("does again what failed", async () => {
  const { retainer, state, did } = start();
  state.isAway = true;
  await expect(retainer.tick()).rejects.toThrow("away");
  state.isAway = false;
  expect(await retainer.tick()).toBe(3);
  expect(did).toEqual(["apply", "apply", "retention applied", "forget"]);
});
