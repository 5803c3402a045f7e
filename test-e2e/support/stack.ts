import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { inspect, isDeepStrictEqual } from "node:util";
import { expect } from "@playwright/test";
// @boundaries-ignore ports for parts that are killed and started again, as the broker's
import { freePorts } from "../../scripts/free-ports.mjs";
import { patienceMs } from "./patience.ts";

/** Polder as a user runs it: the built command, in a process of its own, on free ports and a folder of its own. */
export interface Stack {
  shopUrl: string;
  collectorUrl: string;
  apiUrl: string;
  sqlUrl: string;
  dataPath: string;
  /** Of the demo site; empty with a configuration of one's own. */
  writeKey: string;
  pid(): number;
  /** Process id of the engine, a child of ours. */
  enginePid(): number;
  output(): string;
  /** kill -9, and nothing else. */
  kill(): Promise<void>;
  /** Ctrl-C, and the exit code. */
  stop(): Promise<number | null>;
  /** Starts it again on the same folder and ports. */
  start(): Promise<void>;
  /** Rows of a statement sent to the analysts' port. */
  sql<Row = Record<string, unknown>>(statement: string): Promise<Row[]>;
  /** Removes the folder. Stops first. */
  remove(): Promise<void>;
}

const command = fileURLToPath(new URL("../../apps/polder/bin/polder.mjs", import.meta.url));

export async function startStack(
  options: { config?: (shopUrl: string) => object; env?: Record<string, string> } = {},
): Promise<Stack> {
  const dataPath = mkdtempSync(join(tmpdir(), "polder-e2e-"));
  const [shop, collector, api, sql] = await freePorts(4);
  const configPath = join(dataPath, "test.config.json");
  if (options.config) writeFileSync(configPath, JSON.stringify(options.config(`http://localhost:${shop}`)));
  let child: ChildProcess | undefined;
  let output = "";

  const stack: Stack = {
    shopUrl: `http://localhost:${shop}`,
    collectorUrl: `http://localhost:${collector}`,
    apiUrl: `http://localhost:${api}`,
    sqlUrl: `http://localhost:${sql}`,
    dataPath,
    writeKey: "",
    pid: () => child!.pid!,
    enginePid() {
      const found = childrenOf(child!.pid!).find((pid) => /child\.m?js/.test(commandLine(pid)));
      if (found === undefined) throw new Error(`no engine runs below process ${child!.pid}`);
      return found;
    },
    output: () => output,
    async start() {
      const how = options.config ? ["--config", configPath] : ["--demo"];
      child = spawn(process.execPath, [command, "start", ...how], {
        env: {
          ...process.env,
          POLDER_DATA: dataPath,
          POLDER_SHOP_PORT: String(shop),
          POLDER_COLLECTOR_PORT: String(collector),
          POLDER_API_PORT: String(api),
          POLDER_SQL_PORT: String(sql),
          KAFKA_BROKERS: "",
          CLICKHOUSE_URL: "",
          ...options.env,
        },
        stdio: ["ignore", "pipe", "pipe"],
      });
      for (const stream of [child.stdout!, child.stderr!])
        stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
      const exited = once(child, "exit").then(() => {
        throw new Error(`polder start ended by itself:\n${output}`);
      });
      await Promise.race([
        exited,
        Promise.all([
          answers(`${stack.collectorUrl}/readyz`),
          answers(`${stack.apiUrl}/readyz`),
          answers(`${stack.sqlUrl}/ping`),
        ]),
      ]);
      exited.catch(() => {});
      if (!options.config) stack.writeKey = demoWriteKey(dataPath);
    },
    async kill() {
      if (child!.exitCode !== null || child!.signalCode !== null) return;
      const gone = once(child!, "exit");
      child!.kill("SIGKILL");
      await gone;
    },
    async stop() {
      if (child!.exitCode !== null || child!.signalCode !== null) return child!.exitCode;
      const gone = once(child!, "exit");
      child!.kill("SIGINT");
      await gone;
      return child!.exitCode;
    },
    async sql<Row>(statement: string) {
      const answer = await fetch(
        `${stack.sqlUrl}/?default_format=JSONEachRow&output_format_json_quote_64bit_integers=0`,
        { method: "POST", body: statement },
      );
      const text = await answer.text();
      if (!answer.ok) throw new Error(`${answer.status} for ${statement}: ${text}`);
      return text
        .split("\n")
        .filter(Boolean)
        .map((line) => JSON.parse(line) as Row);
    },
    async remove() {
      await stack.stop();
      // After a kill -9 the engine writes there until it has noticed.
      rmSync(dataPath, { recursive: true, force: true, maxRetries: 50 });
    },
  };
  await stack.start();
  return stack;
}

/**
 * Asks until the answer satisfies, and says what it saw last when that takes longer than {@link patienceMs}. The condition is all of what is asserted
 * of it afterwards: what another part of Polder brings comes a moment later.
 */
export async function eventually<T>(ask: () => Promise<T>, isEnough: (answer: T) => boolean): Promise<T> {
  const from = performance.now();
  for (;;) {
    const answer = await ask().catch((error: unknown) => error as Error);
    if (!(answer instanceof Error) && isEnough(answer)) return answer;
    if (performance.now() - from > patienceMs)
      throw new Error(
        `not so after ${patienceMs / 1000} s: ${String(isEnough)}\nlast seen: ${inspect(answer, { depth: 6 })}`,
      );
    await new Promise((resolve) => setTimeout(resolve, 50)); // between two questions, not a wait for a result
  }
}

/** Asks until the answer is this one; shows how the last one differs. */
export async function settlesTo<T>(ask: () => Promise<T>, expected: unknown): Promise<void> {
  let last: T | undefined;
  await eventually(
    async () => (last = await ask()),
    (answer) => isDeepStrictEqual(answer, expected),
  ).catch((error: unknown) => {
    if (last !== undefined) expect<unknown>(last).toEqual(expected);
    throw error;
  });
}

export { freePorts };

/** Resolves when the address answers 200. */
export const answers = (url: string): Promise<unknown> =>
  eventually(
    () => fetch(url),
    ({ ok }) => ok,
  );

function demoWriteKey(dataPath: string): string {
  const text = readFileSync(join(dataPath, "demo.config.json"), "utf8");
  const key = /pk_[\w-]+/.exec(text)?.[0];
  if (!key) throw new Error("the demo configuration has no write key");
  return key;
}

function childrenOf(parent: number): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return new RegExp(`^PPid:\\s*${parent}$`, "m").test(readFileSync(`/proc/${pid}/status`, "utf8"));
      } catch {
        return false; // it ended while we looked
      }
    });
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return ""; // it ended while we looked
  }
}
