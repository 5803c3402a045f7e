import { LogUnavailableError, type ConsentLedger, type VisitorChoices } from "@polder/core";
import { within } from "./within.ts";

/** What visitors chose, on its way into the ledger. */
export interface ChoiceRecorder {
  /** As the ledger's. Rejects with {@link LogUnavailableError} when it takes longer than a client is to wait, and when too many wait already. */
  record(choices: readonly VisitorChoices[]): Promise<void | "spooled">;
  /** How long the oldest record that is under way has taken; 0 when none is. */
  recordMs(): number;
}

/** A disk that stands still has no deadline of its own, and what waits for it would fill the heap: so this has both. */
export function createChoiceRecorder(options: {
  ledger: Pick<ConsentLedger, "record">;
  /** Milliseconds of a clock that only moves forward. */
  clock: () => number;
  answerWithinMs: number;
  /** Records under way, those included whose client has been told that it is not known. */
  maxUnderWay: number;
}): ChoiceRecorder {
  const { ledger, clock, answerWithinMs, maxUnderWay } = options;
  /** In the order in which they began. */
  const underWay = new Set<{ since: number }>();
  return {
    record(choices) {
      if (underWay.size >= maxUnderWay)
        return Promise.reject(
          new LogUnavailableError("The consent ledger has not confirmed what waits for it already."),
        );
      const entry = { since: clock() };
      underWay.add(entry);
      return within(
        answerWithinMs,
        ledger.record(choices).finally(() => underWay.delete(entry)),
      );
    },
    recordMs() {
      for (const { since } of underWay) return clock() - since;
      return 0;
    },
  };
}
