import { buildEvent, buildSite, checkProperty } from "@polder/testing";
import { maskOf, purposes, type PolderEvent, type Purpose, type Regime } from "@polder/protocol";
import fc from "fast-check";
import { expect, it } from "vitest";
import { createMemoryConsentLedger } from "../contracts/memory-consent-ledger.ts";
import type { SiteKey } from "../ports/site-directory.ts";
import { createPipeline } from "./pipeline.ts";
import type { RequestContext } from "./step.ts";

// One visitor of one device, whose clock is wrong by as much all the time: what gets through must be what the choices allow that have arrived so far.
// Choices, events and their requests are made of one number; a failure names it.

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const asked = purposes.slice(1);

/** What the visitor chose, or what an event says of it. Times are true ones. */
interface Choice {
  at: number;
  granted: ReadonlySet<Purpose>;
}
interface Happening {
  kind: "choice" | "event" | "identify";
  at: number;
  /** What it carries: the choice that held then, or one that nobody made; undefined: none. */
  under: Choice | undefined;
}
interface Request {
  happenings: Happening[];
  sentAt: number;
  receivedAt: number;
  gpc: boolean;
}

/** The reference: which purposes an event gets through with. It knows the true times, and takes everything as it comes. */
function createModel(regime: Regime) {
  const said = new Map<Purpose, { at: number; isYes: boolean }[]>(asked.map((purpose) => [purpose, []]));
  const newestOf = (purpose: Purpose) =>
    said
      .get(purpose)!
      .toSorted((a, b) => a.at - b.at || (a.isYes ? -1 : 1))
      .at(-1);
  const isFresh = (at: number, now: number): boolean => now - at <= 365 * day;

  return {
    receive({ happenings, receivedAt: now, gpc }: Request): (Purpose[] | undefined)[] {
      return happenings.map(({ kind, at, under }) => {
        const claims = (purpose: Purpose): boolean =>
          regime === "opt_in"
            ? under !== undefined && under.granted.has(purpose) && isFresh(under.at, now)
            : under === undefined || under.granted.has(purpose);
        if (kind === "choice")
          for (const purpose of asked)
            said.get(purpose)!.push({ at, isYes: under!.granted.has(purpose) && !(gpc && purpose === "ads") });
        const allowed = asked.filter((purpose) => {
          if (!claims(purpose) || (gpc && purpose === "ads")) return false;
          const newest = newestOf(purpose);
          return newest === undefined || (newest.isYes && (regime !== "opt_in" || isFresh(newest.at, now)));
        });
        if (kind === "choice") return ["necessary", ...allowed];
        const mayBeKnown = allowed.includes("profile");
        // Global Privacy Control that takes ads away is a no to ads, of visitors who may be known.
        if (gpc && mayBeKnown && claims("ads") && newestOf("ads")?.isYes !== false)
          said.get("ads")!.push({ at, isYes: false });
        const isKept = mayBeKnown || (kind === "event" && allowed.includes("measurement"));
        return isKept ? ["necessary", ...allowed] : undefined;
      });
    },
  };
}

/** Small, fast and good enough to choose by (mulberry32). */
function createDice(seed: number) {
  let state = seed;
  const below = (limit: number): number => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
  return {
    below,
    oneIn: (count: number) => below(count) === 0,
    pick: <T>(list: readonly T[]): T => list[below(list.length)]!,
  };
}

/** What a visitor does, and how it arrives: late, twice, out of order, under a choice that was made up. */
function makeHistory(seed: number): { regime: Regime; skewMs: number; requests: Request[] } {
  const { below, oneIn, pick } = createDice(seed);
  const regime = pick<Regime>(["opt_in", "opt_in", "opt_out", "notice"]);
  const someOf = (): Set<Purpose> => new Set(oneIn(3) ? asked : asked.filter(() => oneIn(2)));
  let now = Date.parse("2025-01-01T00:00:00Z");
  let held: Choice | undefined;
  const requests: Request[] = [];
  let waiting: Happening[] = [];
  for (let step = 3 + below(20); step > 0; step--) {
    now += 1 + below(pick([20, 2000, minute, hour]));
    if (oneIn(25)) now += 200 * day;
    if (oneIn(4)) {
      held = { at: now, granted: someOf() };
      waiting.push({ kind: "choice", at: now, under: held });
    } else {
      const forged = (): Choice => ({ at: now - below(10) * minute, granted: new Set(asked) });
      waiting.push({ kind: pick(["event", "event", "identify"]), at: now, under: oneIn(5) ? forged() : held });
    }
    if (oneIn(2)) continue;
    // A request that was answered but not heard is sent again, with what came since.
    const copies = oneIn(4) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      const sentAt = now + below(pick([10, minute, hour]));
      requests.push({ happenings: [...waiting], sentAt, receivedAt: sentAt + below(30_000), gpc: oneIn(8) });
    }
    waiting = [];
  }
  requests.sort((a, b) => a.receivedAt - b.receivedAt);
  return { regime, skewMs: pick([0, 0, -2 * day, -hour, -minute, minute, hour, 20 * hour]), requests };
}

function toEvent({ kind, at, under }: Happening, skewMs: number): PolderEvent {
  const text = (time: number): string => new Date(time + skewMs).toISOString();
  const { consent: _, ...context } = buildEvent().context!;
  const consent = under && {
    v: 1 as const,
    id: `choice-${under.at}`,
    at: text(under.at),
    purposes: Object.fromEntries(asked.map((purpose) => [purpose, under.granted.has(purpose) ? "granted" : "denied"])),
  };
  return buildEvent({
    type: kind === "event" ? "track" : kind === "choice" ? "consent" : "identify",
    timestamp: text(at),
    context: { ...context, ...(consent && { consent }) },
    ...(kind === "identify" && { userId: "user-1" }),
  });
}

it("lets through, in 10,000 random histories, what a model allows that knows when everything happened", () => {
  let kept = 0;
  let stopped = 0;
  checkProperty(
    fc.property(fc.integer(), (seed) => {
      const { regime, skewMs, requests } = makeHistory(seed);
      const ledger = createMemoryConsentLedger();
      const pipeline = createPipeline({ ledger, countryOf: () => "", newId: () => "id" });
      const model = createModel(regime);
      const key: SiteKey = { site: buildSite({ regime }), kind: "write" };
      for (const request of requests) {
        const context: RequestContext = {
          key,
          receivedAt: request.receivedAt,
          sentAt: new Date(request.sentAt + skewMs).toISOString(),
          ip: "",
          country: "",
          userAgent: "",
          gpc: request.gpc,
          cookieAnonymousId: () => "",
          cookieRefusesMeasurement: () => false,
          choices: [],
        };
        const got = request.happenings.map((happening) => {
          const result = pipeline.run(toEvent(happening, skewMs), context);
          if (!result.ok) return undefined;
          const isKnown = result.row.anonymous_id !== "";
          return { mask: result.row.consent_mask, ...(happening.kind !== "choice" && { isKnown }) };
        });
        const expected = model.receive(request).map((allowed, index) => {
          if (allowed === undefined) return undefined;
          const isKnown = allowed.includes("profile");
          return { mask: maskOf(allowed), ...(request.happenings[index]!.kind !== "choice" && { isKnown }) };
        });
        expect(got).toEqual(expected);
        kept += got.filter((outcome) => outcome !== undefined).length;
        stopped += got.filter((outcome) => outcome === undefined).length;
        void ledger.record(context.choices);
      }
    }),
    10_000,
  );
  // Both must have been common, or nothing was tried.
  expect(Math.min(kept, stopped)).toBeGreaterThan(10_000);
});
