/**
 * What became of arrivals, or what a client says of itself. The collector states `answered` (durable in the log, and the client was told so),
 * `spooled` (the same, in this collector's spool) and `dropped`; the loader `stored`, `duplicate` and `rejected`.
 */
export type ArrivalOutcome = "answered" | "spooled" | "dropped" | "stored" | "duplicate" | "rejected";
export type ClientOutcome = "client_queued" | "client_sent" | "client_retried" | "client_dropped";

/**
 * One row for the table `ledger_entry`, as it travels in the topic `polder.ledger`. Stating it again changes nothing: arrivals are joined as a set,
 * and `counted` is a running total whose greatest value holds.
 */
export interface LedgerEntry {
  site: string;
  /** `2026-11-22 20:00:00`: the hour in UTC in which the events were received, the same at every hop. */
  hour: string;
  outcome: ArrivalOutcome | ClientOutcome;
  /** Of dropped and rejected ones; empty otherwise. */
  reason: string;
  /** Whose numbers these are: the collector that received them. */
  process: string;
  /** The numbers of the arrivals, as spans: from `first[i]` to `last[i]`, both included. */
  first: readonly number[];
  last: readonly number[];
  /** Client outcomes: how many since the process started, in this hour. 0 for arrivals. */
  counted: number;
}

/** Of arrivals, as a book gives them. */
export interface ArrivalEntry extends LedgerEntry {
  outcome: ArrivalOutcome;
}

/** @param hour since 1970. */
export const hourText = (hour: number): string =>
  `${new Date(hour * 3_600_000).toISOString().slice(0, 13).replace("T", " ")}:00:00`;

/** The hour since 1970 of a {@link hourText}. */
export const hourOf = (text: string): number => Date.parse(`${text.replace(" ", "T")}Z`) / 3_600_000;
