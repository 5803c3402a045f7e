import type { NewEvents, ReadQueries, StoredEvent } from "@polder/clickhouse";
import { errorText, type Logger } from "@polder/core";

/** What is new in the store, asked for once and told to every listener. */
export interface LiveFeed {
  /** Asks until {@link stop}. Nothing is asked while nobody listens. */
  start(): void;
  /** Resolves when no question is under way. */
  stop(): Promise<void>;
  /**
   * From now on `onBatch` is called with each batch, in order. `after`: the position that a listener had before; what is still held of later batches
   * is returned as `missed`, with `hasGap` when some of it is not held any more, and `people`: whose the atoms are that are held, which can have
   * changed meanwhile. Without it: the newest events.
   */
  listen(
    listener: LiveListener,
    after?: string,
  ): { missed: Batch[]; people: PersonChange[]; hasGap: boolean; leave(): void };
  /** Events by second of arrival over the last three minutes, all batches so far included. */
  series(site: string): [second: number, count: number][];
  newestReceivedAt(site: string): number | undefined;
  status(): { isStoreReachable: boolean; listeners: number };
  /** One question to the store. */
  poll(): Promise<void>;
  /** For whoever comes to listen after nobody did: what is held may be of people who were erased since. Undefined when there is nothing to wait for. */
  catchUp(): Promise<void> | undefined;
}

export interface LiveListener {
  onBatch(batch: Batch): void;
  /** Identities were joined: events that were told before are another person's now. Person 0: erased, what was told of them is to be forgotten. */
  onPeople(changes: readonly PersonChange[]): void;
}

export interface PersonChange {
  site: string;
  /** Of an event, or the number of a person: that is an atom too, the first of theirs. */
  atom: number;
  person: number;
}

export interface Batch {
  /** Number of the batch within this feed, with the feed's own id: what a listener gives to go on from there. */
  position: string;
  events: StoredEvent[];
  count: number;
  seconds: NewEvents["seconds"];
}

export interface LiveFeedOptions {
  queries: Pick<ReadQueries, "endPositions" | "otherPartitions" | "newEvents" | "personsOf">;
  logger: Logger;
  now: () => number;
  /** Differs from one start to the next: positions of another feed mean nothing here. */
  feedId: string;
  pollMs?: number;
  /** How many events a batch shows at most; the others are counted. */
  maxEventsPerBatch?: number;
  /** How many events are held for listeners that come or come back. */
  maxHeldEvents?: number;
}

const seriesSeconds = 180;
const maxHeldUnseenMs = 2_000;

