import { Counter, Gauge, Histogram, type Registry } from "prom-client";

/** What the worker does, each at its own pace. */
export const tasks = ["people", "choices", "withdrawals", "retention"] as const;
export type Task = (typeof tasks)[number];

export interface WorkerMetrics {
  changed(atoms: number): void;
  recorded(choices: number): void;
  nameless(identities: number): void;
  forgotten(identities: number): void;
  settled(at: Date): void;
  /** A look at what there is to do ended. */
  ended(task: Task, outcome: "ok" | "failed", milliseconds: number): void;
}

export function createWorkerMetrics(registry: Registry): WorkerMetrics {
  const registers = [registry];
  const counter = (name: string, help: string): Counter =>
    new Counter({ name: `polder_worker_${name}`, help, registers });
  const changed = counter("people_changed_total", "Atoms whose person changed");
  const recorded = counter("choices_recorded_total", "Choices added to the chains of consent_log");
  const nameless = counter("identities_removed_total", "Identities made nameless after a withdrawal");
  const forgotten = counter("identities_forgotten_total", "Identities that were gone by age, and now belong to nobody");
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
    recorded: (choices) => recorded.inc(choices),
    nameless: (identities) => nameless.inc(identities),
    forgotten: (identities) => forgotten.inc(identities),
    settled: (at) => settledAt.set(at.getTime() / 1000),
    ended(task, outcome, milliseconds) {
      seconds.observe({ task, outcome }, milliseconds / 1000);
      if (outcome === "failed") failures.inc({ task });
    },
  };
}
