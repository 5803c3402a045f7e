import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { access, chmod, link, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { totalmem } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

import {
  defaultAnalystLimits,
  renderConfig,
  renderUsers,
  type AnalystDatabase,
  type AnalystLimits,
} from "./config-files.ts";
import { EngineError } from "./engine-error.ts";
import { findLibrary } from "./find-library.ts";
import type { EngineLogger } from "./logger.ts";
import type { Credentials } from "./ask.ts";
import { startProcess, type EngineProcess } from "./engine-process.ts";

export interface EngineOptions {
  /** Folder of the engine alone; made when missing, readable by its owner only. One engine at a time can have it. */
  dataPath: string;
  logger: EngineLogger;
  /** What the whole server may hold in memory. Default: half of the machine's memory, 1.2 GiB at most. */
  maxMemoryBytes?: number;
  analyst?: {
    /** What the analyst may read. Default: all of `polder`. */
    databases?: readonly AnalystDatabase[];
    limits?: Partial<AnalystLimits>;
  };
}

export interface Engine {
  /** `http://127.0.0.1:<port>`; the same for as long as this engine lives, restarts included. */
  readonly url: string;
  /** May do everything. */
  readonly admin: Credentials;
  /** May read the analyst's databases, within limits. */
  readonly analyst: Credentials;
  /** Process id of the server; undefined while it is being restarted. */
  pid(): number | undefined;
  /** Called each time the server has died and answers again. What lives in its memory (loaded dictionaries) is new then. */
  onRestart(callback: () => void): void;
  /** Ends the server cleanly; within five seconds in the worst case. */
  stop(): Promise<void>;
}

const firstBackoffMs = 100;
const maxBackoffMs = 5_000;
/** A server that lived this long was healthy: the next restart is immediate again. */
const healthyAfterMs = 30_000;
/** An engine whose parent was killed needs a moment to notice, and is killed five seconds after it was asked to end; the rest is for a busy machine. */
const orphanPatienceMs = 20_000;

/**
 * Starts a ClickHouse server as a child process and keeps it running. Resolves when it answers.
 * Rejects with an {@link EngineError} when it cannot: no build for the platform, folder in use or not writable, refused to start.
 */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  const { logger } = options;
  const library = findLibrary();
  const dataPath = resolve(options.dataPath);
  const files = await prepareFolder(dataPath);

  const state = await readOrMakeState(files.state);
  await writePrivately(
    files.config,
    renderConfig({
      dataDirectory: files.data,
      usersFile: files.users,
      maxMemoryBytes: options.maxMemoryBytes ?? defaultMaxMemoryBytes(),
    }),
  );
  await writePrivately(
    files.users,
    renderUsers({
      admin: state.admin,
      analyst: state.analyst,
      analystDatabases: options.analyst?.databases ?? [{ name: "polder" }],
      analystLimits: { ...defaultAnalystLimits, ...options.analyst?.limits },
    }),
  );

  const startOn = (port: number): Promise<EngineProcess> =>
    startProcess({ library, configFile: files.config, port, admin: state.admin });
  let { process, port } = await startFirst(state.port, startOn, dataPath);
  if (port !== state.port) await writePrivately(files.state, JSON.stringify({ ...state, port }));
  const url = `http://127.0.0.1:${port}`;
  const restartCallbacks: (() => void)[] = [];
  let stopping = false;
  let running: EngineProcess | undefined = process;
  const stopSignal = new AbortController();
  logger.info("engine started", { pid: process.pid, port });

  const supervise = async (): Promise<void> => {
    let backoffMs = firstBackoffMs;
    while (true) {
      const exit = await process.exited;
      running = undefined;
      if (stopping) return;
      if (exit.livedMs > healthyAfterMs) backoffMs = firstBackoffMs;
      logger.warn("engine exited, restarting", { exit: exit.reason, livedMs: exit.livedMs, pauseMs: backoffMs });
      while (running === undefined) {
        await pause(backoffMs, undefined, { signal: stopSignal.signal }).catch(() => undefined);
        if (stopping) return;
        backoffMs = Math.min(backoffMs * 2, maxBackoffMs);
        try {
          process = await startOn(port);
          running = process;
        } catch (error) {
          logger.error("engine did not restart", { error: explain(error, dataPath).message, pauseMs: backoffMs });
        }
      }
      if (stopping) {
        await running.stop();
        return;
      }
      logger.info("engine restarted", { pid: process.pid, port });
      for (const callback of restartCallbacks) callback();
    }
  };
  const supervision = supervise();

  return {
    url,
    admin: state.admin,
    analyst: state.analyst,
    pid: () => running?.pid,
    onRestart: (callback) => {
      restartCallbacks.push(callback);
    },
    stop: async () => {
      if (!stopping) {
        stopping = true;
        stopSignal.abort();
        await running?.stop();
        logger.info("engine stopped");
      }
      await supervision;
    },
  };
}

