import { encodeChoice, refusalPeriodMs } from "@polder/protocol";
import { expect, it } from "vitest";
import { readConsentHere } from "./read-consent-here.ts";

it("knows nothing before a choice", () => {
  expect(readConsentHere("")).toEqual({ kind: "none" });
  expect(readConsentHere("other=1; polder_aid=abc.def")).toEqual({ kind: "none" });
  expect(readConsentHere("polder_consent=nonsense")).toEqual({ kind: "none" });
  expect(readConsentHere("x_polder_consent=v1.0.t4k000.")).toEqual({ kind: "none" });
});

it("reads a no", () => {
  const cookie = encodeChoice({ mask: 0, consentId: "", at: Date.UTC(2026, 10, 22) });
  expect(readConsentHere(`a=b; polder_consent=${cookie}`)).toEqual({
    kind: "refused",
    since: Math.floor(Date.UTC(2026, 10, 22) / refusalPeriodMs) * refusalPeriodMs,
  });
});

it("reads a yes, without what is necessary anyway", () => {
  const cookie = encodeChoice({ mask: 1 + 2 + 4, consentId: "abc", at: 1_795_000_000_000 });
  expect(readConsentHere(`polder_consent=${cookie}; a=b`)).toEqual({
    kind: "granted",
    purposes: ["measurement", "profile"],
    at: 1_795_000_000_000,
  });
});
