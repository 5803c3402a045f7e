import { buildConsent, buildEvent, buildSite, builtAt } from "@polder/testing";
import type { ConsentStamp } from "@polder/protocol";
import { describe, expect, it } from "vitest";
import { createPipeline } from "./pipeline.ts";

const pipeline = createPipeline({
  ledger: { latest: () => undefined, timesOf: () => undefined },
  countryOf: () => "",
  newId: () => "made-id",
});

function noticeOf(consent: Partial<ConsentStamp>, gpc = false): string {
  const event = buildEvent({ type: "consent", context: { consent: buildConsent(["measurement"], consent) } });
  const result = pipeline.run(event, {
    key: { site: buildSite(), kind: "write" },
    receivedAt: Date.parse(builtAt),
    ip: "",
    country: "",
    userAgent: "",
    gpc,
    cookieAnonymousId: () => "",
    cookieRefusesMeasurement: () => false,
    choices: [],
  });
  if (!result.ok) throw new Error(result.reason);
  return result.row.notice;
}

describe("what was shown when a choice was made", () => {
  const measurement = "0".repeat(64);

  it("is kept with the choice: the notice, the text of each purpose", () => {
    const notice = { version: "3", language: "nl", variant: "bar" };
    expect(JSON.parse(noticeOf({ notice, texts: { measurement } }))).toEqual({ ...notice, texts: { measurement } });
  });

  it("says that Global Privacy Control was on, whoever said so", () => {
    const { notice: _, ...bare } = buildConsent();
    expect(JSON.parse(noticeOf({ ...bare, gpc: true }))).toMatchObject({ gpc: true });
    expect(JSON.parse(noticeOf({}, true))).toMatchObject({ gpc: true });
    expect(noticeOf({})).not.toContain("gpc");
  });
});
