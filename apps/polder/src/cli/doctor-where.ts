import type { Finding } from "./doctor.ts";
import { sumOf, type Count } from "./read-counts.ts";

/** What the loss ledger says of a site in the last 24 hours. */
export interface LedgerSums {
  site: string;
  received: number;
  stored: number;
  rejected: number;
  dropped: number;
  duplicate: number;
  inFlight: number;
  /** The most frequent one; empty when there is none. */
  rejectReason: string;
  dropReason: string;
  /** Of hours whose events are all loaded: what is missing, what is there twice, and the hour in which it is most. */
  lost: number;
  doubled: number;
  worstHour: string;
  /** In flight for more than an hour: in a collector's spool. */
  stuck: number;
}

const mostFrequent = (column: string): string =>
  `arrayStringConcat(arraySlice(arraySort((k, v) -> (-toInt64(v), k), mapKeys(sumMap(${column})), mapValues(sumMap(${column}))), 1, 1))`;

/** To be asked for as TabSeparated, and read with {@link readLedgerSums}. */
export const ledgerQuestion = (database: string): string => `SELECT site, sum(received), sum(stored), sum(rejected),
  sum(dropped), sum(duplicate), sum(in_flight), ${mostFrequent("rejected_by_reason")}, ${mostFrequent("dropped_by_reason")},
  sumIf(difference, is_closed AND difference > 0), sumIf(-difference, is_closed AND difference < 0),
  argMax(hour, is_closed * abs(difference)), sumIf(in_flight, is_closed)
FROM (SELECT * FROM ${database}.loss_ledger WHERE hour >= toStartOfHour(now()) - INTERVAL 24 HOUR)
GROUP BY site ORDER BY site`;

export function readLedgerSums(lines: readonly string[]): LedgerSums[] {
  return lines.filter(Boolean).map((line) => {
    const cells = line.split("\t");
    const number = (index: number): number => Number(cells[index]);
    const text = (index: number): string => cells[index] ?? "";
    return {
      site: text(0),
      received: number(1),
      stored: number(2),
      rejected: number(3),
      dropped: number(4),
      duplicate: number(5),
      inFlight: number(6),
      rejectReason: text(7),
      dropReason: text(8),
      lost: number(9),
      doubled: number(10),
      worstHour: text(11),
      stuck: number(12),
    };
  });
}

/** Where the events of a site are, in a sentence, and whether all of them are somewhere. */
export function judgeLedger(sums: LedgerSums): Finding[] {
  const { site, received, stored, rejected, dropped, duplicate, inFlight } = sums;
  const most = (reason: string): string => (reason === "" ? "" : ` (most often ${reason})`);
  const parts = [
    `${stored} are in ClickHouse`,
    rejected > 0 && `${rejected} were rejected${most(sums.rejectReason)}`,
    dropped > 0 && `${dropped} were dropped${most(sums.dropReason)}`,
    duplicate > 0 && `${duplicate} were sent again and are there once`,
    inFlight > 0 && `${inFlight} are on their way`,
  ].filter((part) => part !== false);
  const findings: Finding[] = [
    { level: "ok", text: `Of ${received} events of ${site} received in the last 24 hours ${parts.join(", ")}.` },
  ];
  const tell = "docs/how-to/where-are-my-events.md";
  if (sums.lost > 0)
    findings.push({
      level: "wrong",
      text: `${sums.lost} events of ${site} that were answered for are nowhere, most of the hour ${sums.worstHour} (UTC): ${tell} says how to find them.`,
    });
  if (sums.doubled > 0)
    findings.push({
      level: "wrong",
      text: `${sums.doubled} events of ${site} are in ClickHouse more than once, most of the hour ${sums.worstHour} (UTC): see ${tell}.`,
    });
  if (sums.stuck > 0)
    findings.push({
      level: "wrong",
      text: `${sums.stuck} events of ${site} have been in the spool of a collector for more than an hour: start every collector that ever kept events, and see whether it reaches Kafka.`,
    });
  return findings;
}

/** Where events are that are not in ClickHouse yet, in a sentence, by what the processes at this address count. */
export function whereOnTheWay(counts: readonly Count[], collector: string): Finding[] {
  const spooled = sumOf(counts, "polder_collector_spool_records");
  const behind = sumOf(counts, "polder_log_lag_records", { topic: "polder.events" });
  const since = (name: string): string => `${Math.ceil(sumOf(counts, name))} s`;
  const places = [
    spooled > 0 &&
      `${spooled} records are in the spool of the collector at ${collector}, the oldest for ${since("polder_collector_spool_age_seconds")}: its log is away`,
    behind > 0 && `${behind} are in the log, the oldest for ${since("polder_log_lag_seconds")} at most`,
  ].filter((place) => place !== false);
  // Where the loader is another process, or the log is away, nobody here knows what waits.
  const knowsLag = counts.some(({ name }) => name === "polder_log_lag_records");
  if (places.length === 0 && !knowsLag) return [];
  const text =
    places.length === 0
      ? "Everything that was answered for is in ClickHouse."
      : `Not in ClickHouse yet: ${places.join("; ")}.`;
  return [{ level: spooled > 0 ? "note" : "ok", text }];
}
