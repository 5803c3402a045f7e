import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { LogUnavailableError, type EventLog, type LogRecord } from "@polder/core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createLmdbLog } from "./event-log.ts";
import { createSpooledLog, type SpooledLog, type SpooledLogOptions } from "./spooled-log.ts";

const logger = { info() {}, warn() {}, error() {} };
let folder: string;
let log: EventLog;
/** How the log behaves for a collector that the test names. */
interface Weather {
  isAway: boolean;
  /** How long an append takes, by the clock of the spooled log. */
  latencyMs: number;
  /** Appends that were tried, by their first id. */
  tried: string[];
}
let weather: Weather;
let skewMs: number;
let opened: SpooledLog[];

const fair = (): Weather => ({ isAway: false, latencyMs: 0, tried: [] });

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "polder-spool-"));
  weather = fair();
  skewMs = 0;
  opened = [];
  log = createLmdbLog({ path: join(folder, "log"), pollMs: 5, retryAfterMs: 5, logger });
});
afterEach(async () => {
  await Promise.all(opened.map((each) => each.close()));
  await log.close();
  rmSync(folder, { recursive: true, force: true });
});

/** The log as a collector has it. Closing it leaves ours open. */
const seenIn = (conditions: Weather): EventLog => ({
  ...log,
  async append(topic, records) {
    conditions.tried.push(records[0]!.headers.id);
    if (conditions.isAway) throw new LogUnavailableError("away");
    await log.append(topic, records);
    skewMs += conditions.latencyMs;
  },
  close: () => Promise.resolve(),
});

function open(options: Partial<SpooledLogOptions> = {}): SpooledLog {
  const spooled = createSpooledLog({
    log: seenIn(weather),
    path: join(folder, "spool"),
    retryAfterMs: 5,
    clock: () => performance.now() + skewMs,
    logger,
    ...options,
  });
  opened.push(spooled);
  return spooled;
}

const record = (id: string, size = 1): LogRecord => ({
  key: "shop:v",
  value: Buffer.from(JSON.stringify({ id, received_at: "2026-11-22 20:15:00.000", fill: "x".repeat(size) })),
  headers: { id, site: "shop", anonymousId: "v", userId: "" },
});
const put = (spooled: SpooledLog, ...ids: string[]): Promise<void | "spooled"> =>
  spooled.append(
    "polder.events",
    ids.map((id) => record(id)),
  );

let groups = 0;
/** The ids in the log, in order, once there are so many different ones. */
async function idsInLog(count: number): Promise<string[]> {
  const ids: string[] = [];
  const reader = log.openReader({
    topic: "polder.events",
    group: `test-${groups++}`,
    maxRecords: 1000,
    maxBytes: 2 ** 20,
    lingerMs: 0,
  });
  let stop = (): void => {};
  const enough = new Promise<void>((resolve) => (stop = resolve));
  const running = reader.run({
    assigned: async (_partition, _committed, { start }) => start,
    async consume({ records }) {
      ids.push(...records.map(({ headers }) => headers.id));
      if (new Set(ids).size >= count) stop();
    },
    revoked() {},
  });
  await enough;
  await reader.stop();
  await running;
  return ids;
}

/** Appends one after the other until one goes to the log; the ids. */
async function untilDirect(spooled: SpooledLog, prefix: string): Promise<string[]> {
  const ids: string[] = [];
  let outcome: void | "spooled";
  do {
    ids.push(`${prefix}${ids.length}`);
    outcome = await put(spooled, ids.at(-1)!);
  } while (outcome === "spooled");
  return ids;
}

/** Resolves while the log is asked to take what is in the spool. */
async function untilAsked(spooled: SpooledLog): Promise<void> {
  while ((await spooled.spool()).attemptMs === 0) await turn();
}

