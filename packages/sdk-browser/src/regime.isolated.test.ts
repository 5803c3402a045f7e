import { decodeRegime, encodeChoice, encodeRegime, purposes, type Purpose } from "@polder/protocol";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { stubDevice } from "./device.test-support.ts";

const day = 86_400_000;
const start = Date.UTC(2026, 10, 22, 12);
const asked = purposes.slice(1);
const withoutAds = asked.filter((purpose) => purpose !== "ads");
const today = encodeRegime({ regime: "opt_out", at: start, objected: 0 });
const objected = encodeRegime({ regime: "opt_out", at: start, objected: 32 });

let device: ReturnType<typeof stubDevice>;
let urls: string[];
let answer: () => Promise<unknown>;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: start });
  vi.resetModules();
  device = stubDevice();
  urls = [];
  answer = () => Promise.resolve({ regime: "opt_out" });
  vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
    urls.push(url);
    expect(init).toMatchObject({ credentials: "omit", referrerPolicy: "no-referrer" });
    return { json: answer };
  });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** A page whose tag asks. `ask` is what its start waits for before it tidies up, which it has to do once. */
async function openPage(gpc = false) {
  const { createConsent } = await import("./consent.ts");
  const { askRegime } = await import("./regime.ts");
  const finder = askRegime();
  const consent = createConsent(gpc, {}, finder);
  const ask = async (): Promise<void> => {
    const tidy = vi.fn();
    await finder.ask(consent, "https://data.example", "pk_1", tidy);
    expect(tidy).toHaveBeenCalledOnce();
  };
  return { consent, ask, granted: () => permitted(consent.status().purposes) };
}

const permitted = (held: { [P in Purpose]: boolean }): Purpose[] => asked.filter((purpose) => held[purpose]);
const kept = (): string[] => [...device.cookies.values(), ...Object.values(device.local)];
const keep = (text: string): void => {
  device.cookies.set("polder_consent", text);
  device.local.polder_consent = text;
};

describe("a page that asks for the regime", () => {
  it.each(["opt_out", "notice"] as const)("lets events flow without a choice after the answer %s", async (regime) => {
    answer = () => Promise.resolve({ regime });
    const { consent, ask, granted } = await openPage();
    const waiting = ask();
    expect(consent.status()).toMatchObject({ status: "unset", regime: "asked", purposes: { measurement: false } });
    expect(consent.current().mask).toBe(0);
    await waiting;
    expect(urls).toEqual(["https://data.example/v1/regime?writeKey=pk_1"]);
    expect(consent.status()).toMatchObject({ status: "unset", regime });
    expect(consent.status().at).toBeUndefined();
    expect(granted()).toEqual(asked);
    expect(consent.current()).toMatchObject({ mask: 62, isPerson: true });
    expect(JSON.parse(JSON.stringify(consent.current().stamp))).toEqual({
      v: 1,
      id: "",
      purposes: {},
      regime,
      gpc: false,
    });
    expect(kept()).toEqual(Array(2).fill(encodeRegime({ regime, at: start, objected: 0 })));
  });

  it.each([
    ["opt_in", () => Promise.resolve({ regime: "opt_in" })],
    ["something else", () => Promise.resolve({ regime: "anything" })],
    ["an object that says nothing", () => Promise.resolve({})],
    ["null", () => Promise.resolve(null)],
    ["no JSON", () => Promise.reject(new SyntaxError("no JSON"))],
  ])("keeps to opt_in, and nothing on the device, when the answer is %s", async (_, said) => {
    answer = said;
    const { consent, ask } = await openPage();
    await ask();
    expect(consent.status()).toMatchObject({ status: "unset", purposes: { measurement: false } });
    expect(consent.status().regime).toBeUndefined();
    expect(kept()).toEqual([]);
  });

  it("keeps to opt_in when there is no answer, and gives up what held before", async () => {
    keep(encodeRegime({ regime: "opt_out", at: start - 2 * day, objected: 0 }));
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("Failed to fetch")));
    const { consent, ask } = await openPage();
    await ask();
    expect(consent.current()).toMatchObject({ status: "unset", mask: 0 });
    expect(kept()).toEqual([]);
  });

  it("takes ads away with Global Privacy Control", async () => {
    const { consent, ask, granted } = await openPage(true);
    await ask();
    expect(granted()).toEqual(withoutAds);
    expect(consent.current().stamp.gpc).toBe(true);
  });

  it("knows the answer on the next page, at once and without another request", async () => {
    keep(today);
    const { consent, ask } = await openPage();
    expect(consent.current()).toMatchObject({ mask: 62, isPerson: true });
    await ask();
    expect(urls).toEqual([]);
  });

  it.each([
    ["the last moment of the next day", Date.UTC(2026, 10, 24) - 1, true],
    ["the day after that", Date.UTC(2026, 10, 24), false],
    ["a clock that was set back by days", Date.UTC(2026, 10, 19), false],
  ])("remembers it for a day and a half at most: %s", async (_, now, isKnown) => {
    keep(today);
    vi.setSystemTime(now);
    expect((await openPage()).consent.status().regime).toBe(isKnown ? "opt_out" : "asked");
  });

  it("goes on for as long as it is open", async () => {
    keep(today);
    const { consent } = await openPage();
    const decision = consent.current();
    vi.setSystemTime(start + 10 * day);
    expect(consent.current()).toBe(decision);
    expect(decision.mask).toBe(62);
  });

  it("is not believed by a page that does not ask", async () => {
    keep(today);
    const { createConsent } = await import("./consent.ts");
    const consent = createConsent(false);
    expect(consent.status()).toMatchObject({ status: "unset", purposes: { measurement: false } });
    expect(consent.status().regime).toBeUndefined();
  });
});

