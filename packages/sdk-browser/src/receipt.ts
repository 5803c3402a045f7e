import type { Parcel } from "./outbox.ts";
import type { Log } from "./tracker.ts";

/** Counts of events, by what became of them: `queued`, `retried`, or the reason for which they were dropped. */
export type Counts = { [kind: string]: number };

/** Counts that no parcel carries yet: with them the server can see what was lost on the way. */
export const createReceiptBook = (log: Log) => {
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
    /** Counts again what these carry. @param reason for which they are dropped, if they are. */
    gather(carriers: Pick<Parcel, "counts" | "events">[], reason?: string): void {
      for (const { counts: carried, events } of carriers) {
        for (const kind of Object.keys(carried ?? {})) count(kind, carried![kind]);
        if (reason) {
          count(reason, events.length);
          log("dropped", `${events.length} ${reason}`);
        }
      }
    },
  };
};

export type ReceiptBook = ReturnType<typeof createReceiptBook>;
