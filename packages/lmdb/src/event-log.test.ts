import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LogMisconfiguredError, LogUnavailableError, type EventLog, type LogRecord } from "@polder/core";
import { describeEventLog } from "@polder/core/contracts";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openEnvironment } from "./environment.ts";
import { createLmdbLog } from "./event-log.ts";

const logger = { info() {}, warn() {}, error() {} };

describeEventLog(
  "LMDB",
  async () => {
    const path = await mkdtemp(join(tmpdir(), "polder-lmdb-"));
    return {
      open: async () => createLmdbLog({ path, partitions: 4, retryAfterMs: 5, pollMs: 5, logger }),
      async removeBefore(topic, partition, offset) {
        const environment = openEnvironment({ path, partitions: 4, maxBytes: 2 ** 30 });
        const records = environment.records(topic);
        const keys = [...records.getKeys({ start: [partition, 0], end: [partition, offset] })];
        await environment.write(() => keys.forEach((key) => void records.remove(key)));
        await environment.close();
      },
      dispose: () => rm(path, { recursive: true }),
    };
  },
  { randomRuns: 30 },
);

describe("the LMDB log", () => {
  const topic = "polder.events";
  const tenKilobytes: LogRecord = {
    key: "shop:a",
    value: Buffer.alloc(10_000),
    headers: { id: "id", site: "shop", anonymousId: "a", userId: "" },
  };
  let path: string;
  let opened: EventLog[] = [];

  const open = (options: { partitions?: number; maxBytes?: number } = {}) => {
    const log = createLmdbLog({ path, logger, retainRecords: 0, ...options });
    opened.push(log);
    return log;
  };
  const error = (work: () => unknown) => {
    try {
      work();
    } catch (thrown) {
      return thrown as Error;
    }
    throw new Error("nothing was thrown");
  };

  beforeEach(async () => {
    path = await mkdtemp(join(tmpdir(), "polder-lmdb-"));
  });
  afterEach(async () => {
    await Promise.all(opened.map((log) => log.close()));
    opened = [];
    await rm(path, { recursive: true });
  });

  it("has one partition unless told otherwise, and does not open with another number", async () => {
    expect(await open().partitionCount(topic)).toBe(1);
    const refusal = error(() => open({ partitions: 3 }));
    expect(refusal).toBeInstanceOf(LogMisconfiguredError);
    expect(refusal.message).toContain("has 1 partitions, not 3");
    await open().append(topic, [tenKilobytes]);
  });

  it("says what is wrong with a folder that it cannot use", async () => {
    await writeFile(join(path, "file"), "");
    const refusal = error(() => createLmdbLog({ path: join(path, "file"), logger }));
    expect(refusal).toBeInstanceOf(LogMisconfiguredError);
    expect(refusal.message).toContain(join(path, "file"));
  });

  it("refuses a second reader of a group that does not want to wait, and names the process of the first", async () => {
    const log = open();
    const limits = { topic, group: "loader", maxRecords: 10, maxBytes: 1e6, lingerMs: 0 } as const;
    const consumer = { assigned: async () => 0, consume: async () => {}, revoked() {} };
    const first = log.openReader(limits);
    const held = new Promise<void>((resolve) => {
      void first.run({ ...consumer, assigned: async () => (resolve(), 0) });
    });
    await held;
    const second = open().openReader({ ...limits, whenTaken: "refuse" });
    await expect(second.run(consumer)).rejects.toThrow(LogMisconfiguredError);
    await expect(
      open()
        .openReader({ ...limits, whenTaken: "refuse" })
        .run(consumer),
    ).rejects.toThrow(`Process ${process.pid} reads ${topic}`);
    await second.stop();
    await first.stop();
    const third = open().openReader({ ...limits, whenTaken: "refuse" });
    const isTaken = new Promise<void>((resolve) => {
      void third.run({ ...consumer, assigned: async () => (resolve(), 0) });
    });
    await isTaken;
    await third.stop();
  });

  it("tells a partition that it tries again from one that another reader has taken", async () => {
    const log = createLmdbLog({ path, logger, pollMs: 5, retryAfterMs: 1 });
    opened.push(log);
    const calls: string[] = [];
    let onCall = () => {};
    const called = (call: string, times: number) =>
      new Promise<void>((resolve) => {
        onCall = () => void (calls.filter((one) => one === call).length >= times && resolve());
        onCall();
      });
    const note = (call: string) => {
      calls.push(call);
      onCall();
    };
    const reader = log.openReader({ topic, group: "loader", maxRecords: 10, maxBytes: 1e6, lingerMs: 0 });
    void reader.run({
      assigned: () => (note("assigned"), Promise.reject(new Error("not now"))),
      consume: async () => {},
      revoked: () => note("revoked"),
      lost: () => note("lost"),
    });
    await called("revoked", 3);
    expect(calls).not.toContain("lost");
    const another = openEnvironment({ path, partitions: 1, maxBytes: 2 ** 30 });
    const owner = another.owner(topic, "loader")!;
    await another.write(() => another.setOwner(topic, "loader", { ...owner, token: "another" }));
    await called("lost", 1);
    expect(calls.slice(-2)).toEqual(["revoked", "lost"]);
    await another.close();
    await reader.stop();
    expect(calls.filter((call) => call === "lost")).toHaveLength(1);
  });

  it("refuses appends when it is full, and takes them again when records have been committed", async () => {
    const log = open({ maxBytes: 200_000 });
    const append = () => log.append(topic, [tenKilobytes]);
    let stored = 0;
    const refusal = await (async () => {
      for (;;) {
        try {
          await append();
          stored += 1;
        } catch (thrown) {
          return thrown as Error;
        }
      }
    })();
    expect(refusal).toBeInstanceOf(LogUnavailableError);
    expect(refusal.message).toContain("is full (200000 bytes)");
    expect(stored).toBeGreaterThan(10);
    expect([...(await log.lag(topic, "loader")).values()]).toEqual([stored]);

    const reader = log.openReader({ topic, group: "loader", maxRecords: 1000, maxBytes: 2 ** 30, lingerMs: 0 });
    let consumed = 0;
    const running = reader.run({
      assigned: async (_partition, committed) => committed?.offset ?? 0,
      async consume({ records, commit }) {
        await commit({ offset: records.at(-1)!.offset + 1, metadata: "" });
        if ((consumed += records.length) === stored) void reader.stop();
      },
      revoked() {},
    });
    await running;
    for (let again = 0; again < stored; again++) await append();
    expect([...(await log.lag(topic, "loader")).values()]).toEqual([stored]);
  });

  it("keeps everything of one append together", async () => {
    const log = open({ maxBytes: 100_000 });
    await expect(
      log.append(
        topic,
        Array.from({ length: 20 }, () => tenKilobytes),
      ),
    ).rejects.toThrow(LogUnavailableError);
    expect([...(await log.lag(topic, "loader")).values()]).toEqual([0]);
    expect(await log.isReachable()).toBe(true);
  });
});
