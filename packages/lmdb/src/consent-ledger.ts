import {
  LogUnavailableError,
  type FollowingLedger,
  type LedgerPosition,
  type Logger,
  type VisitorChoices,
} from "@polder/core";
import {
  deviceIdLifetimeMs,
  isSameTimes,
  joinChoices,
  limits,
  newestOf,
  recordedChoiceOf,
  type ChoiceTimes,
} from "@polder/protocol";
import type { Database } from "lmdb";
import { decodeEntry, encodeEntry } from "./consent-entry.ts";
import { openRoot } from "./open-root.ts";

export interface LmdbConsentLedgerOptions {
  /** A folder on a local disk; made when missing. Any number of processes may have it open. */
  path: string;
  /** Records are refused when the file would be larger, 16 GiB when not given: about 100 million visitors. */
  maxBytes?: number;
  /** Milliseconds since 1970. */
  now: () => number;
  /** How often some of the entries are looked at and those that no longer matter are removed, 60,000 ms when not given. */
  sweepEveryMs?: number;
  logger: Logger;
}

export interface LmdbConsentLedger extends FollowingLedger {
  /** Looks at the next entries, `count` of them, and removes those that no longer matter. Resolves with how many went. */
  removeExpired(count: number): Promise<number>;
}

/** A device keeps its id no longer, and an event may be this much older than its arrival: then no event can ask any more. */
export const choiceKeptMs: number = deviceIdLifetimeMs + limits.maxPastMs;

// Some milliseconds. A million visitors are looked at in less than four days.
const sweptAtOnce = 200;
const sweepEveryMsByDefault = 60_000;

/**
 * A {@link FollowingLedger} in a folder: one table, some 22 bytes a visitor beside the key, fsynced before it answers, safe across processes.
 * @throws {LogMisconfiguredError} when the folder cannot be used.
 */
export function createLmdbConsentLedger(options: LmdbConsentLedgerOptions): LmdbConsentLedger {
  const { path, maxBytes = 16 * 2 ** 30, now, logger } = options;
  const root = openRoot("consent ledger", path, maxBytes);
  const choices: Database<Buffer, string> = root.openTable("choices", { encoding: "binary" });
  const state: Database<unknown, (string | number)[]> = root.openTable("state", { encoding: "json" });
  // What is not durable yet, joined with what was there, and by how many writes it is waited for.
  const pending = new Map<string, { times: ChoiceTimes; writes: number }>();
  let isClosed = false;

  const stored = (visitor: string): ChoiceTimes | undefined => {
    const bytes = choices.getBinaryFast(visitor);
    return bytes && decodeEntry(bytes);
  };
  const timesOf = (visitor: string): ChoiceTimes | undefined =>
    (pending.size > 0 ? pending.get(visitor)?.times : undefined) ?? stored(visitor);

  async function write<T>(work: () => T): Promise<T> {
    try {
      return await root.write(work);
    } finally {
      // Or this turn of the event loop would go on reading what was there before.
      root.refresh();
    }
  }

  async function join(added: readonly VisitorChoices[], more?: () => void): Promise<void> {
    if (isClosed) throw new LogUnavailableError(`The consent ledger in ${path} is closed.`);
    if (added.length === 0 && more === undefined) return;
    for (const { visitor, times } of added) {
      const known = timesOf(visitor);
      const joined = known === undefined ? times : joinChoices(known, times);
      pending.set(visitor, { times: joined, writes: (pending.get(visitor)?.writes ?? 0) + 1 });
    }
    try {
      await write(() => {
        for (const { visitor, times } of added) {
          // Another process may have written it since.
          const known = stored(visitor);
          const joined = known === undefined ? times : joinChoices(known, times);
          if (known === undefined || !isSameTimes(known, joined)) void choices.put(visitor, encodeEntry(joined));
        }
        more?.();
      });
    } finally {
      for (const { visitor } of added) {
        const waiting = pending.get(visitor)!;
        if (--waiting.writes === 0) pending.delete(visitor);
      }
    }
  }

  async function removeExpired(count: number): Promise<number> {
    const from = (state.get(["swept"]) as string | undefined) ?? "";
    const before = now() - choiceKeptMs;
    const isExpired = (times: ChoiceTimes | undefined): boolean => times !== undefined && newestOf(times) < before;
    const start = from === "" ? {} : { start: from, exclusiveStart: true };
    const looked = [...choices.getRange({ ...start, limit: count })];
    const expired = looked.filter(({ value }) => isExpired(decodeEntry(value))).map(({ key }) => key);
    const next = looked.length < count ? "" : looked.at(-1)!.key;
    if (expired.length === 0 && next === from) return 0;
    return write(() => {
      void state.put(["swept"], next);
      // Chosen again since, perhaps.
      const gone = expired.filter((visitor) => isExpired(stored(visitor)));
      for (const visitor of gone) void choices.remove(visitor);
      return gone.length;
    });
  }

  const sweep = setInterval(() => {
    removeExpired(sweptAtOnce).catch((error: unknown) =>
      logger.warn("old choices could not be removed", { reason: String(error) }),
    );
  }, options.sweepEveryMs ?? sweepEveryMsByDefault).unref();

  return {
    latest(visitor) {
      const times = timesOf(visitor);
      return times && recordedChoiceOf(times);
    },
    timesOf,
    record: (added) => join(added),
    positionOf: (partition) => state.get(["position", partition]) as LedgerPosition | undefined,
    follow: (added, partition, position) => join(added, () => void state.put(["position", partition], position)),
    hasCaughtUp: () => state.get(["caughtUp"]) === true,
    setCaughtUp: () => write(() => void state.put(["caughtUp"], true)),
    removeExpired,
    async close() {
      if (isClosed) return;
      isClosed = true;
      clearInterval(sweep);
      await root.close();
    },
  };
}
