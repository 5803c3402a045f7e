import { decodeChoice, encodeChoice, refusalPeriodMs } from "@polder/protocol";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ConsentOptions } from "./consent.ts";
import { stubDevice } from "./device.test-support.ts";

const day = 86_400_000;
const start = Date.UTC(2026, 10, 22);

let device: ReturnType<typeof stubDevice>;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: start });
  vi.resetModules();
  device = stubDevice();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const createConsent = async (gpc = false, options: ConsentOptions = {}) =>
  (await import("./consent.ts")).createConsent(gpc, options);

describe("consent", () => {
  it("knows nothing at first", async () => {
    const consent = await createConsent();
    expect(consent.status()).toMatchObject({ status: "unset", purposes: { necessary: true, measurement: false } });
    expect([...device.cookies, ...Object.keys(device.local)]).toEqual([]);
  });

  it("keeps a grant, and finds it again on the next page", async () => {
    const consent = await createConsent();
    const decision = consent.weigh({ measurement: true, profile: true }, { notice: { version: "1" } });
    expect(consent.status().status).toBe("unset");
    consent.keep(decision);
    expect(device.cookies.get("polder_consent")).toBe(decision.text);
    expect(device.local.polder_consent).toBe(decision.text);
    expect(decodeChoice(decision.text)).toEqual({ mask: 6, consentId: decision.stamp.id, at: start });
    const next = (await createConsent()).current();
    expect(next).toMatchObject({ status: "granted", mask: 6 });
    expect(next.stamp).toMatchObject({ id: decision.stamp.id, at: new Date(start).toISOString() });
  });

  it("keeps the same constant for everyone who refuses", async () => {
    const texts = await Promise.all(
      Array.from({ length: 100 }, async () => {
        const consent = await createConsent();
        const decision = consent.weigh("none", undefined);
        consent.keep(decision);
        expect(consent.status().status).toBe("denied");
        return decision.text;
      }),
    );
    expect(new Set(texts)).toEqual(new Set([encodeChoice({ mask: 0, at: start, consentId: "" })]));
  });

  it("says what a new choice takes back", async () => {
    const consent = await createConsent();
    consent.keep(consent.weigh("all", undefined));
    expect(consent.weigh({ measurement: true }, undefined).stamp.purposes).toEqual({
      measurement: "granted",
      profile: "withdrawn",
      personalisation: "withdrawn",
      prediction: "withdrawn",
      ads: "withdrawn",
    });
  });

  it("asks again after a year", async () => {
    const consent = await createConsent();
    consent.keep(consent.weigh("all", undefined));
    vi.setSystemTime(start + 366 * day);
    expect((await createConsent()).status().status).toBe("unset");
  });

  it("asks again after a refusal, not before six months and not after eight", async () => {
    for (const refusedAt of [
      start - (start % refusalPeriodMs),
      start - (start % refusalPeriodMs) + refusalPeriodMs - 1,
    ]) {
      vi.setSystemTime(refusedAt);
      const consent = await createConsent();
      consent.keep(consent.weigh("none", undefined));
      vi.setSystemTime(refusedAt + 184 * day);
      expect(consent.status().status).toBe("denied");
      vi.setSystemTime(refusedAt + 215 * day);
      expect(consent.status()).toMatchObject({ status: "unset", purposes: { measurement: false } });
      expect((await createConsent()).status().status).toBe("unset");
    }
  });

  it.each([30, "30"])("asks again after the days that the site gives a yes: %j", async (grantDays) => {
    const consent = await createConsent(false, { grantDays });
    consent.keep(consent.weigh("all", undefined));
    vi.setSystemTime(start + 30 * day);
    expect(consent.current()).toMatchObject({ status: "granted", mask: 62 });
    vi.setSystemTime(start + 30 * day + 1);
    expect(consent.current()).toMatchObject({ status: "unset", mask: 0, isPerson: false });
    expect((await createConsent(false, { grantDays })).status().status).toBe("unset");
    // A page of the site whose tag says nothing of it.
    expect((await createConsent()).status().status).toBe("granted");
  });

  it.each([0, "0", -5, 0.5])("gives a yes a day where the site gives it none: %j", async (grantDays) => {
    const consent = await createConsent(false, { grantDays });
    consent.keep(consent.weigh("all", undefined));
    vi.setSystemTime(start + day);
    expect(consent.status().status).toBe("granted");
    vi.setSystemTime(start + day + 1);
    expect(consent.status().status).toBe("unset");
  });

  it.each([366, 100_000, "Infinity", "", "a year", undefined])(
    "never gives a yes more than a year: %j",
    async (grantDays) => {
      const consent = await createConsent(false, { grantDays });
      consent.keep(consent.weigh("all", undefined));
      vi.setSystemTime(start + 365 * day);
      expect(consent.status().status).toBe("granted");
      vi.setSystemTime(start + 365 * day + 1);
      expect(consent.status().status).toBe("unset");
    },
  );

  it.each([
    [365, 365],
    ["400", 400],
    [183, 184],
    [1, 184],
    [-1000, 184],
    ["never", 184],
    [undefined, 184],
  ])(
    "asks again after a refusal when the site says so (%j days), and not before half a year",
    async (refusalDays, days) => {
      const period = start - (start % refusalPeriodMs);
      for (const refusedAt of [period, period + refusalPeriodMs - 1]) {
        vi.setSystemTime(refusedAt);
        const consent = await createConsent(false, { refusalDays });
        const decision = consent.weigh("none", undefined);
        // What is kept does not tell how long it holds.
        expect(decision.text).toBe(encodeChoice({ mask: 0, at: refusedAt, consentId: "" }));
        consent.keep(decision);
        vi.setSystemTime(refusedAt + days * day);
        expect(consent.status().status).toBe("denied");
        const next = await createConsent(false, { refusalDays });
        vi.setSystemTime(period + (days + 30) * day);
        expect(next.status().status).toBe("denied");
        vi.setSystemTime(period + (days + 30) * day + 1);
        expect(next.status()).toMatchObject({ status: "unset", purposes: { measurement: false } });
      }
    },
  );

  it("says when the last choice was made, also when it has grown too old, and nothing where there was none", async () => {
    const consent = await createConsent();
    expect(consent.status().at).toBeUndefined();
    consent.keep(consent.weigh("all", undefined));
    vi.setSystemTime(start + 366 * day);
    expect(consent.status()).toMatchObject({ status: "unset", at: new Date(start).toISOString() });
    consent.keep(consent.weigh("none", undefined));
    const now = start + 366 * day;
    expect((await createConsent()).status().at).toBe(new Date(now - (now % refusalPeriodMs)).toISOString());
  });

  it("is the same decision as long as it means the same, and another one once it is over", async () => {
    const consent = await createConsent();
    consent.keep(consent.weigh("all", undefined));
    const decision = consent.current();
    vi.setSystemTime(start + 364 * day);
    expect(consent.current()).toBe(decision);
    vi.setSystemTime(start + 366 * day);
    const over = consent.current();
    expect(over.mask).toBe(0);
    vi.setSystemTime(start + 500 * day);
    expect(consent.current()).toBe(over);
  });

  it("writes down what Global Privacy Control took from an older yes: ads and nothing else", async () => {
    const before = await createConsent();
    before.keep(before.weigh("all", undefined));
    const { stamp } = before.current();
    expect((await createConsent(true)).status().purposes).toMatchObject({ profile: true, ads: false });
    const after = (await createConsent()).current();
    expect(after.stamp).toMatchObject({ id: stamp.id, at: stamp.at });
    expect(after.stamp.purposes).toEqual({ ...stamp.purposes, ads: "denied" });
  });

  it("never grants ads under Global Privacy Control, whenever the yes was", async () => {
    const before = await createConsent();
    before.keep(before.weigh("all", undefined));
    expect(before.status().purposes.ads).toBe(true);
    const consent = await createConsent(true);
    expect(consent.status().purposes).toMatchObject({ profile: true, ads: false });
    expect(consent.weigh("all", undefined)).toMatchObject({
      mask: 30,
      stamp: { gpc: true, purposes: { ads: "denied" } },
    });
  });

  it("sees what another tab chose", async () => {
    const consent = await createConsent();
    consent.keep(consent.weigh("all", undefined));
    await Promise.resolve();
    device.cookies.set("polder_consent", encodeChoice({ mask: 0, at: start, consentId: "" }));
    expect(consent.current()).toMatchObject({ status: "denied", mask: 0 });
  });
});

