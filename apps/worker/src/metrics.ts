import { Counter, Gauge, Histogram, type Registry } from "prom-client";

/** What the worker does, each at its own pace. */
export const tasks = ["people", "choices", "withdrawals", "erasures", "sweeps", "audiences", "retention"] as const;
export type Task = (typeof tasks)[number];

export interface WorkerMetrics {
  changed(atoms: number): void;
  quarantined(people: number): void;
  recorded(choices: number): void;
  nameless(identities: number): void;
  erased(identities: number): void;
  forgotten(identities: number): void;
  audienceChanges(changes: number): void;
  settled(at: Date): void;
  /** A look at what there is to do ended. */
  ended(task: Task, outcome: "ok" | "failed", milliseconds: number): void;
}

export function createWorkerMetrics(registry: Registry): WorkerMetrics {
  const registers = [registry];
  const counter = (name: string, help: string): Counter =>
    new Counter({ name: `polder_worker_${name}`, help, registers });
  const changed = counter("people_changed_total", "Atoms whose person changed");
  const quarantined = new Gauge({
    name: "polder_worker_quarantined_people",
    help: "People of more identities than the site allows: each of these stands alone until somebody looks at what joins them",
    registers,
  });
  const recorded = counter("choices_recorded_total", "Choices added to the chains of consent_log");
  const nameless = counter("identities_removed_total", "Identities made nameless after a withdrawal");
  const erased = counter("identities_erased_total", "Identities of erased people that were removed from every table");
  const forgotten = counter("identities_forgotten_total", "Identities that were gone by age, and now belong to nobody");
  const audienceChanges = counter("audience_changes_total", "People who came into an audience or left one");
  const settledAt = new Gauge({
    name: "polder_worker_settled_timestamp_seconds",
    help: "When all that was new had last been settled",
    registers,
  });
  const failures = new Counter({
    name: "polder_worker_failures_total",
    help: "Ticks that failed and were tried again, by task",
    labelNames: ["task"],
    registers,
  });
  const seconds = new Histogram({
    name: "polder_worker_tick_seconds",
    help: "Time of one tick, by task and outcome",
    labelNames: ["task", "outcome"],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60],
    registers,
  });
  for (const task of tasks) failures.inc({ task }, 0);

  return {
    changed: (atoms) => changed.inc(atoms),
    quarantined: (people) => quarantined.set(people),
    recorded: (choices) => recorded.inc(choices),
    nameless: (identities) => nameless.inc(identities),
    erased: (identities) => erased.inc(identities),
    forgotten: (identities) => forgotten.inc(identities),
    audienceChanges: (changes) => audienceChanges.inc(changes),
    settled: (at) => settledAt.set(at.getTime() / 1000),
    ended(task, outcome, milliseconds) {
      seconds.observe({ task, outcome }, milliseconds / 1000);
      if (outcome === "failed") failures.inc({ task });
    },
  };
}
