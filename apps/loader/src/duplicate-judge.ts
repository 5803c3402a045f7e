import type { StoredMessage, StoredRecord } from "@polder/core";
import type { MessageWindow } from "./message-window.ts";

/** Tells a client's retry of a message that is stored already from a message that is not. */
export interface DuplicateJudge {
  /** What is neither in the table nor twice among the records. The next call must not come before `remember` of this one. */
  judge(records: readonly StoredRecord[]): Promise<Judged>;
}

export interface Judged {
  fresh: StoredRecord[];
  /** The others. */
  duplicate: StoredRecord[];
  /** The fresh ones are stored. */
  remember(): void;
}

/** The window suspects, the table proves: a message is dropped for no less than its own id in a row that is stored. */
export function createDuplicateJudge(deps: {
  window: MessageWindow;
  messagesAt: (offsets: readonly number[]) => Promise<StoredMessage[]>;
}): DuplicateJudge {
  const { window, messagesAt } = deps;

  /** By index of the record, where the table may have it. */
  const suspect = (records: readonly StoredRecord[], hashes: Uint32Array): Map<number, number[]> => {
    const suspects = new Map<number, number[]>();
    for (let i = 0; i < records.length; i++) {
      const offsets = window.find(hashes[i * 2]!, hashes[i * 2 + 1]!, records[i]!.offset);
      if (offsets !== undefined) suspects.set(i, offsets);
    }
    return suspects;
  };

  return {
    async judge(records) {
      const hashes = window.hash(records);
      const suspects = suspect(records, hashes);
      const stored = new Map<number, StoredMessage[]>();
      if (suspects.size > 0) {
        const offsets = [...new Set([...suspects.values()].flat())];
        for (const message of await messagesAt(offsets)) {
          const others = stored.get(message.offset);
          if (others === undefined) stored.set(message.offset, [message]);
          else others.push(message);
        }
      }
      const isStored = ({ site, id }: StoredRecord["headers"], offsets: readonly number[]): boolean =>
        offsets.some((offset) => stored.get(offset)?.some((row) => row.site === site && row.messageId === id));

      const fresh: StoredRecord[] = [];
      const duplicate: StoredRecord[] = [];
      const indexes: number[] = [];
      const seen = new Set<string>();
      for (let i = 0; i < records.length; i++) {
        const record = records[i]!;
        const { headers } = record;
        // No site's id holds a line break.
        const message = `${headers.site}\n${headers.id}`;
        const offsets = suspects.get(i);
        if (seen.has(message) || (offsets !== undefined && isStored(headers, offsets))) {
          duplicate.push(record);
          continue;
        }
        seen.add(message);
        fresh.push(record);
        indexes.push(i);
      }
      return {
        fresh,
        duplicate,
        remember() {
          for (const i of indexes) window.add(hashes[i * 2]!, hashes[i * 2 + 1]!, records[i]!.offset);
        },
      };
    },
  };
}
