import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { choiceTimesLength, choiceTimesOf, type ChoiceTimes, type ConsentStamp } from "@polder/protocol";
import { afterEach, beforeEach, expect, it } from "vitest";
import { carryOverChoices } from "./carry-over-choices.ts";
import { createLmdbConsentLedger } from "./consent-ledger.ts";
import { refusalsSince, type Refusal } from "./refusals-since.ts";

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

async function refusalsBetween(earlier: string, later: string): Promise<Refusal[]> {
  const found: Refusal[] = [];
  for await (const some of refusalsSince(earlier, later)) found.push(...some);
  return found.toSorted((a, b) => (a.visitor < b.visitor ? -1 : 1));
}

const both = ["measurement", "profile"];
const rest = ["personalisation", "prediction", "ads"];

it("brings over what is newer, and who refuses something since is told with it", async () => {
  const ofBackup = {
    "shop:stays": chose(both, 0),
    "shop:leaves": chose(both, 0),
    "shop:narrows": chose(both, 0),
    "shop:refused": chose([], 0),
    "shop:refused-again": chose([], 0),
    "shop:newer-here": chose(both, 50),
  };
  const [backup, asItWas] = [await write("backup", ofBackup), await write("as-it-was", ofBackup)];
  const before = await write("before", {
    "shop:stays": chose(both, 0),
    "shop:leaves": chose([], 10),
    "shop:narrows": chose(["measurement"], 20),
    "shop:refused": chose([...both, ...rest], 30),
    // Nothing says whether a yes came between, or which stored events it was never asked about.
    "shop:refused-again": chose([], 35),
    "shop:newer-here": chose([], 0),
    "shop/new-user": chose([], 40),
    "shop:new-friend": chose([...both, ...rest], 40),
  });
  // Of the one who chose later here, the earlier no is known by now, too: only the one who stays learnt nothing.
  expect(await carryOverChoices(before, backup)).toBe(7);
  expect(await refusalsBetween(asItWas, backup)).toEqual([
    // Without a yes on record there may be stored events all the same: those that carried their own, or needed none.
    { visitor: "shop/new-user", purposes: [...both, ...rest], at: start + 40 * 60_000 },
    { visitor: "shop:leaves", purposes: [...both, ...rest], at: start + 10 * 60_000 },
    { visitor: "shop:narrows", purposes: ["profile", ...rest], at: start + 20 * 60_000 },
    { visitor: "shop:newer-here", purposes: rest, at: start + 50 * 60_000 },
    { visitor: "shop:refused-again", purposes: [...both, ...rest], at: start + 35 * 60_000 },
  ]);
  const ledger = createLmdbConsentLedger({ path: backup, now: () => start, logger });
  const grantedBy = (visitor: string): boolean => (ledger.latest(visitor)?.granted ?? 0) !== 0;
  expect(["stays", "leaves", "narrows", "refused", "newer-here"].map((name) => grantedBy(`shop:${name}`))).toEqual([
    true,
    false,
    true,
    true,
    true,
  ]);
  expect(ledger.timesOf("shop/new-user")).toHaveLength(choiceTimesLength);
  await ledger.close();

  // Once more there is nothing left to learn, and of one moment there is nothing to tell.
  expect(await carryOverChoices(before, backup)).toBe(0);
  expect(await refusalsBetween(backup, backup)).toEqual([]);
});

it("comes to its end with more visitors than are written at a time", async () => {
  const many = Object.fromEntries(Array.from({ length: 2_500 }, (_, n) => [`shop:${n}`, chose([], 1)]));
  const [from, to, empty] = [await write("from", many), await write("to", {}), await write("empty", {})];
  expect(await carryOverChoices(from, to)).toBe(2_500);
  expect(await carryOverChoices(from, to)).toBe(0);
  expect((await refusalsBetween(empty, to)).map(({ visitor }) => visitor)).toEqual(Object.keys(many).toSorted());
  // A ledger that was not there yet knew of nobody.
  expect(await refusalsBetween(join(folder, "not-there"), to)).toHaveLength(2_500);
});
