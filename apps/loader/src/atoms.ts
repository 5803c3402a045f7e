import type { AtomKey, EventStore, StoredRecord } from "@polder/core";
import type { EndingAtoms } from "./ending-atoms.ts";

/** Partitions a topic may have: an atom is `number * 64 + partition`, so that each partition numbers its own without asking the others. */
export const atomStride = 64;
const maxAtomNumber = 2 ** 32 / atomStride - 1;

export interface Atoms {
  /**
   * An atom for each record, 0 for one without identifiers, new ones numbered from `next` in the order of the records. The same records and `next`
   * give the same atoms whatever happened to an earlier try: the atoms from `next` on that a try left in the store are not looked at.
   */
  resolve(
    records: readonly StoredRecord[],
    next: number,
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
    async resolve(records, next) {
      const ending = await forgetEnding();
      const known = new Map<string, number>();
      const missing = new Map<string, AtomKey>();
      const keys = records.map(({ headers: { site, anonymousId, userId } }) => {
        if (!anonymousId && !userId) return "";
        // Lengths first: no two different triples make the same text, whatever the ids contain.
        const key = `${site.length},${anonymousId.length},${site}${anonymousId}${userId}`;
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
        const number = Math.floor(atom / atomStride);
        // Not those further up: a range that is loaded again before this one took its numbers there.
        const isOfThisTry = atom % atomStride === partition && number >= next && number < next + records.length;
        if (!isOfThisTry) {
          known.set(key, atom);
          remember(key, atom);
        }
      }

      const fresh = new Map<string, number>();
      const atoms = keys.map((key) => {
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
