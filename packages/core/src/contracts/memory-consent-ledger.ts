import { joinChoices, recordedChoiceOf, type ChoiceTimes } from "@polder/protocol";
import type { FollowingLedger, LedgerPosition, VisitorChoices } from "../ports/consent-ledger.ts";

/** A ledger for tests of what asks one. Runs the contract suite, but for what outlives a process. */
export function createMemoryConsentLedger(): FollowingLedger {
  const kept = new Map<string, ChoiceTimes>();
  const positions = new Map<number, LedgerPosition>();
  let hasCaughtUp = false;
  const join = (choices: readonly VisitorChoices[]): void => {
    for (const { visitor, times } of choices) {
      const known = kept.get(visitor);
      kept.set(visitor, known === undefined ? times : joinChoices(known, times));
    }
  };
  return {
    latest(visitor) {
      const times = kept.get(visitor);
      return times && recordedChoiceOf(times);
    },
    timesOf: (visitor) => kept.get(visitor),
    record: async (choices) => join(choices),
    positionOf: (partition) => positions.get(partition),
    async follow(choices, partition, position) {
      join(choices);
      positions.set(partition, position);
    },
    hasCaughtUp: () => hasCaughtUp,
    setCaughtUp: async () => void (hasCaughtUp = true),
    close: async () => {},
  };
}
