import { purposes, type Purpose } from "@polder/protocol";
import { checkProperty } from "@polder/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ConsentStatus } from "../consent.ts";
import { takeOver } from "./platform.ts";

const asked = purposes.slice(1);
type Held = { [P in Purpose]: boolean };
const held = (...granted: Purpose[]): Held =>
  Object.fromEntries(
    purposes.map((purpose) => [purpose, purpose === "necessary" || granted.includes(purpose)]),
  ) as Held;

/** What is set when the platform grants these names, each the name of a purpose; undefined when nothing is. */
function chosen(state: Partial<ConsentStatus>, granted: readonly string[], isAct: boolean) {
  let choice: { [P in Purpose]?: boolean } | undefined;
  const status: ConsentStatus = { status: "unset", purposes: held(), gpc: false, ...state };
  const consent = { get: () => status, set: (made: typeof choice) => (choice = made) };
  const names = Object.fromEntries(asked.map((purpose) => [purpose, [purpose, "always"]]));
  takeOver(
    { consent } as never,
    names,
    (name: string) => name === "always" || granted.includes(name),
    { test: "as it was said" },
    isAct,
  );
  return choice && asked.filter((purpose) => choice![purpose]);
}

const at = "2026-11-22T12:00:00.000Z";

describe("what a platform says", () => {
  it("is the choice where nothing was ever chosen, a no as well", () => {
    expect(chosen({}, ["measurement", "ads"], false)).toEqual(["measurement", "ads"]);
    expect(chosen({}, [], false)).toEqual([]);
  });

  it("is no other choice when it is the one that holds", () => {
    expect(chosen({ status: "granted", at, purposes: held("ads") }, ["ads"], true)).toBeUndefined();
    expect(chosen({ status: "denied", at }, [], true)).toBeUndefined();
    expect(chosen({ status: "granted", at, gpc: true, purposes: held("profile") }, ["profile", "ads"], true)).toBe(
      undefined,
    );
  });

  it("takes away, repeated or not, and gives back by an act alone", () => {
    const state = { status: "granted", at, purposes: held("measurement", "ads") } as const;
    expect(chosen(state, ["measurement", "profile"], false)).toEqual(["measurement"]);
    expect(chosen(state, ["measurement", "profile"], true)).toEqual(["measurement", "profile"]);
    expect(chosen({ status: "denied", at }, asked, false)).toBeUndefined();
    expect(chosen({ status: "denied", at }, asked, true)).toEqual(asked);
  });

  it("that is repeated when the choice has grown too old is no choice, an act is, a no as well", () => {
    expect(chosen({ status: "unset", at }, asked, false)).toBeUndefined();
    expect(chosen({ status: "unset", at }, [], false)).toBeUndefined();
    expect(chosen({ status: "unset", at }, [], true)).toEqual([]);
  });

  it("gives nothing for a purpose that needs none of its names", () => {
    let choice: object | undefined;
    const consent = {
      get: () => ({ status: "unset", purposes: held(), gpc: false }),
      set: (made: object) => (choice = made),
    };
    takeOver({ consent } as never, { measurement: [], profile: ["a"] }, () => true, { test: "" }, true);
    expect(choice).toEqual({
      measurement: false,
      profile: true,
      personalisation: false,
      prediction: false,
      ads: false,
    });
  });

  it("never leads to more than it says, nor, repeated, to more than what holds", () => {
    const some = fc.subarray<Purpose>([...asked]);
    checkProperty(
      fc.property(some, some, fc.boolean(), fc.boolean(), fc.boolean(), (holding, granted, isAct, gpc, isKnown) => {
        const status = holding.length > 0 ? "granted" : isKnown ? "denied" : "unset";
        const state = {
          status,
          purposes: held(...holding),
          gpc,
          ...((isKnown || holding.length > 0) && { at }),
        } as const;
        const result = chosen(state, granted, isAct) ?? holding;
        if (chosen(state, granted, isAct)) for (const purpose of result) expect(granted).toContain(purpose);
        if (!isAct && state.at) for (const purpose of result) expect(holding).toContain(purpose);
      }),
    );
  });
});
