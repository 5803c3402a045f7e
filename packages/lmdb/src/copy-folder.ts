import { mkdirSync } from "node:fs";
import type { Database } from "lmdb";
import { openRoot, type Root } from "./open-root.ts";

/**
 * Copies the LMDB environment in a folder, as it is at one moment, into another folder that is made for it. Others may go on writing, in this process
 * too; who they are is not copied. Takes the disk that the records take, without the holes.
 * @param what names it in an error, as "log".
 * @throws {LogMisconfiguredError} when the folder cannot be used.
 */
export async function copyLmdbFolder(what: string, from: string, to: string): Promise<void> {
  mkdirSync(to, { recursive: true, mode: 0o700 });
  // Address space alone; a process that has the folder open already shares its own.
  const root = openRoot(what, from, 16 * 2 ** 30, { isReadOnly: true });
  try {
    await root.copyTo(to);
  } finally {
    await root.close();
  }
  await forgetProcesses(openRoot(what, to, 16 * 2 ** 30));
}

/** Whoever reads the one does not read the other. */
async function forgetProcesses(copy: Root): Promise<void> {
  try {
    const state: Database<unknown, (string | number)[]> = copy.openTable("state", { encoding: "json" });
    const keys = ["owner", "process"].flatMap((kind) => [...state.getKeys({ start: [kind], end: [`${kind}\u0001`] })]);
    await copy.write(() => {
      for (const key of keys) void state.remove(key);
    });
  } finally {
    await copy.close();
  }
}
