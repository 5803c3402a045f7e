export interface AnnouncedRemovalOptions<Item> {
  now: () => Date;
  /** What is to be removed, at most so many. */
  open(limit: number): Promise<readonly Item[]>;
  /** Writes down what will be removed: from now on loaders give it other numbers. */
  begin(items: readonly Item[]): Promise<void>;
  /** Asked once it is announced: what has to come before the removal. What it returns is asked until it says that it has. */
  awaited?: (() => Promise<() => Promise<boolean>>) | undefined;
  /** Removes it, as it was written down. Returns how many identities that took. */
  carryOut(items: readonly Item[]): Promise<number>;
  /** Between two rounds, in milliseconds: removing rewrites parts of tables, so what came meanwhile goes together. */
  everyMs: number;
  /** From what is announced to its removal, in milliseconds: loaders look every two seconds which identities end. */
  graceMs: number;
  maxItems: number;
}

export interface AnnouncedRemoval {
  /** Begins a round when one is due, or ends it when its time has come. Returns what {@link AnnouncedRemovalOptions.carryOut} says. */
  tick(): Promise<number>;
  /** From the announcement to the end of the removal. */
  isUnderWay(): boolean;
}

/** What was announced longer ago may have been forgotten by the loaders. */
const announcedForMs = 300_000;

/** Announce, wait until every loader has heard, remove. May be stopped anywhere: what was not carried out to the end is announced anew. */
export function createAnnouncedRemoval<Item>({
  now,
  open,
  begin,
  awaited,
  carryOut,
  everyMs,
  graceMs,
  maxItems,
}: AnnouncedRemovalOptions<Item>): AnnouncedRemoval {
  let lastRound = -Infinity;
  let isRemoving = false;
  let begun: { items: readonly Item[]; at: number; isReady: (() => Promise<boolean>) | undefined } | undefined;
  return {
    async tick() {
      const startedAt = now().getTime();
      if (begun !== undefined && startedAt - begun.at > announcedForMs) begun = undefined;
      if (begun === undefined) {
        if (startedAt - lastRound < everyMs) return 0;
        const items = await open(maxItems);
        if (items.length > 0) await begin(items);
        if (items.length < maxItems) lastRound = startedAt;
        if (items.length === 0) return 0;
        begun = { items, at: now().getTime(), isReady: await awaited?.() };
      }
      if (now().getTime() - begun.at < graceMs) return 0;
      if ((await begun.isReady?.()) === false) return 0;
      const { items } = begun;
      // When it fails, it is announced anew: a loader that starts meanwhile looks only at the last minutes.
      begun = undefined;
      isRemoving = true;
      try {
        return await carryOut(items);
      } catch (error) {
        lastRound = -Infinity;
        throw error;
      } finally {
        isRemoving = false;
      }
    },
    isUnderWay: () => begun !== undefined || isRemoving,
  };
}
