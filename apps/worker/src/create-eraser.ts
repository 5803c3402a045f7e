import type { ErasureStore } from "@polder/core";
import { createAnnouncedRemoval } from "./create-announced-removal.ts";

export interface EraserOptions {
  store: Pick<ErasureStore, "openErasures" | "begin" | "carryOut" | "sweep">;
  now: () => Date;
  /** Between two looks for what is to be erased, in milliseconds. Hidden it is at once; what came meanwhile goes together. */
  everyMs?: number;
  /** From what is announced to its removal, in milliseconds: loaders look every two seconds which identities end. */
  graceMs?: number;
  /** People in one round. */
  maxErasures?: number;
  /** Sweeping takes at most one part in so many of the time: tables are written anew for it, and large ones take long. */
  sweepShare?: number;
}

export interface Eraser {
  /** Begins a round when one is due, or ends it when its time has come. Returns how many identities are gone. */
  tick(): Promise<number>;
  /** Takes off the disk what was removed, unless that has just been done. */
  sweep(): Promise<void>;
}

const longestPauseMs = 24 * 3_600_000;

/** Removes the rows of those who were erased, and of what comes to light of them later. */
export function createEraser({
  store,
  now,
  everyMs = 20_000,
  graceMs = 6_000,
  maxErasures = 5_000,
  sweepShare = 20,
}: EraserOptions): Eraser {
  let sweepsAt = -Infinity;
  const removal = createAnnouncedRemoval({
    now,
    open: (limit) => store.openErasures(limit, now),
    begin: (erasures) => store.begin(erasures, now),
    carryOut: (erasures) => store.carryOut(erasures, now),
    everyMs,
    graceMs,
    maxItems: maxErasures,
  });
  return {
    tick: removal.tick,
    async sweep() {
      const startedAt = now().getTime();
      // A round would wait for the table that is swept, and leaves more to sweep.
      if (startedAt < sweepsAt || removal.isUnderWay()) return;
      if ((await store.sweep()) === 0) return;
      const endedAt = now().getTime();
      // A machine that slept in between took no longer for that.
      sweepsAt = endedAt + Math.min((sweepShare - 1) * (endedAt - startedAt), longestPauseMs);
    },
  };
}
