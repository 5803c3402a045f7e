import { randomUUID } from "node:crypto";
import { LogMisconfiguredError, LogUnavailableError, topics, type CommittedPosition, type Topic } from "@polder/core";
import type { Database } from "lmdb";
import { openRoot } from "./open-root.ts";

type StateKey = (string | number)[];

/** Batches by `[partition, first offset]`; the offsets of a partition have no holes. */
export type RecordTable = Database<Buffer, [partition: number, firstOffset: number]>;

/** Who reads a topic for a group. */
export interface ReaderOwner {
  pid: number;
  processStartedAt: number;
  token: string;
}

/** The LMDB environment behind a log and the names of what is in it. Every method reads the newest committed state, or the transaction it is called in. */
export interface Environment {
  /** Made with the folder: another folder, or one made anew, has another. */
  id: string;
  path: string;
  partitions: number;
  records(topic: Topic): RecordTable;
  /** The next offset that the partition will give. */
  nextOffset(topic: Topic, partition: number): number;
  setNextOffset(topic: Topic, partition: number, offset: number): void;
  /** The first offset that the partition still has; its next one when it has none. */
  firstOffset(topic: Topic, partition: number): number;
  /** Bytes of disk that the stored batches take, pages rounded up. */
  storedBytes(): number;
  setStoredBytes(bytes: number): void;
  position(topic: Topic, group: string, partition: number): CommittedPosition | undefined;
  setPosition(topic: Topic, group: string, partition: number, position: CommittedPosition): void;
  /** Every group that ever committed in the topic. */
  groups(topic: Topic): string[];
  owner(topic: Topic, group: string): ReaderOwner | undefined;
  setOwner(topic: Topic, group: string, owner: ReaderOwner | undefined): void;
  /** Whether the process is alive, has this folder open and is the one that started then. */
  isProcessAlive(pid: number, startedAt: number): boolean;
  /** Reads of one turn of the event loop share a state; the next one sees what every process has committed by now. */
  refresh(): void;
  /** Runs `work` in a write transaction. Resolves when it is on the disk. What `work` throws must be thrown before it writes. */
  write<T>(work: () => T): Promise<T>;
  /** Waits for the writes under way. */
  close(): Promise<void>;
}

/** @throws {LogMisconfiguredError} when the folder cannot be used, or holds a log with another number of partitions. */
export function openEnvironment(options: { path: string; partitions: number; maxBytes: number }): Environment {
  const { path, partitions } = options;
  // With room for deleting when appends are refused.
  const root = openRoot("log", path, options.maxBytes * 2 + 2 ** 30);
  const tables = new Map<Topic, RecordTable>();
  for (const topic of topics) tables.set(topic, root.openTable(`records/${topic}`, { encoding: "binary" }));
  const state: Database<unknown, StateKey> = root.openTable("state", { encoding: "json" });

  // Two processes may open an empty folder at the same moment: the first one to hold the lock decides.
  const stored = root.writeSync(() => {
    const known = state.get(["partitions"]) as number | undefined;
    if (known === undefined) state.putSync(["partitions"], partitions);
    state.putSync(["process", process.pid], processStartedAt);
    const id = (state.get(["id"]) as string | undefined) ?? randomUUID();
    state.putSync(["id"], id);
    return { partitions: known ?? partitions, id };
  });
  if (stored.partitions !== partitions) {
    void root.close();
    throw new LogMisconfiguredError(
      `The log in ${path} has ${stored.partitions} partitions, not ${partitions}: a key would change its partition and lose its order. ` +
        `Start with ${stored.partitions} partitions, or with another folder.`,
    );
  }

  let closed = false;
  const records = (topic: Topic) => tables.get(topic)!;

  const environment: Environment = {
    id: stored.id,
    path,
    partitions,
    records,
    nextOffset: (topic, partition) => (state.get(["next", topic, partition]) as number | undefined) ?? 0,
    setNextOffset: (topic, partition, offset) => void state.put(["next", topic, partition], offset),
    firstOffset(topic, partition) {
      const [first] = records(topic).getKeys({ start: [partition, 0], end: [partition + 1, 0], limit: 1 });
      return first ? first[1] : environment.nextOffset(topic, partition);
    },
    storedBytes: () => (state.get(["bytes"]) as number | undefined) ?? 0,
    setStoredBytes: (bytes) => void state.put(["bytes"], bytes),
    position: (topic, group, partition) =>
      state.get(["position", topic, group, partition]) as CommittedPosition | undefined,
    setPosition: (topic, group, partition, { offset, metadata }) =>
      void state.put(["position", topic, group, partition], { offset, metadata }),
    groups(topic) {
      const keys = state.getKeys({ start: ["position", topic], end: ["position", `${topic}\u0001`] });
      return [...new Set(Array.from(keys, (key) => key[2] as string))];
    },
    owner: (topic, group) => state.get(["owner", topic, group]) as ReaderOwner | undefined,
    setOwner(topic, group, owner) {
      if (owner) void state.put(["owner", topic, group], owner);
      else void state.remove(["owner", topic, group]);
    },
    isProcessAlive(pid, startedAt) {
      if (state.get(["process", pid]) !== startedAt) return false;
      if (pid === process.pid) return true;
      return root.readerPids().has(pid);
    },
    refresh: root.refresh,
    async write(work) {
      if (closed) throw new LogUnavailableError(`The log in ${path} is closed.`);
      return root.write(work);
    },
    async close() {
      closed = true;
      await root.close();
    },
  };
  return environment;
}

// Another process may get the number of a dead one, but not the moment of its start as well.
export const processStartedAt: number = Math.round(performance.timeOrigin);