describe("identity", () => {
  const identity = () => import("./identity.ts");

  it("makes an id once and keeps it", async () => {
    const { anonymousId } = await identity();
    const id = anonymousId();
    expect(id).toMatch(/^[\w-]{22}$/);
    expect(anonymousId()).toBe(id);
    expect(device.local.polder_aid).toBe(`${id}.${Math.floor(start / 1000).toString(36)}`);
  });

  it("lets the cookie win over the mirror", async () => {
    device.local.polder_aid = "mirror.t1kabc";
    device.cookies.set("polder_aid", `cookie.${Math.floor(start / 1000).toString(36)}`);
    expect((await identity()).anonymousId()).toBe("cookie");
  });

  it("lets the newer of two ids win: an answer that was under way may bring an older cookie back", async () => {
    const { anonymousId, changeIdentity, keepUserId, userId } = await identity();
    const first = anonymousId();
    const cookie = device.local.polder_aid!;
    keepUserId("jane");
    changeIdentity();
    const second = anonymousId();
    expect(second).not.toBe(first);
    device.cookies.set("polder_aid", cookie);
    await Promise.resolve();
    expect(anonymousId()).toBe(second);
    expect(userId()).toBeUndefined();
    expect(device.cookies.has("polder_aid")).toBe(false);
  });

  it("knows no user where the id is another: a subdomain that has not heard of a reset", async () => {
    const { keepUserId, userId } = await identity();
    keepUserId("jane");
    expect(userId()).toBe("jane");
    device.cookies.set("polder_aid", `other.${Math.floor(start / 1000 + 60).toString(36)}`);
    await Promise.resolve();
    expect(userId()).toBeUndefined();
  });

  it("takes another one after thirteen months, however often it was used", async () => {
    const { anonymousId } = await identity();
    const first = anonymousId();
    vi.setSystemTime(start + 394 * day);
    expect(anonymousId()).toBe(first);
    vi.setSystemTime(start + 396 * day);
    expect(anonymousId()).not.toBe(first);
  });

  it("forgets the id, the user and the session", async () => {
    const { anonymousId, forgetIdentity, keepUserId, userId } = await identity();
    const { nextSession } = await import("./session.ts");
    const first = anonymousId();
    keepUserId("jane");
    const session = nextSession(start, "https://shop.example/", "v");
    device.cookies.set("polder_aid", `${first}.t1kabc`);
    forgetIdentity();
    await Promise.resolve();
    expect([...device.cookies]).toEqual([]);
    expect(device.local).toEqual({});
    expect(userId()).toBeUndefined();
    expect(anonymousId()).not.toBe(first);
    expect(nextSession(start, "https://shop.example/", "v")).toMatchObject({ seq: 0 });
    expect(nextSession(start, "https://shop.example/", "v").id).not.toBe(session.id);
  });
});

