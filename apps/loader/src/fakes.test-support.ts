import type { CommittedPosition, EventLog, EventStore, LogReader, PartitionConsumer, Topic } from "@polder/core";

/** A store without rows that takes everything; `over` says what is otherwise. */
export const fakeStore = (over: Partial<EventStore> = {}): EventStore => ({
  insert: async () => ({ ok: true }),
  insertLedger: async () => ({ ok: true }),
  ledgerPosition: async () => undefined,
  sourceOf: async (_table, log) => log,
  findAtoms: async (keys) => keys.map(() => undefined),
  endingAtoms: async () => [],
  erasedIds: async () => ({ hashKey: undefined, keys: new Map() }),
  maxAtom: async () => undefined,
  maxOffset: async () => undefined,
  async *messageHashes() {},
  messagesAt: async () => [],
  atomsAt: async () => new Map(),
  hasRefusal: async () => false,
  gaps: {
    found: async () => undefined,
    open: async () => [],
    accept: async () => undefined,
    acceptedTo: async () => undefined,
  },
  isReachable: async () => true,
  close: async () => undefined,
  ...over,
});

export interface FakeLog {
  log: EventLog;
  /** What reads a topic, as soon as it does: the test is the reader. */
  consumers: ReadonlyMap<Topic, PartitionConsumer>;
  /** Of `polder.events`, by partition. */
  lag: Map<number, number>;
}

/** A log that hands over what it is told to. */
export function createFakeLog(committed?: CommittedPosition): FakeLog {
  const ends = new Map<Topic, () => void>();
  const consumers = new Map<Topic, PartitionConsumer>();
  const lag = new Map([[0, 0]]);
  const log: EventLog = {
    openReader: ({ topic }) =>
      ({
        async run(consumer) {
          await consumer.assigned(0, committed, { start: 0, end: 0 }).catch(() => undefined);
          consumers.set(topic, consumer);
          await new Promise<void>((resolve) => ends.set(topic, resolve));
        },
        stop: async () => ends.get(topic)?.(),
      }) satisfies LogReader,
    lag: async (topic) => (topic === "polder.events" ? lag : new Map([[0, 0]])),
    isReachable: async () => true,
    identityOf: async () => "a log",
    offsetsAt: async () => new Map(),
    partitionCount: async () => 1,
    partitionOf: () => 0,
    append: () => Promise.reject(new Error("nobody appends here")),
    close: async () => undefined,
  };
  return { log, consumers, lag };
}