export function createLiveFeed(options: LiveFeedOptions): LiveFeed {
  const { queries, logger, now, feedId, pollMs = 400, maxEventsPerBatch = 200, maxHeldEvents = 1_000 } = options;
  const listeners = new Set<LiveListener>();
  let positions: Map<number, number> | undefined;
  let held: Batch[] = [];
  let lastNumber = 0;
  const newest = new Map<string, number>();
  const series = new Map<string, Map<number, number>>();
  let isStoreReachable = true;
  let partitionsDueAt = 0;
  let timer: NodeJS.Timeout | undefined;
  let underWay: Promise<void> | undefined;
  let isStopped = false;
  let polledAt = -Infinity;

  const publish = (found: NewEvents) => {
    positions = found.positions;
    if (found.count === 0) return;
    for (const { site, receivedAt } of found.events) newest.set(site, Math.max(newest.get(site) ?? 0, receivedAt));
    const oldest = now() / 1000 - seriesSeconds;
    for (const { site, second, count } of found.seconds) {
      const counts = series.get(site) ?? new Map<number, number>();
      series.set(site, counts);
      counts.set(second, (counts.get(second) ?? 0) + count);
      for (const known of counts.keys()) if (known < oldest) counts.delete(known);
    }
    const batch = {
      position: `${feedId}.${++lastNumber}`,
      events: found.events,
      count: found.count,
      seconds: found.seconds,
    };
    held.push(batch);
    let size = held.reduce((sum, each) => sum + each.events.length, 0);
    while (size > maxHeldEvents && held.length > 1) size -= held.shift()!.events.length;
    for (const listener of listeners) listener.onBatch(batch);
  };

  const heldEvents = (): StoredEvent[] => held.flatMap(({ events }) => events).filter(({ atom }) => atom !== 0);

  /** A login joins identities a moment after its event was read. What is held follows, and whoever listens is told. */
  const followPeople = async (): Promise<void> => {
    const numbers = new Set(heldEvents().flatMap(({ atom, person }) => [atom, person]));
    if (numbers.size === 0) return;
    const persons = await queries.personsOf([...numbers]);
    const changes = new Map<number, PersonChange>();
    // Event by event: one atom can have been read both before and after it changed hands.
    for (const { site, atom, person: before } of heldEvents()) {
      for (const number of [atom, before]) {
        const person = persons.get(number) ?? number;
        if (person !== before) changes.set(number, { site, atom: number, person });
      }
    }
    if (changes.size === 0) return;
    held = held.map((batch) => ({
      ...batch,
      // Whoever was erased is shown to nobody who comes later.
      events: batch.events
        .map((event) => ({ ...event, person: persons.get(event.atom) ?? event.person }))
        .filter(({ atom, person }) => atom === 0 || person !== 0),
    }));
    for (const listener of listeners) listener.onPeople([...changes.values()]);
  };

  const ask = async (): Promise<void> => {
    if (positions === undefined) {
      // The newest ones, for whoever looks first.
      const ends = await queries.endPositions();
      const before = new Map([...ends].map(([partition, last]) => [partition, Math.max(-1, last - maxEventsPerBatch)]));
      publish(await queries.newEvents(before, maxEventsPerBatch));
      return;
    }
    if (now() >= partitionsDueAt) {
      const before = now();
      for (const partition of await queries.otherPartitions(positions.keys())) positions.set(partition, -1);
      // It reads a column of the whole table: a twentieth of the time at most.
      partitionsDueAt = now() + 20 * (now() - before);
    }
    publish(await queries.newEvents(positions, maxEventsPerBatch));
  };

  const poll = (): Promise<void> => {
    underWay ??= ask()
      .then(followPeople)
      .then(
        () => {
          polledAt = now();
          if (!isStoreReachable) logger.info("live feed: the store answers again");
          isStoreReachable = true;
        },
        (error: unknown) => {
          if (isStoreReachable) logger.warn("live feed: the store does not answer", { error: errorText(error) });
          isStoreReachable = false;
        },
      )
      .finally(() => {
        underWay = undefined;
      });
    return underWay;
  };

  const loop = () => {
    const due = listeners.size > 0 || positions === undefined ? poll() : Promise.resolve();
    void due.then(() => {
      if (!isStopped) timer = setTimeout(loop, pollMs);
    });
  };

  return {
    poll,
    catchUp: () => (held.length > 0 && now() - polledAt > maxHeldUnseenMs ? poll() : undefined),
    start: loop,
    async stop() {
      isStopped = true;
      clearTimeout(timer);
      await underWay;
    },
    listen(listener, after) {
      listeners.add(listener);
      const known = after === undefined ? -1 : held.findIndex(({ position }) => position === after);
      const isLast = after !== undefined && after === `${feedId}.${lastNumber}`;
      const missed = isLast ? [] : held.slice(known + 1);
      const people = new Map(heldEvents().map(({ site, atom, person }) => [atom, { site, atom, person }]));
      return {
        missed,
        people: after === undefined ? [] : [...people.values()],
        hasGap: after !== undefined && known < 0 && !isLast,
        leave: () => listeners.delete(listener),
      };
    },
    series: (site) =>
      [...(series.get(site) ?? [])]
        .filter(([second]) => second >= now() / 1000 - seriesSeconds)
        .toSorted(([a], [b]) => a - b),
    newestReceivedAt: (site) => newest.get(site),
    status: () => ({ isStoreReachable, listeners: listeners.size }),
  };
}
