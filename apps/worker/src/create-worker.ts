import {
  createGate,
  createProgressWatch,
  errorText,
  type IdentityRules,
  type IdentityStore,
  type Logger,
  type StoreStatus,
} from "@polder/core";
import type { Registry } from "prom-client";
import type { ConsentRecorder } from "./create-consent-recorder.ts";
import type { AudienceTicker } from "./create-audience-ticker.ts";
import type { Eraser } from "./create-eraser.ts";
import { createPeopleSettler } from "./create-people-settler.ts";
import type { Retainer } from "./create-retainer.ts";
import type { Withdrawer } from "./create-withdrawer.ts";
import { createWorkerMetrics, type Task } from "./metrics.ts";
import { addStoreMetrics } from "./store-metrics.ts";

export interface WorkerOptions {
  store: IdentityStore;
  /** What joins people, by site: of the configuration, asked on every tick. Absent, and for other sites: the built-in rules. */
  identityRules?: () => ReadonlyMap<string, IdentityRules>;
  /** Keeps the record of choices; without it choices are in no chain. */
  consent?: ConsentRecorder;
  /** Removes what visitors withdrew; without it their rows stay. */
  withdrawer?: Withdrawer;
  /** Removes who was erased; without it they are hidden, and their rows stay. */
  eraser?: Eraser;
  /** Works out who is in which audience; without it they stay as they are. */
  audiences?: AudienceTicker;
  /** What is measured of the store; without it nothing is. */
  status?: StoreStatus;
  /** Keeps to the configured retention; without it that of the last time stays. */
  retainer?: Retainer;
  logger: Logger;
  registry: Registry;
  now?: () => Date;
  /** Milliseconds of a clock that only moves forward. */
  clock?: () => number;
  /** Pause between two looks at what is new, in milliseconds. */
  tickMs?: number;
  /** How long {@link Worker.stop} waits for a round, in milliseconds. */
  stopWithinMs?: number;
}

export interface Worker {
  /** Works until {@link stop}. A store that is away is waited for. */
  run(): Promise<void>;
  /** Lets the round under way finish, but for one that rewrites tables: the store goes on with it, and the next worker looks for the rest. */
  stop(): Promise<void>;
  /** One tick: looks at what is new and settles who it belongs to. Returns how many atoms changed their person. */
  tick(): Promise<number>;
  /** Why it should be restarted: a task has not come to its end for too long. Undefined while it is alive. */
  problem(): string | undefined;
  /** Runs `work` between two rounds: no choice is half recorded while it runs. Withdrawals go on: they can be stopped anywhere. */
  pausedWhile<T>(work: () => Promise<T>): Promise<T>;
}

/** People wait for this one: what they did before a login shows when it has looked. A look that finds nothing new costs a few milliseconds. */
const peopleTickMs = 200;

const sweepTickMs = 10_000;

/** A task ends when it succeeds. A withdrawal rewrites parts of tables, which takes its time. */
const stalledAfterMs: { readonly [task in Task]: number } = {
  people: 120_000,
  choices: 120_000,
  withdrawals: 3_600_000,
  erasures: 3_600_000,
  // Tables are written anew: as long as the statement may take.
  sweeps: 86_400_000,
  retention: 3_600_000,
  audiences: 600_000,
};

export function createWorker(options: WorkerOptions): Worker {
  const {
    store,
    consent,
    withdrawer,
    eraser,
    audiences,
    retainer,
    logger,
    registry,
    tickMs = 500,
    stopWithinMs = 20_000,
  } = options;
  const now = options.now ?? (() => new Date());
  const clock = options.clock ?? (() => performance.now());
  const metrics = createWorkerMetrics(registry);
  if (options.status !== undefined) addStoreMetrics({ registry, status: options.status, now });
  const watches = Object.entries(stalledAfterMs).map(
    ([task, withinMs]) =>
      [task as Task, createProgressWatch({ what: `the task ${task} has not ended`, clock, withinMs })] as const,
  );
  const watchOf = new Map(watches);
  const gate = createGate();
  const stopping = new AbortController();
  let running: Promise<void> | undefined;
  const people = createPeopleSettler({
    store,
    logger,
    now,
    ...(options.identityRules && { rules: options.identityRules }),
  });

  const tick = async (): Promise<number> => {
    const { changed, quarantined } = await people.tick();
    metrics.changed(changed);
    metrics.quarantined(quarantined);
    metrics.settled(now());
    return changed;
  };

  const repeat = async (
    task: Task,
    {
      fault,
      once,
      onFailure,
      everyMs = tickMs,
    }: { fault: string; once: () => Promise<void>; onFailure?: () => void; everyMs?: number },
  ): Promise<void> => {
    const watch = watchOf.get(task)!;
    let failures = 0;
    while (!stopping.signal.aborted) {
      watch.hasWork();
      const startedAt = clock();
      try {
        await once();
        failures = 0;
        watch.progressed();
        metrics.ended(task, "ok", clock() - startedAt);
      } catch (error) {
        failures++;
        metrics.ended(task, "failed", clock() - startedAt);
        onFailure?.();
        logger.warn(`${fault}: trying again`, { failures, error: errorText(error) });
      }
      await pause(Math.min(everyMs * 2 ** Math.min(failures, 5), 10_000), stopping.signal);
    }
  };
  // Beside each other: a fault in one is no reason to hold up the other.
  const loop = async (): Promise<void> => {
    await Promise.all([
      repeat("people", {
        fault: "people could not be settled",
        everyMs: Math.min(tickMs, peopleTickMs),
        once: () => gate.pass(async () => void (await tick())),
      }),
      consent &&
        repeat("choices", {
          fault: "choices could not be recorded",
          once: () => gate.pass(async () => metrics.recorded(await consent.tick())),
        }),
      withdrawer &&
        repeat("withdrawals", {
          fault: "a withdrawal could not be carried out",
          async once() {
            metrics.nameless(await withdrawer.tick());
          },
        }),
      eraser &&
        repeat("erasures", {
          fault: "an erasure could not be carried out",
          // A backup must not have counts without somebody whose events it has, or the other way round.
          once: () =>
            gate.pass(async () => {
              metrics.erased(await eraser.tick());
            }),
        }),
      eraser &&
        repeat("sweeps", {
          fault: "what was removed could not be taken off the disk",
          everyMs: sweepTickMs,
          once: () => eraser.sweep(),
        }),
      audiences?.run(),
      audiences &&
        repeat("audiences", {
          fault: "audiences could not be worked out",
          once: () => gate.pass(async () => metrics.audienceChanges(await audiences.tick())),
        }),
      retainer &&
        repeat("retention", {
          fault: "retention could not be applied",
          async once() {
            const forgotten = await retainer.tick();
            metrics.forgotten(forgotten);
            if (forgotten > 0) people.doubt();
          },
        }),
    ]);
  };

  return {
    tick,
    run: () => (running ??= loop()),
    async pausedWhile(work) {
      try {
        return await gate.shutWhile(work);
      } finally {
        for (const [, watch] of watches) watch.progressed();
      }
    },
    problem: () =>
      gate.isShut() ? undefined : watches.map(([, watch]) => watch.problem()).find((problem) => problem !== undefined),
    async stop() {
      stopping.abort();
      const audiencesEnd = audiences?.stop();
      const ended = new AbortController();
      const all = Promise.all([running, audiencesEnd]);
      await Promise.race([all.finally(() => ended.abort()), pause(stopWithinMs, ended.signal)]);
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
