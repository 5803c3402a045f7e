import { spawn } from "node:child_process";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { ask, type Credentials } from "./ask.ts";

export interface EngineProcess {
  readonly pid: number;
  /** Resolves when the process is gone, however it went. */
  readonly exited: Promise<{ reason: string; livedMs: number }>;
  stop(): Promise<void>;
}

export interface EngineProcessOptions {
  library: string;
  configFile: string;
  port: number;
  admin: Credentials;
}

const keptStderrCharacters = 4_000;
/** Idle connections of clients can hold a clean end up. */
const terminateAfterMs = 1_000;
const killAfterMs = 4_000;

/** One life of the server. Resolves when it answers; rejects with the server's last words when it exits before that. */
export async function startProcess(options: EngineProcessOptions): Promise<EngineProcess> {
  const entry = fileURLToPath(new URL("../child.mjs", import.meta.url));
  const url = `http://127.0.0.1:${options.port}`;
  const startedAt = performance.now();
  // Its own process group: Ctrl-C in a terminal is for us, who then stop it in the right order.
  const child = spawn(
    process.execPath,
    [entry, options.library, options.configFile, String(options.port), String(process.pid)],
    {
      detached: true,
      stdio: ["ignore", "ignore", "pipe"],
      // Nothing of our environment is for it. Times without a zone are UTC on every machine.
      env: { TZ: "UTC" },
    },
  );
  let lastWords = "";
  child.stderr.setEncoding("utf8");
  child.stderr.on("data", (text: string) => {
    lastWords = (lastWords + text).slice(-keptStderrCharacters);
  });
  const exited = new Promise<{ reason: string; livedMs: number }>((done) => {
    const finish = (reason: string): void => done({ reason, livedMs: Math.round(performance.now() - startedAt) });
    child.once("error", (error) => finish(error.message));
    child.once("close", (code, signal) => finish(signal ?? `code ${code}`));
  });
  let gone: string | undefined;
  void exited.then(({ reason }) => (gone = reason));

  while (true) {
    const answer = await ask(url, options.admin, "SELECT 1");
    if (gone !== undefined) throw new Error(`${firstError(lastWords) ?? "no message"} (exit: ${gone})`);
    if (answer.ok) break;
    await pause(25);
  }
  // From here on its output could quote queries: nothing of it is kept.
  child.stderr.removeAllListeners("data").resume();
  child.unref();

  return {
    pid: child.pid ?? 0,
    exited,
    stop: async () => {
      // The server lives as long as its first query, whose user has no name; ending that lets it close its tables. A signal would just cut it off.
      void ask(url, options.admin, "KILL QUERY WHERE user = '' ASYNC");
      const terminate = setTimeout(() => child.kill("SIGTERM"), terminateAfterMs);
      const kill = setTimeout(() => child.kill("SIGKILL"), killAfterMs);
      await exited;
      clearTimeout(terminate);
      clearTimeout(kill);
    },
  };
}

/** The sentence in what ClickHouse prints, without its stack trace. */
function firstError(text: string): string | undefined {
  const line = text.split("\n").find((candidate) => candidate.includes("DB::Exception")) ?? text.trim().split("\n")[0];
  return line === undefined || line === "" ? undefined : line.slice(0, 500);
}
