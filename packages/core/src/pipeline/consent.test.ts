import { buildConsent, buildEvent, buildSite, builtAt } from "@polder/testing";
import {
  maskOf,
  purposes,
  type ConsentStamp,
  type ConsentState,
  type PolderEvent,
  type Purpose,
} from "@polder/protocol";
import { beforeEach, describe, expect, it } from "vitest";
import { createMemoryConsentLedger } from "../contracts/memory-consent-ledger.ts";
import type { ConsentLedger } from "../ports/consent-ledger.ts";
import type { SiteKey } from "../ports/site-directory.ts";
import type { EventRow } from "../row/event-row.ts";
import { createPipeline, type Pipeline, type PipelineResult } from "./pipeline.ts";
import type { Repair, RequestContext } from "./step.ts";

const receivedAt = Date.parse(builtAt);
const minute = 60_000;
const day = 24 * 60 * minute;
const asked = purposes.slice(1);
const writeKey: SiteKey = { site: buildSite(), kind: "write" };
const optOut: SiteKey = { ...writeKey, site: buildSite({ regime: "opt_out" as const }) };

let ledger: ConsentLedger;
let lookedUp: string[];
let repairs: Repair[];
let pipeline: Pipeline;

beforeEach(() => {
  ledger = createMemoryConsentLedger();
  lookedUp = [];
  repairs = [];
  pipeline = createPipeline({
    ledger: {
      ...ledger,
      latest: (visitor) => {
        lookedUp.push(visitor);
        return ledger.latest(visitor);
      },
    },
    countryOf: () => "",
    newId: () => "made-id",
    observer: {
      timeOneIn: 1000,
      clock: () => 0,
      onTiming: () => {},
      onStop: () => {},
      onRepair: (repair) => repairs.push(repair),
    },
  });
});

/** Runs the events of one request, and records what they chose. */
async function send(
  events: readonly PolderEvent[],
  overrides: Partial<RequestContext> = {},
): Promise<PipelineResult[]> {
  const context: RequestContext = {
    key: writeKey,
    receivedAt,
    ip: "",
    country: "",
    userAgent: "",
    gpc: false,
    cookieAnonymousId: () => "",
    cookieRefusesMeasurement: () => false,
    choices: [],
    ...overrides,
  };
  const results = events.map((event) => pipeline.run(event, context));
  await ledger.record(context.choices);
  return results;
}

const rowOf = (result: PipelineResult | undefined): EventRow => {
  if (!result?.ok) throw new Error(`The event was stopped: ${result?.reason ?? "there is none"}.`);
  return result.row;
};

const statesOf = (granted: readonly Purpose[], other: "denied" | "withdrawn"): ConsentStamp["purposes"] =>
  Object.fromEntries(asked.map((purpose) => [purpose, granted.includes(purpose) ? "granted" : other]));

/** A choice about every purpose, `ago` before the events. */
const stamp = (granted: readonly Purpose[], ago: number, more: Partial<ConsentStamp> = {}): ConsentStamp =>
  buildConsent([], {
    id: `choice-${ago}`,
    purposes: statesOf(granted, "withdrawn"),
    at: new Date(receivedAt - ago).toISOString(),
    ...more,
  });

type Overrides = Parameters<typeof buildEvent>[0];
const under = (consent: ConsentStamp | undefined, overrides: Overrides = {}): PolderEvent => {
  const { consent: _, ...context } = buildEvent().context!;
  return buildEvent({ context: consent === undefined ? context : { ...context, consent }, ...overrides });
};
const choice = (consent: ConsentStamp, overrides: Overrides = {}): PolderEvent =>
  under(consent, {
    type: "consent",
    event: undefined,
    ...(consent.at !== undefined && { timestamp: consent.at }),
    ...overrides,
  });

const all = stamp(asked, 10 * minute);
const forged = stamp(asked, 0, { id: "forged" });

