import { isSameTimes, joinChoices, newestOf, purposesOf, recordedChoiceOf, type ChoiceTimes } from "@polder/protocol";
import type { Database } from "lmdb";
import { decodeEntry, encodeEntry } from "./consent-entry.ts";
import { openRoot } from "./open-root.ts";

export interface CarriedOver {
  /** Visitors of whom the other ledger knew more. */
  visitors: number;
  /** Those who by what it knew have taken back a yes. */
  withdrawals: readonly CarriedWithdrawal[];
}

export interface CarriedWithdrawal {
  /** As `visitorKey` gives it. */
  visitor: string;
  /** What they allowed, and refuse now. */
  purposes: readonly string[];
  /** When they chose last, by either clock, in milliseconds since 1970. */
  at: number;
}

const batch = 1_000;

/**
 * Brings what the ledger in one folder knows into the one in another, as if each choice had been recorded there too. Neither folder may be in use.
 * @throws {LogMisconfiguredError} when a folder cannot be used.
 */
export async function carryOverChoices(from: string, to: string): Promise<CarriedOver> {
  const [source, target] = [from, to].map((path) => openRoot("consent ledger", path, 16 * 2 ** 30)) as [
    ReturnType<typeof openRoot>,
    ReturnType<typeof openRoot>,
  ];
  try {
    const theirs: Database<Buffer, string> = source.openDB("choices", { encoding: "binary" });
    const ours: Database<Buffer, string> = target.openDB("choices", { encoding: "binary" });
    const withdrawals: CarriedWithdrawal[] = [];
    let visitors = 0;
    let changed: [string, ChoiceTimes][] = [];
    const write = async (): Promise<void> => {
      const entries = changed;
      changed = [];
      await target.transaction(() => {
        for (const [visitor, times] of entries) void ours.put(visitor, encodeEntry(times));
      });
    };
    for (const { key: visitor, value } of theirs.getRange()) {
      const known = ours.getBinary(visitor);
      const before = known && decodeEntry(known);
      const times = decodeEntry(value);
      const joined = before === undefined ? times : joinChoices(before, times);
      if (before !== undefined && isSameTimes(before, joined)) continue;
      visitors++;
      changed.push([visitor, joined]);
      const allowed = before === undefined ? 0 : recordedChoiceOf(before).granted;
      const withdrawn = recordedChoiceOf(joined).refused & allowed;
      if (withdrawn !== 0) withdrawals.push({ visitor, purposes: purposesOf(withdrawn), at: newestOf(joined) });
      if (changed.length === batch) await write();
    }
    await write();
    return { visitors, withdrawals };
  } finally {
    await source.close();
    await target.close();
  }
}
