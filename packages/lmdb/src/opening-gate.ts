import { closeSync, openSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { LogUnavailableError } from "@polder/core";
import { tryLock, unlock } from "fs-native-extensions";

/**
 * Lets nobody write to a folder while a process opens it. Opening, LMDB reads the number of the newest commit and writes it into the lock file without
 * holding the lock of writers (`mdb_env_open2`; ITS#9496, still in lmdb-js): a commit in between would be overwritten by the next one. So writers share
 * a lock of the kernel's, openers have it alone, and it is free when its holder ends, however that is. Within one process lmdb opens a folder once.
 * See docs/decisions/0011-nobody-writes-while-a-folder-is-opened.md.
 */
export interface OpeningGate {
  /**
   * For a writer: resolves when nobody opens the folder, and nobody will until {@link leave}.
   * @throws {LogUnavailableError} when that took longer than the patience.
   */
  enter(): Promise<void>;
  enterSync(): void;
  leave(): void;
  /** For use after the folder was closed. */
  close(): void;
}

/** Opening takes milliseconds, and so does what a writer does behind the gate. */
const patienceMsByDefault = 60_000;
const pauseMs = 1;

/** How often each folder is open in this process. */
const openedHere = new Map<string, number>();

/**
 * Opens a folder that is there, while nobody else opens it or writes to it.
 * @param open must open it by the real path that it gets.
 * @throws {LogUnavailableError} when others kept it busy for longer than the patience.
 * @throws what `open` throws, or what the system says when the folder cannot be written.
 */
export function openBehindGate<T>(
  path: string,
  open: (path: string) => T,
  patienceMs = patienceMsByDefault,
): { opened: T; gate: OpeningGate } {
  const folder = realpathSync(path);
  // An opener locks both, first the one, so that no new writer comes, and then the other, when the last one has left.
  const openers = openSync(join(folder, "openers.lock"), "a+");
  const writers = openSync(join(folder, "writers.lock"), "a+");
  const closeFiles = (): void => {
    closeSync(openers);
    closeSync(writers);
  };
  const countHere = openedHere.get(folder) ?? 0;

  const tryEnter = (): boolean => {
    if (!tryLock(openers, { shared: true })) return false;
    const entered = tryLock(writers, { shared: true });
    unlock(openers);
    return entered;
  };

  const alone = (): T => {
    waitSync(folder, patienceMs, () => tryLock(openers));
    try {
      waitSync(folder, patienceMs, () => tryLock(writers));
      try {
        return open(folder);
      } finally {
        unlock(writers);
      }
    } finally {
      unlock(openers);
    }
  };

  let opened: T;
  try {
    // Open already, it is only counted once more; and the writer that we would wait for may be this thread.
    opened = countHere > 0 ? open(folder) : alone();
  } catch (error) {
    closeFiles();
    throw error;
  }
  openedHere.set(folder, countHere + 1);

  return {
    opened,
    gate: {
      async enter() {
        const until = performance.now() + patienceMs;
        while (!tryEnter()) {
          if (performance.now() > until) throw tooBusy(folder, patienceMs);
          await new Promise((resolve) => setTimeout(resolve, pauseMs));
        }
      },
      enterSync: () => waitSync(folder, patienceMs, tryEnter),
      leave: () => unlock(writers),
      close() {
        const left = openedHere.get(folder)! - 1;
        if (left === 0) openedHere.delete(folder);
        else openedHere.set(folder, left);
        closeFiles();
      },
    },
  };
}

function waitSync(folder: string, patienceMs: number, isDone: () => boolean): void {
  const until = performance.now() + patienceMs;
  const clock = new Int32Array(new SharedArrayBuffer(4));
  while (!isDone()) {
    if (performance.now() > until) throw tooBusy(folder, patienceMs);
    Atomics.wait(clock, 0, 0, pauseMs);
  }
}

function tooBusy(folder: string, patienceMs: number): LogUnavailableError {
  return new LogUnavailableError(
    `Another process has been opening or writing the folder ${folder} for more than ${patienceMs / 1000} s: it hangs, or is stopped. ` +
      "Nothing was written. Let it go on, or end it.",
  );
}