interface EngineState {
  port: number;
  admin: Credentials;
  analyst: Credentials;
}

interface EngineFiles {
  data: string;
  config: string;
  users: string;
  state: string;
}

async function prepareFolder(dataPath: string): Promise<EngineFiles> {
  const data = join(dataPath, "data");
  try {
    await mkdir(data, { recursive: true, mode: 0o700 });
    await chmod(dataPath, 0o700);
    await access(dataPath, constants.W_OK);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new EngineError(
      "data_path_unusable",
      `The engine's folder ${dataPath} cannot be written (${reason}). Choose another folder, or give this user the right to write there.`,
    );
  }
  const file = (name: string): string => join(dataPath, name);
  return { data, config: file("config.xml"), users: file("users.xml"), state: file("engine.json") };
}

async function writePrivately(path: string, text: string): Promise<void> {
  const draft = `${path}.${process.pid}.draft`;
  await writeFile(draft, text, { mode: 0o600 });
  await rename(draft, path);
}

/** Passwords and port of the last start. Reused, so that whoever holds them goes on after our restart. */
async function readOrMakeState(path: string): Promise<EngineState> {
  const state = {
    port: 0,
    admin: { username: "polder", password: newPassword() },
    analyst: { username: "analyst", password: newPassword() },
  };
  const draft = `${path}.${process.pid}.draft`;
  await writeFile(draft, JSON.stringify(state), { mode: 0o600 });
  try {
    // Fails when the file is there: of two that start at once, both use the passwords of the first.
    await link(draft, path);
    return state;
  } catch {
    return await readState(path, state);
  } finally {
    await rm(draft, { force: true });
  }
}

/**
 * How whoever may read the engine's folder reaches the engine that has it, as its administrator; undefined when none was ever started there. It
 * may not run at the moment.
 */
export async function findEngine(dataPath: string): Promise<{ url: string; admin: Credentials } | undefined> {
  try {
    const { port, admin } = JSON.parse(await readFile(join(dataPath, "engine.json"), "utf8")) as EngineState;
    return { url: `http://127.0.0.1:${port}`, admin };
  } catch {
    return undefined;
  }
}

async function readState(path: string, otherwise: EngineState): Promise<EngineState> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as EngineState;
  } catch {
    await writePrivately(path, JSON.stringify(otherwise));
    return otherwise;
  }
}

/**
 * On the port of the last time when it is free, and on another one when somebody takes it before the engine does. An orphan of ours that still
 * holds the folder is given time to end.
 */
async function startFirst(
  wantedPort: number,
  startOn: (port: number) => Promise<EngineProcess>,
  dataPath: string,
): Promise<{ process: EngineProcess; port: number }> {
  let patience: number | undefined;
  while (true) {
    const port = await freePort(wantedPort);
    try {
      return { process: await startOn(port), port };
    } catch (error) {
      const explained = explain(error, dataPath);
      const mayChange = explained.code === "data_path_in_use" || /Address already in use/i.test(explained.message);
      // From the first refusal on: an attempt alone may take longer than that.
      patience ??= Date.now() + orphanPatienceMs;
      if (!mayChange || Date.now() > patience) throw explained;
      await pause(100);
    }
  }
}

const inUse = (dataPath: string): EngineError =>
  new EngineError(
    "data_path_in_use",
    `Another engine is running on ${dataPath}. Stop the process that started it, or choose another folder.`,
  );

function explain(error: unknown, dataPath: string): EngineError {
  const words = error instanceof Error ? error.message : String(error);
  if (/Cannot lock file|already running/i.test(words)) return inUse(dataPath);
  return new EngineError("start_failed", `The embedded ClickHouse did not start on ${dataPath}: ${words}`);
}

/** The wanted port when nobody has it, else one that the system picks. */
async function freePort(wanted = 0): Promise<number> {
  return new Promise((done, fail) => {
    const server = createServer();
    server.once("error", (error) => (wanted === 0 ? fail(error) : done(freePort())));
    server.listen(wanted, "127.0.0.1", () => {
      const address = server.address();
      server.close(() =>
        address === null || typeof address === "string" ? fail(new Error("no port")) : done(address.port),
      );
    });
  });
}

const newPassword = (): string => randomBytes(24).toString("base64url");

const defaultMaxMemoryBytes = (): number => Math.floor(Math.min(1.2 * 1024 ** 3, totalmem() / 2));
