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
  /** Of hours whose events are all loaded: what is missing, what is there twice, and the hour in which the two are most. */
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
  sumIf(lost, is_closed), sumIf(doubled, is_closed), argMax(hour, is_closed * (lost + doubled)), sumIf(in_flight, is_closed)
FROM (SELECT * FROM ${database}.loss_balance WHERE hour >= toStartOfHour(now()) - INTERVAL 24 HOUR)
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

/**
 * Where events are that are not in ClickHouse yet, in a sentence, by what the processes at this address count, and what Kafka says. Spools of
 * other collectors are theirs to count.
 */
export function whereOnTheWay(counts: readonly Count[], collector: string): Finding[] {
  const has = (wanted: string): boolean => counts.some(({ name }) => name === wanted);
  const since = (name: string): string => `the oldest for ${Math.ceil(sumOf(counts, name))} s`;
  const spooled = sumOf(counts, "polder_collector_spool_records");
  const behind = sumOf(counts, "polder_log_lag_records", { topic: "polder.events" });
  const hasAge = has("polder_log_lag_seconds");
  const places = [
    spooled > 0 &&
      `${spooled} records are in the spool of the collector at ${collector}, ${since("polder_collector_spool_age_seconds")}: its log is away`,
    behind > 0 && `${behind} are in the log${hasAge ? `, ${since("polder_log_lag_seconds")} at most` : ""}`,
  ].filter((place) => place !== false);
  const findings: Finding[] = [];
  if (places.length > 0)
    findings.push({ level: spooled > 0 ? "note" : "ok", text: `Not in ClickHouse yet: ${places.join("; ")}.` });
  if (!has("polder_log_lag_records"))
    findings.push({
      level: "note",
      text: `How much waits in the log is not known at ${collector}, since it is loaded by other processes. Give KAFKA_BROKERS as they have it and ask again, or look at their polder_loader_lag_records.`,
    });
  else if (places.length === 0 && hasAge)
    findings.push({ level: "ok", text: "Everything that was answered for is in ClickHouse." });
  else if (places.length === 0)
    findings.push({
      level: "ok",
      text: `Nothing waits in Kafka, nor in the spool of the collector at ${collector}. What is on its way all the same is in the spool of another collector: ask at each (--host, --collector-port).`,
    });
  return findings;
}
