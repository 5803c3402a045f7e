import type { EventLog, FollowingLedger, Logger, LogRange, VisitorChoices } from "@polder/core";
import { isSameTimes, type ChoiceTimes } from "@polder/protocol";
import { readConsentRecord } from "./consent-record.ts";

export interface ConsentFollowerDeps {
  ledger: FollowingLedger;
  log: EventLog;
  /** Puts what is known of these visitors into the topic. */
  publish(choices: readonly VisitorChoices[]): Promise<unknown>;
  /** Of this process alone. */
  instance: string;
  logger: Logger;
}

export interface ConsentFollower {
  /** Resolves with true as soon as all is followed that was in the topic when it was assigned, with false after `ms`. */
  caughtUp(ms: number): Promise<boolean>;
  /** Records in the topic that are not followed yet. Rejects when the log is away. */
  lag(now: Date): Promise<number>;
  stop(): Promise<void>;
}

interface Progress {
  next: number;
  /** What the topic held when the partition was assigned: up to there a later record may say more than the one at hand. */
  end: number;
  /** Visitors whose last record in the topic says less than the ledger. */
  behind: Map<string, ChoiceTimes>;
}

const topic = "polder.consent";

/** Reads all partitions of `polder.consent` into the ledger of this machine, from where the ledger says that it is. */
export function createConsentFollower(deps: ConsentFollowerDeps): ConsentFollower {
  const { ledger, log, publish, logger } = deps;
  const partitions = new Map<number, Progress>();
  const waiting = new Set<() => void>();
  let partitionCount: number | undefined;

  const isCaughtUp = (): boolean =>
    partitions.size === partitionCount && [...partitions.values()].every(({ next, end }) => next >= end);
  const look = (): void => {
    if (isCaughtUp()) for (const wake of waiting) wake();
  };

  /** Reads a range; a record that is none of ours is passed over. */
  async function follow({ partition, records }: LogRange): Promise<void> {
    const progress = partitions.get(partition)!;
    const choices: VisitorChoices[] = [];
    for (const record of records) {
      const choice = readConsentRecord(record);
      if (choice !== undefined) choices.push(choice);
      else
        logger.warn("a record of the topic is no choice and was passed over", {
          topic,
          partition,
          offset: record.offset,
        });
    }
    const next = records.at(-1)!.offset + 1;
    await ledger.follow(choices, { partition, offset: next });
    progress.next = next;
    for (const { visitor, times } of choices) {
      if (isSameTimes(times, ledger.timesOf(visitor) ?? times)) progress.behind.delete(visitor);
      else progress.behind.set(visitor, times);
    }
    if (next >= progress.end) await catchUpTopic(progress);
    look();
  }

  /**
   * Two collectors that record choices of one visitor at the same moment do not know of each other's yet, and compaction keeps the last record only:
   * who sees that it says less than all that is known puts it right.
   */
  async function catchUpTopic({ behind }: Progress): Promise<void> {
    if (behind.size === 0) return;
    const known = [...behind].map(([visitor, times]) => ({ visitor, times }));
    try {
      await publish(known);
      for (const { visitor } of known) behind.delete(visitor);
    } catch (error) {
      logger.warn("what is known of visitors could not be put into the topic; it is tried again", {
        reason: String(error),
      });
    }
  }

  const reader = log.openReader({
    topic,
    group: `polder.ledger.${deps.instance}`,
    maxRecords: 1_000,
    maxBytes: 2 ** 20,
    lingerMs: 0,
  });
  const running = reader.run({
    async assigned(partition, _committed, { start, end }) {
      partitionCount ??= await log.partitionCount(topic);
      const known = ledger.positionOf(partition) ?? start;
      // Before the start, or after the end of a topic that was made anew: all that there is.
      const next = known < start || known > end ? start : known;
      partitions.set(partition, { next, end, behind: partitions.get(partition)?.behind ?? new Map() });
      look();
      return next;
    },
    consume: follow,
    revoked() {},
  });

  return {
    caughtUp: (ms) =>
      new Promise((resolve) => {
        const end = (isCurrent: boolean) => () => {
          clearTimeout(timer);
          waiting.delete(wake);
          resolve(isCurrent);
        };
        const wake = end(true);
        const timer = setTimeout(end(false), ms);
        waiting.add(wake);
        look();
      }),
    async lag(now) {
      // Where a record of this moment would be: the end.
      const ends = await log.offsetsAt(topic, now);
      return [...ends].reduce((sum, [partition, end]) => {
        const next = partitions.get(partition)?.next ?? ledger.positionOf(partition) ?? 0;
        return sum + Math.max(0, end - next);
      }, 0);
    },
    async stop() {
      await reader.stop();
      await running;
    },
  };
}
