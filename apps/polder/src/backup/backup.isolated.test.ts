import { existsSync, writeFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ClickHouse } from "@polder/clickhouse";
import type { EventRow } from "@polder/core";
import { createLmdbConsentLedger, createLmdbLog } from "@polder/lmdb";
import { choiceTimesOf, type ConsentStamp } from "@polder/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createFakeContext } from "../cli/fake-context.ts";
import { runCli } from "../cli/run-cli.ts";
import { makeBackup } from "./make-backup.ts";
import { restoreBackup, type RestoreOptions } from "./restore-backup.ts";

const logger = { info() {}, warn() {}, error() {} };
const start = Date.UTC(2026, 10, 22);
const now = (): Date => new Date(start + 3_600_000);
/** Without a table in it. */
const clickhouse = { isReachable: async () => true, query: async () => [], database: "polder" } as Partial<ClickHouse>;
const allPurposes = ["measurement", "profile", "personalisation", "prediction", "ads"];

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "polder-backup-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));
const pathOf = (name: string): string => join(folder, name);

/** By visitor: the minute of a yes to everything, or, when it is below zero, of a no. */
interface Choices {
  [visitor: string]: number;
}

async function choose(dataPath: string, choices: Choices): Promise<void> {
  const ledger = createLmdbConsentLedger({ path: join(dataPath, "consent"), now: () => start, logger });
  await ledger.record(
    Object.entries(choices).map(([visitor, minute]) => {
      const at = start + Math.abs(minute) * 60_000;
      const purposes = Object.fromEntries(allPurposes.map((purpose) => [purpose, minute < 0 ? "denied" : "granted"]));
      const stamp = { purposes, at: new Date(at).toISOString() } as unknown as ConsentStamp;
      const clocks = { recordedAt: at, sentAt: at, receivedAt: at };
      return { visitor, times: choiceTimesOf({ stamp, regime: "opt_in", gpc: false, ...clocks }) };
    }),
  );
  await ledger.close();
}

const backUp = (afterTheLog: () => Promise<void> = async () => {}): Promise<unknown> =>
  makeBackup({
    dataPath: pathOf("data"),
    to: pathOf("backup"),
    configPath: existsSync(pathOf("polder.config.json")) ? pathOf("polder.config.json") : undefined,
    clickhouse: clickhouse as ClickHouse,
    async pausedWhile(work) {
      const done = await work();
      await afterTheLog();
      return done;
    },
    version: "1.0.0",
    now,
    say() {},
  });

const restore = (options: Partial<RestoreOptions> = {}): ReturnType<typeof restoreBackup> =>
  restoreBackup({
    from: pathOf("backup"),
    dataPath: pathOf("restored"),
    choicesFrom: undefined,
    timezoneOf: () => "Europe/Amsterdam",
    hasOwnLog: true,
    now,
    logger,
    say() {},
    ...options,
  });

/** The events in the log, those of a visitor by their ids. */
async function rowsIn(dataPath: string): Promise<EventRow[]> {
  const log = createLmdbLog({ path: join(dataPath, "log"), logger });
  const behind = (await log.lag("polder.events", "test")).get(0) ?? 0;
  const reading = { topic: "polder.events", group: "test", maxRecords: 1_000, maxBytes: 2 ** 20, lingerMs: 0 } as const;
  const reader = log.openReader({ ...reading, whenTaken: "refuse" });
  const rows: EventRow[] = [];
  if (behind > 0)
    await new Promise<void>((resolve, reject) => {
      const consume = async ({ records }: { records: readonly { value: Uint8Array }[] }): Promise<void> => {
        for (const { value } of records) rows.push(JSON.parse(new TextDecoder().decode(value)) as EventRow);
        if (rows.length === behind) resolve();
      };
      reader.run({ assigned: async (_, __, { start: first }) => first, consume, revoked() {} }).catch(reject);
    });
  await log.close();
  return rows.toSorted((a, b) => (a.anonymous_id < b.anonymous_id ? -1 : 1));
}

const withdrawn = (anonymousId: string, minute: number): object => ({
  type: "consent",
  anonymous_id: anonymousId,
  time: new Date(start + minute * 60_000).toISOString().slice(0, -1).replace("T", " "),
  "choice.purpose": allPurposes,
  "choice.state": allPurposes.map(() => "withdrawn"),
});