describe("a log with a spool", () => {
  it("appends to the log alone while that is there", async () => {
    const spooled = open();
    expect(await put(spooled, "a")).toBeUndefined();
    expect(await spooled.spool()).toEqual({ records: 0, bytes: 0, oldestReceivedAt: undefined, attemptMs: 0 });
    expect(await idsInLog(1)).toEqual(["a"]);
  });

  it("keeps what comes while the log is away, and forwards it in order before anything newer", async () => {
    const spooled = open();
    await put(spooled, "a");
    weather.isAway = true;
    expect(await put(spooled, "b")).toBe("spooled");
    expect(await put(spooled, "c", "d")).toBe("spooled");
    expect(await spooled.isReachable()).toBe(true);
    weather.isAway = false;
    await put(spooled, "e");
    expect(await idsInLog(5)).toEqual(["a", "b", "c", "d", "e"]);
  });

  it("does not try the log for every append while it is away", async () => {
    const spooled = open();
    weather.isAway = true;
    await put(spooled, "a");
    const many = await Promise.all(Array.from({ length: 200 }, (_, i) => put(spooled, `b${i}`)));
    expect(many.every((outcome) => outcome === "spooled")).toBe(true);
    expect(weather.tried.filter((id) => id !== "a")).toEqual([]);
  });

  it("has everything after a restart during the outage", async () => {
    const first = open();
    weather.isAway = true;
    await put(first, "a", "b");
    await first.close();
    weather.isAway = false;
    const second = open();
    await put(second, "c");
    expect(await idsInLog(3)).toEqual(["a", "b", "c"]);
  });

  it("refuses when the spool is full too, and says so", async () => {
    const spooled = open({ maxBytes: 200_000 });
    weather.isAway = true;
    const outcomes: unknown[] = [];
    for (let i = 0; i < 30; i++)
      outcomes.push(await spooled.append("polder.events", [record(`r${i}`, 20_000)]).catch((error: unknown) => error));
    expect(outcomes[0]).toBe("spooled");
    expect(outcomes.at(-1)).toBeInstanceOf(LogUnavailableError);
    const kept = outcomes.filter((outcome) => outcome === "spooled").length;
    expect(kept).toBeLessThan(30);
    weather.isAway = false;
    expect(await idsInLog(kept)).toEqual(Array.from({ length: kept }, (_, i) => `r${i}`));
    expect(await untilDirect(spooled, "n")).toContain("n0");
  });

  it("goes back to the log when the spool is empty", async () => {
    const spooled = open();
    weather.isAway = true;
    await put(spooled, "a");
    weather.isAway = false;
    await idsInLog(1);
    const later = await untilDirect(spooled, "n");
    expect(await idsInLog(1 + later.length)).toEqual(["a", ...later]);
  });

  it("says how much waits, since when, and how long the log has been asked", async () => {
    const spooled = open({
      patientLog: { ...seenIn(weather), append: () => new Promise(() => {}) },
      closeWithinMs: 5,
    });
    weather.isAway = true;
    await put(spooled, "a", "b");
    await untilAsked(spooled);
    skewMs += 1000;
    const status = await spooled.spool();
    expect(status).toMatchObject({ records: 2, oldestReceivedAt: Date.parse("2026-11-22T20:15:00Z") });
    expect(status.attemptMs).toBeGreaterThan(1000);
    expect(status.bytes).toBeGreaterThan(100);
  });

  it("says since when choices wait that the log does not take, while it takes events", async () => {
    const refusing = { ...seenIn(weather) };
    const { append } = refusing;
    refusing.append = (topic, records) =>
      topic === "polder.consent" ? Promise.reject(new LogUnavailableError("not authorized")) : append(topic, records);
    const at = Date.parse("2026-11-22T20:15:00Z");
    const spooled = open({ log: refusing, now: () => at });
    expect(await spooled.append("polder.consent", [{ ...record("a"), value: Buffer.from('{"v":1,"times":[]}') }])).toBe(
      "spooled",
    );
    expect(await put(spooled, "b")).toBeUndefined();
    while ((await spooled.spool()).oldestReceivedAt === undefined) await turn();
    skewMs += 90_000;
    const { records, oldestReceivedAt } = await spooled.spool();
    expect(records).toBe(1);
    expect(at - oldestReceivedAt!).toBeGreaterThanOrEqual(90_000);
  });

  it("closes while the log does not answer, and forwards the same again in its next life", async () => {
    const hanging = {
      ...seenIn(weather),
      append: () => new Promise<never>(() => {}),
      close: () => new Promise<never>(() => {}),
    };
    const first = open({ patientLog: hanging, closeWithinMs: 5 });
    weather.isAway = true;
    await put(first, "a");
    await untilAsked(first);
    await first.close();
    weather.isAway = false;
    open();
    expect(await idsInLog(1)).toEqual(["a"]);
  });

  it("asks the log again where the spool cannot be written", async () => {
    const spooled = open({ maxBytes: 1 });
    weather.isAway = true;
    await expect(put(spooled, "a")).rejects.toBeInstanceOf(LogUnavailableError);
    weather.isAway = false;
    expect(await put(spooled, "b")).toBeUndefined();
    expect(await idsInLog(1)).toEqual(["b"]);
  });
});

describe("a log that is slow rather than away", () => {
  it("is left alone after one slow answer, until it answers quickly again", async () => {
    const spooled = open({ slowAfterMs: 250 });
    weather.latencyMs = 400;
    expect(await put(spooled, "a")).toBeUndefined();
    for (let n = 0; n < 20; n++) expect(await put(spooled, `b${n}`)).toBe("spooled");
    weather.latencyMs = 0;
    const later = await untilDirect(spooled, "c");
    const ids = await idsInLog(21 + later.length);
    expect(ids).toEqual(["a", ...Array.from({ length: 20 }, (_, n) => `b${n}`), ...later]);
  });

  it("is sent each record twice at most: once by the append that gave up, once by a forwarder that waits", async () => {
    const late: EventLog = {
      ...seenIn(weather),
      async append(topic, records) {
        await log.append(topic, records);
        throw new LogUnavailableError("stored, but not confirmed in time");
      },
    };
    const spooled = open({ log: late, patientLog: seenIn(weather) });
    weather.latencyMs = 3000;
    const ids = Array.from({ length: 50 }, (_, n) => `m${n}`);
    for (const id of ids) expect(await put(spooled, id)).toBe("spooled");
    while ((await spooled.spool()).records > 0) await idsInLog(50);
    const stored = await idsInLog(50);
    // What a loader makes of it, which drops the second of two.
    expect([...new Set(stored)]).toEqual(ids);
    expect(stored.filter((id) => id === "m0")).toHaveLength(2);
    expect(stored).toHaveLength(51);
  });
});
