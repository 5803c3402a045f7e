import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { EventLog, LogRange, StoredRecord } from "@polder/core";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createLmdbLog } from "./event-log.ts";

const packageFolder = fileURLToPath(new URL("..", import.meta.url));
const logger = { info() {}, warn() {}, error() {} };
const topic = "polder.events";
const seed = 20_261_123;

/** What the children have in common. `say` writes one line to us. */
const prelude = `
import { createLmdbLog } from "@polder/lmdb";
import { writeSync } from "node:fs";
const [path, name] = process.argv.slice(1);
const log = createLmdbLog({ path, pollMs: 5, logger: { info() {}, warn() {}, error() {} } });
const say = (text) => writeSync(1, text + "\\n");
const recordOf = (key, id) => ({
  key, value: Buffer.alloc(500, "x"), headers: { id, site: "shop", anonymousId: key, userId: "" },
});
`;

/** Appends for ever, several at a time, and says the ids of an append when it has been confirmed. */
const appending = `${prelude}
let count = 0;
const append = async (lane) => {
  for (;;) {
    const records = Array.from({ length: 1 + (count % 40) }, () => recordOf(name + lane, name + ":" + lane + ":" + count++));
    await log.append("${topic}", records);
    say(records.map((record) => record.headers.id).join(" "));
  }
};
await Promise.all([1, 2, 3, 4].map(append));
`;

/** Appends a thousand records, ten at a time, and ends. */
const appendingThousand = `${prelude}
for (let from = 0; from < 1000; from += 10) {
  await log.append("${topic}", Array.from({ length: 10 }, (_, index) => recordOf(name, name + ":" + (from + index))));
}
await log.close();
`;

/** Appends 6,000 records, some at a time, and asks for three appends before it waits for the first. */
const appendingWithoutWaiting = `${prelude}
let count = 0;
while (count < 6000) {
  const appends = Array.from({ length: 3 }, () => {
    const records = Array.from({ length: 1 + (count % 5) }, () => recordOf(name, name + ":" + count++));
    return log.append("${topic}", records);
  });
  await Promise.all(appends);
}
await log.close();
say("count " + count);
`;

/**
 * Does for ever what LMDB does when a process opens a folder, only slower: reads the number of the newest commit from the data file, and some time later
 * writes it into the lock file. Says after each whether that undid the number of a commit.
 */
const opening = `
import { openSync, readSync, writeSync } from "node:fs";
import { openBehindGate } from "./dist/opening-gate.js";
const [path, seed] = process.argv.slice(1);
const data = openSync(path + "/data.mdb", "r");
const lock = openSync(path + "/lock.mdb", "r+");
const numberIn = (file, position) => {
  const number = new BigUint64Array(1);
  readSync(file, number, 0, 8, position);
  return number[0];
};
// Two meta pages: 24 bytes of header, then MDB_meta, of which the number is the last field but one.
const newest = () => {
  const [one, other] = [numberIn(data, 152), numberIn(data, 4096 + 152)];
  return one > other ? one : other;
};
let state = Number(seed);
const random = () => (state = (state * 1103515245 + 12345) % 2147483648) / 2147483648;
const clock = new Int32Array(new SharedArrayBuffer(4));
for (;;) {
  const { opened, gate } = openBehindGate(path, () => {
    const number = newest();
    Atomics.wait(clock, 0, 0, random() * 8);
    const isUndone = number < numberIn(lock, 8);
    writeSync(lock, new BigUint64Array([number]), 0, 8, 8);
    return isUndone ? "undone" : "kept";
  });
  gate.close();
  writeSync(1, opened + "\\n");
  Atomics.wait(clock, 0, 0, random() * 8);
}
`;

/** Appends until the disk is full, says so, and shows that it still answers. */
const fillingDisk = `${prelude}
for (let count = 0; ; count++) {
  const records = Array.from({ length: 100 }, (_, index) => recordOf(name, name + ":" + (count * 100 + index)));
  try {
    await log.append("${topic}", records);
  } catch (error) {
    say(error.code);
    break;
  }
  say(records.map((record) => record.headers.id).join(" "));
}
const reader = log.openReader({ topic: "${topic}", group: "loader", maxRecords: 5, maxBytes: 1e6, lingerMs: 0 });
await reader.run({
  assigned: async () => 0,
  async consume() { void reader.stop(); },
  revoked() {},
});
say("alive");
`;

/** Reads for ever and says the ids that it has committed. */
const reading = `${prelude}
const reader = log.openReader({ topic: "${topic}", group: "loader", maxRecords: 5, maxBytes: 1e6, lingerMs: 0 });
await reader.run({
  assigned: async (_partition, committed) => committed?.offset ?? 0,
  async consume(range) {
    await range.commit({ offset: range.records.at(-1).offset + 1, metadata: "by the child" });
    say(range.records.map((record) => record.headers.id).join(" "));
  },
  revoked() {},
});
`;

