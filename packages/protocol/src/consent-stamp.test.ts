import { describe, expect, it } from "vitest";
import { consentOf, readConsentStamp } from "./consent-stamp.ts";
import { purposes } from "./purpose.ts";

const at = "2026-11-22T20:15:00.000Z";
const allDenied = {
  v: 1,
  id: "",
  purposes: {
    necessary: "denied",
    measurement: "denied",
    profile: "denied",
    personalisation: "denied",
    prediction: "denied",
    ads: "denied",
  },
};

describe("a consent object", () => {
  it("of ours is read as it is", () => {
    const stamp = {
      v: 1,
      id: "c1",
      purposes: { measurement: "granted", ads: "withdrawn" },
      regime: "opt_out",
      at,
      gpc: true,
      notice: { version: "3", hash: "abc", language: "nl", variant: "bar" },
      texts: { measurement: "0".repeat(64), ads: "f".repeat(64) },
    };
    expect(readConsentStamp(stamp)).toEqual(stamp);
  });

  it.each([
    [
      { ads: "F".repeat(64), profile: 1, newsletter: "0".repeat(64) },
      { ads: "unreadable", profile: "unreadable" },
    ],
    ["0".repeat(64), Object.fromEntries(purposes.map((purpose) => [purpose, "unreadable"]))],
    [{ ads: null }, undefined],
    [null, undefined],
  ])("that names the text shown as %j passes for no text of today", (texts, read) => {
    expect(readConsentStamp({ v: 1, id: "c", purposes: { ads: "granted" }, texts })?.texts).toEqual(read);
  });

  it.each([undefined, null, {}])("that says nothing is nothing known: %j", (value) => {
    expect(readConsentStamp(value)).toBeUndefined();
  });

  it.each([
    "granted",
    1,
    true,
    [],
    [{}],
    { granted: true },
    { v: 2, purposes: {} },
    { purposes: { ads: "granted" } },
    { v: 1, purposes: [] },
    { categoryPreferences: 1 },
    { allowedConsentIds: "ads" },
  ])("that cannot be read is a no to everything: %j", (value) => {
    expect(readConsentStamp(value)).toEqual(allDenied);
  });

  it("with an unknown state says no for that purpose", () => {
    const given = { measurement: "GRANTED", profile: true, ads: "granted", prediction: null, newsletter: "granted" };
    expect(readConsentStamp({ v: 1, id: "c", purposes: given })?.purposes).toEqual({
      measurement: "denied",
      profile: "denied",
      ads: "granted",
    });
  });

  it("with an unknown regime or an odd GPC is read in the strictest way", () => {
    expect(readConsentStamp({ v: 1, id: "c", purposes: {}, regime: "whatever", gpc: "1" })).toMatchObject({
      regime: "opt_in",
      gpc: true,
    });
    expect(readConsentStamp({ v: 1, id: "c", purposes: {}, gpc: false })?.gpc).toBe(false);
  });
});

describe("a consent object of Segment's", () => {
  it("counts where its categories carry our names, in any case", () => {
    const consent = { categoryPreferences: { Measurement: true, PROFILE: true, ads: false, C0004: true } };
    expect(consentOf({ consent }, at)).toEqual({
      v: 1,
      id: "",
      at,
      purposes: { measurement: "granted", profile: "granted", ads: "denied" },
    });
  });

  it("says no where a category is not plainly true, and where it says both", () => {
    const consent = {
      categoryPreferences: { measurement: "yes", profile: false, Profile: true, ads: true, ADS: false },
    };
    expect(consentOf({ consent }, at)?.purposes).toEqual({ measurement: "denied", profile: "denied", ads: "denied" });
  });

  it("is nothing known where no category carries a name of ours", () => {
    expect(consentOf({ consent: { categoryPreferences: { Advertising: true } } }, at)).toBeUndefined();
  });
});

describe("a consent object of RudderStack's", () => {
  it("counts where its ids are our names", () => {
    const consentManagement = {
      provider: "custom",
      allowedConsentIds: ["Measurement", "profile"],
      deniedConsentIds: ["ads", "profile"],
    };
    expect(consentOf({ consentManagement }, at)).toEqual({
      v: 1,
      id: "",
      at,
      purposes: { measurement: "granted", profile: "denied", ads: "denied" },
    });
  });

  it("is not looked at beside one of ours", () => {
    const consentManagement = { allowedConsentIds: ["ads"] };
    expect(consentOf({ consent: { v: 1, id: "c", purposes: {} }, consentManagement }, at)?.purposes).toEqual({});
  });
});

it.each([undefined, null, 7, "context", []])("a context of %j has no consent", (context) => {
  expect(consentOf(context)).toBeUndefined();
});
