import { LogUnavailableError } from "@polder/core";
import type { Kafka } from "kafkajs";
import { expect, it } from "vitest";
import { createReader, type ReaderDeps } from "./reader.ts";

const topicName = "polder.events";

/** A member of a group that is given a partition as soon as it runs. */
function createMember() {
  const listeners = new Map<string, (event: object) => void>();
  const join = (...partitions: number[]) =>
    listeners.get("join")!({ payload: { memberAssignment: { [topicName]: partitions } } });
  const member = {
    events: { GROUP_JOIN: "join", REBALANCING: "rebalancing", CRASH: "crash" },
    on: (name: string, listener: (event: object) => void) => listeners.set(name, listener),
    connect: async () => {},
    subscribe: async () => {},
    run: async () => join(0),
    pause() {},
    disconnect: async () => {},
  };
  const client = { consumer: () => member } as unknown as Kafka;
  return { client, join, rebalance: () => listeners.get("rebalancing")!({}) };
}

function read(deps: Pick<ReaderDeps, "client" | "partitionStates" | "logger">) {
  return createReader(
    {
      ...deps,
      prepared: async () => {},
      topicName,
      groupId: "group",
      sessionTimeoutMs: 10_000,
      rebalanceTimeoutMs: 60_000,
      concurrentPartitions: 1,
      retryAfterMs: 1,
    },
    { topic: "polder.events", group: "group", maxRecords: 10, maxBytes: 1_000, lingerMs: 0 },
  );
}

it("asks nothing any more for a partition that was taken away while the cluster was away", async () => {
  const { client, rebalance } = createMember();
  let asked = 0;
  let stopped: Promise<void> | undefined;
  const reader = read({
    client,
    async partitionStates() {
      asked++;
      throw new LogUnavailableError("Kafka did not answer.");
    },
    logger: {
      info() {},
      warn() {
        rebalance();
        stopped = reader.stop();
      },
      error() {},
    },
  });
  await reader.run({
    assigned: async () => 0,
    consume: async () => {},
    revoked() {},
  });
  await stopped;
  expect(asked).toBe(1);
});

it("tells a partition that it tries again, or is given once more, from one that went to another member", async () => {
  const { client, join, rebalance } = createMember();
  const calls: string[] = [];
  let onCall = () => {};
  const note = (call: string) => {
    calls.push(call);
    onCall();
  };
  const noted = (call: string) =>
    new Promise<void>((resolve) => {
      onCall = () => void (calls.includes(call) && resolve());
      onCall();
    });
  const reader = read({
    client,
    partitionStates: async () =>
      new Map([0, 1].map((partition) => [partition, { committed: undefined, bounds: { start: 0, end: 0 } }])),
    logger: { info() {}, warn() {}, error() {} },
  });
  const running = reader.run({
    assigned: (partition) => (note(`assigned ${partition}`), Promise.reject(new Error("not now"))),
    consume: async () => {},
    revoked: (partition) => note(`revoked ${partition}`),
    lost: (partition) => note(`lost ${partition}`),
  });
  await noted("revoked 0");
  rebalance();
  join(0, 1);
  await noted("revoked 1");
  expect(calls.join()).not.toContain("lost");
  rebalance();
  join(1);
  await noted("lost 0");
  expect(calls.lastIndexOf("revoked 0")).toBeLessThan(calls.indexOf("lost 0"));
  calls.length = 0;
  await noted("revoked 1");
  rebalance();
  join();
  await noted("lost 1");
  await reader.stop();
  await running;
  expect(calls.filter((call) => call.startsWith("lost"))).toEqual(["lost 1"]);
});
