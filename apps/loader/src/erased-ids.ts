import { createErasedKeys, keysOf, type ErasedKeys, type EventStore, type StoredRecord } from "@polder/core";

export interface ErasedIdCheck {
  /** Of these records those that happened before the person behind their ids was erased. What is known is at most 2 s old. */
  among(records: readonly StoredRecord[]): Promise<Set<StoredRecord>>;
}

const everyMs = 2_000;
/** Clocks of those who ask for erasures may differ from ours. */
const overlapMs = 600_000;

/** Shared by all partitions of a loader: one small question every two seconds, and no hash as long as nobody was ever erased. */
export function createErasedIdCheck(
  store: Pick<EventStore, "erasedIds">,
  now: () => Date,
  /** Milliseconds of a clock that only moves forward. */
  clock: () => number,
): ErasedIdCheck {
  const erased = new Map<bigint, number>();
  let keys: ErasedKeys | undefined;
  let asked: { at: number; by: number } | undefined;
  let asking: Promise<void> | undefined;

  const ask = async (): Promise<void> => {
    const started = { at: now().getTime(), by: clock() };
    const since = asked && new Date(Math.min(asked.at, started.at) - overlapMs);
    const found = await store.erasedIds(since);
    if (found.hashKey !== undefined) keys ??= createErasedKeys(found.hashKey);
    for (const [key, before] of found.keys) erased.set(key, Math.max(before, erased.get(key) ?? 0));
    asked = started;
  };

  /** Before when something with these ids is of somebody who was erased; 0 when of nobody. */
  const erasedBefore = ({ site, anonymousId, userId }: StoredRecord["headers"], hashes: ErasedKeys): number =>
    Math.max(0, ...keysOf(site, anonymousId, userId, hashes).map((key) => erased.get(key) ?? 0));

  return {
    async among(records) {
      if (asked === undefined || clock() - asked.by >= everyMs)
        await (asking ??= ask().finally(() => (asking = undefined)));
      const found = new Set<StoredRecord>();
      if (keys === undefined || erased.size === 0) return found;
      // Records of one visitor come together: each is hashed once.
      const known = new Map<string, number>();
      for (const record of records) {
        const { site, anonymousId, userId } = record.headers;
        if (anonymousId === "" && userId === "") continue;
        const visitor = `${site}\n${anonymousId}\n${userId}`;
        const before = known.get(visitor) ?? erasedBefore(record.headers, keys);
        known.set(visitor, before);
        if (before > 0 && happenedAt(record) < before) found.add(record);
      }
      return found;
    },
  };
}

/** When it happened, or was received if that was earlier. What does not say is of the past. */
function happenedAt({ value }: StoredRecord): number {
  try {
    const { time, received_at: receivedAt } = JSON.parse(Buffer.from(value).toString()) as {
      [column: string]: unknown;
    };
    const moments = [time, receivedAt].map((text) =>
      typeof text === "string" ? Date.parse(`${text.replace(" ", "T")}Z`) : Number.NaN,
    );
    const least = Math.min(...moments.filter((moment) => !Number.isNaN(moment)));
    return Number.isFinite(least) ? least : 0;
  } catch {
    return 0;
  }
}
