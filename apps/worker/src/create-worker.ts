import type { IdentityStore, Logger } from "@polder/core";
import { Counter, Gauge, type Registry } from "prom-client";
import type { ConsentRecorder } from "./create-consent-recorder.ts";
import type { Withdrawer } from "./create-withdrawer.ts";

export interface WorkerOptions {
  store: IdentityStore;
  /** Keeps the record of choices; without it choices are in no chain. */
  consent?: ConsentRecorder;
  /** Removes what visitors withdrew; without it their rows stay. */
  withdrawer?: Withdrawer;
  logger: Logger;
  registry: Registry;
  now?: () => Date;
  /** Pause between two looks at what is new, in milliseconds. */
  tickMs?: number;
}

export interface Worker {
  /** Works until {@link stop}. A store that is away is waited for. */
  run(): Promise<void>;
  /** Lets the tick under way finish. */
  stop(): Promise<void>;
  /** One tick: looks at what is new and settles who it belongs to. Returns how many atoms changed their person. */
  tick(): Promise<number>;
}

export function createWorker(options: WorkerOptions): Worker {
  const { store, consent, withdrawer, logger, registry, tickMs = 500 } = options;
  const now = options.now ?? (() => new Date());
  const metrics = createMetrics(registry);
  const stopping = new AbortController();
  let running: Promise<void> | undefined;
  let settled: ReadonlyMap<number, number> | undefined; // undefined: everything is worked out anew
  let lastVersion = 0;
  let isPublished = false;
  let isDoubted = false;

  const tick = async (): Promise<number> => {
    if (isDoubted) settled = undefined;
    isDoubted = false;
    const heads = await store.atomHeads();
    const isNew = settled === undefined || [...heads].some(([residue, atom]) => atom > (settled!.get(residue) ?? 0));
    let changed = 0;
    if (isNew) {
      lastVersion = Math.max(now().getTime(), lastVersion + 1);
      changed = await store.reconcilePeople(settled, lastVersion);
      metrics.changed.inc(changed);
      if (changed > 0) isPublished = false;
      settled = heads;
    }
    if (!isPublished) {
      await store.publishPeople();
      isPublished = true;
    }
    metrics.settledAt.set(now().getTime() / 1000);
    return changed;
  };

  const repeat = async (what: string, once: () => Promise<void>, onFailure?: () => void): Promise<void> => {
    let failures = 0;
    while (!stopping.signal.aborted) {
      try {
        await once();
        failures = 0;
      } catch (error) {
        failures++;
        metrics.failures.inc();
        onFailure?.();
        logger.warn(`${what}: trying again`, {
          failures,
          error: error instanceof Error ? error.message : String(error),
        });
      }
      await pause(Math.min(tickMs * 2 ** Math.min(failures, 5), 10_000), stopping.signal);
    }
  };
  // Beside each other: a fault in one is no reason to hold up the other.
  const loop = async (): Promise<void> => {
    await Promise.all([
      repeat(
        "people could not be settled",
        async () => void (await tick()),
        () => (isPublished = false),
      ),
      consent === undefined
        ? undefined
        : repeat("choices could not be recorded", async () => metrics.recorded.inc(await consent.tick())),
      withdrawer === undefined
        ? undefined
        : repeat("a withdrawal could not be carried out", async () => {
            const nameless = await withdrawer.tick();
            metrics.nameless.inc(nameless);
            // Who is left without them may be another person by now.
            if (nameless > 0) isDoubted = true;
          }),
    ]);
  };

  return {
    tick,
    run: () => (running ??= loop()),
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}

function createMetrics(registry: Registry) {
  const registers = [registry];
  return {
    changed: new Counter({ name: "polder_worker_people_changed_total", help: "Atoms whose person changed", registers }),
    recorded: new Counter({
      name: "polder_worker_choices_recorded_total",
      help: "Choices added to the chains of consent_log",
      registers,
    }),
    nameless: new Counter({
      name: "polder_worker_identities_removed_total",
      help: "Identities made nameless after a withdrawal",
      registers,
    }),
    failures: new Counter({
      name: "polder_worker_failures_total",
      help: "Ticks that failed and were tried again",
      registers,
    }),
    settledAt: new Gauge({
      name: "polder_worker_settled_timestamp_seconds",
      help: "When all that was new had last been settled",
      registers,
    }),
  };
}
