import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LogMisconfiguredError, LogUnavailableError, type VisitorChoices } from "@polder/core";
import { describeConsentLedger } from "@polder/core/contracts";
import { gpcTimesOf } from "@polder/protocol";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { choiceKeptMs, createLmdbConsentLedger, type LmdbConsentLedger } from "./consent-ledger.ts";

const logger = { info() {}, warn() {}, error() {} };
const start = Date.parse("2026-11-22T20:15:00Z");

describeConsentLedger("LMDB", async () => {
  const path = await mkdtemp(join(tmpdir(), "polder-consent-"));
  return {
    open: async () => createLmdbConsentLedger({ path, now: () => start, logger }),
    isDurable: true,
    until: (isSeen) => vi.waitUntil(isSeen, { interval: 5, timeout: 120_000 }),
    dispose: () => rm(path, { recursive: true }),
  };
});

describe("the consent ledger in a folder", () => {
  let path: string;
  let now: number;
  let opened: LmdbConsentLedger[] = [];
  const open = () => {
    const ledger = createLmdbConsentLedger({ path, now: () => now, logger });
    opened.push(ledger);
    return ledger;
  };
  const choice = (visitor: string, at: number): VisitorChoices => ({
    visitor,
    times: gpcTimesOf({ recordedAt: at, sentAt: at, receivedAt: at }),
  });

  beforeEach(async () => {
    path = await mkdtemp(join(tmpdir(), "polder-consent-"));
    now = start;
  });
  afterEach(async () => {
    await Promise.all(opened.map((ledger) => ledger.close()));
    opened = [];
    await rm(path, { recursive: true });
  });

  it("removes what no event can ask for any more, step by step, and keeps the rest", async () => {
    const ledger = open();
    const visitors = Array.from({ length: 25 }, (_, n) => `shop:${String(n).padStart(2, "0")}`);
    await ledger.record(visitors.map((visitor, n) => choice(visitor, start + n)));
    now = start + choiceKeptMs;
    expect(await ledger.removeExpired(100)).toBe(0);
    now = start + choiceKeptMs + 10;
    // One who chose again is kept, whatever is known of the first time.
    await ledger.record([choice(visitors[3]!, now)]);
    let removed = 0;
    for (let step = 0; step < 4; step++) removed += await ledger.removeExpired(7);
    expect(removed).toBe(9);
    expect(visitors.filter((visitor) => ledger.latest(visitor) !== undefined)).toEqual([
      visitors[3],
      ...visitors.slice(10),
    ]);
    // And begins again at the beginning.
    now = start + 2 * choiceKeptMs + 20;
    for (let step = 0; step < 4; step++) removed += await ledger.removeExpired(7);
    expect(removed).toBe(25);
  });

  it("remembers how far it has followed, together with what it followed", async () => {
    const ledger = open();
    expect(ledger.positionOf(0)).toBeUndefined();
    expect(ledger.hasCaughtUp()).toBe(false);
    await ledger.follow([choice("shop:a", start)], 0, { offset: 12, lastKey: "shop:a" });
    await ledger.follow([], 3, { offset: 1, lastKey: "shop:b" });
    await ledger.close();
    const again = open();
    expect([again.positionOf(0), again.positionOf(1), again.positionOf(3)]).toEqual([
      { offset: 12, lastKey: "shop:a" },
      undefined,
      { offset: 1, lastKey: "shop:b" },
    ]);
    expect(again.latest("shop:a")).toMatchObject({ refused: 32 });
    expect(again.hasCaughtUp()).toBe(false);
    await again.setCaughtUp();
    expect(again.hasCaughtUp()).toBe(true);
    await again.close();
    expect(open().hasCaughtUp()).toBe(true);
  });

  it("refuses to record after it was closed", async () => {
    const ledger = open();
    await ledger.close();
    await expect(ledger.record([choice("shop:a", start)])).rejects.toThrow(LogUnavailableError);
  });

  it("says what is wrong with a folder that it cannot use", async () => {
    await writeFile(join(path, "file"), "");
    expect(() => createLmdbConsentLedger({ path: join(path, "file"), now: () => now, logger })).toThrow(
      LogMisconfiguredError,
    );
  });
});
