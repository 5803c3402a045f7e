import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createLmdbLog } from "./event-log.ts";
import { openBehindGate } from "./opening-gate.ts";

const locks = pathToFileURL(createRequire(import.meta.url).resolve("fs-native-extensions")).href;

/** Holds what an opener holds, or what a writer holds, says so, and ends when it is told to. */
const holding = `
import { openSync, writeSync } from "node:fs";
import { tryLock } from "${locks}";
const [path, role] = process.argv.slice(1);
const openers = openSync(path + "/openers.lock", "a+");
const writers = openSync(path + "/writers.lock", "a+");
const isHeld = role === "opener" ? tryLock(openers) && tryLock(writers) : tryLock(writers, { shared: true });
writeSync(1, isHeld + "\\n");
process.stdin.resume().on("end", () => process.exit());
`;

const logger = { info() {}, warn() {}, error() {} };
const record = (id: string) => ({
  key: "k",
  value: Buffer.from("{}"),
  headers: { id, site: "shop", anonymousId: "", userId: "" },
});

describe("the gate of a folder", () => {
  let path = "";
  let child: ChildProcess | undefined;

  const hold = async (role: "opener" | "writer"): Promise<void> => {
    child = spawn(process.execPath, ["--input-type=module", "-e", holding, path, role], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const lines = createInterface({ input: child.stdout! });
    expect(await new Promise((resolve) => lines.once("line", resolve))).toBe("true");
  };
  const release = (): Promise<unknown> => {
    const ended = new Promise((resolve) => child!.once("close", resolve));
    child!.stdin!.end();
    return ended;
  };
  const kill = (): Promise<unknown> => {
    const ended = new Promise((resolve) => child!.once("close", resolve));
    child!.kill("SIGKILL");
    return ended;
  };

  beforeEach(() => {
    path = mkdtempSync(join(tmpdir(), "polder-gate-"));
  });
  afterEach(() => {
    child?.kill("SIGKILL");
    child = undefined;
    rmSync(path, { recursive: true });
  });

  it("stores nothing while another process opens the folder, and all of it afterwards, in order", async () => {
    const log = createLmdbLog({ path, logger });
    await hold("opener");
    let isStored = false;
    const ids = ["1", "2", "3"];
    const appends = Promise.all(ids.map((id) => log.append("polder.events", [record(id)]))).then(
      () => (isStored = true),
    );
    // As long as a dozen commits take.
    const other = createLmdbLog({ path: join(path, "other"), logger });
    for (let n = 0; n < 12; n++) await other.append("polder.events", [record("other")]);
    await other.close();
    expect(isStored).toBe(false);
    expect(await log.lag("polder.events", "nobody")).toEqual(new Map([[0, 0]]));
    await release();
    await appends;
    const seen: string[] = [];
    const reader = log.openReader({ topic: "polder.events", group: "g", maxRecords: 10, maxBytes: 1e6, lingerMs: 0 });
    await reader.run({
      assigned: async () => 0,
      async consume({ records }) {
        seen.push(...records.map(({ headers }) => headers.id));
        if (seen.length >= ids.length) void reader.stop();
      },
      revoked() {},
    });
    expect(seen).toEqual(ids);
    await log.close();
  });

  it("says what keeps it from writing when another process never ends opening", async () => {
    const { gate } = openBehindGate(path, () => undefined, 50);
    await hold("opener");
    await expect(gate.enter()).rejects.toThrow(/has been opening or writing the folder .* for more than 0.05 s/u);
    expect(() => gate.enterSync()).toThrow(/Nothing was written/u);
    gate.close();
  });

  it("opens nothing while another process writes, and says so when that never ends", async () => {
    await hold("writer");
    let isOpened = false;
    const open = () => openBehindGate(path, () => (isOpened = true), 50);
    expect(open).toThrow(/Let it go on, or end it/u);
    expect(isOpened).toBe(false);
    await kill();
    open().gate.close();
    expect(isOpened).toBe(true);
  });

  it("lets writers go on after an opener that gave up, and after one that could not open", async () => {
    const { gate } = openBehindGate(path, () => undefined, 50);
    await gate.enter();
    gate.leave();
    const failing = () =>
      openBehindGate(path, () => {
        throw new Error("no such thing");
      });
    expect(failing).toThrow("no such thing");
    await gate.enter();
    gate.leave();
    gate.close();
    expect(failing).toThrow("no such thing");
    await hold("writer");
    expect(() => openBehindGate(path, () => undefined, 50)).toThrow(/Let it go on/u);
    await release();
    await hold("opener");
    await release();
  });

  it("lets two writers of two processes write at the same time, and a process open what it has open while it writes", async () => {
    const { gate } = openBehindGate(path, () => undefined, 50);
    await hold("writer");
    await gate.enter();
    const again = openBehindGate(path, () => "opened", 50);
    expect(again.opened).toBe("opened");
    await again.gate.enter();
    // Each has a lock of its own: the other one's end is not the first one's.
    again.gate.leave();
    again.gate.close();
    await release();
    await expect(hold("opener")).rejects.toThrow();
    gate.leave();
    gate.close();
    // It still has the first of the two locks.
    await kill();
    await hold("opener");
  });
});
