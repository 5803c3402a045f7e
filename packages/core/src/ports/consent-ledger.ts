import type { ChoiceTimes, RecordedChoice } from "@polder/protocol";

/**
 * What every visitor chose last, looked up for each event. Adapters: `lmdb`, in each collector, and `kafka`, which keeps one of those current with
 * the other collectors. Both pass `contracts/consent-ledger-contract.ts`.
 */
export interface ConsentLedger {
  /** By {@link visitorKey}; undefined when nothing is recorded. Sees what {@link record} was given, durable or not. */
  latest(visitor: string): RecordedChoice | undefined;
  /** What {@link latest} follows from. */
  timesOf(visitor: string): ChoiceTimes | undefined;
  /**
   * Joins the choices with what is there. {@link latest} follows them at once, before this returns its promise, which resolves when they are durable:
   * "spooled" when other collectors get them only after an outage. Rejects with a `LogUnavailableError` when that is not known: record them again.
   */
  record(choices: readonly VisitorChoices[]): Promise<void | "spooled">;
  close(): Promise<void>;
}

/** A ledger that remembers how far it has followed the choices of other collectors. */
export interface FollowingLedger extends ConsentLedger {
  /** How far the partition has been followed; undefined when it never was. */
  positionOf(partition: number): LedgerPosition | undefined;
  /** As {@link record}, together with the new position: both are durable, or neither. */
  follow(choices: readonly VisitorChoices[], partition: number, position: LedgerPosition): Promise<void>;
  /** Whether {@link setCaughtUp} was called, ever. */
  hasCaughtUp(): boolean;
  /** All partitions have been followed to their end. Resolves when that is durable. */
  setCaughtUp(): Promise<void>;
}

export interface LedgerPosition {
  /** The first offset that has not been followed. */
  offset: number;
  /** Key of the record before it, by which a topic that was made anew is known from this one. Empty when there is none. */
  lastKey: string;
}

export interface VisitorChoices {
  /** As {@link visitorKey} gives it. */
  visitor: string;
  times: ChoiceTimes;
}

/**
 * Whose choices they are: the device's where the event names one, else the user's. Empty when it names nobody. A site's id holds neither of the two
 * signs, so no two of them are the same.
 */
export function visitorKey(site: string, anonymousId: string, userId: string): string {
  if (anonymousId !== "") return `${site}:${anonymousId}`;
  return userId === "" ? "" : `${site}/${userId}`;
}
