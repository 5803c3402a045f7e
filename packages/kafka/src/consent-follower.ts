import type { EventLog, FollowingLedger, LedgerPosition, Logger, LogRange, VisitorChoices } from "@polder/core";
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
  /** Whether all is followed that was in the topic when it was assigned. Once it is, it stays. */
  isCaughtUp(): boolean;
  /** Resolves as soon as it is, or when `signal` is aborted. */
  caughtUp(signal: AbortSignal): Promise<void>;
  /** Records in the topic that are not followed yet. Rejects when the log is away. */
  lag(now: Date): Promise<number>;
  /** Whether there is a record of the visitor that only a later version can read. */
  isUnreadable(visitor: string): boolean;
  stop(): Promise<void>;
}

interface Progress {
  next: number;
  /** What the topic held when the partition was assigned: up to there a later record may say more than the one at hand. */
  end: number;
  /** The record that was followed last, until it has been seen again. */
  mark: LedgerPosition | undefined;
  /** Before the first record that only a later version can read, which has to find it. */
  kept: LedgerPosition | undefined;
  /** Visitors whose last record in the topic says less than the ledger. */
  behind: Map<string, ChoiceTimes>;
}

const topic = "polder.consent";

/** Reads all partitions of `polder.consent` into the ledger of this machine, from where the ledger says that it is. */
export function createConsentFollower(deps: ConsentFollowerDeps): ConsentFollower {
  const { ledger, log, publish, logger } = deps;
  const partitions = new Map<number, Progress>();
  /** Partitions of which the ledger's position says nothing. */
  const madeAnew = new Set<number>();
  const unreadable = new Set<string>();
  const waiting = new Set<() => void>();
  let partitionCount: number | undefined;
  let isCaughtUp = false;

  async function look(): Promise<void> {
    if (isCaughtUp || partitionCount === undefined || partitions.size < partitionCount) return;
    if ([...partitions.values()].some(({ next, end }) => next < end)) return;
    await ledger.setCaughtUp();
    isCaughtUp = true;
    for (const wake of waiting) wake();
  }

  async function follow({ partition, records }: LogRange): Promise<void> {
    const progress = partitions.get(partition)!;
    checkMark(partition, progress, records[0]!);
    const choices: VisitorChoices[] = [];
    const passedOver = { newer: 0, foreign: 0 };
    let lastKey = progress.mark?.lastKey ?? "";
    for (const record of records) {
      const read = readConsentRecord(record);
      if (typeof read === "object") choices.push(read);
      else if (read !== "removed") passedOver[read]++;
      if (read === "newer") {
        unreadable.add(record.key);
        progress.kept ??= { offset: record.offset, lastKey };
      }
      lastKey = record.key;
    }
    report(partition, passedOver);
    const next = records.at(-1)!.offset + 1;
    await ledger.follow(choices, partition, progress.kept ?? { offset: next, lastKey });
    progress.next = next;
    progress.mark = { offset: next, lastKey };
    for (const { visitor, times } of choices) {
      if (isSameTimes(times, ledger.timesOf(visitor) ?? times)) progress.behind.delete(visitor);
      else progress.behind.set(visitor, times);
    }
    if (next >= progress.end) await catchUpTopic(progress);
    await look();
  }

  /** A topic of the same name, with as many records, is still another one. Where compaction took the record, that cannot be told. */
  function checkMark(partition: number, { mark }: Progress, first: { offset: number; key: string }): void {
    if (mark === undefined || mark.lastKey === "" || first.offset !== mark.offset - 1 || first.key === mark.lastKey)
      return;
    madeAnew.add(partition);
    throw new Error(`Partition ${partition} of ${topic} is not the one that was read before.`);
  }

  function report(partition: number, { newer, foreign }: { newer: number; foreign: number }): void {
    if (foreign > 0)
      logger.warn("records of the topic are no choices and were passed over", { topic, partition, records: foreign });
    if (newer > 0)
      logger.error(
        "collectors of a later version recorded choices that this one cannot read: it takes them for refusals. Upgrade it",
        { topic, partition, records: newer },
      );
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
      const known = ledger.positionOf(partition);
      const isAnother = madeAnew.delete(partition);
      const fits = known !== undefined && known.offset >= start && known.offset <= end && !isAnother;
      if (known !== undefined && !fits)
        logger.error("the topic was made anew or lost records: all that it holds is read again", {
          topic,
          partition,
          read: known.offset,
          start,
          end,
        });
      // From the last record that was read, by which the topic is known.
      const next = fits ? Math.max(start, known.offset - 1) : start;
      const behind = partitions.get(partition)?.behind ?? new Map<string, ChoiceTimes>();
      partitions.set(partition, { next, end, mark: fits ? known : undefined, kept: undefined, behind });
      await look();
      return next;
    },
    consume: follow,
    revoked() {},
  });

  return {
    isCaughtUp: () => isCaughtUp,
    caughtUp: (signal) =>
      new Promise((resolve) => {
        if (isCaughtUp || signal.aborted) return resolve();
        const end = (): void => {
          signal.removeEventListener("abort", end);
          waiting.delete(end);
          resolve();
        };
        signal.addEventListener("abort", end);
        waiting.add(end);
      }),
    async lag(now) {
      // Where a record of this moment would be: the end.
      const ends = await log.offsetsAt(topic, now);
      return [...ends].reduce((sum, [partition, end]) => {
        const next = partitions.get(partition)?.next ?? ledger.positionOf(partition)?.offset ?? 0;
        return sum + Math.max(0, end - next);
      }, 0);
    },
    isUnreadable: (visitor) => unreadable.size > 0 && unreadable.has(visitor),
    async stop() {
      await reader.stop();
      await running;
    },
  };
}