describe("an event that claims more than the visitor's recorded choice", () => {
  it("is dropped where nothing is left of it, forged or in flight, and nothing of it is told", async () => {
    await send([choice(all), choice(stamp([], 5 * minute))]);
    for (const event of [under(all), under(forged), under(forged, { userId: "u" })]) {
      const [result] = await send([event]);
      expect(result).toEqual({
        ok: false,
        stop: "dropped",
        reason: "consent_withdrawn",
        detail: expect.stringContaining("recorded choice"),
      });
      expect(JSON.stringify(result)).not.toContain("visitor-1");
    }
    // What carries no consent is an integration's fault, recorded or not.
    expect(await send([under(undefined)])).toMatchObject([{ reason: "no_consent" }]);
    expect(repairs).toEqual([]);
  });

  it("loses who it was when only measurement is left, and cannot tell who someone is", async () => {
    await send([choice(stamp(["measurement"], minute))]);
    const [track, ...others] = await send([
      under(all, { userId: "user-1" }),
      under(all, { type: "identify", userId: "user-1", event: undefined }),
      under(all, { type: "alias", userId: "user-1", previousId: "visitor-1", event: undefined }),
      under(all, { type: "group", groupId: "group-1", event: undefined }),
    ]);
    expect(rowOf(track)).toMatchObject({
      consent_mask: maskOf(["necessary", "measurement"]),
      consent_id: "",
      session_id: "",
    });
    for (const secret of ["visitor-1", "user-1", "session-1", "choice-"])
      expect(JSON.stringify(track)).not.toContain(secret);
    for (const other of others) expect(other).toMatchObject({ stop: "dropped", reason: "consent_withdrawn" });
    expect(repairs).toEqual(["consent_narrowed"]);
  });

  it("loses the purpose alone, and what is kept for it alone", async () => {
    const click = { page: { url: "https://shop.example/?gclid=abc" } };
    const event = { ...under(all), context: { ...under(all).context, ...click } };
    expect(rowOf((await send([event]))[0]).click_id).toBe("abc");
    await send([choice(stamp(["measurement", "profile"], minute))]);
    expect(rowOf((await send([event]))[0])).toMatchObject({
      consent_mask: maskOf(["necessary", "measurement", "profile"]),
      anonymous_id: "visitor-1",
      click_id: "",
    });
  });

  it("is judged by its own words where these say less", async () => {
    await send([choice(all)]);
    expect(rowOf((await send([under(stamp(["measurement", "profile"], 20 * minute))]))[0]).consent_mask).toBe(
      maskOf(["necessary", "measurement", "profile"]),
    );
  });

  it("is judged by every form of its choice, also where it shares one with the event before it", async () => {
    const context = { ...under(all).context, consentManagement: { deniedConsentIds: ["profile"] } };
    const [before, denied, after] = await send([under(all), under(all, { context }), under(all)]);
    expect(rowOf(denied)).toMatchObject({ anonymous_id: "", consent_mask: maskOf(purposes) & ~maskOf(["profile"]) });
    for (const result of [before, after]) expect(rowOf(result).anonymous_id).toBe("visitor-1");
  });

  it("is judged by what came before it in its request, and not by what comes after", async () => {
    const results = await send([
      under(all),
      choice(stamp([], minute)),
      under(all),
      choice(stamp(["profile"], 0)),
      under(all),
    ]);
    expect(results.map((result) => result.ok && result.row.consent_mask)).toEqual([
      maskOf(purposes),
      maskOf(["necessary"]),
      false,
      maskOf(["necessary", "profile"]),
      maskOf(["necessary", "profile"]),
    ]);
  });

  it("is believed where nothing is recorded of its visitor: the record may be on its way", async () => {
    await send([choice(stamp([], minute), { anonymousId: "visitor-2" })]);
    const other = { ...writeKey, site: buildSite({ id: "other" }) };
    await send([choice(stamp([], minute))], { key: other });
    expect((await send([under(all)]))[0]!.ok).toBe(true);
    expect((await send([under(all)], { key: other }))[0]!.ok).toBe(false);
    expect((await send([under(all, { anonymousId: "visitor-2" })]))[0]!.ok).toBe(false);
  });

  it("is looked up by the id that it would be kept under", async () => {
    const no = stamp([], minute);
    await send([choice(no, { anonymousId: "device" })]);
    await send([choice(no, { anonymousId: undefined, userId: "user" })], { key: { ...writeKey, kind: "server" } });
    const stopped = async (overrides: Overrides, more: Partial<RequestContext> = {}): Promise<boolean> =>
      !(await send([under(all, overrides)], more))[0]!.ok;
    expect(await stopped({ anonymousId: " device " })).toBe(true);
    expect(await stopped({ anonymousId: undefined }, { cookieAnonymousId: () => "device" })).toBe(true);
    expect(await stopped({ anonymousId: "null" }, { cookieAnonymousId: () => "device" })).toBe(true);
    expect(await stopped({ anonymousId: undefined, userId: "user" })).toBe(true);
    // Of another device of the user it is not ours to say: the page there shows another choice.
    expect(await stopped({ anonymousId: "other", userId: "user" })).toBe(false);
    expect(await stopped({ anonymousId: undefined, userId: "device" })).toBe(false);
  });

  it("and joins an id that withdrew to another is dropped, device or user", async () => {
    const server: SiteKey = { ...writeKey, kind: "server" };
    await send([choice(stamp([], minute), { anonymousId: "gone" })]);
    await send([choice(stamp([], minute), { anonymousId: undefined, userId: "gone-user" })], { key: server });
    const alias = (previousId: string, userId = "user-1") =>
      under(forged, { type: "alias", event: undefined, anonymousId: "fresh", userId, previousId });
    for (const event of [alias("gone"), alias(" gone-user "), alias("gone", "null")])
      expect((await send([event]))[0]).toMatchObject({ stop: "dropped", reason: "consent_withdrawn" });
    expect((await send([{ ...alias("gone", "null"), anonymousId: "null" }]))[0]!.ok).toBe(false);
    expect(rowOf((await send([alias("other")]))[0]).previous_id).toBe("other");
  });

  it("is not looked up when it names nobody or may not be kept anyway, and once for all events of a visitor", async () => {
    await send([under(undefined), under(stamp([], minute)), under(all, { anonymousId: undefined })]);
    expect(lookedUp).toEqual([]);
    await send([under(all), under(all), under(all), under(all, { anonymousId: "visitor-2" })]);
    expect(lookedUp).toEqual(["shop:visitor-1", "shop:visitor-2"]);
  });
});