interface Child {
  ids: string[];
  /** Resolves when the child has said this many ids. */
  until(count: number): Promise<void>;
  ended(): Promise<void>;
  kill(): Promise<void>;
}

describe("several processes on one folder", () => {
  let path: string;
  let log: EventLog;
  let children: ChildProcess[] = [];

  /** `limitKiB`: the largest file that the child may write, as if the disk were full there. */
  const start = (script: string, name: string, limitKiB?: number): Child => {
    const command = [process.execPath, "--input-type=module", "-e", script, path, name];
    const limited = ["bash", "-c", `ulimit -f ${limitKiB}; exec "$0" "$@"`, ...command];
    const [file = "", ...args] = limitKiB === undefined ? command : limited;
    const child = spawn(file, args, { cwd: packageFolder, stdio: ["ignore", "pipe", "ignore"] });
    children.push(child);
    const ids: string[] = [];
    const exited = new Promise<void>((resolve) => child.once("close", () => resolve()));
    let look = () => {};
    createInterface({ input: child.stdout }).on("line", (line) => {
      ids.push(...line.split(" "));
      look();
    });
    return {
      ids,
      until: (count) =>
        new Promise((resolve, reject) => {
          look = () => void (ids.length >= count && resolve());
          look();
          void exited.then(() => reject(new Error(`the child ended after ${ids.length} ids`)));
        }),
      ended: () => exited,
      async kill() {
        child.kill("SIGKILL");
        await exited;
      },
    };
  };

  /** Everything in the log. */
  const readAll = async (group: string): Promise<StoredRecord[]> => {
    const expected = [...(await log.lag(topic, group)).values()][0]!;
    const records: StoredRecord[] = [];
    if (expected === 0) return records;
    const reader = log.openReader({ topic, group, maxRecords: 10_000, maxBytes: 1e8, lingerMs: 0 });
    await reader.run({
      assigned: async (_partition, committed) => committed?.offset ?? 0,
      async consume(range: LogRange) {
        records.push(...range.records);
        if (records.length >= expected) void reader.stop();
      },
      revoked() {},
    });
    return records;
  };

  // Node 20 runs no TypeScript: children run the build, which is brought up to date first.
  beforeAll(() => {
    const typescript = dirname(createRequire(import.meta.url).resolve("typescript/package.json"));
    execFileSync(process.execPath, [join(typescript, "bin", "tsc"), "-b", packageFolder]);
  });
  beforeEach(async () => {
    path = await mkdtemp(join(tmpdir(), "polder-lmdb-"));
    log = createLmdbLog({ path, pollMs: 5, logger });
  });
  afterEach(async () => {
    for (const child of children) child.kill("SIGKILL");
    children = [];
    await log.close();
    await rm(path, { recursive: true });
  });

  it("keeps every confirmed record of a process that is killed while it appends", async () => {
    const confirmed: string[] = [];
    for (let life = 0; life < 5; life++) {
      const child = start(appending, `life-${life}`);
      await child.until(300);
      await child.kill();
      confirmed.push(...child.ids);
    }
    const records = await readAll("check");
    const ids = records.map(({ headers }) => headers.id);
    const stored = new Set(ids);
    expect(stored.size).toBe(ids.length);
    expect(confirmed.filter((id) => !stored.has(id))).toEqual([]);
    records.forEach(({ offset }, index) => expect(offset).toBe(index));
    const lanes = new Map<string, number>();
    for (const { key, headers } of records) {
      const number = Number(headers.id.split(":")[2]);
      expect(number).toBeGreaterThan(lanes.get(key) ?? -1);
      lanes.set(key, number);
    }
    await log.append(topic, [records[0]!]);
  });

  it.skipIf(process.platform === "win32")(
    "refuses appends when the disk is full, lives on, and has everything that it confirmed",
    async () => {
      const child = start(fillingDisk, "full", 8 * 1024);
      await child.ended();
      const confirmed = child.ids.filter((id) => id.startsWith("full:"));
      expect(child.ids.slice(confirmed.length)).toEqual(["log_unavailable", "alive"]);
      expect(confirmed.length).toBeGreaterThan(1000);
      const stored = (await readAll("check")).map(({ headers }) => headers.id);
      expect(stored.slice(0, confirmed.length)).toEqual(confirmed);
      await log.append(topic, [
        { key: "k", value: Buffer.from("{}"), headers: { id: "more", site: "", anonymousId: "", userId: "" } },
      ]);
      expect((await readAll("again")).at(-1)!.headers.id).toBe("more");
    },
  );

  it("gives every record of several appending processes its own offset, and shows them to a reader as they come", async () => {
    const names = ["a", "b", "c"];
    const running = names.map((name) => start(appendingThousand, name));
    const seen: string[] = [];
    const reader = log.openReader({ topic, group: "live", maxRecords: 100, maxBytes: 1e8, lingerMs: 0 });
    await reader.run({
      assigned: async () => 0,
      async consume({ records }) {
        seen.push(...records.map(({ headers }) => headers.id));
        if (seen.length >= 3000) void reader.stop();
      },
      revoked() {},
    });
    await Promise.all(running.map((child) => child.ended()));
    for (const name of names) {
      const own = seen.filter((id) => id.startsWith(`${name}:`));
      expect(own).toEqual(Array.from({ length: 1000 }, (_, index) => `${name}:${index}`));
    }
    expect((await readAll("check")).map(({ offset }) => offset)).toEqual(
      Array.from({ length: 3000 }, (_, offset) => offset),
    );
  });

  it(`keeps every confirmed record, in order, while others open the folder (seed ${seed})`, async () => {
    await log.close();
    // Pages become free and are used again all the time.
    log = createLmdbLog({ path, pollMs: 5, retainBytes: 2 ** 18, retainRecords: 0, logger });
    const opener = start(opening, `${seed}`);
    const names = ["a", "b"];
    const appenders = names.map((name) => start(appendingWithoutWaiting, name));
    const seen = new Map<number, string>();
    const changed: number[] = [];
    const reader = log.openReader({ topic, group: "live", maxRecords: 200, maxBytes: 1e8, lingerMs: 0 });
    const isRead = reader.run({
      assigned: async (_partition, committed) => committed?.offset ?? 0,
      async consume({ records, commit }) {
        for (const { offset, headers } of records) {
          // A range may be handed over again, but as it was.
          if ((seen.get(offset) ?? headers.id) !== headers.id) changed.push(offset);
          seen.set(offset, headers.id);
        }
        await commit({ offset: records.at(-1)!.offset + 1, metadata: "" });
        if (records.at(-1)!.headers.id === "last") void reader.stop();
      },
      revoked() {},
    });
    await Promise.all(appenders.map((child) => child.ended()));
    await opener.kill();
    const last = { id: "last", site: "", anonymousId: "", userId: "" };
    await log.append(topic, [{ key: "k", value: Buffer.from("{}"), headers: last }]);
    await isRead;
    expect(changed).toEqual([]);
    const inOrder = [...seen.keys()].toSorted((one, other) => one - other).map((offset) => seen.get(offset)!);
    const counts = appenders.map(({ ids }) => Number(ids[1]));
    names.forEach((name, index) => {
      const own = inOrder.filter((id) => id.startsWith(`${name}:`));
      expect(own).toEqual(Array.from({ length: counts[index]! }, (_, number) => `${name}:${number}`));
    });
    expect(new Set(opener.ids)).toEqual(new Set(["kept"]));
    expect(opener.ids.length).toBeGreaterThan(20);
  });

  it("lets a second reader of a group wait while the first one lives, and go on after it was killed", async () => {
    const append = (from: number, count: number) =>
      log.append(
        topic,
        Array.from({ length: count }, (_, index) => ({
          key: "k",
          value: Buffer.from("{}"),
          headers: { id: `${from + index}`, site: "shop", anonymousId: "", userId: "" },
        })),
      );
    await append(0, 20);
    const child = start(reading, "reader");
    await child.until(20);

    const taken: { id: string; committed: string | undefined }[] = [];
    let owned = 0;
    let resumedAt: { offset: number; metadata: string } | undefined;
    const reader = log.openReader({ topic, group: "loader", maxRecords: 100, maxBytes: 1e8, lingerMs: 0 });
    const running = reader.run({
      async assigned(_partition, committed) {
        owned += 1;
        resumedAt = committed;
        return committed?.offset ?? 0;
      },
      async consume({ records, commit }) {
        for (const { headers } of records) taken.push({ id: headers.id, committed: resumedAt?.metadata });
        await commit({ offset: records.at(-1)!.offset + 1, metadata: "" });
        if (taken.at(-1)!.id === "59") void reader.stop();
      },
      revoked() {},
    });
    // The child goes on for as long as ours asks for the lock some dozen times.
    for (let from = 20; from < 50; from++) {
      await append(from, 1);
      await child.until(from + 1);
    }
    expect(owned).toBe(0);
    await child.kill();
    await append(50, 10);
    await running;
    expect(owned).toBe(1);
    expect(resumedAt).toEqual({ offset: 50, metadata: "by the child" });
    expect(taken.map(({ id }) => id)).toEqual(Array.from({ length: 10 }, (_, index) => `${50 + index}`));
  });
});
