import {
  repairs,
  stepNames,
  type EventLog,
  type PipelineObserver,
  type Repair,
  type SpoolStatus,
  type StepName,
} from "@polder/core";
import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { CutReason } from "./connections.ts";

export interface SiteCounts {
  received: number;
  accepted: number;
  /** By reason. */
  rejected: { [reason: string]: number };
  dropped: { [reason: string]: number };
  /** Choices of visitors recorded in the ledger. */
  choices: number;
}

export interface CollectorMetrics {
  observer: PipelineObserver;
  /** The counts of a site, to be added to. */
  ofSite(site: string): SiteCounts;
  /** An event went into the pipeline. */
  entered(): void;
  refused(code: string): void;
  cut(reason: CutReason): void;
  receipt(site: string, receipt: { sent: number; retried: number; dropped: { [reason: string]: number } }): void;
  answered(milliseconds: number): void;
  appended(topic: string, outcome: { records: number; milliseconds: number; error: unknown }): void;
}

/**
 * Counts are kept in plain objects and handed to the registry when it is scraped: a labelled counter of prom-client costs more than a
 * step of the pipeline.
 */
export function createMetrics(deps: {
  registry: Registry;
  inFlight: { requests: () => number; bytes: () => number };
  /** Open ones. */
  connections: () => number;
  spool: EventLog["spool"];
  /** Milliseconds since 1970. */
  now: () => number;
  /** Milliseconds of a clock that only moves forward. */
  clock: () => number;
}): CollectorMetrics {
  const registers = [deps.registry];
  const sites = new Map<string, SiteCounts>();
  const refusals: { [code: string]: number } = {};
  const cut: { [R in CutReason]: number } = { too_many: 0, too_many_of_address: 0, slow_sender: 0, slow_reader: 0 };
  const client = new Map<string, { [outcome: string]: number }>();
  let entered = 0;
  const stopped = new Map<string, { step: StepName; reason: string; count: number }>();
  const repaired = Object.fromEntries(repairs.map((name) => [name, 0])) as { [R in Repair]: number };

  function counter(
    name: string,
    help: string,
    labelNames: string[],
    read: () => Iterable<[{ [label: string]: string }, number]>,
  ): void {
    const metric = new Counter({
      name: `polder_collector_${name}`,
      help,
      labelNames,
      registers,
      collect() {
        metric.reset();
        for (const [labels, value] of read()) metric.inc(labels, value);
      },
    });
  }

  counter("events_received_total", "Events in requests with a valid key.", ["site"], function* () {
    for (const [site, { received }] of sites) yield [{ site }, received];
  });
  counter("events_accepted_total", "Events answered after they were durable.", ["site"], function* () {
    for (const [site, { accepted }] of sites) yield [{ site }, accepted];
  });
  counter("events_rejected_total", "Events stored as rejected, by reason.", ["site", "reason"], function* () {
    for (const [site, { rejected }] of sites)
      for (const [reason, count] of Object.entries(rejected)) yield [{ site, reason }, count];
  });
  counter("events_dropped_total", "Events of which nothing was kept, by reason.", ["site", "reason"], function* () {
    for (const [site, { dropped }] of sites)
      for (const [reason, count] of Object.entries(dropped)) yield [{ site, reason }, count];
  });
  counter("choices_recorded_total", "Choices of visitors, recorded before the answer.", ["site"], function* () {
    for (const [site, { choices }] of sites) yield [{ site }, choices];
  });
  counter("requests_refused_total", "Requests refused as a whole, by code.", ["code"], function* () {
    for (const [code, count] of Object.entries(refusals)) yield [{ code }, count];
  });
  counter("connections_cut_total", "Connections that we ended, by reason.", ["reason"], function* () {
    for (const [reason, count] of Object.entries(cut)) yield [{ reason }, count];
  });
  counter(
    "client_events_total",
    "What clients say of their own delivery, by outcome.",
    ["site", "outcome"],
    function* () {
      for (const [site, outcomes] of client)
        for (const [outcome, count] of Object.entries(outcomes)) yield [{ site, outcome }, count];
    },
  );
  counter("step_passed_total", "Events that got through a step.", ["step"], function* () {
    // What no step stopped got through all of them.
    let left = entered;
    for (const name of stepNames) {
      for (const { step, count } of stopped.values()) if (step === name) left -= count;
      yield [{ step: name }, left];
    }
  });
  counter("step_stopped_total", "Events that ended in a step, by reason.", ["step", "reason"], function* () {
    for (const { step, reason, count } of stopped.values()) yield [{ step, reason }, count];
  });
  counter("repairs_total", "Events in which something was put right.", ["repair"], function* () {
    for (const repair of repairs) yield [{ repair }, repaired[repair]];
  });

  const stepSeconds = new Histogram({
    name: "polder_collector_step_seconds",
    help: "Time in a step, of one event in 500.",
    labelNames: ["step"],
    buckets: [1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 1e-3, 1e-2],
    registers,
  });
  const requestSeconds = new Histogram({
    name: "polder_collector_request_seconds",
    help: "Time from the headers of a request to its answer.",
    buckets: [0.001, 0.002, 0.004, 0.006, 0.01, 0.013, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
    registers,
  });
  const appendSeconds = new Histogram({
    name: "polder_collector_append_seconds",
    help: "Time of one durable append to the log.",
    labelNames: ["topic", "outcome"],
    buckets: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
    registers,
  });
  const appendRecords = new Histogram({
    name: "polder_collector_append_records",
    help: "Records in one durable append.",
    labelNames: ["topic"],
    buckets: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000],
    registers,
  });
  const requests: Gauge = new Gauge({
    name: "polder_collector_in_flight_requests",
    help: "Requests let in and not answered.",
    registers,
    collect: () => requests.set(deps.inFlight.requests()),
  });
  const bytes: Gauge = new Gauge({
    name: "polder_collector_in_flight_bytes",
    help: "Bytes of requests let in and not answered, and of the rows made of them.",
    registers,
    collect: () => bytes.set(deps.inFlight.bytes()),
  });
  const connections: Gauge = new Gauge({
    name: "polder_collector_connections",
    help: "Open connections.",
    registers,
    collect: () => connections.set(deps.connections()),
  });
  if (deps.spool !== undefined) addSpoolGauges(registers, deps.spool, deps.now);

  return {
    observer: {
      timeOneIn: 500,
      clock: deps.clock,
      onStop(step, reason) {
        const key = `${step}:${reason}`;
        const entry = stopped.get(key);
        if (entry === undefined) stopped.set(key, { step, reason, count: 1 });
        else entry.count++;
      },
      onRepair: (repair) => void repaired[repair]++,
      onTiming: (step, milliseconds) => stepSeconds.observe({ step }, milliseconds / 1000),
    },
    ofSite(site) {
      let counts = sites.get(site);
      if (counts === undefined)
        sites.set(site, (counts = { received: 0, accepted: 0, rejected: {}, dropped: {}, choices: 0 }));
      return counts;
    },
    entered: () => void entered++,
    refused(code) {
      refusals[code] = (refusals[code] ?? 0) + 1;
    },
    cut: (reason) => void cut[reason]++,
    receipt(site, { sent, retried, dropped }) {
      let outcomes = client.get(site);
      if (outcomes === undefined) client.set(site, (outcomes = {}));
      add(outcomes, "sent", sent);
      add(outcomes, "retried", retried);
      for (const [reason, count] of Object.entries(dropped)) {
        // Anyone can write a receipt: not every word of theirs becomes a time series.
        const outcome = `dropped_${reason}`;
        const isKnown = outcome in outcomes || Object.keys(outcomes).length < 50;
        add(outcomes, isKnown ? outcome : "dropped_other", count);
      }
    },
    answered: (milliseconds) => requestSeconds.observe(milliseconds / 1000),
    appended(topic, { records, milliseconds, error }) {
      appendSeconds.observe({ topic, outcome: error === undefined ? "ok" : "failed" }, milliseconds / 1000);
      appendRecords.observe({ topic }, records);
    },
  };
}

/** Adds to a count by reason. */
export function add(counts: { [reason: string]: number }, reason: string, by: number): void {
  counts[reason] = (counts[reason] ?? 0) + by;
}

/** All workers share the spool, and one of them forwards it: the greatest of what they say is what holds. */
function addSpoolGauges(registers: Registry[], spool: NonNullable<EventLog["spool"]>, now: () => number): void {
  function gauge(name: string, help: string, read: (status: SpoolStatus) => number): void {
    const metric: Gauge = new Gauge({
      name: `polder_collector_spool_${name}`,
      help,
      registers,
      aggregator: "max",
      collect: async () => metric.set(read(await spool())),
    });
  }
  gauge(
    "records",
    "Records that are durable on this machine only, until the log takes them.",
    ({ records }) => records,
  );
  gauge("bytes", "Bytes of disk that the spool holds.", ({ bytes }) => bytes);
  // A clock that was set back must not make it younger than new.
  gauge("age_seconds", "Since the oldest row in the spool was received.", ({ oldestReceivedAt }) =>
    oldestReceivedAt === undefined ? 0 : Math.max(0, (now() - oldestReceivedAt) / 1000),
  );
}
