import type { ConsentLedger, EventLog, FollowingLedger, Logger, LogRecord, VisitorChoices } from "@polder/core";
import { maskOf, purposes, type RecordedChoice } from "@polder/protocol";
import { createConsentFollower } from "./consent-follower.ts";
import { toConsentRecord } from "./consent-record.ts";

export interface SharedConsentLedgerOptions {
  /** Of this machine. {@link ConsentLedger.close} of the result closes it too. */
  ledger: FollowingLedger;
  /** Where the collectors tell each other. It stays open. */
  log: EventLog;
  /** A name that no other process has, nor ever had: each of them reads all of the topic. */
  instance: string;
  logger: Logger;
}

export interface SharedConsentLedger extends ConsentLedger {
  /** Whether all is followed that was in the topic when it was opened. Once it is, it stays. */
  isCaughtUp(): boolean;
  /** Resolves as soon as it is, or when `signal` is aborted. */
  caughtUp(signal: AbortSignal): Promise<void>;
  /** Records of other collectors that do not count here yet. Rejects when the log is away. */
  lag(now: Date): Promise<number>;
}

/** What is taken for granted of a visitor whose choices cannot be read. */
const refusesAll: RecordedChoice = { granted: 0, refused: maskOf(purposes), grantedAt: purposes.map(() => 0) };

/**
 * A {@link ConsentLedger} that is kept current with those of all other collectors: what is recorded here is in `polder.consent` before it counts as
 * durable, and what others put there is in the ledger of this machine as soon as it is read.
 */
export function createSharedConsentLedger(options: SharedConsentLedgerOptions): SharedConsentLedger {
  const { ledger, log, logger } = options;
  const append = groupAppends((records) => log.append("polder.consent", records));
  /** All that is known of the visitors by now, not only what they chose last. */
  const publish = (choices: readonly VisitorChoices[]): Promise<void | "spooled"> => {
    const ofVisitors = new Map(choices.map(({ visitor, times }) => [visitor, ledger.timesOf(visitor) ?? times]));
    return append([...ofVisitors].map(([visitor, times]) => toConsentRecord({ visitor, times })));
  };
  const follower = createConsentFollower({ ledger, log, publish, instance: options.instance, logger });

  return {
    latest: (visitor) => (follower.isUnreadable(visitor) ? refusesAll : ledger.latest(visitor)),
    timesOf: ledger.timesOf,
    async record(choices) {
      if (choices.length === 0) return;
      const [, outcome] = await Promise.all([ledger.record(choices), publish(choices)]);
      return outcome;
    },
    isCaughtUp: follower.isCaughtUp,
    caughtUp: follower.caughtUp,
    lag: follower.lag,
    async close() {
      await follower.stop();
      await ledger.close();
    },
  };
}

interface Group {
  records: LogRecord[];
  done: Promise<void | "spooled">;
  settle: (appended: Promise<void | "spooled">) => void;
}

/** Joins what is given while an append is under way into the next one: one at a time is as fast as Kafka takes small ones. */
function groupAppends(
  append: (records: readonly LogRecord[]) => Promise<void | "spooled">,
): (records: readonly LogRecord[]) => Promise<void | "spooled"> {
  let waiting: Group | undefined;
  let isUnderWay = false;

  const newGroup = (): Group => {
    let settle: Group["settle"] = () => {};
    const done = new Promise<void | "spooled">((resolve) => (settle = resolve));
    return { records: [], done, settle };
  };
  async function run(): Promise<void> {
    isUnderWay = true;
    while (waiting !== undefined) {
      const group = waiting;
      waiting = undefined;
      const appended = append(group.records);
      group.settle(appended);
      await appended.catch(() => {});
    }
    isUnderWay = false;
  }

  return (records) => {
    const group = (waiting ??= newGroup());
    group.records.push(...records);
    if (!isUnderWay) void run();
    return group.done;
  };
}
