import { setTimeout as pause } from "node:timers/promises";
import { LogMisconfiguredError, LogUnavailableError, type CommittedPosition } from "@polder/core";
import type { Admin, Kafka } from "kafkajs";

export interface PartitionState {
  committed: CommittedPosition | undefined;
  bounds: { start: number; end: number };
}

/** Questions to the cluster over one connection, made when first needed and again after a failure. */
export interface ClusterAdmin {
  /** @throws {LogUnavailableError} when the cluster does not answer, or anything else goes wrong; a {@link LogMisconfiguredError} of `ask` goes through. */
  ask<T>(ask: (admin: Admin) => Promise<T>): Promise<T>;
  /** Where a group is in a topic and what the topic still has, by partition. */
  partitionStates(topic: string, groupId: string): Promise<Map<number, PartitionState>>;
  close(): Promise<void>;
}

interface Connection {
  admin: Promise<Admin>;
  questions: number;
  isBroken: boolean;
}

// A topic that was just made, or a broker that just went, is known everywhere after a moment.
const unsettled = new Set([
  "UNKNOWN_TOPIC_OR_PARTITION",
  "LEADER_NOT_AVAILABLE",
  "NOT_LEADER_FOR_PARTITION",
  "GROUP_LOAD_IN_PROGRESS",
  "GROUP_COORDINATOR_NOT_AVAILABLE",
  "NOT_COORDINATOR_FOR_GROUP",
]);
export const isUnsettled = (error: unknown): boolean => unsettled.has((error as { type?: string }).type ?? "");

const askAgainMs = 100;
const attempts = 20;

async function askUntilKnown<T>(ask: (admin: Admin) => Promise<T>, admin: Admin): Promise<T> {
  for (let left = attempts; ; left--) {
    try {
      return await ask(admin);
    } catch (error) {
      if (left === 1 || !isUnsettled(error)) throw error;
      await pause(askAgainMs);
    }
  }
}

export function createClusterAdmin(client: Kafka): ClusterAdmin {
  let current: Connection | undefined;

  const connect = async () => {
    const admin = client.admin();
    try {
      await admin.connect();
      return admin;
    } catch (error) {
      // A broker that hangs keeps the connection open that it took.
      await admin.disconnect().catch(() => {});
      throw error;
    }
  };
  // Not before its last question has ended: kafkajs would connect again to ask once more, and leave that open.
  const disconnectIfIdle = async (connection: Connection) => {
    if (!connection.isBroken || connection.questions > 0) return;
    await connection.admin.then((admin) => admin.disconnect()).catch(() => {});
  };
  const discard = async (connection: Connection) => {
    connection.isBroken = true;
    if (current === connection) current = undefined;
    await disconnectIfIdle(connection);
  };

  const cluster: ClusterAdmin = {
    async ask(ask) {
      const connection = (current ??= { admin: connect(), questions: 0, isBroken: false });
      connection.questions += 1;
      try {
        return await askUntilKnown(ask, await connection.admin);
      } catch (error) {
        if (error instanceof LogMisconfiguredError) throw error;
        // kafkajs does not always find back to a cluster that it lost, and says so by errors of any kind: a fresh connection does.
        void discard(connection);
        throw new LogUnavailableError(`Kafka did not answer: ${(error as Error).message}.`, { cause: error });
      } finally {
        connection.questions -= 1;
        await disconnectIfIdle(connection);
      }
    },
    partitionStates: (topic, groupId) =>
      cluster.ask(async (admin) => {
        const [offsets, positions] = await Promise.all([
          admin.fetchTopicOffsets(topic),
          admin.fetchOffsets({ groupId, topics: [topic], resolveOffsets: false }),
        ]);
        const committed = new Map<number, CommittedPosition>();
        for (const { partition, offset, metadata } of positions[0]?.partitions ?? []) {
          if (Number(offset) >= 0) committed.set(partition, { offset: Number(offset), metadata: metadata ?? "" });
        }
        return new Map(
          offsets.map(({ partition, low, high }) => [
            partition,
            { committed: committed.get(partition), bounds: { start: Number(low), end: Number(high) } },
          ]),
        );
      }),
    async close() {
      if (current) await discard(current);
    },
  };
  return cluster;
}
