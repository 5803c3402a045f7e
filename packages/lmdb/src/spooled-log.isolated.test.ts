import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { EventLog } from "@polder/core";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createLmdbLog } from "./event-log.ts";

const packageFolder = fileURLToPath(new URL("..", import.meta.url));
const logger = { info() {}, warn() {}, error() {} };
const topic = "polder.events";

/**
 * A collector's process: a spool in front of a log that is away, or there, as the test says. It does what it is told line by line and answers with
 * a line: `away`, `back`, `put <id> …` (answered with the outcome), `untilDirect <prefix>` (answered with the ids), `waiting`.
 */
const collector = `
import { createLmdbLog, createSpooledLog } from "@polder/lmdb";
import { LogUnavailableError } from "@polder/core";
import { writeSync } from "node:fs";
import { createInterface } from "node:readline";
const [folder] = process.argv.slice(1);
const logger = { info() {}, warn() {}, error() {} };
const log = createLmdbLog({ path: folder + "/log", logger });
let isAway = true;
const seen = {
  ...log,
  append: (topic, records) => (isAway ? Promise.reject(new LogUnavailableError("away")) : log.append(topic, records)),
};
const spooled = createSpooledLog({ log: seen, path: folder + "/spool", retryAfterMs: 5, logger });
const record = (id) => ({
  key: "shop:v", value: Buffer.from(JSON.stringify({ id, fill: "x".repeat(500) })), headers: { id, site: "shop", anonymousId: "v", userId: "" },
});
const put = (ids) => spooled.append("${topic}", ids.map(record)).then((outcome) => outcome ?? "direct", (error) => error.code);
const orders = {
  away: () => ((isAway = true), "away"),
  back: () => ((isAway = false), "back"),
  put: (...ids) => put(ids),
  async untilDirect(prefix) {
    const ids = [];
    let outcome;
    do {
      ids.push(prefix + ids.length);
      outcome = await put(ids.slice(-1));
    } while (outcome === "spooled");
    return ids.join(" ");
  },
  waiting: async () => String((await spooled.spool()).records),
};
const tell = (line) => writeSync(1, line + "\\n");
createInterface({ input: process.stdin }).on("line", async (line) => {
  const [order, ...words] = line.split(" ");
  tell(await orders[order](...words));
});
tell("ready");
`;

interface Collector {
  tell(order: string): Promise<string>;
  kill(): Promise<void>;
  ended(): Promise<void>;
}