describe("the record of a choice", () => {
  it("counts in the order in which the choices were made, not in that of their arrival", async () => {
    await send([choice(stamp([], minute))]);
    const [late] = await send([choice(all)]);
    // The record of a yes that came too late: it says no more of anybody than the newest choice allows.
    expect(rowOf(late)).toMatchObject({ consent_id: all.id, consent_mask: maskOf(["necessary"]) });
    for (const secret of ["visitor-1", "session-1", "/product"]) expect(JSON.stringify(late)).not.toContain(secret);
    expect((await send([under(all)]))[0]!.ok).toBe(false);
    await send([choice(stamp(asked, 0))]);
    expect(rowOf((await send([under(all)]))[0]).consent_mask).toBe(maskOf(purposes));
  });

  it("of a withdrawal keeps its id, or it could not be carried out", async () => {
    await send([choice(all)]);
    expect(rowOf((await send([choice(stamp([], minute))]))[0])).toMatchObject({
      anonymous_id: "visitor-1",
      consent_mask: 1,
    });
  });

  it("of a no to what nobody was asked about keeps its id as well, and of a first no elsewhere it does not", async () => {
    const idAfter = async (key: SiteKey, state: ConsentState, more: Partial<ConsentStamp> = {}): Promise<string> =>
      rowOf((await send([choice(stamp([], 0, { purposes: { profile: state }, ...more }))], { key }))[0]).anonymous_id;
    for (const regime of ["opt_out", "notice"] as const) {
      const key = { ...writeKey, site: buildSite({ regime }) };
      for (const state of ["denied", "opted_out", "withdrawn"] as const)
        expect(await idAfter(key, state, { regime }), `${regime} ${state}`).toBe("visitor-1");
    }
    for (const state of ["denied", "opted_out"] as const) {
      expect(await idAfter(writeKey, state)).toBe("");
      // A page that asks first has stored nothing that would have to go.
      expect(await idAfter(optOut, state, { regime: "opt_in" })).toBe("");
    }
  });

  it("is that of a device: a write key cannot choose for a user whose id it guessed", async () => {
    const [yes, no] = [stamp(asked, minute), stamp([], minute)];
    for (const consent of [yes, no])
      for (const anonymousId of [undefined, "null", " "]) {
        const choices: RequestContext["choices"] = [];
        const guess = choice(consent, { anonymousId, userId: "customer-42" });
        expect((await send([guess], { choices }))[0]).toEqual({
          ok: false,
          stop: "rejected",
          reason: "missing_id",
          detail: expect.stringContaining("anonymousId"),
        });
        expect(choices).toEqual([]);
      }
    const byUser = choice(no, { anonymousId: undefined, userId: "customer-42" });
    expect((await send([byUser], { cookieAnonymousId: () => "device" }))[0]!.ok).toBe(true);
    expect(ledger.latest("shop/customer-42")).toBeUndefined();
    expect((await send([byUser], { key: { ...writeKey, kind: "server" } }))[0]!.ok).toBe(true);
    expect(ledger.latest("shop/customer-42")?.refused).toBe(maskOf(asked));
  });

  it("holds the choice and what a platform said of it, and nothing else that was sent along", async () => {
    const raw = { tcf: "CQ~abc.def_1-2", gcm: '{"ad_storage":"denied"}' };
    const properties = {
      raw: { ...raw, note: "jan de vries", mail: "jan@shop.example", long: "x".repeat(9000), deep: { a: "b" } },
      customer: "jan",
    };
    const page = { url: "https://shop.example/my/jan?q=jan", title: "Of jan", referrer: "https://shop.example/jan" };
    const sent = (consent: ConsentStamp) =>
      choice(consent, { properties, context: { ...under(consent).context, page, campaign: { name: "jan" } } });
    const [refused, measured] = await send([sent(stamp([], minute)), sent(stamp(["measurement"], 0))]);
    expect(rowOf(refused)).toMatchObject({ properties: { raw }, url_host: "", url_path: "", url_query: "" });
    expect(JSON.stringify(refused)).not.toContain("jan");
    expect(rowOf(measured)).toMatchObject({ properties: { raw }, url_path: "/my/jan" });
    const odd = [{ raw: "jan" }, { raw: ["jan"] }, { raw: null }, { raw: { jan: 7 } }];
    for (const result of await send(odd.map((given) => choice(stamp([], 0), { properties: given }))))
      expect(rowOf(result).properties).toEqual({});
  });

  it("counts in the order of its request where two are of one moment", async () => {
    const withoutAds = asked.filter((purpose) => purpose !== "ads");
    const [yes, no] = [stamp(asked, minute), stamp(withoutAds, minute)];
    await send([choice(yes), choice(no), choice(yes)]);
    expect(ledger.latest("shop:visitor-1")?.granted).toBe(maskOf(asked));
    await send([choice(stamp(asked, 0)), choice(stamp(withoutAds, 0))]);
    expect(ledger.latest("shop:visitor-1")?.granted).toBe(maskOf(withoutAds));
  });

  it("is no newer for its copies: a yes before a withdrawal stays before it, however often it comes", async () => {
    const old = choice(stamp(asked, 13));
    await send([choice(stamp([], 10)), ...Array.from({ length: 5 }, () => old), under(all)]);
    expect(ledger.latest("shop:visitor-1")).toMatchObject({ granted: 0, refused: maskOf(asked) });
  });

  it("that was imported counts from when it was made", async () => {
    const server: SiteKey = { ...writeKey, kind: "server" };
    await send([choice(all)]);
    await send([choice(stamp([], 90 * day))], { key: server });
    expect(ledger.latest("shop:visitor-1")?.granted).toBe(maskOf(asked));
    await send([choice(stamp([], minute))], { key: server });
    expect(ledger.latest("shop:visitor-1")?.granted).toBe(0);
  });

  it("that names nobody is recorded of nobody", async () => {
    const choices: RequestContext["choices"] = [];
    await send([choice(stamp([], minute), { anonymousId: undefined })], { choices });
    expect(choices).toEqual([]);
  });
});

