import { createMemoryConsentLedger } from "@polder/core/contracts";
import type { SiteKey } from "@polder/core";
import { buildConsent, buildEvent, buildSite } from "@polder/testing";
import { encodeChoice, encodeDeviceId, maskOf } from "@polder/protocol";
import { beforeEach, expect, it } from "vitest";
import { answerOf, buildCollector, shopOrigin, writeKey, type TestCollector } from "./collector.test-support.ts";

const site = buildSite({
  cookieDomain: "shop.example",
  beforeChoice: { mode: "measurement" as const, reason: "Counting alone." },
});
const key: SiteKey = { site, kind: "write" };
const url = "https://shop.example/product/p1?utm_campaign=s3cret&email=s3cret#s3cret";
const pageView = { type: "page", context: { page: { url, path: "/product/p1", referrer: "" } } };
const userAgent =
  "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.7444.59 Safari/537.36";
const device = { anonymousId: "visitor-1", createdAt: Date.parse("2026-11-01T00:00:00Z") };
const at = Date.parse("2026-11-22T20:00:00Z");

let built: TestCollector;
beforeEach(() => {
  built = buildCollector({
    sites: { findKey: (text) => (text === writeKey ? key : undefined), findSite: () => site, sites: () => [site] },
    ledger: createMemoryConsentLedger(),
  });
});
const post = (batch: object[], headers: { [name: string]: string } = {}): Promise<Response> =>
  built.post(
    "/v1/batch",
    { writeKey, batch },
    { origin: shopOrigin, "user-agent": userAgent, "content-type": "text/plain", ...headers },
  );

it("counts a page view before a choice, and gives no cookie and takes none, whatever came along", async () => {
  const cookie = `polder_aid=${encodeDeviceId(device)}; polder_id=${encodeDeviceId(device)}; other=s3cret`;
  for (const headers of [{}, { cookie, referer: url, "sec-gpc": "1", "accept-language": "xx-s3cret" }]) {
    const answer = await post([{ ...pageView, messageId: "s3cret", anonymousId: "visitor-1" }], headers);
    expect(answer.headers.getSetCookie()).toEqual([]);
    expect(await answerOf(answer)).toEqual({ accepted: 1, rejected: [] });
  }
  const rows = built.log.rows();
  expect(rows).toMatchObject(
    [1, 2].map(() => ({ consent_mask: maskOf(["measurement"]), basis: "audience_measurement" })),
  );
  const { appends } = built.log;
  const records = appends.flatMap(({ records: each }) => each);
  expect(records.map(({ headers }) => [headers.anonymousId, headers.userId])).toEqual([
    ["", ""],
    ["", ""],
  ]);
  expect(new Set(records.map(({ key: of }) => of)).size).toBe(2);
  const stored = JSON.stringify([rows, records.map(({ key: of, headers }) => [of, headers]), built.lines]);
  for (const trace of ["s3cret", "visitor-1", "7444", "142", "203.0.113"]) expect(stored).not.toContain(trace);
});

it("counts by the pixel of a page without scripts, and no mail that is opened", async () => {
  const address = `/v1/pixel.gif?writeKey=${writeKey}&anonymousId=visitor-1`;
  const show = (headers: { [name: string]: string }): Promise<Response> =>
    Promise.resolve(built.collector.app.request(address, { headers: { "user-agent": userAgent, ...headers } }));
  const shown = await show({ referer: "https://shop.example/about?s3cret" });
  expect(shown.headers.get("x-polder-result")).toBe("accepted");
  expect(shown.headers.getSetCookie()).toEqual([]);
  for (const headers of [{}, { referer: "https://mail.example/inbox" }])
    expect((await show(headers)).headers.get("x-polder-result")).toBe("no_consent");
  expect(built.log.rows()).toMatchObject([{ url_path: "/about" }]);
  expect(JSON.stringify(built.log.rows())).not.toMatch(/s3cret|visitor-1/);
});

it("obeys a no that a browser has on it, also beside another domain's yes", async () => {
  const refusal = encodeChoice({ mask: 0, at, consentId: "" });
  const grant = (...purposes: Parameters<typeof maskOf>[0][]): string =>
    encodeChoice({ mask: maskOf(purposes.flatMap((each) => [...each])), at, consentId: "c" });
  const outcomeOf = async (cookie: string): Promise<string> => {
    const { accepted, rejected } = await answerOf(await post([pageView], { cookie }));
    return accepted === 1 ? "accepted" : rejected[0]!.reason;
  };
  expect(await outcomeOf(`polder_consent=${refusal}`)).toBe("consent_withdrawn");
  expect(await outcomeOf(`polder_consent=${grant(["ads"])}`)).toBe("consent_withdrawn");
  expect(await outcomeOf(`polder_consent=${grant(["measurement"])}; polder_consent=${refusal}`)).toBe(
    "consent_withdrawn",
  );
  expect(await outcomeOf(`polder_consent=${grant(["measurement"])}`)).toBe("accepted");
  expect(await outcomeOf("polder_consent=what")).toBe("accepted");
  expect(built.log.rows()).toHaveLength(2);
});

it("drops everything else that carries no choice, in the same request, and keeps nothing of it", async () => {
  const { consent: _, ...context } = buildEvent().context!;
  const others = ["track", "screen", "identify"].map((type) =>
    buildEvent({ ...buildEvent(), type: type as "track", context }),
  );
  const refused = { ...pageView, context: { ...pageView.context, consent: buildConsent([]) } };
  const broken = { ...pageView, name: "s3cret".repeat(100) };
  const { accepted, rejected } = await answerOf(await post([...others, pageView, refused, broken]));
  expect(accepted).toBe(1);
  expect(rejected.map(({ index, reason }) => [index, reason])).toEqual([
    [0, "no_consent"],
    [1, "no_consent"],
    [2, "no_consent"],
    [4, "no_consent"],
    [5, "name_too_long"],
  ]);
  expect(built.log.rows()).toHaveLength(1);
  expect(built.log.rejectedRows()).toMatchObject([{ body: "" }]);
});
