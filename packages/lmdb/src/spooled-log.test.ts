import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LogUnavailableError, type EventLog, type LogRecord } from "@polder/core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createLmdbLog } from "./event-log.ts";
import { createSpooledLog, type SpooledLog } from "./spooled-log.ts";

const logger = { info() {}, warn() {}, error() {} };
let folder: string;
let log: EventLog;
let isAway: boolean;
let attempts: number;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "polder-spool-"));
  isAway = false;
  attempts = 0;
  log = createLmdbLog({ path: join(folder, "log"), pollMs: 5, retryAfterMs: 5, logger });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** The log as the collector has it: away when the test says so. */
const flaky = (): EventLog => ({
  ...log,
  async append(topic, records) {
    attempts++;
    if (isAway) throw new LogUnavailableError("away");
    return log.append(topic, records);
  },
});
const open = (maxBytes?: number): SpooledLog =>
  createSpooledLog({
    log: flaky(),
    path: join(folder, "spool"),
    retryAfterMs: 5,
    logger,
    ...(maxBytes !== undefined && { maxBytes }),
  });

const record = (id: string, size = 1): LogRecord => ({
  key: "shop:v",
  value: Buffer.from(JSON.stringify({ id, fill: "x".repeat(size) })),
  headers: { id, site: "shop", anonymousId: "v", userId: "" },
});

/** The ids in the log, in order, once there are so many. */
async function idsInLog(count: number): Promise<string[]> {
  const ids: string[] = [];
  const reader = log.openReader({
    topic: "polder.events",
    group: `test-${ids.length}`,
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
      if (ids.length >= count) stop();
    },
    revoked() {},
  });
  await enough;
  await reader.stop();
  await running;
  return ids;
}

describe("a log with a spool", () => {
  it("appends to the log alone while that is there", async () => {
    const spooled = open();
    expect(await spooled.append("polder.events", [record("a")])).toBeUndefined();
    expect(await spooled.spooled()).toBe(0);
    expect(await idsInLog(1)).toEqual(["a"]);
    await spooled.close();
  });

  it("keeps what comes while the log is away, and forwards it in order before anything newer", async () => {
    const spooled = open();
    await spooled.append("polder.events", [record("a")]);
    isAway = true;
    expect(await spooled.append("polder.events", [record("b")])).toBe("spooled");
    expect(await spooled.append("polder.events", [record("c"), record("d")])).toBe("spooled");
    expect(await spooled.isReachable()).toBe(true);
    isAway = false;
    await spooled.append("polder.events", [record("e")]);
    expect(await idsInLog(5)).toEqual(["a", "b", "c", "d", "e"]);
    await spooled.close();
  });

  it("does not try the log for every append while it is away", async () => {
    const spooled = open();
    isAway = true;
    await spooled.append("polder.rejected", [record("a")]);
    const before = attempts;
    const many = await Promise.all(
      Array.from({ length: 200 }, (_, i) => spooled.append("polder.rejected", [record(`b${i}`)])),
    );
    expect(many.every((outcome) => outcome === "spooled")).toBe(true);
    expect(attempts - before).toBeLessThan(100);
    await spooled.close();
  });

  it("has everything after a restart during the outage", async () => {
    const first = open();
    isAway = true;
    await first.append("polder.events", [record("a"), record("b")]);
    await first.close();
    log = createLmdbLog({ path: join(folder, "log"), pollMs: 5, retryAfterMs: 5, logger });
    isAway = false;
    const second = open();
    await second.append("polder.events", [record("c")]);
    expect(await idsInLog(3)).toEqual(["a", "b", "c"]);
    await second.close();
  });

  it("refuses when the spool is full too, and says so", async () => {
    const spooled = open(200_000);
    isAway = true;
    const outcomes: unknown[] = [];
    for (let i = 0; i < 30; i++)
      outcomes.push(await spooled.append("polder.events", [record(`r${i}`, 20_000)]).catch((error: unknown) => error));
    expect(outcomes[0]).toBe("spooled");
    expect(outcomes.at(-1)).toBeInstanceOf(LogUnavailableError);
    await spooled.close();
  });

  it("goes back to the log when the spool is empty", async () => {
    const spooled = open();
    isAway = true;
    await spooled.append("polder.events", [record("a")]);
    isAway = false;
    await idsInLog(1);
    const outcomes = [];
    do outcomes.push(await spooled.append("polder.events", [record(`n${outcomes.length}`)]));
    while (outcomes.at(-1) === "spooled");
    expect(await idsInLog(1 + outcomes.length)).toEqual(["a", ...outcomes.map((_, i) => `n${i}`)]);
    await spooled.close();
  });
});
