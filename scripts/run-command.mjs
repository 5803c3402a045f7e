// @ts-check
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { onNpmGone } from "./npm-gone.mjs";

export const root = fileURLToPath(new URL("..", import.meta.url));

/** Where the output of the last run of every command is kept. */
const logFolder = join(root, ".cache", "logs");

/** @param {string} name */
export const logPath = (name) => join(".cache", "logs", `${name.replaceAll(/[^a-z0-9-]+/gi, "-")}.log`);

/**
 * The script of a package's command, to be run by this Node: `npx` costs a third of a second and needs a shell on Windows.
 * @param {string} path as `turbo/bin/turbo`
 */
export const tool = (path) => [process.execPath, join(root, "node_modules", path)];

/** npm as it was started, else from the PATH. */
export const npm = () =>
  process.env.npm_execpath?.endsWith("npm-cli.js") ? [process.execPath, process.env.npm_execpath] : ["npm"];

const quietTools = {
  TURBO_TELEMETRY_DISABLED: "1",
  TURBO_NO_UPDATE_NOTIFIER: "1",
  DO_NOT_TRACK: "1",
  // Ours is a pipe: without these some tools colour it all the same, or draw progress bars.
  FORCE_COLOR: undefined,
  NO_COLOR: "1",
};

/** @type {Set<import("node:child_process").ChildProcess>} */
const running = new Set();

/** @param {import("node:child_process").ChildProcess} child @param {NodeJS.Signals} signal */
function signalTree(child, signal) {
  try {
    // A child leads a process group of its own, so that what it started goes with it.
    if (child.pid && process.platform !== "win32") process.kill(-child.pid, signal);
    else child.kill(signal);
  } catch {
    // Gone already.
  }
}

/** @type {Set<() => Promise<void>>} */
const cleanups = new Set();
const stopSignals = /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"]);

/** @param {NodeJS.Signals} signal */
function interrupt(signal) {
  for (const child of running) signalTree(child, "SIGKILL");
  void Promise.allSettled([...cleanups].map((cleanup) => cleanup())).then(() =>
    process.exit(128 + constants.signals[signal]),
  );
}

onNpmGone(() => {
  if (running.size + cleanups.size > 0) interrupt("SIGTERM");
});

// Commands lead their own groups, so Ctrl-C in the terminal reaches only us.
function listenForStop() {
  for (const signal of stopSignals) {
    process.off(signal, interrupt);
    if (running.size + cleanups.size > 0) process.on(signal, interrupt);
  }
}

/**
 * What has to be ended when we are interrupted.
 * @param {() => Promise<void>} cleanup
 */
export function onInterrupt(cleanup) {
  cleanups.add(cleanup);
  listenForStop();
}

/**
 * @typedef {object} CommandResult
 * @property {boolean} ok
 * @property {string} output both streams, as they came
 * @property {string} fault why not ok, as "exit code 2"; empty when ok
 * @property {number} durationMs
 */

/**
 * Runs a command and keeps what it prints, in a log file too. Never rejects.
 * @param {string} name of the log file
 * @param {string[]} command
 * @param {{ env?: Record<string, string | undefined>, cwd?: string, limitMs?: number }} [options]
 * @returns {Promise<CommandResult>}
 */
export function runCommand(name, command, options = {}) {
  const startedAt = performance.now();
  const [file = "", ...args] = command;
  const limitMs = options.limitMs ?? 300_000;
  return new Promise((resolve) => {
    /** @type {Buffer[]} */
    const chunks = [];
    let spawnFault = "";
    let isLate = false;
    /** @type {NodeJS.Timeout | undefined} */
    let leftovers;
    const child = spawn(file, args, {
      cwd: options.cwd ?? root,
      env: { ...process.env, ...quietTools, ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: process.platform !== "win32",
      shell: process.platform === "win32" && file === "npm",
    });
    running.add(child);
    listenForStop();
    const clock = setTimeout(() => {
      isLate = true;
      signalTree(child, "SIGKILL");
    }, limitMs);
    child.stdout.on("data", (chunk) => chunks.push(chunk));
    child.stderr.on("data", (chunk) => chunks.push(chunk));
    child.on("error", (error) => {
      spawnFault = `could not be started: ${error.message}`;
    });
    // What it left running would hold the pipes open, and us with them.
    child.on("exit", () => {
      leftovers = setTimeout(() => signalTree(child, "SIGKILL"), 2000);
    });
    child.on("close", (code, signal) => {
      clearTimeout(clock);
      clearTimeout(leftovers);
      running.delete(child);
      listenForStop();
      const output = Buffer.concat(chunks).toString("utf8");
      let fault = spawnFault;
      if (isLate) fault = `not done after ${limitMs / 1000} s and stopped`;
      else if (!fault && signal) fault = `ended by ${signal}`;
      else if (!fault && code !== 0) fault = `exit code ${code}`;
      mkdirSync(logFolder, { recursive: true });
      writeFileSync(join(root, logPath(name)), `$ ${command.join(" ")}\n${output}${fault ? `\n${fault}\n` : ""}`);
      resolve({ ok: fault === "", output, fault, durationMs: performance.now() - startedAt });
    });
  });
}
