// @ts-check
import { execFile } from "node:child_process";
import { readFile, readdir } from "node:fs/promises";
import process from "node:process";
import { setImmediate } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);

/**
 * Stops a process as a machine that hangs would; `SIGCONT` lets it go on. Resolves when every thread of it stands still: the signal alone returns
 * before, and on a busy machine it may answer a few requests more. One that ended stands still too.
 * @param {number} pid
 */
export async function freeze(pid) {
  process.kill(pid, "SIGSTOP");
  while (!(await standsStill(pid))) await setImmediate();
}

/**
 * Whether no thread of a process can run until somebody lets it.
 * @param {number} pid
 * @returns {Promise<boolean>}
 */
export async function standsStill(pid) {
  const states = process.platform === "linux" ? await threadStates(pid) : await processStates(pid);
  return states.every((state) => /^[TtZX]/.test(state));
}

/** @param {number} pid */
async function threadStates(pid) {
  const tasks = await readdir(`/proc/${pid}/task`).catch(none);
  const lines = await Promise.all(tasks.map((task) => readFile(`/proc/${pid}/task/${task}/stat`, "utf8").catch(none)));
  // The name comes before it in brackets and may hold anything.
  return lines.flatMap((line) => (typeof line === "string" ? [line.slice(line.lastIndexOf(")") + 2)] : []));
}

/** @param {number} pid */
async function processStates(pid) {
  const { stdout } = await run("ps", ["-o", "stat=", "-p", String(pid)]).catch(() => ({ stdout: "" }));
  return stdout.split("\n").filter(Boolean);
}

/** Ended while we looked. @returns {string[]} */
const none = () => [];
