import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testConfig } from "../support/test-config.ts";
import type { Part } from "./part.ts";
import { buildSlowDisk, type SlowDisk } from "./slow-disk.ts";
import type { Target } from "./schedule.ts";

/** Something that can be hurt. */
export interface Victim {
  kill?(): Promise<void>;
  /** Whether there is something to kill. */
  isUp?(): boolean;
  /** Again, after a kill; nothing when it runs, or when somebody else sees to it. */
  start(): void | Promise<void>;
  freeze?(): void | Promise<void>;
  thaw?(): void | Promise<void>;
  jump?(ms: number): void;
  cutFor?(ms: number): void;
  slow?(ms: number): void;
}

/** Polder as it is installed, with what can be done to it. */
export interface Installation {
  /** Of collectors, each behind a proxy that cuts. */
  urls: readonly string[];
  writeKey: string;
  origin: string;
  folder: string;
  targets: readonly Target[];
  victims: ReadonlyMap<string, Victim>;
  parts: readonly Part[];
  measured: readonly { name: string; pid(): number | undefined }[];
  cuts(): number;
  /** Whether disks can be slowed down; where they cannot, that part of the schedule does nothing. */
  hasSlowDisks: boolean;
  /** Statuses that every run hears. */
  expectedAnswers: readonly string[];
  /** As the administrator of ClickHouse. */
  query<Row>(statement: string): Promise<Row[]>;
  /** Records that are on their way to ClickHouse; NaN while that cannot be told. */
  waiting(): Promise<number>;
  stop(): Promise<{ name: string; code: number | null }[]>;
  /** kill -9 for whatever still runs. The folder, with the logs, is removed unless it is kept. */
  end(how: { isKept: boolean }): Promise<void>;
}

const origin = "http://shop.test";
export const second = 1_000;
const hour = 3_600 * second;

export const jumps = { kind: "jump", weight: 2, minMs: -hour, maxMs: hour } as const;
/** Long enough for a client to give up, and for an append to be taken for lost. */
export const shortFreeze = { kind: "freeze", weight: 2, minMs: 0.3 * second, maxMs: 3 * second } as const;

/** Slower than what an append may take. */
export const slowDisks = { kind: "slow", weight: 2, minMs: 0.5 * second, maxMs: 4 * second } as const;

/** What every installation begins with: a folder of its own, and a configuration in it. */
export interface Ground {
  folder: string;
  /** Undefined where disks cannot be slowed down. */
  slowDisk: ((name: string) => SlowDisk) | undefined;
  configPath: string;
  writeKey: string;
}

export type Built = Omit<Installation, "end" | "folder" | "origin" | "writeKey" | "hasSlowDisks">;

/** Builds an installation; what was begun is ended when it does not succeed. */
export async function install(build: (ground: Ground, endings: Endings) => Promise<Built>): Promise<Installation> {
  const folder = mkdtempSync(join(tmpdir(), "polder-torture-"));
  const configPath = join(folder, "polder.config.json");
  const { config, writeKey } = testConfig([origin]);
  writeFileSync(configPath, JSON.stringify(config));
  mkdirSync(join(folder, "data"));
  const slowDisk = buildSlowDisk(folder);
  const endings: Endings = [];
  const end: Installation["end"] = async ({ isKept }) => {
    for (const one of endings.toReversed()) await one();
    // An engine without its Polder writes there until it has noticed.
    if (!isKept) rmSync(folder, { recursive: true, force: true, maxRetries: 50 });
  };
  try {
    const built = await build({ folder, slowDisk, configPath, writeKey }, endings);
    return { ...built, end, folder, origin, writeKey, hasSlowDisks: slowDisk !== undefined };
  } catch (error) {
    await end({ isKept: true });
    throw error;
  }
}

/** What has to be ended, the last one first. */
export type Endings = (() => Promise<unknown>)[];

export const cutOff = (name: string): Target => ({
  name,
  isMeasured: false,
  faults: [{ kind: "cut", weight: 3, minMs: 0.2 * second, maxMs: 2 * second }],
});

export interface EngineState {
  port: number;
  admin: { username: string; password: string };
}

/** Who started it starts it again. */
export const engineVictim = (pid: () => number | undefined): Victim => {
  const signal = (name: NodeJS.Signals) => {
    const id = pid();
    if (id === undefined) return;
    try {
      process.kill(id, name);
    } catch {
      // It ended while we looked.
    }
  };
  return {
    kill: async () => signal("SIGKILL"),
    isUp: () => pid() !== undefined,
    start() {},
    freeze: () => signal("SIGSTOP"),
    thaw: () => signal("SIGCONT"),
  };
};

export async function queryEngine<Row>(url: string, admin: EngineState["admin"], statement: string): Promise<Row[]> {
  const answer = await fetch(`${url}/?default_format=JSONEachRow&output_format_json_quote_64bit_integers=0`, {
    method: "POST",
    body: statement,
    headers: { "x-clickhouse-user": admin.username, "x-clickhouse-key": admin.password },
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${statement}: ${text}`);
  return text
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Row);
}

export async function sumOfMetric(urls: readonly string[], name: string): Promise<number> {
  let sum = 0;
  for (const url of urls) {
    const text = await (await fetch(url)).text();
    const lines = text.split("\n").filter((line) => line.startsWith(name));
    // Not there yet is not nothing.
    if (lines.length === 0) return Number.NaN;
    for (const line of lines) sum += Number(line.split(" ").at(-1));
  }
  return sum;
}
