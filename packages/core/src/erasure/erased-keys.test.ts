import { expect, it } from "vitest";
import { createErasedKeys, keysOf, keysToErase, type ErasedIdentity } from "./erased-keys.ts";

const keys = createErasedKeys(new Uint32Array([1, 2, 3, 4]));
const identity = (over: Partial<ErasedIdentity>): ErasedIdentity => ({
  site: "shop",
  anonymousId: "",
  userId: "",
  isOnlyUserOfDevice: true,
  isNobody: over.userId === undefined,
  isNobodysDevice: over.anonymousId === undefined,
  ...over,
});
const isRefused = (erased: readonly ErasedIdentity[], anonymousId: string, userId: string, site = "shop"): boolean => {
  const found = new Set(keysToErase(erased, keys));
  return keysOf(site, anonymousId, userId, keys).some((key) => found.has(key));
};

it("knows the device and the user of an erased person again, together and alone", () => {
  const an = [identity({ anonymousId: "phone" }), identity({ anonymousId: "phone", userId: "an" })];
  expect(isRefused(an, "phone", "")).toBe(true);
  expect(isRefused(an, "phone", "an")).toBe(true);
  expect(isRefused(an, "tablet", "an")).toBe(true);
  expect(isRefused(an, "", "an")).toBe(true);
  expect(isRefused(an, "tablet", "")).toBe(false);
  expect(isRefused(an, "", "")).toBe(false);
  expect(isRefused(an, "phone", "", "other")).toBe(false);
});

it("leaves who else logs in on the device alone, and what nobody did there when it is shared", () => {
  const an = [identity({ anonymousId: "phone", userId: "an", isOnlyUserOfDevice: false })];
  expect(isRefused(an, "phone", "bo")).toBe(false);
  expect(isRefused(an, "phone", "")).toBe(false);
  expect(isRefused(an, "phone", "an")).toBe(true);
});

it("takes an id that many send for nobody's: only the one device with it is known", () => {
  const guest = [identity({ anonymousId: "phone", userId: "guest", isNobody: true })];
  expect(isRefused(guest, "phone", "guest")).toBe(true);
  expect(isRefused(guest, "tablet", "guest")).toBe(false);
});

it("takes an event with a user id that stands for nobody for one of its device alone", () => {
  for (const nobody of ["null", " Undefined ", "0000-00", "test@shop.example"]) {
    const device = [identity({ anonymousId: "phone" })];
    expect(isRefused(device, "phone", nobody)).toBe(true);
    expect(isRefused(device, "tablet", nobody)).toBe(false);
    const said = [identity({ anonymousId: "phone", userId: nobody, isNobody: true })];
    expect(isRefused(said, "phone", "")).toBe(true);
    expect(isRefused(said, "phone", "undefined")).toBe(true);
    expect(isRefused(said, "phone", "bo")).toBe(false);
    expect(isRefused(said, "", nobody)).toBe(false);
    const shared = [identity({ anonymousId: "phone", userId: "an", isOnlyUserOfDevice: false })];
    expect(isRefused(shared, "phone", nobody)).toBe(false);
  }
});

it("knows of a site's own value for nobody where it was said before the erasure", () => {
  const said = [identity({ anonymousId: "till", userId: "counter", isNobody: true })];
  expect(isRefused(said, "till", "")).toBe(true);
  expect(isRefused(said, "till", "counter")).toBe(true);
});

it("takes an identity of which neither id stands for somebody for itself alone", () => {
  const nobody = { isOnlyUserOfDevice: false, isNobodysDevice: true };
  const alone = [
    identity({ anonymousId: "null", ...nobody }),
    identity({ anonymousId: "guest", userId: "none", isNobody: true, ...nobody }),
    identity({ userId: "guest", isNobody: true, ...nobody }),
  ];
  for (const [device, user] of [
    ["null", ""],
    ["guest", "none"],
    ["", "guest"],
  ] as const)
    expect(isRefused(alone, device, user)).toBe(true);
  for (const [device, user] of [
    ["null", "none"],
    ["guest", ""],
    ["guest", "null"],
    ["", "none"],
    ["phone", "guest"],
  ] as const)
    expect(isRefused(alone, device, user)).toBe(false);
});

it("makes another hash of the same text as a device, as a user and under another key", () => {
  const other = createErasedKeys(new Uint32Array([1, 2, 3, 5]));
  const hashes = [
    keys.device("shop", "x"),
    keys.user("shop", "x"),
    keys.pair("shop", "x", ""),
    other.device("shop", "x"),
  ];
  expect(new Set(hashes).size).toBe(4);
  expect(hashes.every((hash) => hash >= 0n && hash < 2n ** 64n)).toBe(true);
});
