import { setTimeout as pause } from "node:timers/promises";
import { loadedTopics, type EventLog, type Topic } from "@polder/core";
import type { Loader } from "@polder/loader";
import { CommandError } from "./exit-code.ts";

export interface LoadWait {
  /**
   * Resolves when everything that the log holds now is loaded. What is appended meanwhile is not waited for. By partition of `polder.events`: the
   * first offset that is not loaded; of a partition that is missing nothing is known.
   */
  allLoaded(): Promise<ReadonlyMap<number, number>>;
  /** Runs `work` between two inserts, with every partition in the hands of this loader from its beginning to its end. */
  whileNothingIsLoaded(work: () => Promise<void>): Promise<void>;
}

export interface LoadWaitDeps {
  log: Pick<EventLog, "lag" | "partitionCount">;
  loader: Pick<Loader, "status" | "pausedWhile">;
  /** Why loading ended, when it did. */
  failure: () => string | undefined;
  /** Milliseconds of a clock that only moves forward. */
  clock: () => number;
  /** Between two looks. */
  wait?: () => Promise<void>;
}

const loaderGroup = "polder.loader";
const isLoaded: ReadonlySet<Topic> = new Set(loadedTopics);
const lookEveryMs = 50;
/** A loader that was killed keeps its partitions for ten seconds. */
const noProgressMs = 60_000;

/** Waits for a loader of our own: what the tables have lost of what was loaded before it brings back first. */
export function createLoadWait(deps: LoadWaitDeps): LoadWait {
  const { log, loader, failure, clock, wait = () => pause(lookEveryMs) } = deps;

  const positions = () => loader.status().positions.filter(({ topic }) => isLoaded.has(topic));
  const partitionsOfAll = async (): Promise<number> =>
    loadedTopics.length * (await log.partitionCount("polder.events"));

  function assertAlive(): void {
    const reason = failure();
    if (reason !== undefined) throw new CommandError(`Loading stopped: ${reason}`);
    const [first] = loader.status().blocked;
    if (first !== undefined) throw new CommandError(first.reason);
  }

  async function assertHoldsAll(): Promise<void> {
    const all = await partitionsOfAll();
    const held = positions().length;
    if (held < all) throw new CommandError(othersLoad(all - held, all));
  }

  return {
    async allLoaded() {
      /** By partition: the offset that was to be loaded last. Lag alone says nothing, where more comes all the time. */
      const targets = new Map<string, number>();
      const done = new Set<string>();
      let before = "";
      let since = clock();
      const all = await partitionsOfAll();
      for (;;) {
        assertAlive();
        const lags = new Map<Topic, ReadonlyMap<number, number>>(
          await Promise.all(loadedTopics.map(async (topic) => [topic, await log.lag(topic, loaderGroup)] as const)),
        );
        const held = positions();
        for (const { topic, partition, offset, isReadingAgain } of held) {
          const lag = lags.get(topic)?.get(partition);
          if (lag === undefined || isReadingAgain) continue;
          const key = `${topic} ${partition}`;
          if (!targets.has(key)) targets.set(key, offset + lag);
          if (lag === 0 || offset >= targets.get(key)!) done.add(key);
        }
        if (done.size === all)
          return new Map(
            held.flatMap(({ topic, partition, offset }) =>
              topic === "polder.events" ? [[partition, offset] as const] : [],
            ),
          );
        const now = JSON.stringify(held);
        if (now !== before) since = clock();
        before = now;
        if (clock() - since > noProgressMs)
          throw new CommandError(
            held.length < all
              ? othersLoad(all - held.length, all)
              : `Of ${all} partitions ${all - done.size} wait to be loaded and nothing was loaded for a minute: see whether ClickHouse takes inserts, and run this again. Nothing is lost or done twice.`,
          );
        await wait();
      }
    },
    whileNothingIsLoaded: (work) =>
      loader.pausedWhile(async () => {
        await assertHoldsAll();
        await work();
        // Somebody who began to load meanwhile may have been counted twice: the next run sees that.
        await assertHoldsAll();
      }),
  };
}

const othersLoad = (others: number, all: number): string =>
  `Other loaders have ${others} of ${all} partitions of the log. Stop them (and no collectors) and run this again: it loads what comes meanwhile, and what is loaded elsewhere while counts are made anew would be counted wrong.`;
