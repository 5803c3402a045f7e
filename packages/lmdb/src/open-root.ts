import { mkdirSync } from "node:fs";
import { LogMisconfiguredError, LogUnavailableError } from "@polder/core";
import { open, type RootDatabase } from "lmdb";

/**
 * Opens the LMDB environment in a folder, which is made when missing. A commit is on the disk when its transaction settles.
 * @param what names it in the error, as "log".
 * @param mapBytes address space, not disk. Fixed, so that no process has to follow another one's growth.
 * @param options.isReadOnly never takes the lock of writers, which this thread must not wait for while this process writes to the same folder: it
 * would wait for itself. The folder has to be there.
 * @throws {LogMisconfiguredError} when the folder cannot be used.
 */
export function openRoot(
  what: string,
  path: string,
  mapBytes: number,
  { isReadOnly = false } = {},
): RootDatabase<Buffer, string> {
  try {
    if (!isReadOnly) mkdirSync(path, { recursive: true });
    return open<Buffer, string>({
      path,
      readOnly: isReadOnly,
      // A commit is then pages, fdatasync, meta page through O_DSYNC (liblmdb, mdb_txn_commit), and lmdb-js settles a `transaction` only after
      // that returned (src/writer.cpp, TXN_COMMITTED). With overlappingSync only `flushed` promises it, and hangs when the commit fails.
      overlappingSync: false,
      // Batching by event turn leaves a promise of lmdb's own unhandled when a commit fails: a full disk would end the process.
      eventTurnBatching: false,
      noSubdir: false,
      encoding: "binary",
      mapSize: Math.ceil(mapBytes / 2 ** 20) * 2 ** 20,
    });
  } catch (error) {
    throw new LogMisconfiguredError(
      `The ${what} folder ${path} cannot be used: ${(error as Error).message}. Give a folder on a local disk that this user may write.`,
      { cause: error },
    );
  }
}

/** Of a failed commit: what to tell the caller of a write. */
export async function writeError(what: string, path: string, error: unknown): Promise<LogUnavailableError> {
  // lmdb tells why a commit failed through a promise of its own, that would end the process if nobody looked at it.
  const { commitError } = error as { commitError?: Promise<never> };
  const cause = commitError ? await commitError.catch((reason: unknown) => reason) : error;
  const why = cause instanceof Error ? cause.message : String(cause);
  return new LogUnavailableError(
    `The ${what} in ${path} could not be written: ${why}. See whether its disk is full or failing.`,
    { cause },
  );
}
