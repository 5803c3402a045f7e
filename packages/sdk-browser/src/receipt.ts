/** Counts of events, by what became of them: `queued`, `retried`, or the reason for which they were dropped. */
export type Counts = { [kind: string]: number };

/** Counts since the last accepted receipt, so that the server can see what was lost on the way. */
export const createReceiptBook = () => {
  let counts: Counts = {};
  const count = (kind: string, events = 1): void => {
    counts[kind] = (counts[kind] ?? 0) + events;
  };
  return {
    count,
    /** The counts so far, which start again from zero. */
    take(): Counts {
      const taken = counts;
      counts = {};
      return taken;
    },
    /** The receipt did not arrive. */
    putBack(taken: Counts): void {
      for (const kind in taken) count(kind, taken[kind]);
    },
  };
};

export type ReceiptBook = ReturnType<typeof createReceiptBook>;
