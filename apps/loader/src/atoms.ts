import type { AtomKey, EventStore, StoredRecord } from "@polder/core";
import type { EndingAtoms } from "./ending-atoms.ts";

/** Partitions a topic may have: an atom is `number * 64 + partition`, so that each partition numbers its own without asking the others. */
export const atomStride = 64;
const maxAtomNumber = 2 ** 32 / atomStride - 1;

export interface Atoms {
  /**
   * An atom for each record, 0 for one without identifiers, new ones numbered from `next` in the order of the records. What an earlier try of these
   * records stored, by offset, holds: who is known may have changed since, and with it every number after.
   */
  resolve(
    records: readonly StoredRecord[],
    next: number,
    stored?: ReadonlyMap<number, number>,
  ): Promise<{ atoms: number[]; next: number; fresh: ReadonlyMap<string, number> }>;
  /** The rows are in the store: the fresh ones may be remembered. */
  remember(fresh: ReadonlyMap<string, number>): void;
}

export function createAtoms(options: {
  partition: number;
  store: Pick<EventStore, "findAtoms">;
  ending: EndingAtoms;
  maxCached: number;
}): Atoms {
  const { partition, store, maxCached } = options;
  // Oldest first: a Map keeps the order of insertion, and a hit is put back at the end.
  const cache = new Map<string, number>();

  const remember = (key: string, atom: number): void => {
    cache.delete(key);
    cache.set(key, atom);
    if (cache.size > maxCached) cache.delete(cache.keys().next().value!);
  };

  let lastEnding: ReadonlySet<number> = new Set();
  /** What is loaded from now on gets another number than what will be nameless, or it would name that again. */
  const forgetEnding = async (): Promise<ReadonlySet<number>> => {
    const ending = await options.ending.current();
    if (ending !== lastEnding && [...ending].some((atom) => !lastEnding.has(atom)))
      for (const [key, atom] of cache) if (ending.has(atom)) cache.delete(key);
    lastEnding = ending;
    return ending;
  };

  return {
    async resolve(records, first, stored = nothing) {
      const ending = await forgetEnding();
      const isOfThisRange = (atom: number): boolean => {
        const number = Math.floor(atom / atomStride);
        // Not those further up: a range that is loaded again before this one took its numbers there.
        return atom % atomStride === partition && number >= first && number < first + records.length;
      };
      let next = first;
      const known = new Map<string, number>();
      if (stored.size > 0) {
        // Used and not remembered: some of them may be about to end.
        for (const { offset, headers } of records) {
          const atom = stored.get(offset);
          if (!atom) continue;
          known.set(keyOf(headers), atom);
          if (isOfThisRange(atom)) next = Math.max(next, Math.floor(atom / atomStride) + 1);
        }
      }
      const missing = new Map<string, AtomKey>();
      const keys = records.map(({ headers }) => {
        const { site, anonymousId, userId } = headers;
        if (!anonymousId && !userId) return "";
        const key = keyOf(headers);
        if (known.has(key) || missing.has(key)) return key;
        const cached = cache.get(key);
        if (cached === undefined) missing.set(key, { site, anonymousId, userId });
        else {
          known.set(key, cached);
          remember(key, cached);
        }
        return key;
      });

      const found = missing.size ? await store.findAtoms([...missing.values()], ending) : [];
      let i = 0;
      for (const key of missing.keys()) {
        const atom = found[i++];
        if (atom === undefined) continue;
        if (!isOfThisRange(atom)) {
          known.set(key, atom);
          remember(key, atom);
        }
      }

      const fresh = new Map<string, number>();
      const atoms = keys.map((key, index) => {
        const before = stored.get(records[index]!.offset);
        if (before !== undefined) return before;
        if (key === "") return 0;
        const atom = known.get(key) ?? fresh.get(key);
        if (atom !== undefined) return atom;
        if (next > maxAtomNumber)
          throw new Error(
            `partition ${partition} has given out all ${maxAtomNumber} atoms: add partitions to polder.events`,
          );
        const made = next++ * atomStride + partition;
        fresh.set(key, made);
        return made;
      });
      return { atoms, next, fresh };
    },
    remember(fresh) {
      for (const [key, atom] of fresh) remember(key, atom);
    },
  };
}

const nothing: ReadonlyMap<number, number> = new Map();

/** Lengths first: no two different triples make the same text, whatever the ids contain. */
const keyOf = ({ site, anonymousId, userId }: AtomKey): string =>
  `${site.length},${anonymousId.length},${site}${anonymousId}${userId}`;