describe("time", () => {
  it("ends a yes, recorded or claimed, and no event can bring it back", async () => {
    await send([choice(all)]);
    const laterBy = async (ms: number, consent: ConsentStamp): Promise<boolean> =>
      (await send([under(consent)], { receivedAt: receivedAt + ms }))[0]!.ok;
    expect(await laterBy(354 * day, all)).toBe(true);
    expect(await laterBy(366 * day, all)).toBe(false);
    const fresh = { ...all, id: "forged", at: new Date(receivedAt + 366 * day).toISOString() };
    expect(await laterBy(366 * day, fresh)).toBe(false);
    await send([choice(fresh)], { receivedAt: receivedAt + 366 * day });
    expect(await laterBy(366 * day, fresh)).toBe(true);
  });

  it("ends it when the site says, and with the text that it was given to", async () => {
    const short = { ...writeKey, site: buildSite({ grantLifetimeMs: 30 * day }) };
    const old = stamp(asked, 31 * day);
    expect((await send([under(old)], { key: short }))[0]!.ok).toBe(false);
    expect((await send([under(old)]))[0]!.ok).toBe(true);
    await send([choice(old)]);
    expect((await send([under(forged)], { key: short }))[0]!.ok).toBe(false);

    const [today, before] = ["a".repeat(64), "b".repeat(64)];
    const site = buildSite({ currentTexts: { profile: new Set([today]) } });
    const shown = (hash: string) => under(stamp(asked, 0, { texts: { profile: hash } }), { anonymousId: "reader" });
    const masks = (await send([shown(today), shown(before)], { key: { ...writeKey, site } })).map(
      (result) => result.ok && result.row.consent_mask,
    );
    expect(masks).toEqual([maskOf(purposes), maskOf(purposes.filter((purpose) => purpose !== "profile"))]);
    // Every later event says which text it was, as much of it as a device keeps: who changes a text need not wait for a yes to grow old.
    const kept = (
      await send([shown(today.slice(0, 8)), shown(before.slice(0, 8))], { key: { ...writeKey, site } })
    ).map((result) => result.ok && result.row.consent_mask);
    expect(kept).toEqual(masks);
  });

  it("says that it ended with its text where nothing else is left of it", async () => {
    const [today, before] = ["a".repeat(64), "b".repeat(64)];
    const site = buildSite({ currentTexts: { profile: new Set([today]), measurement: new Set([today]) } });
    const texts = { profile: before, measurement: before };
    const [result] = await send([under(stamp(["profile", "measurement"], 0, { texts }))], {
      key: { ...writeKey, site },
    });
    expect(result).toMatchObject({ ok: false, reason: "no_consent", detail: expect.stringContaining("another text") });
    const [never] = await send([under(stamp([], 0))], { key: { ...writeKey, site } });
    expect(never).toMatchObject({
      ok: false,
      reason: "no_consent",
      detail: expect.not.stringContaining("another text"),
    });
  });
});

