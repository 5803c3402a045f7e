import { LogUnavailableError } from "@polder/core";
import type { Kafka } from "kafkajs";
import { expect, it } from "vitest";
import { createReader } from "./reader.ts";

const topicName = "polder.events";

/** A member of a group that is given a partition as soon as it runs. */
function createMember() {
  const listeners = new Map<string, (event: object) => void>();
  const member = {
    events: { GROUP_JOIN: "join", REBALANCING: "rebalancing", CRASH: "crash" },
    on: (name: string, listener: (event: object) => void) => listeners.set(name, listener),
    connect: async () => {},
    subscribe: async () => {},
    run: async () => listeners.get("join")!({ payload: { memberAssignment: { [topicName]: [0] } } }),
    pause() {},
    disconnect: async () => {},
  };
  const client = { consumer: () => member } as unknown as Kafka;
  return { client, rebalance: () => listeners.get("rebalancing")!({}) };
}

it("asks nothing any more for a partition that was taken away while the cluster was away", async () => {
  const { client, rebalance } = createMember();
  let asked = 0;
  let stopped: Promise<void> | undefined;
  const reader = createReader(
    {
      client,
      async partitionStates() {
        asked++;
        throw new LogUnavailableError("Kafka did not answer.");
      },
      prepared: async () => {},
      topicName,
      groupId: "group",
      logger: {
        info() {},
        warn() {
          rebalance();
          stopped = reader.stop();
        },
        error() {},
      },
      sessionTimeoutMs: 10_000,
      rebalanceTimeoutMs: 60_000,
      concurrentPartitions: 1,
      retryAfterMs: 1,
    },
    { topic: "polder.events", group: "group", maxRecords: 10, maxBytes: 1_000, lingerMs: 0 },
  );
  await reader.run({
    assigned: async () => 0,
    consume: async () => {},
    revoked() {},
  });
  await stopped;
  expect(asked).toBe(1);
});
