import { setTimeout as sleep } from "node:timers/promises";
import type { AudienceChange, AudienceTickStore } from "@polder/clickhouse";
import {
  errorText,
  type EventLog,
  type Logger,
  type LogReader,
  type LogRecord,
  type PartitionConsumer,
} from "@polder/core";

export interface AudienceTellerOptions {
  store: Pick<AudienceTickStore, "changesAfter" | "toldUpTo" | "markTold">;
  /** One whose `append` says whether a record is in it: no spool, which can bring one twice. */
  log: EventLog;
  logger: Logger;
  /**
   * After an append whose outcome is not known: how long until the topic is asked what is in it, in milliseconds. Longer than a request that was given
   * up can still be on its way.
   */
  settleMs?: number;
  maxRecords?: number;
  pause?: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** Brings `audience_log` into the topic `polder.audience`, each change once, those of a person in their order. */
export interface AudienceTeller {
  /** Follows the topic, of which it appends to the partitions that are its own. Until {@link stop}. */
  run(): Promise<void>;
  stop(): Promise<void>;
  /** Appends what is not in the topic yet, as far as its own partitions go. False when something is left: what it may append to is not known yet. */
  tell(): Promise<boolean>;
  /** The greatest number that it has seen in the topic. */
  greatest(): number;
}

/** What a record of `polder.audience` says: of people their number, and nothing else. */
export interface AudienceRecord {
  v: 1;
  seq: number;
  site: string;
  audience: string;
  person: number;
  change: AudienceChange["change"];
  reason: AudienceChange["reason"];
  /** With the reason merged: the person that goes on, of whom an own record tells. With split: who it was part of. Else 0. */
  survivor: number;
  /** Milliseconds since 1970. */
  at: number;
  /** Of the definition. */
  version: number;
}

const topic = "polder.audience";
const group = "polder.teller";

interface OwnPartition {
  /** What is in the topic up to here is known. */
  next: number;
  /** Where the topic ended when it became ours: before that is read, nothing is appended. */
  end: number;
  /** The greatest number that is in it. */
  told: number;
}

/**
 * Whoever reads a partition of the topic is the one who appends to it: the log shares them out, one reader each. What was appended last is read from the
 * topic, so that a crash between an append and the note of it repeats nothing.
 */
export function createAudienceTeller(options: AudienceTellerOptions): AudienceTeller {
  const { store, log, logger, settleMs = 10_000, maxRecords = 5_000 } = options;
  const pause = options.pause ?? ((ms, signal) => sleep(ms, undefined, { signal }).catch(() => undefined));
  const owned = new Map<number, OwnPartition>();
  const stopping = new AbortController();
  let reader: LogReader | undefined;
  let running: Promise<void> | undefined;
  let isInDoubt = false;
  let greatest = 0;
  let identity: Promise<string> | undefined;
  /** Which topic it is: what was told to another one was not told to this one. */
  const logId = (): Promise<string> =>
    (identity ??= log.identityOf(topic).catch((error: unknown) => {
      identity = undefined;
      throw error;
    }));

  const consumer: PartitionConsumer = {
    async assigned(partition, committed, { start, end }) {
      const marks = await store.toldUpTo(await logId());
      // One that was added to the topic has nothing of what is long told.
      const known = marks.get(partition) ?? (marks.size > 0 ? Math.min(...marks.values()) : 0);
      const told = Math.max(known, Number(committed?.metadata ?? "") || 0);
      const next = Math.min(Math.max(committed?.offset ?? start, start), end);
      greatest = Math.max(greatest, told);
      owned.set(partition, { next, end, told });
      return next;
    },
    async consume(range) {
      const mine = owned.get(range.partition)!;
      for (const record of range.records) {
        mine.told = Math.max(mine.told, seqOf(record.value) ?? 0);
        mine.next = record.offset + 1;
      }
      greatest = Math.max(greatest, mine.told);
      await range.commit({ offset: mine.next, metadata: String(mine.told) });
    },
    revoked: (partition) => void owned.delete(partition),
  };

  const follow = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      reader = log.openReader({ topic, group, maxRecords: 1_000, maxBytes: 2 ** 20, lingerMs: 0 });
      await reader.run(consumer).catch((error: unknown) => {
        logger.error("the topic of audiences cannot be read, so nothing is told", { error: errorText(error) });
      });
      // What was on its way may still arrive: only then is the end of the topic the end.
      await pause(settleMs, stopping.signal);
      isInDoubt = false;
    }
  };

  const append = async (
    ready: readonly (readonly [number, OwnPartition])[],
    changes: readonly AudienceChange[],
  ): Promise<void> => {
    const mine = new Map(ready);
    const records = changes.flatMap((change): LogRecord[] => {
      const key = `${change.site}:${change.person}`;
      const told = mine.get(log.partitionOf(key))?.told ?? Infinity;
      return change.seq <= told ? [] : [{ key, value: toValue(change), headers: headersOf(change) }];
    });
    if (records.length === 0) return;
    try {
      await log.append(topic, records);
    } catch (error) {
      isInDoubt = true;
      logger.warn("it is not known whether changes of audiences were appended: the topic will say", {
        error: errorText(error),
      });
      void reader?.stop();
      throw error;
    }
  };

  return {
    run: () => (running ??= follow()),
    async stop() {
      stopping.abort();
      await reader?.stop();
      await running;
    },
    greatest: () => greatest,
    async tell() {
      for (;;) {
        const ready = [...owned].filter(([, { next, end }]) => next >= end);
        if (isInDoubt || ready.length === 0) return false;
        const from = Math.min(...ready.map(([, { told }]) => told));
        const changes = await store.changesAfter(from, maxRecords);
        const upTo = changes.at(-1)?.seq;
        if (upTo === undefined) return ready.length === owned.size;
        await append(ready, changes);
        // A partition that none of them goes to has all of them, too.
        for (const [, mine] of ready) mine.told = Math.max(mine.told, upTo);
        greatest = Math.max(greatest, upTo);
        await store.markTold(await logId(), new Map(ready.map(([partition]) => [partition, upTo])));
      }
    },
  };
}

const encoder = new TextEncoder();

function toValue({ seq, site, audience, person, change, reason, survivor, at, version }: AudienceChange): Uint8Array {
  const record: AudienceRecord = { v: 1, seq, site, audience, person, change, reason, survivor, at, version };
  return encoder.encode(JSON.stringify(record));
}

const headersOf = ({ seq, site }: AudienceChange): LogRecord["headers"] => ({
  id: `audience-${seq}`,
  site,
  anonymousId: "",
  userId: "",
});

/** Undefined for what somebody else wrote to the topic. */
function seqOf(value: Uint8Array): number | undefined {
  try {
    const { seq } = JSON.parse(Buffer.from(value).toString()) as { seq?: unknown };
    return typeof seq === "number" && Number.isSafeInteger(seq) ? seq : undefined;
  } catch {
    return undefined;
  }
}
