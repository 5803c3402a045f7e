import type { AudienceChange, AudienceQueries } from "@polder/clickhouse";
import { errorText, type Logger } from "@polder/core";

/** Who comes into audiences and leaves them from now on, asked for once and told to every listener. */
export interface AudienceFeed {
  /** Asks until {@link stop}. Nothing is asked while nobody listens. */
  start(): void;
  stop(): Promise<void>;
  listen(listener: (batch: AudienceBatch) => void): () => void;
  /** One question to the store. */
  poll(): Promise<void>;
}

export interface AudienceBatch {
  /** Oldest first. */
  changes: AudienceChange[];
  /** How many came in between and are not listed, of all sites. */
  omitted: number;
}

export interface AudienceFeedOptions {
  queries: Pick<AudienceQueries, "newestChange" | "changesAfter">;
  logger: Logger;
  pollMs?: number;
  /** Changes that a batch lists at most. */
  maxChanges?: number;
}

export function createAudienceFeed({
  queries,
  logger,
  pollMs = 1_000,
  maxChanges = 100,
}: AudienceFeedOptions): AudienceFeed {
  const listeners = new Set<(batch: AudienceBatch) => void>();
  /** Undefined while nobody listens: what happens then is nobody's news. */
  let position: number | undefined;
  let timer: NodeJS.Timeout | undefined;
  let underWay: Promise<void> | undefined;
  let isStopped = false;
  let isAway = false;

  const ask = async (): Promise<void> => {
    if (listeners.size === 0) {
      position = undefined;
      return;
    }
    if (position === undefined) {
      position = await queries.newestChange();
      return;
    }
    const changes = await queries.changesAfter(position, maxChanges);
    const last = changes.at(-1);
    if (last === undefined) return;
    // After a first evaluation of something large: the newest place, and how many were passed over.
    const newest = changes.length === maxChanges ? await queries.newestChange() : last.seq;
    position = newest;
    for (const listener of listeners) listener({ changes, omitted: newest - last.seq });
  };

  const poll = (): Promise<void> =>
    (underWay ??= ask()
      .then(
        () => {
          isAway = false;
        },
        (error: unknown) => {
          if (!isAway) logger.warn("changes of audiences cannot be read", { error: errorText(error) });
          isAway = true;
        },
      )
      .finally(() => {
        underWay = undefined;
      }));

  const loop = (): void => {
    void poll().then(() => {
      if (!isStopped) timer = setTimeout(loop, pollMs);
    });
  };

  return {
    poll,
    start: loop,
    async stop() {
      isStopped = true;
      clearTimeout(timer);
      await underWay;
    },
    listen(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}