describe("a choice", () => {
  it.each([
    ["a yes", encodeChoice({ mask: 6, at: start - day, consentId: "c" }), "granted"],
    ["a refusal", encodeChoice({ mask: 0, at: start - day, consentId: "" }), "denied"],
    ["a yes that is too old", encodeChoice({ mask: 62, at: start - 366 * day, consentId: "c" }), "unset"],
    ["a refusal that may be asked again", encodeChoice({ mask: 0, at: start - 300 * day, consentId: "" }), "unset"],
  ])("is never asked about nor loosened: %s", async (_, text, status) => {
    keep(text);
    const { consent, ask } = await openPage();
    const before = consent.status();
    await ask();
    expect(urls).toEqual([]);
    expect(consent.status()).toEqual(before);
    expect(before.status).toBe(status);
    expect(before.regime).toBeUndefined();
    expect(kept()).toEqual([text, text]);
  });

  it("takes the place of the regime: after a no, the constant that is the same for everyone", async () => {
    keep(today);
    const { consent } = await openPage();
    const refusal = consent.weigh("none", undefined);
    expect(new Set(Object.values(refusal.stamp.purposes))).toEqual(new Set(["withdrawn"]));
    consent.keep(refusal);
    expect(consent.status()).toMatchObject({ status: "denied", purposes: { measurement: false } });
    expect(consent.status().regime).toBeUndefined();
    expect(kept()).toEqual(Array(2).fill(encodeChoice({ mask: 0, at: start, consentId: "" })));
  });

  it("that is made while the answer is on its way stands", async () => {
    const { consent, ask } = await openPage();
    const waiting = ask();
    consent.keep(consent.weigh("none", undefined));
    const text = kept();
    await waiting;
    expect(consent.status().status).toBe("denied");
    expect(kept()).toEqual(text);
  });
});

describe("an objection", () => {
  const noAds = Object.fromEntries(withoutAds.map((purpose) => [purpose, true]));

  it("without a choice takes away what it names, and is no yes to the rest", async () => {
    keep(today);
    const { consent, granted } = await openPage();
    const decision = consent.weigh(noAds, { isObjection: true });
    expect(decision.stamp).toMatchObject({ regime: "opt_out", purposes: { ads: "opted_out" } });
    expect(decision.stamp.id).toMatch(/^[\w-]{22}$/);
    expect(decision.stamp.at).toBeUndefined();
    consent.keep(decision);
    expect(granted()).toEqual(withoutAds);
    expect(consent.status()).toMatchObject({ status: "unset", regime: "opt_out" });
    expect(consent.status().at).toBeUndefined();
    expect(kept()).toEqual([objected, objected]);
    const next = await openPage();
    expect(next.granted()).toEqual(withoutAds);
    expect(next.consent.current().stamp).toMatchObject({ id: "", purposes: { ads: "opted_out" } });
  });

  it("outlasts the answer that is asked for again, and a page that is open for days", async () => {
    keep(objected);
    const long = await openPage();
    vi.setSystemTime(start + 3 * day);
    const { ask, granted } = await openPage();
    await ask();
    expect(granted()).toEqual(withoutAds);
    expect(decodeRegime(kept()[0]!)).toMatchObject({ objected: 32, at: Date.UTC(2026, 10, 25) });
    const again = long.consent.weigh(noAds, { isObjection: true });
    expect(again).toMatchObject({ mask: 62 & ~32, status: "granted" });
    expect(Object.values(again.stamp.purposes)).not.toContain("granted");
  });

  it("to a yes is a choice as any other", async () => {
    const { consent } = await openPage();
    consent.keep(consent.weigh("all", undefined));
    consent.keep(consent.weigh(noAds, { isObjection: true }));
    expect(consent.status().status).toBe("granted");
    expect(consent.current().stamp.purposes).toMatchObject({ profile: "granted", ads: "withdrawn" });
  });
});
