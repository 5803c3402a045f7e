import { choiceTimesOf, joinChoices, maskOf, recordedChoiceOf, type ChoiceTimes, type Purpose } from "@polder/protocol";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { visitorKey, type ConsentLedger, type VisitorChoices } from "../ports/consent-ledger.ts";

/** One empty ledger. */
export interface ConsentLedgerHarness {
  /** The ledger. A second one is what another process on the same storage would have; undefined where there is no such thing. */
  open(): Promise<ConsentLedger>;
  /** Whether choices outlive {@link ConsentLedger.close}. */
  isDurable: boolean;
  /** Resolves as soon as `isSeen` holds: what another process recorded may take its time. */
  until(isSeen: () => boolean): Promise<unknown>;
  /** Called after every ledger has been closed. */
  dispose(): Promise<void>;
}

const seed = 20_261_122;
const base = Date.parse("2026-11-22T20:15:00Z");

/** What every adapter of {@link ConsentLedger} promises. */
export function describeConsentLedger(adapter: string, createHarness: () => Promise<ConsentLedgerHarness>): void {
  describe(`${adapter} keeps the promises of a consent ledger`, () => {
    let harness: ConsentLedgerHarness;
    let ledger: ConsentLedger;
    let opened: ConsentLedger[] = [];
    const open = async () => {
      const one = await harness.open();
      opened.push(one);
      return one;
    };

    beforeEach(async () => {
      harness = await createHarness();
      ledger = await open();
    });
    afterEach(async () => {
      await Promise.all(opened.map((one) => one.close()));
      opened = [];
      await harness.dispose();
    });

    it("knows nothing of a visitor of whom nothing is recorded", async () => {
      await ledger.record([choice("shop:a", ["profile"], 1)]);
      for (const visitor of ["shop:b", "shop:", "shop:a ", "other:a", "shop/a"]) {
        expect(ledger.latest(visitor)).toBeUndefined();
        expect(ledger.timesOf(visitor)).toBeUndefined();
      }
    });

    it("says what was chosen last, at once and when it is durable", async () => {
      const yes = choice("shop:a", ["measurement", "profile"], 1);
      const durable = ledger.record([yes]);
      expect(ledger.latest("shop:a")).toEqual(recordedChoiceOf(yes.times));
      await durable;
      expect(ledger.latest("shop:a")).toEqual({
        granted: maskOf(["measurement", "profile"]),
        refused: maskOf(["personalisation", "prediction", "ads"]),
        grantedAt: [0, base + 1, base + 1, 0, 0, 0],
      });
      const recorded = ledger.record([choice("shop:a", [], 2)]);
      expect(ledger.latest("shop:a")).toMatchObject({ granted: 0 });
      await recorded;
      expect(ledger.latest("shop:a")).toMatchObject({ granted: 0, grantedAt: [0, 0, 0, 0, 0, 0] });
    });

    it("takes several choices of a visitor at once, in any order, with any text in the ids", async () => {
      const visitors = ["a", "zoë 🧀 ", "\u0000\u0001", "🙂".repeat(100), "x".repeat(200), "a:b/c"];
      const keys = visitors.flatMap((id) => [visitorKey("shop", id, ""), visitorKey("shop", "", id)]);
      expect(new Set(keys).size).toBe(keys.length);
      await ledger.record(
        keys.flatMap((key, index) => [
          choice(key, [], 100 + index),
          choice(key, ["profile"], 50),
          choice(key, ["ads"], 60),
        ]),
      );
      for (const [index, key] of keys.entries()) {
        expect(ledger.latest(key)).toMatchObject({ granted: 0 });
        await ledger.record([choice(key, ["profile"], 100 + index), choice(key, ["ads"], 200)]);
        expect(ledger.latest(key)).toMatchObject({
          granted: maskOf(["ads"]),
          grantedAt: [0, 0, 0, 0, 0, base + 200],
        });
      }
    });

    it("keeps a no when a yes from before it arrives late, or again", async () => {
      await ledger.record([choice("shop:a", [], 10)]);
      await ledger.record([choice("shop:a", ["profile"], 9)]);
      expect(ledger.latest("shop:a")).toMatchObject({ granted: 0 });
      await ledger.record([choice("shop:a", ["profile"], 11)]);
      await ledger.record([choice("shop:a", [], 10)]);
      expect(ledger.latest("shop:a")).toMatchObject({ granted: maskOf(["profile"]) });
    });

    it("keeps choices that are recorded at the same time, by whomever", async (context) => {
      const other = harness.isDurable ? await open() : ledger;
      if (!harness.isDurable) await context.annotate("one process only");
      const record = (by: ConsentLedger, purpose: Purpose, at: number) =>
        by.record(Array.from({ length: 20 }, (_, n) => choice(`shop:${n}`, [purpose], at)));
      await Promise.all([record(ledger, "profile", 1), record(other, "ads", 2), record(ledger, "measurement", 3)]);
      const isSeen = (by: ConsentLedger) => () =>
        Array.from({ length: 20 }, (_, n) => by.latest(`shop:${n}`)).every(
          (latest) => latest?.granted === maskOf(["measurement"]) && latest.grantedAt[1] === base + 3,
        );
      await harness.until(isSeen(ledger));
      await harness.until(isSeen(other));
    });

    it("takes nothing, and stores nothing", async () => {
      expect(await ledger.record([])).toBeUndefined();
    });

    it(`comes to the same whatever the order, and keeps it over a reopen (seed ${seed})`, async () => {
      const act = fc.record({
        visitor: fc.constantFrom("shop:a", "shop:b", "shop/a"),
        granted: fc.subarray<Purpose>(["measurement", "profile", "ads"]),
        at: fc.integer({ min: 1, max: 40 }),
        skewMs: fc.constantFrom(0, -3_600_000, 3_600_000),
      });
      let run = 0;
      const property = fc.asyncProperty(fc.array(act, { maxLength: 12 }), fc.boolean(), async (acts, reopen) => {
        run += 1;
        const choices = acts.map(({ visitor, granted, at, skewMs }) =>
          choice(`${visitor}-${run}`, granted, at * 1000, skewMs),
        );
        for (const one of choices) await ledger.record([one]);
        if (reopen && harness.isDurable) {
          await ledger.close();
          ledger = await open();
        }
        await ledger.record(choices.toReversed());
        for (const visitor of new Set(choices.map((one) => one.visitor))) {
          const times = choices.filter((one) => one.visitor === visitor).map((one) => one.times);
          const joined = times.reduce(joinChoices);
          expect(ledger.timesOf(visitor)).toEqual(joined);
          expect(ledger.latest(visitor)).toEqual(recordedChoiceOf(joined));
        }
      });
      await fc.assert(property, { seed, numRuns: 60 });
    });
  });
}

/** Made `atMs` after a fixed moment on a device whose clock is wrong by `skewMs`, and sent at once. */
function choice(visitor: string, granted: readonly Purpose[], atMs: number, skewMs = 0): VisitorChoices {
  const at = base + atMs + skewMs;
  const times: ChoiceTimes = choiceTimesOf({
    stamp: {
      v: 1,
      id: `choice-${atMs}`,
      purposes: Object.fromEntries(granted.map((purpose) => [purpose, "granted"])),
      at: new Date(at).toISOString(),
    },
    regime: "opt_in",
    gpc: false,
    recordedAt: at,
    sentAt: at,
    receivedAt: base + atMs,
  });
  return { visitor, times };
}