describe("Global Privacy Control", () => {
  const withoutAds = maskOf(purposes.filter((purpose) => purpose !== "ads"));
  const maskNow = async (consent: ConsentStamp | undefined, overrides: Partial<RequestContext>): Promise<number> =>
    rowOf((await send([under(consent)], overrides))[0]).consent_mask;

  it("that is taken back later grants nothing", async () => {
    for (const [key, consent] of [
      [optOut, undefined],
      [{ ...writeKey, site: buildSite({ id: "strict" }) }, all],
    ] as const) {
      expect(await maskNow(consent, { key })).toBe(maskOf(purposes));
      expect(await maskNow(consent, { key, gpc: true })).toBe(withoutAds);
      expect(await maskNow(consent, { key })).toBe(withoutAds);
    }
  });

  it("gives way to a yes that is given after it", async () => {
    await maskNow(undefined, { key: optOut, gpc: true });
    const yes = stamp(asked, -minute);
    await send([choice(yes)], { key: optOut, receivedAt: receivedAt + minute });
    expect(await maskNow(yes, { key: optOut, receivedAt: receivedAt + minute })).toBe(maskOf(purposes));
    expect(await maskNow(yes, { key: optOut, receivedAt: receivedAt + minute, gpc: true })).toBe(withoutAds);
  });

  it("is recorded once, of visitors who may be known, and where it takes something away", async () => {
    const recorded = async (
      consent: ConsentStamp | undefined,
      key: SiteKey,
      overrides: Overrides = {},
    ): Promise<number> => {
      const choices: RequestContext["choices"] = [];
      await send([under(consent, overrides), under(consent, overrides)], { key, gpc: true, choices });
      return choices.length;
    };
    expect(await recorded(undefined, optOut)).toBe(1);
    expect(await recorded(undefined, optOut)).toBe(0);
    expect(await recorded(stamp(["measurement", "ads"], minute), writeKey, { anonymousId: "a" })).toBe(0);
    expect(await recorded(stamp(["measurement", "profile"], minute), writeKey, { anonymousId: "b" })).toBe(0);
    expect(await recorded(undefined, optOut, { anonymousId: undefined })).toBe(0);
  });

  it("with a choice takes ads out of that choice", async () => {
    await send([choice(all)], { gpc: true });
    expect(ledger.latest("shop:visitor-1")).toMatchObject({ granted: withoutAds & ~1, refused: maskOf(["ads"]) });
    expect(await maskNow(all, {})).toBe(withoutAds);
  });
});

