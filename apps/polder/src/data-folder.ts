import { randomUUID } from "node:crypto";
import { constants, readFileSync } from "node:fs";
import { access, link, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { codeOf, CommandError, messageOf } from "./cli/exit-code.ts";

export interface DataFolder {
  path: string;
  /** Lets others have the folder. */
  release(): Promise<void>;
}

/**
 * Makes the folder and takes it for this process.
 * @throws {CommandError} when another process has it or it cannot be written.
 */
export async function takeDataFolder(path: string): Promise<DataFolder> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    await access(path, constants.W_OK);
  } catch (error) {
    throw new CommandError(
      `The data folder ${path} cannot be written (${messageOf(error)}). Choose another with --data or POLDER_DATA, or give this user the right to write there.`,
    );
  }
  const lock = join(path, "polder.lock");
  const draft = `${lock}.${process.pid}.${randomUUID()}`;
  await writeFile(draft, JSON.stringify({ pid: process.pid, started: startOf(process.pid) }), { mode: 0o600 });
  try {
    // The second round is for a lock that a killed process left behind.
    for (let round = 0; round < 2; round++) {
      // A link appears with its content or not at all, unlike a file that is made and then written.
      const isMine = await link(draft, lock).then(
        () => true,
        (error: unknown) => (codeOf(error) === "EEXIST" ? false : Promise.reject(error)),
      );
      if (isMine) return { path, release: () => rm(lock, { force: true }) };
      const owner = await readOwner(lock);
      if (owner !== undefined && isRunning(owner)) throw inUse(path, owner.pid);
      await removeStale(lock, `${draft}.stale`);
    }
    throw new CommandError(`Another Polder is starting on ${path}. Choose another folder with --data, or try again.`);
  } finally {
    await rm(draft, { force: true });
  }
}

/** Of two that found the same stale lock, the second may move the first one's new lock away: it is put back. */
async function removeStale(lock: string, aside: string): Promise<void> {
  await rename(lock, aside).catch(() => undefined);
  const owner = await readOwner(aside);
  if (owner !== undefined && isRunning(owner)) await link(aside, lock).catch(() => undefined);
  await rm(aside, { force: true });
}

const inUse = (path: string, pid: number): CommandError =>
  new CommandError(
    `Polder is running on ${path} already (process ${pid}). Stop that one first, or choose another folder with --data.`,
  );

/** The process that has the folder, undefined when none does. */
export async function ownerOf(path: string): Promise<number | undefined> {
  const owner = await readOwner(join(path, "polder.lock"));
  return owner !== undefined && isRunning(owner) ? owner.pid : undefined;
}

interface Owner {
  pid: number;
  started: string;
}

async function readOwner(lock: string): Promise<Owner | undefined> {
  try {
    const { pid, started } = JSON.parse(await readFile(lock, "utf8")) as Partial<Owner>;
    return typeof pid === "number" ? { pid, started: started ?? "" } : undefined;
  } catch {
    return undefined;
  }
}

function isRunning({ pid, started }: Owner): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return codeOf(error) === "EPERM";
  }
  return startOf(pid) === started;
}

/** Tells a process from a later one with the same number, which containers give out again at once. Empty where the system does not say. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name in brackets may hold spaces; the start time is the 20th field after it.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  } catch {
    return "";
  }
}