describe("processes that share a spool", () => {
  let folder: string;
  let log: EventLog;
  let children: ChildProcess[] = [];
  let groups = 0;

  /** `limitKiB`: the largest file that the child may write, as if the disk were full there. */
  async function start(limitKiB?: number): Promise<Collector> {
    const command = [process.execPath, "--input-type=module", "-e", collector, folder];
    const limited = ["bash", "-c", `ulimit -f ${limitKiB}; exec "$0" "$@"`, ...command];
    const [file = "", ...args] = limitKiB === undefined ? command : limited;
    const child = spawn(file, args, { cwd: packageFolder, stdio: ["pipe", "pipe", "inherit"] });
    children.push(child);
    const exited = new Promise<void>((resolve) => child.once("close", () => resolve()));
    const lines: string[] = [];
    let arrived = (): void => {};
    createInterface({ input: child.stdout }).on("line", (line) => {
      lines.push(line);
      arrived();
    });
    const nextLine = async (): Promise<string> => {
      const ended = exited.then(() => "ended");
      while (lines.length === 0) {
        const line = new Promise<undefined>((resolve) => (arrived = () => resolve(undefined)));
        if ((await Promise.race([line, ended])) === "ended") throw new Error("the process ended by itself");
      }
      return lines.shift()!;
    };
    expect(await nextLine()).toBe("ready");
    return {
      tell(order) {
        child.stdin.write(`${order}\n`);
        return nextLine();
      },
      async kill() {
        child.kill("SIGKILL");
        await exited;
      },
      ended: () => exited,
    };
  }

  /** The ids in the log, in order, as soon as `isEnough` says so. */
  async function idsInLog(isEnough: (ids: readonly string[]) => boolean): Promise<string[]> {
    const ids: string[] = [];
    const group = `test-${groups++}`;
    const reader = log.openReader({ topic, group, maxRecords: 10_000, maxBytes: 1e8, lingerMs: 0 });
    await reader.run({
      assigned: async (_partition, _committed, { start: first }) => first,
      async consume({ records }) {
        ids.push(...records.map(({ headers }) => headers.id));
        if (isEnough(ids)) void reader.stop();
      },
      revoked() {},
    });
    return ids;
  }
  const has = (id: string) => (ids: readonly string[]) => ids.includes(id);
  const numbered = (prefix: string, count: number): string[] =>
    Array.from({ length: count }, (_, n) => `${prefix}${n}`);

  // Node 20 runs no TypeScript: children run the build, which is brought up to date first.
  beforeAll(() => {
    const typescript = dirname(createRequire(import.meta.url).resolve("typescript/package.json"));
    execFileSync(process.execPath, [join(typescript, "bin", "tsc"), "-b", packageFolder]);
  });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "polder-spool-"));
    log = createLmdbLog({ path: join(folder, "log"), pollMs: 5, logger });
  });
  afterEach(async () => {
    for (const child of children) child.kill("SIGKILL");
    children = [];
    await log.close();
    await rm(folder, { recursive: true });
  });

  it("do not overtake each other, though one of them still reaches the log", async () => {
    // The one that comes first forwards, and it is the one that cannot.
    const first = await start();
    await first.tell("put a");
    await first.tell("back");
    await idsInLog(has("a"));
    const second = await start();
    await second.tell("back");
    await first.tell("away");
    expect(await first.tell("put b")).toBe("spooled");
    expect(await second.tell("put c")).toBe("spooled");
    await first.tell("back");
    expect(await idsInLog(has("c"))).toEqual(["a", "b", "c"]);
  });

  it("both go back to the log under a steady load, also the one that does not forward", async () => {
    const both = [await start(), await start()] as const;
    await both[0].tell("put a");
    await both[1].tell("put b");
    await Promise.all(both.map((each) => each.tell("back")));
    const [first, second] = await Promise.all([both[0].tell("untilDirect f"), both[1].tell("untilDirect s")]);
    const ids = await idsInLog((seen) => [first, second].every((list) => seen.includes(list!.split(" ").at(-1)!)));
    expect(ids.slice(0, 2)).toEqual(["a", "b"]);
    expect(ids.filter((id) => id.startsWith("f"))).toEqual(first.split(" "));
    expect(ids.filter((id) => id.startsWith("s"))).toEqual(second.split(" "));
    expect(ids).toHaveLength(new Set(ids).size);
  });

  it("lose nothing and keep the order when each of them is killed while it forwards", async () => {
    const ids = numbered("m", 30_000);
    const writer = await start();
    for (let from = 0; from < ids.length; from += 500)
      expect(await writer.tell(`put ${ids.slice(from, from + 500).join(" ")}`)).toBe("spooled");
    await writer.kill();
    // Killed at different points of its work: before anything, in the middle of a range, between a range and its position.
    for (let life = 0; life < 5; life++) {
      const forwarder = await start();
      void forwarder.tell("back").catch(() => {});
      await idsInLog((seen) => seen.length > 3_000 * life);
      await forwarder.kill();
    }
    const last = await start();
    await last.tell("back");
    const stored = await idsInLog(has(ids.at(-1)!));
    expect([...new Set(stored)]).toEqual(ids);
    // At most one range a life comes again.
    expect(stored.length).toBeLessThanOrEqual(ids.length + 6 * 5_000);
  });

  it("hand over to each other: one that is killed while the log is away leaves nothing behind", async () => {
    const first = await start();
    const second = await start();
    await first.tell("put a");
    await second.tell("put b");
    await first.kill();
    expect(await second.tell("put c")).toBe("spooled");
    await second.tell("back");
    expect(await idsInLog(has("c"))).toEqual(["a", "b", "c"]);
  });

  it.skipIf(process.platform === "win32")(
    "refuse when the disk of the spool is full, live on, and bring all that they confirmed when the log is back",
    async () => {
      const child = await start(8 * 1024);
      const confirmed: string[] = [];
      let outcome: string;
      for (let n = 0; ; n++) {
        const ids = numbered(`r${n}-`, 500);
        outcome = await child.tell(`put ${ids.join(" ")}`);
        if (outcome !== "spooled") break;
        confirmed.push(...ids);
      }
      expect(outcome).toBe("log_unavailable");
      expect(confirmed.length).toBeGreaterThan(1_000);
      // The log's own file is under the limit too, so another process takes what is there.
      await child.kill();
      const other = await start();
      await other.tell("back");
      const stored = await idsInLog(has(confirmed.at(-1)!));
      expect(stored.slice(0, confirmed.length)).toEqual(confirmed);
      expect((await other.tell("untilDirect n")).startsWith("n0")).toBe(true);
    },
  );
});
