import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, openSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { answers } from "../support/stack.ts";
import type { SlowDisk } from "./slow-disk.ts";

/** A process of Polder that is killed, frozen and started again, as its supervisor would: without waiting until it is ready. */
export interface Part {
  name: string;
  pid(): number | undefined;
  start(): void;
  /** kill -9, and nothing else. */
  kill(): Promise<void>;
  isUp(): boolean;
  freeze(): void;
  thaw(): void;
  /** Sets its clock this far from the machine's. */
  jump(ms: number): void;
  /** Lets each time that bytes are made durable take this much longer, where that can be done. */
  slow(ms: number): void;
  ready(): Promise<unknown>;
  /** SIGTERM, and the exit code. */
  stop(): Promise<number | null>;
  /** Every end that nobody asked for. */
  ownEnds(): readonly OwnEnd[];
  starts(): number;
}

export interface OwnEnd {
  /** It never was ready, and its last words say why it does not start: as a loader's, while ClickHouse is away. Anything else is a crash. */
  isRefusal: boolean;
  lastWords: string;
}

const preload = new URL("../support/jumping-clock.mjs", import.meta.url).href;
const builtFolder = new URL("../../", import.meta.url);
const restartMs = 500;

export function createPart(options: {
  name: string;
  /** From the root, arguments behind it. */
  command: readonly [path: string, ...args: string[]];
  env: Record<string, string>;
  readyUrls: readonly string[];
  /** For its log and its clock. */
  folder: string;
  slowDisk: ((name: string) => SlowDisk) | undefined;
  /** How it says why it does not start: "json", when not given, in an error of its log; "text" in a line for people. */
  speaks?: "json" | "text";
}): Part {
  const { name, command, env, readyUrls, folder, speaks = "json" } = options;
  const clockPath = `${folder}/${name}.clock`;
  // Open for good: the last words of a part may come when its folder has been removed.
  const log = openSync(`${folder}/${name}.log`, "a");
  const [path, ...args] = command;
  const disk = options.slowDisk?.(name);
  const ownEnds: (() => OwnEnd)[] = [];
  let child: ChildProcess | undefined;
  let isWanted = false;
  let starts = 0;
  writeFileSync(clockPath, "0");
  // Not even a test that is cut off leaves it running.
  process.once("exit", () => child?.kill("SIGKILL"));

  const start = (): void => {
    isWanted = true;
    if (part.pid() !== undefined) return;
    starts++;
    const started = spawn(process.execPath, [fileURLToPath(new URL(path, builtFolder)), ...args], {
      env: {
        ...process.env,
        ...env,
        ...disk?.env,
        POLDER_TEST_CLOCK: clockPath,
        NODE_OPTIONS: `--import ${preload}`,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    child = started;
    const tails = ["", ""];
    let wasReady = false;
    part.ready().then(
      () => (wasReady = child === started),
      () => undefined, // who waits for it is told
    );
    for (const [index, stream] of [started.stdout, started.stderr].entries())
      stream.on("data", (chunk: Buffer) => {
        appendFileSync(log, chunk);
        tails[index] = `${tails[index]}${chunk.toString()}`.slice(-4_000);
      });
    started.once("exit", (code, signal) => {
      appendFileSync(log, `--- ended: ${signal ?? code}\n`);
      if (child !== started || !isWanted) return;
      // Read when it is asked for: what it said last may come after its end.
      ownEnds.push(() => judgeEnd({ wasReady, code, signal, tails, speaks }));
      setTimeout(() => isWanted && start(), restartMs); // as a supervisor does
    });
  };
  const end = async (signal: NodeJS.Signals): Promise<number | null> => {
    isWanted = false;
    const ended = child;
    if (!ended || ended.exitCode !== null || ended.signalCode !== null) return ended?.exitCode ?? null;
    const gone = once(ended, "exit");
    ended.kill(signal);
    if (signal !== "SIGKILL") ended.kill("SIGCONT"); // a frozen one would never hear of it
    await gone;
    return ended.exitCode;
  };
  const part: Part = {
    name,
    pid: () => (child && child.exitCode === null && child.signalCode === null ? child.pid : undefined),
    start,
    kill: async () => void (await end("SIGKILL")),
    isUp: () => part.pid() !== undefined,
    freeze: () => void child?.kill("SIGSTOP"),
    thaw: () => void child?.kill("SIGCONT"),
    jump: (ms) => writeFileSync(clockPath, String(ms)),
    slow: (ms) => disk?.slow(ms),
    ready: () => Promise.all(readyUrls.map(answers)),
    stop: () => end("SIGTERM"),
    ownEnds: () => ownEnds.map((judged) => judged()),
    starts: () => starts,
  };
  return part;
}

/** @param end `tails`: how each of its streams ended. */
export function judgeEnd(end: {
  wasReady: boolean;
  code: number | null;
  signal: NodeJS.Signals | null;
  tails: readonly string[];
  speaks: "json" | "text";
}): OwnEnd {
  const lines = end.tails.map((tail) => tail.trimEnd().split("\n").at(-1)!).filter(Boolean);
  const words = end.speaks === "json" ? lines.find(isError) : lines.at(-1);
  // What Node says last of an error that nobody caught, and how a stack ends.
  const isUncaught = lines.some((line) => /^Node\.js v|^\s+at |^\S+ start failed: /.test(line));
  return {
    isRefusal: !end.wasReady && end.code === 1 && words !== undefined && !isUncaught,
    lastWords: `${end.signal ?? end.code}: ${(words ?? end.tails.join("\n").trim()).slice(-600)}`,
  };
}

function isError(line: string): boolean {
  try {
    const { level, message } = JSON.parse(line) as { level?: unknown; message?: unknown };
    return level === "error" && typeof message === "string";
  } catch {
    return false; // not a line of ours
  }
}
