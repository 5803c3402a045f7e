import { newestOf, purposesOf, recordedChoiceOf } from "@polder/protocol";
import type { Database } from "lmdb";
import { decodeEntry } from "./consent-entry.ts";
import { openRoot, type Root } from "./open-root.ts";

/** What a visitor refuses by the newest of their choices. */
export interface Refusal {
  /** As `visitorKey` gives it. */
  visitor: string;
  purposes: readonly string[];
  /** When they chose last, by our clock, in milliseconds since 1970. */
  at: number;
}

const batch = 1_000;

/**
 * Of a ledger and the same one at an earlier time: everybody who has chosen in between and refuses something now, some at a time. Whether they had
 * allowed it before is not asked: a yes is recorded only where it was an event of its own, so the ledger does not know. Neither folder may be in use;
 * one that is not there knew of nobody.
 * @throws {LogMisconfiguredError} when a folder cannot be used.
 */
export async function* refusalsSince(earlier: string, later: string): AsyncGenerator<readonly Refusal[]> {
  const [before, after] = [earlier, later].map((path) => openRoot("consent ledger", path, 16 * 2 ** 30)) as [
    Root,
    Root,
  ];
  try {
    const known: Database<Buffer, string> = before.openTable("choices", { encoding: "binary" });
    const choices: Database<Buffer, string> = after.openTable("choices", { encoding: "binary" });
    let found: Refusal[] = [];
    for (const { key: visitor, value } of choices.getRange()) {
      // The same choices are the same bytes: times stand in one order.
      if (known.getBinary(visitor)?.equals(value) === true) continue;
      const times = decodeEntry(value);
      const { refused } = recordedChoiceOf(times);
      if (refused === 0) continue;
      found.push({ visitor, purposes: purposesOf(refused), at: newestOf(times) });
      if (found.length === batch) {
        yield found;
        found = [];
      }
    }
    if (found.length > 0) yield found;
  } finally {
    await before.close();
    await after.close();
  }
}