describe("a key with a basis of its own", () => {
  const keyWith = (basis: NonNullable<SiteKey["basis"]>["basis"]): SiteKey => ({
    ...writeKey,
    basis: { purposes: ["measurement", "profile", "ads"], basis, reason: "as the owner says" },
  });
  const mask = maskOf(["measurement", "profile", "ads"]);

  it.each([
    ["consent_elsewhere", maskOf(["measurement", "profile"])],
    ["legitimate_interest", maskOf(["measurement", "profile"])],
    ["contract", mask],
    ["legal_obligation", mask],
  ] as const)("for %s", async (basis, expected) => {
    const key = keyWith(basis);
    expect(rowOf((await send([under(undefined)], { key }))[0]).consent_mask).toBe(mask);
    await send([choice(stamp(["measurement", "profile"], minute))]);
    expect(rowOf((await send([under(undefined)], { key }))[0])).toMatchObject({ consent_mask: expected, basis });
    await send([choice(stamp([], 0))]);
    expect((await send([under(undefined)], { key }))[0]!.ok).toBe(expected === mask);
  });

  it("says nothing where the event carries a choice of its own", async () => {
    expect(await send([under(stamp([], minute))], { key: keyWith("contract") })).toMatchObject([
      { reason: "no_consent" },
    ]);
  });
});