describe("session", () => {
  const minute = 60_000;
  const nextSession = async (at: number, url = "https://shop.example/") =>
    (await import("./session.ts")).nextSession(at, url, "v");

  it("numbers its events, over pages", async () => {
    const first = await nextSession(start);
    const second = await nextSession(start + minute);
    vi.resetModules();
    const third = await nextSession(start + 2 * minute);
    expect([first, second, third].map(({ seq }) => seq)).toEqual([0, 1, 2]);
    expect(new Set([first, second, third].map(({ id }) => id)).size).toBe(1);
    expect(third.start).toBe(start);
  });

  it("ends after half an hour without events", async () => {
    const first = await nextSession(start);
    const late = await nextSession(start + 30 * minute);
    expect(late.id).toBe(first.id);
    const later = await nextSession(start + 61 * minute);
    expect(later.id).not.toBe(first.id);
    expect(later).toMatchObject({ start: start + 61 * minute, seq: 0 });
  });

  it("ends when a new campaign brings the visitor, and not while the same one does", async () => {
    const first = await nextSession(start, "https://shop.example/?utm_source=mail&utm_campaign=spring");
    const same = await nextSession(start, "https://shop.example/?page=2&utm_source=mail&utm_campaign=spring");
    const none = await nextSession(start, "https://shop.example/next");
    const other = await nextSession(start, "https://shop.example/?gclid=abc");
    expect([same.id, none.id]).toEqual([first.id, first.id]);
    expect(other.id).not.toBe(first.id);
  });

  it("of two tabs with a campaign each goes on, whichever is used", async () => {
    const first = (await import("./session.ts")).nextSession;
    const inFirst = () => first(start, "https://shop.example/?utm_content=one", "v");
    const one = inFirst();
    await Promise.resolve();
    vi.resetModules();
    const second = (await import("./session.ts")).nextSession;
    const inSecond = () => second(start, "https://shop.example/?utm_content=two", "v");
    const two = inSecond();
    expect(two.id).not.toBe(one.id);
    await Promise.resolve();
    const more = [inFirst().id];
    await Promise.resolve();
    more.push(inSecond().id);
    await Promise.resolve();
    expect([...more, inFirst().id]).toEqual([two.id, two.id, two.id]);
  });

  it("is another one when somebody else is here", async () => {
    const { nextSession: next } = await import("./session.ts");
    const one = next(start, "https://shop.example/", "v");
    expect(next(start, "https://shop.example/", "w").id).not.toBe(one.id);
  });

  it("survives what somebody else wrote into its place", async () => {
    device.local.polder_session = "not ours";
    expect(await nextSession(start)).toMatchObject({ start, seq: 0 });
  });
});
