export interface ProgressWatch {
  /** There is something to do. */
  hasWork(): void;
  /** Something was done, or there is nothing to do. */
  progressed(): void;
  /** Why the process should be restarted: it has had something to do for too long, and done none of it. Undefined while it is alive. */
  problem(): string | undefined;
}

/**
 * Tells a worker that is stuck from one that is idle or slow: a process that answers requests while its work stands still is not alive.
 * @param what ends the sentence "… for 120 s".
 * @param clock milliseconds of a clock that only moves forward.
 */
export function createProgressWatch(options: { what: string; clock: () => number; withinMs: number }): ProgressWatch {
  const { what, clock, withinMs } = options;
  let since: number | undefined;
  return {
    hasWork: () => void (since ??= clock()),
    progressed: () => void (since = undefined),
    problem() {
      const waitedMs = since === undefined ? 0 : clock() - since;
      return waitedMs < withinMs ? undefined : `${what} for ${Math.round(waitedMs / 1000)} s`;
    },
  };
}
