import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, writeFileSync } from "node:fs";
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
  freeze(): void;
  thaw(): void;
  /** Sets its clock this far from the machine's. */
  jump(ms: number): void;
  /** Lets each time that bytes are made durable take this much longer, where that can be done. */
  slow(ms: number): void;
  ready(): Promise<unknown>;
  /** SIGTERM, and the exit code. */
  stop(): Promise<number | null>;
  /** Every end that nobody asked for. One that had been ready was a crash; the others, as of a loader that starts while ClickHouse is away, are a refusal to start. */
  ownEnds(): readonly { wasReady: boolean; lastWords: string }[];
  starts(): number;
}

const preload = new URL("jumping-clock.mjs", import.meta.url).href;
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
}): Part {
  const { name, command, env, readyUrls, folder } = options;
  const clockPath = `${folder}/${name}.clock`;
  const logPath = `${folder}/${name}.log`;
  const [path, ...args] = command;
  const disk = options.slowDisk?.(name);
  const ownEnds: { wasReady: boolean; lastWords: string }[] = [];
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
      env: { ...process.env, ...env, ...disk?.env, POLDER_TORTURE_CLOCK: clockPath, NODE_OPTIONS: `--import ${preload}` },
      stdio: ["ignore", "pipe", "pipe"],
    });
    child = started;
    let last = "";
    let wasReady = false;
    void part.ready().then(() => (wasReady = child === started));
    for (const stream of [started.stdout, started.stderr])
      stream.on("data", (chunk: Buffer) => {
        appendFileSync(logPath, chunk);
        last = chunk.toString().trim().split("\n").at(-1) || last;
      });
    started.once("exit", (code, signal) => {
      appendFileSync(logPath, `--- ended: ${signal ?? code}\n`);
      if (child !== started || !isWanted) return;
      ownEnds.push({ wasReady, lastWords: `${signal ?? code}: ${last.slice(0, 300)}` });
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
    freeze: () => void child?.kill("SIGSTOP"),
    thaw: () => void child?.kill("SIGCONT"),
    jump: (ms) => writeFileSync(clockPath, String(ms)),
    slow: (ms) => disk?.slow(ms),
    ready: () => Promise.all(readyUrls.map(answers)),
    stop: () => end("SIGTERM"),
    ownEnds: () => ownEnds,
    starts: () => starts,
  };
  return part;
}
