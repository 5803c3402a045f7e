import { mkdirSync } from "node:fs";
import { LogMisconfiguredError, LogUnavailableError, NotAssignedError } from "@polder/core";
import { open, type Database, type DatabaseOptions, type Key, type RootDatabase } from "lmdb";
import { openBehindGate, type OpeningGate } from "./opening-gate.ts";

/** An LMDB environment. All writing goes through it: a transaction of lmdb's own could be undone by a process that opens the folder. */
export interface Root {
  /** Made when missing, unless the folder was opened for reading. */
  openTable<V, K extends Key>(name: string, options: DatabaseOptions): Database<V, K>;
  /**
   * Runs `work` in a write transaction, after those asked for before, shared with others of the moment. Resolves when it is on the disk. What `work`
   * throws must be thrown before it writes.
   * @throws {LogUnavailableError} when nothing could be written.
   */
  write<T>(work: () => T): Promise<T>;
  /** The same at once, for use while nothing else is written. */
  writeSync<T>(work: () => T): T;
  /** Reads of one turn of the event loop share a state; the next one sees what every process has committed by now. */
  refresh(): void;
  /** The processes that read or write the folder, dead ones left out. */
  readerPids(): Set<number>;
  /** Copies everything as it is at one moment into a folder, without the holes. */
  copyTo(folder: string): Promise<void>;
  /** Waits for the writes under way. */
  close(): Promise<void>;
}

/**
 * Opens the LMDB environment in a folder, which is made when missing. A commit is on the disk when its transaction settles.
 * @param what names it in the error, as "log".
 * @param mapBytes address space, not disk. Fixed, so that no process has to follow another one's growth.
 * @param options.isReadOnly never takes the lock of writers, which this thread must not wait for while this process writes to the same folder: it
 * would wait for itself. The folder has to be there.
 * @throws {LogMisconfiguredError} when the folder cannot be used.
 * @throws {LogUnavailableError} when other processes kept it busy for a minute.
 */
export function openRoot(what: string, path: string, mapBytes: number, { isReadOnly = false } = {}): Root {
  const { root, gate } = openLmdb(what, path, mapBytes, isReadOnly);
  const asked: Write[] = [];
  let underWay: Promise<void> | undefined;

  /** Writes what is asked for, all there is in one transaction, until nothing is left. */
  const writeAll = async (): Promise<void> => {
    while (asked.length > 0) await writeSome();
    underWay = undefined;
  };

  const writeSome = async (): Promise<void> => {
    let writes: Write[] = [];
    try {
      await gate.enter();
      try {
        await root.transaction(() => {
          writes = asked.splice(0);
          for (const write of writes) write.run();
        });
      } finally {
        gate.leave();
      }
      for (const write of writes) write.settle();
    } catch (error) {
      // Where it did not come to a transaction, nobody of those who wait is better off.
      if (writes.length === 0) writes = asked.splice(0);
      for (const write of writes) write.fail(error);
    }
  };

  const writeInTurn = <T>(work: () => T): Promise<T> =>
    new Promise((resolve, reject) => {
      asked.push(writeOf(work, resolve, reject));
      underWay ??= writeAll();
    });

  const opened: Root = {
    openTable: (name, tableOptions) =>
      isReadOnly ? root.openDB(name, tableOptions) : opened.writeSync(() => root.openDB(name, tableOptions)),
    async write(work) {
      try {
        return await writeInTurn(work);
      } catch (error) {
        if (error instanceof LogUnavailableError || error instanceof NotAssignedError) throw error;
        throw await writeError(what, path, error);
      }
    },
    writeSync(work) {
      gate.enterSync();
      try {
        return root.transactionSync(work);
      } finally {
        gate.leave();
      }
    },
    refresh: () => root.resetReadTxn(),
    readerPids() {
      // LMDB's readers hold a file lock that the kernel releases with their process, however it ends; this clears the dead ones' rows.
      root.readerCheck();
      return new Set(Array.from(root.readerList().matchAll(/^\s*(\d+) /gm), (row) => Number(row[1])));
    },
    copyTo: (folder) => root.backup(folder, true),
    async close() {
      await underWay;
      await root.close();
      gate.close();
    },
  };
  return opened;
}

/** One of those who share a transaction. */
interface Write {
  run(): void;
  /** When the transaction is on the disk. */
  settle(): void;
  fail(error: unknown): void;
}

function writeOf<T>(work: () => T, resolve: (result: T) => void, reject: (error: unknown) => void): Write {
  let settle = (): void => {};
  return {
    run() {
      try {
        const result = work();
        settle = () => resolve(result);
      } catch (error) {
        settle = () => reject(error);
      }
    },
    settle: () => settle(),
    fail: reject,
  };
}

function openLmdb(
  what: string,
  path: string,
  mapBytes: number,
  isReadOnly: boolean,
): { root: RootDatabase<Buffer, string>; gate: OpeningGate } {
  const openIn = (folder: string): RootDatabase<Buffer, string> =>
    open<Buffer, string>({
      path: folder,
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
  try {
    if (!isReadOnly) mkdirSync(path, { recursive: true });
    const { opened, gate } = openBehindGate(path, openIn);
    return { root: opened, gate };
  } catch (error) {
    // Nothing is wrong with the folder: others keep it busy.
    if (error instanceof LogUnavailableError) throw error;
    throw new LogMisconfiguredError(
      `The ${what} folder ${path} cannot be used: ${(error as Error).message}. Give a folder on a local disk that this user may write.`,
      { cause: error },
    );
  }
}

/** Of a failed commit: what to tell the caller of a write. */
async function writeError(what: string, path: string, error: unknown): Promise<LogUnavailableError> {
  // lmdb tells why a commit failed through a promise of its own, that would end the process if nobody looked at it.
  const { commitError } = error as { commitError?: Promise<never> };
  const cause = commitError ? await commitError.catch((reason: unknown) => reason) : error;
  const why = cause instanceof Error ? cause.message : String(cause);
  return new LogUnavailableError(
    `The ${what} in ${path} could not be written: ${why}. See whether its disk is full or failing.`,
    { cause },
  );
}
