import type { EventStore } from "@polder/core";

export interface EndingAtoms {
  /** Atoms that are about to lose their ids, or have just lost them: at most {@link everyMs} old, the same set as long as it is the same. */
  current(): Promise<ReadonlySet<number>>;
}

/** A withdrawal is announced 6 s before it is carried out. */
const everyMs = 2_000;
/** The clock of the worker may differ from ours, and one that failed is announced anew within minutes. */
const overlapMs = 600_000;

/** Shared by all partitions of a loader: one small question every two seconds, and none while nothing is loaded. */
export function createEndingAtoms(
  store: Pick<EventStore, "endingAtoms">,
  now: () => Date,
  /** Milliseconds of a clock that only moves forward. */
  clock: () => number,
): EndingAtoms {
  let current: ReadonlySet<number> = new Set();
  let asked: { at: number; by: number } | undefined;
  let asking: Promise<ReadonlySet<number>> | undefined;

  const ask = async (): Promise<ReadonlySet<number>> => {
    const started = { at: now().getTime(), by: clock() };
    // From the last look, however long ago it was: what was cached then may have ended since. A clock that was put back announces under earlier times.
    const since = Math.min(asked?.at ?? started.at, started.at) - overlapMs;
    const atoms = await store.endingAtoms(new Date(since));
    asked = started;
    const isSame = atoms.length === current.size && atoms.every((atom) => current.has(atom));
    return isSame ? current : (current = new Set(atoms));
  };

  return {
    current() {
      if (asked !== undefined && clock() - asked.by < everyMs) return Promise.resolve(current);
      return (asking ??= ask().finally(() => (asking = undefined)));
    },
  };
}