describe("what visitors refuse", () => {
  it("while a backup is made, after the log was copied, is in the log that is restored", async () => {
    await choose(pathOf("data"), { "shop:stays": 1, "shop:leaves": 1, "shop:refused": -1 });
    await backUp(() => choose(pathOf("data"), { "shop:leaves": -2, "shop:unheard-of": -3, "shop:says-yes": 3 }));
    expect(await restore()).toMatchObject({ chosen: 0, refusals: 2 });
    expect(await rowsIn(pathOf("restored"))).toMatchObject([withdrawn("leaves", 2), withdrawn("unheard-of", 3)]);
    expect((await readdir(pathOf("restored"))).toSorted()).toEqual(["consent", "log"]);

    // From a backup of what was restored nothing comes a second time.
    await rm(pathOf("data"), { recursive: true });
    await rm(pathOf("backup"), { recursive: true });
    await restoreAgain();
    expect(await rowsIn(pathOf("data"))).toHaveLength(2);
  });

  const restoreAgain = async (): Promise<void> => {
    await makeBackup({
      dataPath: pathOf("restored"),
      to: pathOf("backup"),
      configPath: undefined,
      clickhouse: clickhouse as ClickHouse,
      pausedWhile: (work) => work(),
      version: "1.0.0",
      now,
      say() {},
    });
    expect(await restore({ dataPath: pathOf("data") })).toMatchObject({ refusals: 0 });
  };

  it("after it, by another data folder, counts and is in the log, also of those who were never asked before", async () => {
    await choose(pathOf("data"), { "shop:stays": 1, "shop:leaves": 1 });
    await backUp();
    await choose(pathOf("data"), { "shop:leaves": -10, "shop:never-asked": -11, "shop:new-friend": 12 });
    expect(await restore({ choicesFrom: pathOf("data") })).toMatchObject({ chosen: 3, refusals: 2 });
    expect(await rowsIn(pathOf("restored"))).toMatchObject([withdrawn("leaves", 10), withdrawn("never-asked", 11)]);
    const ledger = createLmdbConsentLedger({ path: join(pathOf("restored"), "consent"), now: () => start, logger });
    const refuses = (id: string): boolean => (ledger.latest(`shop:${id}`)?.refused ?? 0) !== 0;
    expect(["stays", "leaves", "never-asked", "new-friend"].filter(refuses)).toEqual(["leaves", "never-asked"]);
    await ledger.close();
  });

  it("is left to Kafka where that is the log", async () => {
    await choose(pathOf("data"), { "shop:leaves": 1 });
    await backUp();
    await choose(pathOf("data"), { "shop:leaves": -10 });
    expect(await restore({ choicesFrom: pathOf("data"), hasOwnLog: false })).toMatchObject({ chosen: 1, refusals: 0 });
    expect(existsSync(join(pathOf("restored"), "log"))).toBe(false);
  });
});

describe("a restore that fails", () => {
  it("over what visitors chose since, leaves nothing in place, and can be made again", async () => {
    await choose(pathOf("data"), { "shop:leaves": 1 });
    await backUp();
    await mkdir(pathOf("broken"));
    await writeFile(join(pathOf("broken"), "consent"), "no folder");
    await expect(restore({ choicesFrom: pathOf("broken") })).rejects.toThrow(
      /What visitors chose since cannot be brought over from .*broken.*Nothing was restored/s,
    );
    expect((await readdir(folder)).toSorted()).toEqual(["backup", "broken", "data"]);
    await choose(pathOf("data"), { "shop:leaves": -10 });
    expect(await restore({ choicesFrom: pathOf("data") })).toMatchObject({ refusals: 1 });
  });

  it("over a configuration that cannot be used does so before anything is copied", async () => {
    await choose(pathOf("data"), { "shop:leaves": 1 });
    const run = async (): Promise<string> => {
      const context = createFakeContext({ cwd: folder });
      expect(await runCli(["restore", "backup", "--data", "restored", "--choices-from", "data"], context)).toBe(1);
      return context.complained();
    };
    await writeFile(pathOf("polder.config.json"), `{"sites": 1}`);
    await backUp();
    expect(await run()).toContain("is not a configuration that Polder can use");
    // The one in the backup, as well.
    await rm(pathOf("polder.config.json"));
    expect(await run()).toContain("backup/polder.config.json is not a configuration that Polder can use");
    expect((await readdir(folder)).toSorted()).toEqual(["backup", "data"]);
  });

  it("because somebody uses the folder by now, leaves it as it is", async () => {
    await choose(pathOf("data"), { "shop:leaves": 1 });
    await backUp();
    await mkdir(pathOf("restored"));
    let isTaken = false;
    const taken = restore({
      choicesFrom: pathOf("data"),
      timezoneOf: () => "UTC",
      say() {
        if (!isTaken) writeFileSync(join(pathOf("restored"), "polder.lock"), "theirs");
        isTaken = true;
      },
    });
    await expect(taken).rejects.toThrow(/restored is not empty/);
    expect(await readFile(join(pathOf("restored"), "polder.lock"), "utf8")).toBe("theirs");
    expect((await readdir(folder)).toSorted()).toEqual(["backup", "data", "restored"]);
  });
});
