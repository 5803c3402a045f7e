import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { messageKey, type ReceivedMessage, type ReplayedEvent } from "@polder/clickhouse";
import type { EventLog, LogRecord, ReaderOptions } from "@polder/core";
import { createLmdbLog } from "@polder/lmdb";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createReplayer, type ReplayDeps, type ReplayRange } from "./replay-events.ts";

const logger = { info() {}, warn() {}, error() {} };
const range: ReplayRange = {
  from: new Date("2026-11-20T00:00:00Z"),
  to: new Date("2026-11-25T00:00:00Z"),
  isDryRun: false,
};
let folder: string;
let log: EventLog;
/** What is in `events`. */
let stored: Set<string>;
let appended: string[];
let marked: string[];
let rebuilt: string[][];
let disagreeing: string[];
let judged: Map<string, boolean | undefined>;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "polder-replay-events-"));
  log = createLmdbLog({ path: folder, logger });
  stored = new Set();
  appended = [];
  marked = [];
  rebuilt = [];
  disagreeing = [];
  judged = new Map();
});
afterEach(async () => {
  await log.close();
  rmSync(folder, { recursive: true, force: true });
});

const event = (id: string, at = "2026-11-22 12:00:00.000", type = "track"): LogRecord => ({
  key: id,
  value: Buffer.from(JSON.stringify({ site: "shop", type, received_at: at })),
  headers: { id, site: "shop", anonymousId: "", userId: "" },
});
const keyOf = (messageId: string): string => messageKey({ site: "shop", messageId });
const keysIn = (messages: readonly ReceivedMessage[], all: ReadonlySet<string>): Set<string> =>
  new Set(messages.map(messageKey).filter((key) => all.has(key)));

/** A log and tables in which what was appended is stored as soon as it is waited for. */
function replayer(over: Partial<ReplayDeps> = {}): ReturnType<typeof createReplayer> {
  return createReplayer({
    log: {
      ...log,
      append: async (topic, records) => {
        appended.push(...records.map(({ headers }) => headers.id));
        return log.append(topic, records);
      },
    },
    store: {
      refused: async () => [],
      stored: async (messages) => keysIn(messages, stored),
      recorded: async (messages) => keysIn(messages, new Set([keyOf("recorded")])),
      refusedOffsets: async () => new Set(),
      mark: async (events: readonly ReplayedEvent[]) => void marked.push(...events.map(({ messageId }) => messageId)),
    },
    states: {
      weeksThatDisagree: async () => disagreeing,
      rebuild: async (weeks) => void rebuilt.push([...weeks]),
    },
    judge: {
      judgeEvent: () => ({ ok: false, why: "cut", reason: "" }),
      judgeRow: (record, isRecorded) => {
        judged.set(record.headers.id, isRecorded);
        return { ok: true, record, choices: [] };
      },
    },
    ledger: { record: async () => {} },
    allLoaded: async () => {
      for (const id of appended) stored.add(keyOf(id));
      return new Map();
    },
    whileNothingIsLoaded: (work) => work(),
    say: () => {},
    ...over,
  });
}

describe("a replay from the log", () => {
  it("holds a bounded number of events, and stores each once all the same", async () => {
    const ids = Array.from({ length: 5_000 }, (_, n) => `m${n}`);
    await log.append(
      "polder.events",
      [...ids, "m0", "m4999"].map((id) => event(id)),
    );
    let mostAtOnce = 0;
    let waits = 0;
    const counts = await replayer({
      maxHeld: 1_000,
      allLoaded: async () => {
        waits += 1;
        const fresh = appended.filter((id) => !stored.has(keyOf(id)));
        mostAtOnce = Math.max(mostAtOnce, fresh.length);
        for (const id of fresh) stored.add(keyOf(id));
        return new Map();
      },
    }).fromLog(range);
    expect(counts).toMatchObject({ read: 5_002, stored: 5_000, known: 2, missing: 0 });
    expect(appended.toSorted()).toEqual(ids.toSorted());
    expect(marked.toSorted()).toEqual(ids.toSorted());
    expect(mostAtOnce).toBeLessThanOrEqual(3_000);
    expect(waits).toBeGreaterThanOrEqual(3);
  });

  it("makes the counts anew of the weeks in which it stored something, and of those that a stopped run left", async () => {
    await log.append("polder.events", [event("sunday"), event("monday", "2026-11-23 00:00:00.000")]);
    stored.add(keyOf("monday"));
    expect(await replayer().fromLog(range)).toMatchObject({ stored: 1, weeks: ["2026-11-16"] });
    disagreeing = ["2026-11-23", "2026-11-16"];
    await replayer().fromLog(range);
    expect(rebuilt).toEqual([["2026-11-16"], ["2026-11-16", "2026-11-23"]]);
  });

  it("makes no counts anew before everything is loaded, and none while somebody else loads", async () => {
    await log.append("polder.events", [event("a")]);
    const refuses = async (): Promise<void> => {
      expect(stored).toContain(keyOf("a"));
      throw new Error("Other loaders have 1 of 2 partitions");
    };
    await expect(replayer({ whileNothingIsLoaded: refuses }).fromLog(range)).rejects.toThrow("Other loaders");
    expect(rebuilt).toEqual([]);
  });

  it("changes nothing when it only looks", async () => {
    disagreeing = ["2026-11-16"];
    await log.append("polder.events", [event("a"), event("a"), event("b")]);
    const counts = await replayer().fromLog({ ...range, isDryRun: true });
    expect(counts).toMatchObject({ read: 3, stored: 2, known: 1, weeks: [] });
    expect([appended, marked, rebuilt]).toEqual([[], [], []]);
  });

  it("has a choice judged as one that is on record when it is", async () => {
    await log.append("polder.events", [
      event("recorded", undefined, "consent"),
      event("new", undefined, "consent"),
      event("view"),
    ]);
    await replayer().fromLog(range);
    expect(judged).toEqual(
      new Map([
        ["recorded", true],
        ["new", false],
        ["view", false],
      ]),
    );
  });

  it("leaves alone what is not loaded yet", async () => {
    await log.append(
      "polder.events",
      ["lost", "loaded", "on-its-way"].map((id) => event(id)),
    );
    stored.add(keyOf("loaded"));
    const allLoaded = async () => {
      for (const id of appended) stored.add(keyOf(id));
      return new Map([[0, 2]]);
    };
    expect(await replayer({ allLoaded }).fromLog(range)).toMatchObject({ read: 2, stored: 1, known: 1 });
    expect(appended).toEqual(["lost"]);
  });

  it("reads in a group of its own, so that two at once do not wait for each other", async () => {
    const groups: string[] = [];
    const openReader = (options: ReaderOptions) => {
      groups.push(options.group);
      return log.openReader(options);
    };
    await log.append("polder.events", [event("a")]);
    await Promise.all([1, 2].map(() => replayer({ log: { ...log, openReader } }).fromLog(range)));
    expect(new Set(groups).size).toBe(2);
  });
});
