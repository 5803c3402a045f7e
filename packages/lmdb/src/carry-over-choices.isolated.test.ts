import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { choiceTimesLength, choiceTimesOf, type ChoiceTimes, type ConsentStamp } from "@polder/protocol";
import { afterEach, beforeEach, expect, it } from "vitest";
import { carryOverChoices } from "./carry-over-choices.ts";
import { createLmdbConsentLedger } from "./consent-ledger.ts";

const logger = { info() {}, warn() {}, error() {} };
const start = Date.UTC(2026, 10, 22);
let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "polder-carry-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A choice for these purposes, and no to the rest, made so many minutes after the start. */
const chose = (granted: readonly string[], minute: number): ChoiceTimes => {
  const at = start + minute * 60_000;
  const purposes = Object.fromEntries(
    ["measurement", "profile", "personalisation", "prediction", "ads"].map((purpose) => [
      purpose,
      granted.includes(purpose) ? "granted" : "denied",
    ]),
  );
  const stamp = { purposes, at: new Date(at).toISOString() } as unknown as ConsentStamp;
  return choiceTimesOf({ stamp, regime: "opt_in", gpc: false, recordedAt: at, sentAt: at, receivedAt: at });
};

async function write(name: string, choices: { [visitor: string]: ChoiceTimes }): Promise<string> {
  const path = join(folder, name);
  const ledger = createLmdbConsentLedger({ path, now: () => start, logger });
  await ledger.record(Object.entries(choices).map(([visitor, times]) => ({ visitor, times })));
  await ledger.close();
  return path;
}

it("brings over what is newer, and names those who took something back", async () => {
  const both = ["measurement", "profile"];
  const backup = await write("backup", {
    "shop:stays": chose(both, 0),
    "shop:leaves": chose(both, 0),
    "shop:narrows": chose(both, 0),
    "shop:refused": chose([], 0),
    "shop:newer-here": chose([], 50),
  });
  const before = await write("before", {
    "shop:stays": chose(both, 0),
    "shop:leaves": chose([], 10),
    "shop:narrows": chose(["measurement"], 20),
    "shop:refused": chose(both, 30),
    "shop:newer-here": chose(both, 0),
    "shop/new-user": chose([], 40),
  });
  const { visitors, withdrawals } = await carryOverChoices(before, backup);
  // Of the one who chose later here, the earlier yes is known by now, too: five learnt something.
  expect(visitors).toBe(5);
  expect(withdrawals.toSorted((a, b) => (a.visitor < b.visitor ? -1 : 1))).toEqual([
    { visitor: "shop:leaves", purposes: both, at: start + 10 * 60_000 },
    { visitor: "shop:narrows", purposes: ["profile"], at: start + 20 * 60_000 },
  ]);
  const ledger = createLmdbConsentLedger({ path: backup, now: () => start, logger });
  const grantedBy = (visitor: string): boolean => (ledger.latest(visitor)?.granted ?? 0) !== 0;
  expect(["stays", "leaves", "narrows", "refused", "newer-here"].map((name) => grantedBy(`shop:${name}`))).toEqual([
    true,
    false,
    true,
    true,
    false,
  ]);
  expect(ledger.timesOf("shop/new-user")).toHaveLength(choiceTimesLength);
  await ledger.close();

  // Once more there is nothing left to learn, and nobody is told of twice.
  expect(await carryOverChoices(before, backup)).toEqual({ visitors: 0, withdrawals: [] });
});

it("comes to its end with more visitors than are written at a time", async () => {
  const many = Object.fromEntries(Array.from({ length: 2_500 }, (_, n) => [`shop:${n}`, chose([], 1)]));
  const [from, to] = [await write("from", many), await write("to", {})];
  expect(await carryOverChoices(from, to)).toEqual({ visitors: 2_500, withdrawals: [] });
  expect(await carryOverChoices(from, to)).toEqual({ visitors: 0, withdrawals: [] });
});
