import { isSameTimes, joinChoices, type ChoiceTimes } from "@polder/protocol";
import type { Database } from "lmdb";
import { decodeEntry, encodeEntry } from "./consent-entry.ts";
import { openRoot } from "./open-root.ts";

const batch = 1_000;

/**
 * Brings what the ledger in one folder knows into the one in another, as if each choice had been recorded there too. Neither folder may be in use.
 * Resolves with the number of visitors of whom the first knew more.
 * @throws {LogMisconfiguredError} when a folder cannot be used.
 */
export async function carryOverChoices(from: string, to: string): Promise<number> {
  const source = openRoot("consent ledger", from, 16 * 2 ** 30);
  const target = openRoot("consent ledger", to, 16 * 2 ** 30);
  try {
    const theirs: Database<Buffer, string> = source.openTable("choices", { encoding: "binary" });
    const ours: Database<Buffer, string> = target.openTable("choices", { encoding: "binary" });
    let visitors = 0;
    let changed: [string, ChoiceTimes][] = [];
    const write = async (): Promise<void> => {
      const entries = changed;
      changed = [];
      await target.write(() => {
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
      if (changed.length === batch) await write();
    }
    await write();
    return visitors;
  } finally {
    await source.close();
    await target.close();
  }
}
